"""RedDots: `pcm/m0001/20150130052549120_m0001_31.pcm`, `ndx/m_part_01.trn` and `.ndx`, `infos/script.txt`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from phonaut.checks import refuse
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import Refused, entries, find_folder, is_audio
from phonaut.data.trial_files import read_enrolment, read_trials
from phonaut.data.trials import TrialList, joined
from phonaut.data.utterance import Utterance
from phonaut.files import expanded, listed_path, text_lines
from phonaut.names import excerpt

RATE = 16_000  # of the recordings, which have no header
NAME = re.compile(r"([0-9]{8})[0-9]*_([fm][0-9]+)_([0-9A-Za-z]+)")  # day, speaker, sentence
LIST = re.compile(r"([fm])_part_(\w+)\.(trn|ndx)")
GENDERS = {"f": "female", "m": "male"}
SHARED = {"04_td": "04", "04_tp": "04"}  # parts whose files may be one


class RedDots(Corpus):
    """Sentences by 62 speakers over a year, and lists of verification trials for women and men.

    The test are the recordings that the lists of a part name, to enrol or to be tested; training is the background:
    recordings that no list of any part names. What only other parts name is left out.

    Args:
        data_folder: the corpus: `pcm/`, `ndx/`, `infos/`.
        target: `keyword`, the sentence; `speaker`, or `text`.
        part: of the lists: `01` common phrases, `02` unique ones, `03` free choice, `04_td`, `04_tp` (prompted; where
            one of their files is missing, `04` is taken for it); null: all recordings, without lists, for protocols
            that divide them anew.
        other_speakers: the background has none of the speakers of the part.
        script: what was said, lines `recording;text` in latin-1; null: `infos/script.txt`, where it is there.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "reddots"
    targets: ClassVar[tuple[str, ...]] = ("keyword", "speaker", "text")
    has_texts: ClassVar[bool] = True
    published_split: ClassVar[bool] = True
    options_of_test: ClassVar[tuple[str, ...]] = ("part",)
    suffix: ClassVar[str] = "pcm"  # of recordings

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        part: str | int | None = "01",
        other_speakers: bool = False,
        script: str | Path | None = None,
    ) -> None:
        refuse(target_problems(target, type(self)))
        self.data_folder, self.target, self.other_speakers = Path(data_folder), target, other_speakers
        self.part = part if part is None else f"{int(part):02d}" if str(part).isdecimal() else str(part)
        self._script = script
        self._n_left_out = 0
        self._lone: list[Path] = []  # lists without the other half, which name recordings all the same

    def first_look(self) -> None:
        """Find the recordings, the lists of the part, and the script.

        Raises:
            ValueError: they are not there.
        """
        parts = sorted({part for part, _ in self._pairs})
        if self.part is not None and not self._of_part:
            there = f": there are {', '.join(parts)}" if parts else ""
            raise ValueError(
                f"{self.root / 'ndx'} has no f_part_{self.part}.trn or m_part_{self.part}.trn with its .ndx{there}"
            )
        if self.script is None and self.target == "text":
            raise ValueError(f"target=text needs what was said: {self.root / 'infos' / 'script.txt'} is not there")

    @cached_property
    def root(self) -> Path:
        """The folder of `pcm`.

        Raises:
            ValueError: there is none.
        """
        root = find_folder(self.data_folder)
        if not (root / "pcm").is_dir():
            raise ValueError(f"dataset.data_folder={root} has no folder pcm: it is not RedDots")
        return root

    @property
    def place(self) -> Path:
        """The folder of the speakers' folders."""
        return self.root / "pcm"

    @property
    def script(self) -> Path | None:
        """The file of what was said, where there is one."""
        if self._script is not None:
            return expanded(self._script)
        usual = self.root / "infos" / "script.txt"
        return usual if usual.exists() else None

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], tuple[Path, Path]]:
        """The `.trn` and the `.ndx` of each part and gender."""
        files: dict[tuple[str, str, str], Path] = {}  # by part, letter and suffix
        for name in entries(str(self.root / "ndx"), Refused())[0]:
            if match := LIST.fullmatch(name.casefold()):
                files[match[2], match[1], match[3]] = self.root / "ndx" / name
        parts = {part for part, _, _ in files}
        parts |= {part for part, shared in SHARED.items() if shared in parts}
        pairs = {}
        for part, letter in sorted((part, letter) for part in parts for letter in GENDERS):
            trn, ndx = (
                files.get((part, letter, suffix)) or files.get((SHARED.get(part, ""), letter, suffix))
                for suffix in ("trn", "ndx")
            )
            if trn is not None and ndx is not None:
                pairs[part, GENDERS[letter]] = (trn, ndx)
        for (_, _, suffix), file in sorted(files.items()):
            if not any(file in pair for pair in pairs.values()):
                self.refuse(file, f"there is no .{'ndx' if suffix == 'trn' else 'trn'} beside it")
                self._lone.append(file)
        return pairs

    @cached_property
    def _of_part(self) -> list[tuple[str, str]]:
        """The keys of the lists of the part, women's before men's."""
        return sorted(key for key in self._pairs if key[0] == self.part)

    @cached_property
    def lists(self) -> dict[tuple[str, str], TrialList]:
        """The trials of each part and gender.

        Raises:
            ValueError: a line of a list is wrong.
        """
        pairs = dict.fromkeys(self._pairs.values())
        read = {(trn, ndx): without_suffixes(read_trials(ndx, read_enrolment(trn))) for trn, ndx in pairs}
        return {key: read[pair] for key, pair in self._pairs.items()}

    def trials(self) -> Mapping[str, TrialList]:
        """Those of the part, women's before men's."""
        lists = [self.lists[key] for key in self._of_part]
        return {"test": joined(lists)} if lists else {}

    def utterances(self) -> Iterator[Utterance]:
        """Every recording of the part and of the background; with `part` null, every recording.

        Raises:
            ValueError: no such folder, or a line of a list is wrong.
        """
        self.first_look()
        used = set().union(*(self.lists[key].named() for key in self._of_part))
        listed = set().union(*(trials.named() for trials in self.lists.values()), *map(names_in, self._lone))
        speakers = {name.partition("/")[0] for name in used} if self.other_speakers else set()
        there, n_left_out = set[str](), 0  # passes may run one within the other
        for utterance in self._recordings():
            there.add(utterance.id)
            if self.part is None:
                yield utterance
            elif utterance.id in used:
                yield replace(utterance, split="test")
            elif utterance.id not in listed and utterance.speaker not in speakers:
                yield replace(utterance, split="train")
            else:
                n_left_out += 1
        self._n_left_out = n_left_out
        for name in sorted((used if self.part else listed) - there):
            self.refuse(self.place / f"{name}.{self.suffix}", "named by a list, and not there")

    def _recordings(self) -> Iterator[Utterance]:
        """Every recording; what has another name than theirs is refused."""
        for speaker in entries(str(self.place), self._refused)[1]:
            for file in entries(str(self.place / speaker), self._refused, read=self.suffix)[0]:
                path, (stem, _, suffix) = self.place / speaker / file, file.rpartition(".")
                match = NAME.fullmatch(stem)
                if suffix.casefold() != self.suffix:
                    if is_audio(file):
                        self.refuse(path, f"RedDots has .{self.suffix} alone: dataset=folder reads other recordings")
                elif match is None or match[2] != speaker:
                    usual = f"20150130052549120_{speaker}_31.{self.suffix}"
                    self.refuse(path, f"the name is none of RedDots', such as {usual}")
                else:
                    yield Utterance(
                        id=f"{speaker}/{stem}",
                        path=path,
                        speaker=speaker,
                        word=match[3],
                        text=self._texts.get(stem),
                        sentence=match[3],
                        session=match[1],
                        pcm_rate=RATE,
                    )

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {} if self.script is None else read_script(self.script, self._refused)

    def genders(self) -> dict[str, str]:
        """By the first letter of an id."""
        speakers = entries(str(self.place), Refused())[1]
        return {name: name[0] for name in speakers if re.fullmatch("[fm][0-9]+", name)}

    def official(self) -> str:
        """The lists of the part, and what the background is."""
        models = {key[1]: len(self.lists[key].models) for key in self._of_part}
        who = ", ".join(f"{n:,} {gender}" for gender, n in models.items())
        by = " by speakers that the part has not" if self.other_speakers else ""
        return f"part {self.part}, models: {who}; the background, recordings that no list names{by}, trains"

    def split_hint(self) -> str:
        """Without a part there is none."""
        return "dataset.part=01 has one"

    def notes(self) -> list[str]:
        """How many recordings are left out, and whose lists a part shares."""
        whose = "other parts' lists, or are by speakers of the part" if self.other_speakers else "other parts' lists"
        n = self._n_left_out
        found = [f"{n:,} recordings are left out: they stand in {whose} alone"] if n else []
        files = {file for key in self._of_part for file in self._pairs[key]}
        if others := sorted(file.name for file in files if f"part_{self.part}." not in file.name.casefold()):
            found.append(
                f"part {self.part} has no files of its own in the place of {', '.join(others)}: those are of the whole "
                f"part {SHARED[str(self.part)]}, and its trials are taken"
            )
        return found


def gender_of(speaker: str) -> str:
    """`female` or `male`, by the id of a speaker.

    >>> gender_of("f0002"), gender_of("m0001")
    ('female', 'male')

    Raises:
        ValueError: it is none of RedDots'.
    """
    if not re.fullmatch("[fm][0-9]+", speaker):
        raise ValueError(f"{excerpt(speaker)} is no speaker of RedDots, such as f0002 or m0001")
    return GENDERS[speaker[0]]


def names_in(path: Path) -> set[str]:
    """The recordings that a list names, by whatever lines."""
    words = (word for line in text_lines(path) for word in re.split(r"[,\s]+", line) if "/" in word or "\\" in word)
    return {listed_path(word).removesuffix(".pcm") for word in words}


def without_suffixes(trials: TrialList) -> TrialList:
    """Trials of the ids of recordings, where a list writes `.pcm` after them."""
    if not any(name.endswith(".pcm") for name in trials.named()):
        return trials
    return replace(
        trials,
        enrolment={
            model: tuple(one.removesuffix(".pcm") for one in names) for model, names in trials.enrolment.items()
        },
        recordings=tuple(name.removesuffix(".pcm") for name in trials.recordings),
    )


def read_script(path: Path, refused: Refused) -> dict[str, str]:
    """What was said in each recording, by its name without folder and suffix; lines that are none are refused.

    Raises:
        ValueError: it is no text.
    """
    said: dict[str, str] = {}
    for number, line in enumerate(text_lines(path, "latin-1"), 1):
        if not line.strip():
            continue
        written, mark, text = line.partition(";")
        name = PurePosixPath(listed_path(written)).name.removesuffix(".pcm")
        text = " ".join(text.split())
        if not mark or not NAME.fullmatch(name) or not text:
            refused.add(f"{path}, line {number}", f"'<recording>;<text>' is wanted, got {excerpt(line)!r}")
        elif said.setdefault(name, text) != text:
            refused.add(f"{path}, line {number}", f"{name} has another text by a line before, which counts")
    return said
