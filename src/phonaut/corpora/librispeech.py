"""LibriSpeech (Panayotov et al. 2015): `{subset}/{speaker}/{chapter}/{speaker}-{chapter}-{number}.flac`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phonaut.corpora.disk import Refused, entries, find_folder, is_audio
from phonaut.corpora.folder.layouts import Found
from phonaut.corpora.kaldi import read
from phonaut.corpora.options import as_list, refuse, seen_at_once
from phonaut.corpora.phone_alignments import SILENCES, aligned_phones, check_there, wrong_alignment
from phonaut.corpora.protocols.division import (
    Plan,
    Shares,
    Spoken,
    Survey,
    by_recording,
    with_validation,
    within_speakers,
)
from phonaut.corpora.protocols.hashing import balanced_cuts, hash_percent, nearest, wrong_shares, wrong_target
from phonaut.data.utterance import Item

TARGETS = ("phone", "speaker", "text")
SUBSET = re.compile(r"(train|dev|test)-[\w-]+")
SPLIT_OF = {"train": "train", "dev": "validation", "test": "test"}
UTTERANCE = re.compile(r"\d+-\d+-\d+")
TRANSCRIPTS = ".trans.txt"
HOW = "phonaut align dataset=librispeech makes one"


class LibriSpeech:
    """Books read aloud, with transcripts.

    Subsets `train-*`, `dev-*` and `test-*` are the splits, whichever are there. Where no `test-*` is there, test
    speakers are cut from training by a hash of their ids, and by recording where there is but one speaker. Where no
    `dev-*` is there, validation is cut from training: by speaker where at least four are left to train, else by
    recording. `target=speaker` tells the speakers of all subsets apart, each of them in all splits. `target=text` is
    for transcripts: divided as for phones, and needs none.

    Args:
        data_folder: the folder of the subsets, or the one above it.
        target: `phone`, `speaker` or `text`.
        subsets: the names of those to use; null: all that are there.
        alignment: a CTM file of phones, for `target=phone`.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole alignment are no classes.
        train_pct: share of what is divided anew.
        dev_pct: likewise.
        test_pct: likewise.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "librispeech"
    clip_s: float | None = None
    has_texts = True

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "phone",
        subsets: Sequence[str] | None = None,
        alignment: str | Path | None = None,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
        train_pct: float = 80,
        dev_pct: float = 10,
        test_pct: float = 10,
    ) -> None:
        refuse(
            [
                *wrong_target(target, self.name, TARGETS),
                *wrong_alignment(target, alignment, min_phone_count, HOW),
                *wrong_shares(train_pct, dev_pct, test_pct),
            ]
        )
        self.data_folder, self.target = Path(data_folder), target
        self.asked = as_list(subsets)
        self.aligned = aligned_phones(target, alignment, drop_phones, min_phone_count)
        self.shares = Shares(train_pct, dev_pct, test_pct)
        self._refused = Refused()
        self._subsets: dict[str, Path] | None = None
        self._plan: Plan | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.first_look(), options)

    def first_look(self) -> None:
        """Find what is needed.

        Raises:
            ValueError: it is not there.
        """
        self.subsets()
        if self.aligned:
            check_there(self.aligned.path)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings and transcripts that decides which cuts there are."""
        return {
            "corpus": self.name,
            "target": self.target,
            "subsets": list(self.subsets()),
            "phones": self.aligned.settings() if self.aligned else None,
            "shares": asdict(self.shares),
        }

    def words(self) -> list[str] | None:
        """There are no keywords."""
        return None

    def subsets(self) -> dict[str, Path]:
        """The folders of the subsets that are used, by name.

        Raises:
            ValueError: there are none to train on, or not those that were asked for.
        """
        if self._subsets is None:
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
                    f"{', '.join(used)} of {root}: a subset to train on is wanted too, such as train-clean-100"
                )
            self._subsets = used
        return self._subsets

    def items(self) -> Iterator[Item]:
        """Every utterance, subset by subset.

        Raises:
            ValueError: no such folder, or nothing in it can be used.
        """
        plan = self.plan()
        for spoken in self._spoken():
            found = spoken.found
            phones = self.aligned.phones(found.id, found.path, self._refused) if self.aligned else ()
            if phones is None:
                continue
            yield Item(
                id=found.id,
                path=Path(found.path),
                split=plan.split(spoken),
                speaker=spoken.speaker,
                text=found.text,
                phones=phones,
                session=found.session,
            )

    def notes(self) -> list[str]:
        """The protocol, and which phones."""
        return [*self.plan().notes, *([self.aligned.note()] if self.aligned else [])]

    def refused(self) -> list[dict[str, str]]:
        """Utterances and files that cannot be used."""
        return self._refused.as_list()

    def plan(self) -> Plan:
        """How the utterances are divided.

        Raises:
            ValueError: there are none.
        """
        if self._plan is None:
            survey = Survey()
            for spoken in self._spoken():
                survey.add(spoken.found, spoken.speaker)
            if self.aligned:
                self.aligned.check_met()
            if not survey.n:
                raise ValueError(
                    f"{', '.join(map(str, self.subsets().values()))} hold no recordings like 19-198-0000.flac"
                )
            split, notes = self._divided(survey)
            self._plan = Plan(split, [f"LibriSpeech, {', '.join(self.subsets())}: {notes[0]}", *notes[1:]])
        return self._plan

    def _divided(self, survey: Survey) -> Plan:
        if self.target == "speaker":
            return within_speakers(survey, self._spoken, self.shares)
        trained, tested, validated = (
            {name for name, splits in survey.splits_of.items() if split in splits}
            for split in ("train", "test", "validation")
        )
        note = "the subsets are the splits; no speaker is in two"
        if not tested:
            if len(trained) == 1:
                return by_recording(self._spoken, self.shares)
            cuts = balanced_cuts(map(hash_percent, trained), 0, self.shares.test)
            tested = {name for name in trained if cuts.split(name) == "test"}
            trained -= tested
            note = f"the test is cut from training by speaker: {', '.join(sorted(tested))}; no speaker is in two splits"

        def given(spoken: Spoken) -> str:
            return "test" if spoken.speaker in tested else str(spoken.found.split)

        if validated:
            return Plan(given, [f"{note}; validation is the dev subsets"])
        return with_validation(given, trained, tested, self._spoken, self.shares, note)

    def _spoken(self) -> Iterator[Spoken]:
        """Every utterance with its speaker; where phones are wanted, those that are aligned: only they are divided."""
        for subset, folder in self.subsets().items():
            split = SPLIT_OF[subset.partition("-")[0]]
            for speaker in entries(str(folder), self._refused)[1]:
                for chapter in entries(str(folder / speaker), self._refused)[1]:
                    for found in chapter_of(folder / speaker / chapter, self._refused):
                        if self.aligned and not self.aligned.has(found.id, found.path, self._refused):
                            continue
                        yield Spoken(found._replace(split=split, session=f"{speaker}-{chapter}"), speaker)


def subsets_in(root: Path) -> dict[str, Path]:
    """The folders of subsets in `root`, or in its one folder `LibriSpeech`; by name, in lower case."""
    names = entries(str(root), Refused())[1]
    found = {name.casefold(): root / name for name in names if SUBSET.fullmatch(name.casefold())}
    inner = next((root / name for name in names if name.casefold() == "librispeech"), None)
    return subsets_in(inner) if inner and not found else found


def chapter_of(folder: Path, refused: Refused) -> Iterator[Found]:
    """The utterances of a chapter, with what is said; a transcript without a recording is refused."""
    files = entries(str(folder), refused)[0]
    texts: dict[str, str] = {}
    for name in files:
        if name.endswith(TRANSCRIPTS):
            texts |= dict(read(folder / name))
    seen: set[str] = set()
    for name in filter(is_audio, files):
        path, utterance = os.path.join(folder, name), name.partition(".")[0]
        if not UTTERANCE.fullmatch(utterance):
            refused.add(path, "the name is not {speaker}-{chapter}-{number}")
        elif utterance in seen:
            refused.add(path, f"{utterance} is there twice")
        else:
            seen.add(utterance)
            yield Found(id=utterance, path=path, name=utterance, text=texts.get(utterance))
    for utterance in sorted(texts.keys() - seen):
        refused.add(os.path.join(folder, utterance), "there is a transcript of it, but no recording")
