"""The data files of the GenHMM research code as a corpus: imported once, as a folder of frames."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from phonaut.checks import refuse, within
from phonaut.corpora.base import target_problems
from phonaut.corpora.frames import FrameCorpus
from phonaut.corpora.genhmm_data.files import (
    PARTS,
    ResearchFile,
    is_matrix,
    join,
    labels_of,
    names_of,
    read_research_file,
    sibling,
    spans_of,
)
from phonaut.corpora.genhmm_data.pickle_reader import read_pickle
from phonaut.data.frame_shards import MANIFEST, FrameLayout
from phonaut.data.frame_writer import FrameWriter
from phonaut.files import cache_dir, expanded, locked

IMPORT = 1  # of what is imported; with another number it is done anew
# TIMIT's ids, in whatever is around them: dr1_fcjf0_si648, FCJF0_SI648, dr1/fcjf0/si648.
TIMIT = re.compile(r"(?:^|[^a-z0-9])([fm][a-z]{3}[0-9])[^a-z0-9]+(s[aix][0-9]+)(?:[^a-z0-9]|$)", re.IGNORECASE)


class ResearchCorpus(FrameCorpus):
    """The research code's files as a corpus; imported once, into the cache.

    Where no file is for validation, it is cut from training: by speaker where keys are TIMIT's, which name them, else
    by a hash of the key. TIMIT's SA sentences, which all speakers read, are left out.

    Args:
        train: the file to train on.
        test: the file to test on.
        validation: the file to choose on, or None.
        target: `phone`, or `speaker` where the keys name speakers.
        codebook: a pickle of `{phone: number}`, or of a list with one, where the files do not name their phones.
        frame_shift_s: seconds from one frame to the next; the files do not say it.
        most_gb: that a file may unpack to.

    Raises:
        ValueError: a file is not named, or a value is not possible.
    """

    name = "genhmm_data"
    RULES: ClassVar = {**dict.fromkeys(("frame_shift_s", "most_gb"), within(0, 10_000, beyond=True))}
    targets: ClassVar[tuple[str, ...]] = ("phone", "speaker")

    def __init__(
        self,
        *,
        train: str | Path | None,
        test: str | Path | None,
        validation: str | Path | None = None,
        target: str = "phone",
        codebook: str | Path | None = None,
        frame_shift_s: float = 0.01,
        most_gb: float = 4.0,
    ) -> None:
        problems = target_problems(target, ResearchCorpus)
        if train is None or test is None:
            problems.append("dataset=genhmm_data needs dataset.train=FILE and dataset.test=FILE")
        if not frame_shift_s > 0:
            problems.append(f"dataset.frame_shift_s={frame_shift_s}: seconds above 0 are wanted")
        if not most_gb > 0:
            problems.append(f"dataset.most_gb={most_gb}: more than 0 is wanted")
        refuse(problems)
        super().__init__(data_folder="", target=target)
        named = {"train": train, "validation": validation, "test": test, "codebook": codebook}
        self.files = {name: expanded(file) for name, file in named.items() if file is not None}
        self.frame_shift_s, self.most_gb = frame_shift_s, most_gb

    def frame_layout(self) -> FrameLayout | None:
        """The settings that all frames share, by the first array of the training file; None where it is not there."""
        path = self.files["train"]
        if not path.is_file():
            return None
        first = read_pickle(path, most_bytes=int(self.most_gb * 2**30), until=is_matrix)
        if not is_matrix(first) or first.shape[1] < 2:
            raise ValueError(f"{path} holds no 2-D array with a label and features")
        return FrameLayout(first.shape[1] - 1, self.frame_shift_s)

    def source(self) -> Path:
        """The imported folder.

        Raises:
            ValueError: a file is not there, or cannot be imported.
        """
        missing = [f"dataset.{name}={path} is not there" for name, path in self.files.items() if not path.is_file()]
        refuse(missing)
        beside = [place for path in self.files.values() for part in PARTS[1:] if (place := sibling(path, part))]
        about = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths(beside)]
        key = hashlib.blake2b(json.dumps([IMPORT, self.frame_shift_s, about]).encode(), digest_size=8).hexdigest()
        folder = cache_dir() / "research" / f"{self.name}-{key}"
        with locked(folder.parent / ".lock"):
            if not (folder / MANIFEST).exists():
                self.write(folder)
        return folder

    def paths(self, beside: Sequence[Path]) -> list[Path]:
        """All files that are read, in a fixed order."""
        return [*(self.files[name] for name in sorted(self.files)), *beside]

    def write(self, folder: Path) -> None:
        """Import the files."""
        names: dict[int, str] = {}
        files = {
            split: read_research_file(self.files[split], most_gb=self.most_gb)
            for split in ("train", "validation", "test")
            if split in self.files
        }
        if "codebook" in self.files:
            content = read_pickle(self.files["codebook"])
            only = content[0] if isinstance(content, (list, tuple)) and len(content) == 1 else content
            join(names, names_of(self.files["codebook"], only, []), str(self.files["codebook"]))
        for file in files.values():
            join(names, file.names, str(file.path))
        made = ", ".join(file.path.name for file in files.values()) + " of the GenHMM research code"
        made += "" if names else "; phones by number, for no file names them"
        n_features = files["train"].arrays[0].shape[1] - 1 if files["train"].arrays else 1
        with FrameWriter(
            folder, n_features=n_features, frame_shift_s=self.frame_shift_s, made_from=made, overwrite=True
        ) as writer:
            for split, file in files.items():
                for line in sequences_of(file, split, names, self.frame_shift_s):
                    if "refused" in line:
                        writer.refuse(f"{file.path}: {line['id']}", line["refused"])
                        continue
                    try:
                        writer.add(**line)
                    except ValueError as error:
                        writer.refuse(f"{file.path}: {line['id']}", str(error))


def sequences_of(file: ResearchFile, split: str, names: dict[int, str], shift_s: float) -> Iterator[dict[str, Any]]:
    """Arguments of `FrameWriter.add` for each array, the label column off; or why it is left out, as `refused`."""
    several = len(set(file.keys)) < len(file.keys) if file.keys is not None else False
    for i, array in enumerate(file.arrays):
        key = file.keys[i] if file.keys is not None else f"{i:06d}"
        about: dict[str, Any] = {"id": f"{split}/{key}#{i}" if several else f"{split}/{key}"}
        match = TIMIT.search(key)
        if match and match[2].lower().startswith("sa"):
            yield about | {"refused": "SA sentences, which all speakers read, are no part of the protocol"}
            continue
        try:
            if not len(array):
                raise ValueError("it has no frames")
            phones = spans_of(labels_of(array), names, shift_s)
        except ValueError as error:
            yield about | {"refused": str(error)}
            continue
        yield about | {
            "frames": array[:, 1:],
            "split": split,
            "recording": f"{file.path.name}/{key}",
            "speaker": match[1].lower() if match else "",
            "sentence": match[2].lower() if match else "",
            "session": key if file.keys is not None else "",
            "phones": phones,
        }
