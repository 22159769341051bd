"""LibriSpeech (Panayotov et al. 2015): `{subset}/{speaker}/{chapter}/{speaker}-{chapter}-{number}.flac`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.corpora.disk import Refused, entries, find_folder, is_audio
from phonaut.corpora.kaldi import read
from phonaut.corpora.options import as_list
from phonaut.corpora.phone_alignments import SILENCES, AlignedCorpus
from phonaut.data.utterance import Utterance
from phonaut.names import nearest

SUBSET = re.compile(r"(train|dev|test)-[\w-]+")
SPLIT_OF = {"train": "train", "dev": "validation", "test": "test"}
UTTERANCE = re.compile(r"\d+-\d+-\d+")
TRANSCRIPTS = ".trans.txt"


class LibriSpeech(AlignedCorpus):
    """Books read aloud, with transcripts.

    Subsets `train-*`, `dev-*` and `test-*` are the official split, whichever are there. `target=text` is for
    transcripts: divided as for phones, and needs none.

    Args:
        data_folder: the folder of the subsets, or the one above it.
        target: `phone`, `speaker` or `text`.
        subsets: the names of those to use; null: all that are there.
        alignment: the times of phones, for `target=phone`: a file, or a folder of files (CTM, STM, TextGrid, labels of
            HTK or Audacity).
        alignment_tier: of phones, in TextGrids; null: the one that is named so.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole alignment are no classes.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "librispeech"
    targets: ClassVar[tuple[str, ...]] = ("phone", "speaker", "text")
    has_texts: ClassVar[bool] = True
    how: ClassVar[str] = "phonaut align dataset=librispeech makes one"

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "phone",
        subsets: Sequence[str] | None = None,
        alignment: str | Path | None = None,
        alignment_tier: str | None = None,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
    ) -> None:
        super().__init__(data_folder, target, alignment, drop_phones, min_phone_count, alignment_tier)
        self.asked = as_list(subsets)

    def first_look(self) -> None:
        """Find the subsets and the alignment.

        Raises:
            ValueError: they are not there.
        """
        self.subsets  # noqa: B018  # raises
        super().first_look()

    @cached_property
    def subsets(self) -> dict[str, Path]:
        """The folders of the subsets that are used, by name.

        Raises:
            ValueError: there are none to train on, or not those that were asked for.
        """
        root = find_folder(self.data_folder, otherwise="; it is at openslr.org/12")
        there = subsets_in(root)
        if not there:
            raise ValueError(f"dataset.data_folder={root} has no folder such as train-clean-100: no LibriSpeech")
        for name in self.asked:
            if name not in there:
                near = nearest(name, there, 1)[0]
                raise ValueError(f"dataset.subsets has {name}, but {root} has {', '.join(there)}: type {near}")
        used = {name: path for name, path in there.items() if not self.asked or name in self.asked}
        if not any(name.startswith("train") for name in used):
            raise ValueError(
                f"{', '.join(used)} of {root}: a subset to train on is needed too, such as train-clean-100"
            )
        return used

    def official(self) -> str:
        """By subsets."""
        return "the subsets are the splits"

    def title(self) -> str:
        """Its name and subsets."""
        return f"LibriSpeech, {', '.join(self.subsets)}"

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance, subset by subset; where phones are asked for, those that are aligned.

        Raises:
            ValueError: no such folder, or nothing in it can be used.
        """
        n = 0
        for utterance in self.with_alignment(self._listed()):
            n += 1
            yield utterance
        if not n:
            raise ValueError(f"{', '.join(map(str, self.subsets.values()))} hold no recordings like 19-198-0000.flac")

    def _listed(self) -> Iterator[Utterance]:
        for subset, folder in self.subsets.items():
            split = SPLIT_OF[subset.partition("-")[0]]
            for speaker in entries(str(folder), self._refused)[1]:
                for chapter in entries(str(folder / speaker), self._refused)[1]:
                    yield from self._chapter(folder / speaker / chapter, split, speaker, f"{speaker}-{chapter}")

    def _chapter(self, folder: Path, split: str, speaker: str, session: str) -> Iterator[Utterance]:
        """The utterances of a chapter, with what is said; a transcript without a recording is refused."""
        files = entries(str(folder), self._refused)[0]
        texts: dict[str, str] = {}
        for name in files:
            if name.endswith(TRANSCRIPTS):
                texts |= dict(read(folder / name))
        seen: set[str] = set()
        for name in filter(is_audio, files):
            path, utterance = folder / name, name.partition(".")[0]
            if not UTTERANCE.fullmatch(utterance):
                self.refuse(path, "the name is not {speaker}-{chapter}-{number}")
            elif utterance in seen:
                self.refuse(path, f"{utterance} is there twice")
            else:
                seen.add(utterance)
                yield Utterance(utterance, path, split, speaker, text=texts.get(utterance), session=session)
        for utterance in sorted(texts.keys() - seen):
            self.refuse(folder / utterance, "there is a transcript of it, but no recording")


def subsets_in(root: Path) -> dict[str, Path]:
    """The folders of subsets in `root`, or in its one folder `LibriSpeech`; by name, in lower case."""
    names = entries(str(root), Refused())[1]
    subsets = {name.casefold(): root / name for name in names if SUBSET.fullmatch(name.casefold())}
    inner = next((root / name for name in names if name.casefold() == "librispeech"), None)
    return subsets_in(inner) if inner and not subsets else subsets
