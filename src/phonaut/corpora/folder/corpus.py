"""A user's own recordings: one folder per class, or a table, or a Kaldi data directory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phonaut.corpora.disk import Refused, digests, entries, find_folder
from phonaut.corpora.folder.class_names import how_speakers_are_known, merged_spellings
from phonaut.corpora.folder.directories import Directories
from phonaut.corpora.folder.find_layout import find_layout
from phonaut.corpora.folder.layouts import Found, Layout, before_underscore, read_name
from phonaut.corpora.noise import Background, find_noise_folder
from phonaut.corpora.options import (
    as_list,
    check_words,
    no_speaker,
    nothing_left,
    refuse,
    seen_at_once,
    wrong_choice,
    wrong_pattern,
)
from phonaut.corpora.phone_alignments import SILENCES, aligned_phones, check_there, wrong_alignment
from phonaut.corpora.protocols import division
from phonaut.corpora.protocols.division import Plan, Shares, Spoken, Survey
from phonaut.corpora.protocols.hashing import wrong_shares, wrong_target
from phonaut.data.utterance import Item

LAYOUTS = ("auto", "directories", "csv", "kaldi")
WHERE = ": where are your recordings? Type dataset.data_folder=PATH"
PROTOCOLS = ("auto", "given", "speakers", "recordings", "all_test")
TARGETS = ("keyword", "phone", "speaker", "text")
HOW = "phonaut align dataset=folder dataset.data_folder=... makes one of recordings with transcripts"


class FolderCorpus:
    """Recordings that a user has, found in the way in which they lie there.

    A class per folder (`yes/anna_1.wav`; below `train`, `validation`, `test` where there are such folders), or a CSV or
    TSV table with columns path, label, speaker (and split, start, end, text, session), or a Kaldi data directory, whose
    `text` is the class. `target=phone` takes phones from an alignment, whose ids are those of the cuts: Kaldi's
    utterance ids, or the paths without suffix.

    Args:
        data_folder: the folder, or a table in it.
        target: `keyword`, `phone`, `speaker`, or `text` for transcripts, which need no class.
        layout: `directories`, `csv`, `kaldi`, or `auto`: Kaldi's `wav.scp` if it is there, else a table, else folders.
        table: which table, where there are several.
        columns: what a table calls path, label, speaker ..., where it is none of the usual names.
        word_pattern: reads the class from the file name (the path below `data_folder`, if it has a slash) by its group.
        speaker_pattern: reads the speaker likewise; null: a table's column or `utt2spk`, else what stands before the
            first `_` of the file name.
        protocol: `given`: as a table's split or the folders say; `speakers`: by lists or hash; `recordings`: by a hash
            of the recording, speakers shared; `all_test`; `auto`: `given` where the data say it, else `speakers`.
        train_pct: share of the speakers.
        dev_pct: share of the speakers.
        test_pct: share of the speakers.
        validation_speakers: in place of a share; 18 is 00000018.
        test_speakers: likewise. Given alone, validation is cut from training.
        shared_speakers: true accepts a given split that has speakers in several parts.
        clip_s: seconds of a clip: shorter ones are padded, of longer ones the loudest window is taken; null: whole.
        alignment: a CTM file of phones, for `target=phone`.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole alignment are no classes; with `all_test` any number will
            do, for the model has classes already.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "folder"
    has_texts = True

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        layout: str = "auto",
        table: str | None = None,
        columns: Mapping[str, str] | None = None,
        word_pattern: str | None = None,
        speaker_pattern: str | None = None,
        protocol: str = "auto",
        train_pct: float = 80,
        dev_pct: float = 10,
        test_pct: float = 10,
        validation_speakers: Sequence[object] | None = None,
        test_speakers: Sequence[object] | None = None,
        shared_speakers: bool = False,
        clip_s: float | None = None,
        alignment: str | Path | None = None,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
    ) -> None:
        problems = [
            *wrong_target(target, self.name, TARGETS),
            *wrong_alignment(target, alignment, min_phone_count, HOW),
            *wrong_shares(train_pct, dev_pct, test_pct),
            *wrong_choice("layout", layout, LAYOUTS),
            *wrong_choice("protocol", protocol, PROTOCOLS),
            *wrong_pattern("word_pattern", word_pattern),
            *wrong_pattern("speaker_pattern", speaker_pattern),
        ]
        self.validation_speakers = as_list(validation_speakers)
        self.test_speakers = as_list(test_speakers)
        listed = [key for key in ("validation_speakers", "test_speakers") if getattr(self, key)]
        if listed and protocol not in ("auto", "speakers"):
            problems.append(f"dataset.{listed[0]} and dataset.protocol={protocol} exclude each other: leave one out")
        if target == "speaker" and (listed or protocol == "speakers"):
            what = f"dataset.{listed[0]}" if listed else "dataset.protocol=speakers"
            problems.append(f"target=speaker needs every speaker in training, {what} keeps some out: leave it out")
        refuse(problems)
        self.data_folder = Path(data_folder)
        self.target, self.layout, self.table, self.protocol = target, layout, table, protocol
        self.columns = dict(columns or {})
        self.word_pattern = re.compile(word_pattern) if word_pattern else None
        self.speaker_pattern = re.compile(speaker_pattern) if speaker_pattern else None
        self.shares = Shares(train_pct, dev_pct, test_pct)
        self.shared_speakers, self.clip_s = shared_speakers, clip_s
        least = 1 if protocol == "all_test" else min_phone_count
        self.aligned = aligned_phones(target, alignment, drop_phones, least)
        self._refused = Refused()
        self._layout: Layout | None = None
        self._plan: Plan | None = None
        self._notes: list[str] = []
        self._spelling: dict[str, str] = {}
        self._anonymous = False

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.first_look(), options)

    def first_look(self) -> None:
        """Find what is needed.

        Raises:
            ValueError: it is not there.
        """
        self.found_layout()
        if self.aligned:
            check_there(self.aligned.path)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings that decides which cuts there are."""
        return {
            "corpus": self.name,
            "target": self.target,
            "layout": self.layout,
            "tables": digests(self.found_layout().tables()),
            "columns": self.columns,
            "word_pattern": self.word_pattern and self.word_pattern.pattern,
            "speaker_pattern": self.speaker_pattern and self.speaker_pattern.pattern,
            "protocol": self.protocol,
            "shares": asdict(self.shares),
            "validation_speakers": self.validation_speakers,
            "test_speakers": self.test_speakers,
            "shared_speakers": self.shared_speakers,
            "clip_s": self.clip_s,
            **({"phones": self.aligned.settings()} if self.aligned else {}),
        }

    def words(self) -> list[str] | None:
        """None: the words of the training part, sorted."""
        return None

    def items(self) -> Iterator[Item]:
        """Every cut, in the order of the folders or of the table.

        Raises:
            ValueError: what lies there cannot be divided and told apart as asked; the message says what to type.
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
                word=None if self.target != "keyword" and found.word == found.text else found.word,
                text=found.text,
                phones=phones,
                start_s=found.start_s,
                duration_s=found.duration_s,
                session=found.session,
            )
        if noise := self._noise_folder():
            shares = {"train": self.shares.train, "validation": self.shares.dev, "test": self.shares.test}
            yield from Background(noise, shares, self._refused).items({}, 1.0, seed=0)

    def notes(self) -> list[str]:
        """The protocol, and how classes and speakers were found."""
        return [*self.plan().notes, *self._notes, *([self.aligned.note()] if self.aligned else [])]

    def refused(self) -> list[dict[str, str]]:
        """Files and rows that cannot be used."""
        return self._refused.as_list()

    def found_layout(self) -> Layout:
        """How the recordings lie there.

        Raises:
            ValueError: in none of the ways that are known.
        """
        if self._layout is None:
            self._layout = find_layout(
                find_folder(self.data_folder, otherwise=WHERE),
                self._refused,
                self.layout,
                self.table,
                self.columns,
                self.word_pattern,
            )
        return self._layout

    def plan(self) -> Plan:
        """How the recordings are divided, after a first pass over their names.

        Raises:
            ValueError: there are no recordings, or they cannot be divided and told apart as asked.
        """
        if self._plan is None:
            self._notes, survey = [], Survey()
            for found in self._labelled():
                survey.add(found, self._speaker(found))
            if self.aligned:
                self.aligned.check_met()
            protocol = self._protocol()
            if self.target != "phone":
                self._spelling, self._notes = merged_spellings(survey)
            if self.target == "keyword" and protocol != "all_test" and survey.n:
                check_words(survey)
            self._check_speakers(survey, protocol)
            pattern, guessed = self.speaker_pattern and self.speaker_pattern.pattern, self._guessed()
            self._notes.append(how_speakers_are_known(survey, pattern, guessed=guessed, anonymous=self._anonymous))
            self._plan = self._divide(survey, protocol)
        return self._plan

    def _protocol(self) -> str:
        if self.protocol != "auto":
            return self.protocol
        listed = self.test_speakers or self.validation_speakers
        return "given" if self.found_layout().has_splits and not listed else "speakers"

    def _divide(self, survey: Survey, protocol: str) -> Plan:
        if protocol == "all_test":
            return division.all_test()
        if protocol == "given":
            return division.as_given(
                survey,
                self._spoken,
                self.shares,
                target=self.target,
                shared_speakers=self.shared_speakers,
                anonymous=self._anonymous,
            )
        if self.target == "speaker":
            return division.within_speakers(survey, self._spoken, self.shares)
        if protocol == "recordings":
            return division.by_recording(self._spoken, self.shares)
        return division.by_speaker(survey, self._spoken, self.shares, self.validation_speakers, self.test_speakers)

    def _labelled(self) -> Iterator[Found]:
        """Every cut; those without a class or, where phones are wanted, without an alignment are refused."""
        for found in self.found_layout().found():
            if found.word is None and self.target == "keyword":
                self._refused.add(found.path, "its class is not known")
            elif self.aligned and not self.aligned.has(found.id, found.path, self._refused):
                continue  # before anything is divided: a split of speakers without phones would be empty
            elif found.word in self._spelling:
                yield found._replace(word=self._spelling[found.word])
            else:
                yield found

    def _spoken(self) -> Iterator[Spoken]:
        """Every cut with its speaker; those without one are refused, and those without a split where that is given."""
        given = self._protocol() == "given"
        for found in self._labelled():
            speaker = found.id if self._anonymous else self._speaker(found)
            if not speaker:
                self._refused.add(found.path, "its speaker is not known")
            elif given and found.split is None:
                self._refused.add(found.path, "its split is none of train, validation, test")
            else:
                yield Spoken(found, speaker)

    def _speaker(self, found: Found) -> str | None:
        if self.speaker_pattern is None and self.found_layout().has_speakers:
            return found.speaker
        return read_name(self.speaker_pattern, found.name) if self.speaker_pattern else before_underscore(found.name)

    def _guessed(self) -> bool:
        """Whether nobody said who speaks."""
        return self.speaker_pattern is None and not self.found_layout().has_speakers

    def _check_speakers(self, survey: Survey, protocol: str) -> None:
        """Where the guess at the speaker is plainly wrong, do without speakers if the protocol can."""
        if survey.n and self._guessed() and survey.wrong_guess():
            self._anonymous = self.target != "speaker" and protocol in ("all_test", "recordings", "given")
            if not self._anonymous:
                raise no_speaker(survey, self.target)
        elif survey.n == survey.n_without_speaker:
            deque(self._spoken(), maxlen=0)  # to refuse them by name
            raise nothing_left(self._refused, self.data_folder, self.speaker_pattern)

    def _noise_folder(self) -> Path | None:
        layout = self.found_layout()
        if not isinstance(layout, Directories) or self._protocol() == "all_test":
            return None
        return find_noise_folder(layout.root, entries(str(layout.root), self._refused)[1])
