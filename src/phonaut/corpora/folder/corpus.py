"""A user's own recordings: one folder per class, or a table, or a Kaldi data directory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.checks import within
from phonaut.corpora.disk import entries, find_folder
from phonaut.corpora.folder.directories import Directories
from phonaut.corpora.folder.find_layout import find_layout
from phonaut.corpora.folder.layouts import Layout, before_underscore, read_name
from phonaut.corpora.folder.survey import NameSurvey
from phonaut.corpora.folder.tables import Table
from phonaut.corpora.noise import Background, find_noise_folder, noise_folders
from phonaut.corpora.options import choice_problems, pattern_problems
from phonaut.corpora.phone_alignments import SILENCES, AlignedCorpus
from phonaut.corpora.protocols import Divided, Official, Protocol
from phonaut.data.utterance import SILENCE, Utterance
from phonaut.files import expanded

LAYOUTS = ("auto", "directories", "csv", "kaldi")
ONE_CLASS = ("all_test", "enrolment")  # protocols of which one class is enough
WHERE = ": where are your recordings? Type dataset.data_folder=PATH"


class FolderCorpus(AlignedCorpus):
    """Recordings of a user, in the layout in which they lie there.

    A class per folder (`yes/anna_1.wav`; below `train`, `validation`, `test` where there are such folders), or a CSV or
    TSV table with columns path, label, speaker (and split, start, end, text, session), or a Kaldi data directory, whose
    `text` is the class. `target=phone` takes phones from an alignment, whose ids are those of utterances: Kaldi's
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
        clip_s: seconds of a clip: shorter ones are padded, of longer ones the loudest window is taken; null: whole.
        alignment: the times of phones, for `target=phone`: a file, or a folder of files (CTM, STM, TextGrid, labels of
            HTK or Audacity).
        alignment_tier: of phones, in TextGrids; null: the one that is named so.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole alignment are no classes.
        noise_dataset: folders of noise recordings to mix in, each recording for one split alone.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "folder"
    targets: ClassVar[tuple[str, ...]] = ("keyword", "phone", "speaker", "text")
    has_texts: ClassVar[bool] = True
    RULES: ClassVar = {"clip_s": within(0.01, 3600)}
    how: ClassVar[str] = "phonaut align dataset=folder dataset.data_folder=... makes one of recordings with transcripts"

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
        clip_s: float | None = None,
        alignment: str | Path | None = None,
        alignment_tier: str | None = None,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
        noise_dataset: Sequence[str] | str | None = None,
    ) -> None:
        problems = choice_problems("layout", layout, LAYOUTS) + pattern_problems("word_pattern", word_pattern)
        problems += pattern_problems("speaker_pattern", speaker_pattern)
        super().__init__(data_folder, target, alignment, drop_phones, min_phone_count, alignment_tier, problems)
        self.clip_s, self.noise_dataset = clip_s, noise_folders(noise_dataset)
        self.layout_name, self.table = layout, table
        self.columns = dict(columns or {})
        self.word_pattern = re.compile(word_pattern) if word_pattern else None
        self.speaker_pattern = re.compile(speaker_pattern) if speaker_pattern else None

    def first_look(self) -> None:
        """Find the recordings, and the alignment.

        Raises:
            ValueError: they are not there, or an option is for another layout than theirs.
        """
        is_table, is_tree = isinstance(self.layout, Table), isinstance(self.layout, Directories)
        kind = "a table" if is_table else "folders" if is_tree else "a Kaldi directory"
        for key, value, is_used in (
            ("layout", self.layout_name, not is_table or self.layout_name in ("auto", "csv")),
            ("table", self.table, not expanded(self.data_folder).is_file()),
            ("columns", self.columns or None, is_table),
            ("word_pattern", self.word_pattern and self.word_pattern.pattern, is_tree),
        ):
            if value is not None and not is_used:
                raise ValueError(
                    f"dataset.{key}={value} has no effect: {self.data_folder} is read as {kind}; leave it out"
                )
        super().first_look()

    @cached_property
    def layout(self) -> Layout:
        """The layout of the recordings.

        Raises:
            ValueError: it is none that is known.
        """
        folder = find_folder(self.data_folder, otherwise=WHERE)
        return find_layout(folder, self._refused, self.layout_name, self.table, self.columns, self.word_pattern)

    def default_protocol(self, target: str) -> Protocol | None:
        """The split of the folders or of the table, where there is one."""
        return Official() if self.layout.has_splits else None

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance, in the order of the folders or of the table.

        Raises:
            ValueError: nothing that lies there can be used; the message says what to type.
        """
        survey, spelling, _ = self._survey
        for utterance in self._labelled():
            speaker = "" if self._is_anonymous else self._speaker(utterance)
            is_silence = utterance.word == SILENCE
            if is_silence and self.target == "speaker":
                self.refuse(utterance.path, "nobody speaks in it, and speakers are told apart")
                continue
            if is_silence and not speaker:
                speaker = utterance.id.rpartition("/")[2]
            if not speaker and not self._is_anonymous:
                self.refuse(utterance.path, "its speaker is not known")
                continue
            word = spelling.get(utterance.word, utterance.word) if utterance.word else None
            if self.target != "keyword" and utterance.word == utterance.text:
                word = None
            yield replace(utterance, speaker=speaker, word=word)
        if survey.n == survey.n_without_speaker and SILENCE not in survey.words and not self._is_anonymous:
            raise self._nothing_left()

    def select(self, divided: Divided) -> Iterator[Utterance]:
        """All utterances, and noise beside them where something is trained."""
        if self.target == "keyword" and divided.protocol.name not in ONE_CLASS:
            self._survey[0].check_words()
        shares = divided.plan.shares
        yield from super().select(divided)
        if shares.train and isinstance(self.layout, Directories):
            root = self.layout.root
            if noise := find_noise_folder(root, entries(str(root), self._refused)[1]):
                yield from Background(noise, shares.by_split(), self._refused).utterances({}, 1.0, seed=0)

    def title(self) -> str:
        """Nothing: the user knows it."""
        return ""

    def official(self) -> str:
        """By a column, or by folders."""
        return "divided as the data say"

    def notes(self) -> list[str]:
        """The sources of classes and speakers."""
        survey, _, notes = self._survey
        pattern = self.speaker_pattern and self.speaker_pattern.pattern
        return [*notes, survey.speaker_note(pattern, guessed=self._is_guessed), *super().notes()]

    def speaker_hint(self) -> str:
        """Ways to name the speakers."""
        survey = self._survey[0]
        wrong = survey.guess_problem() if self._is_guessed else None
        cannot = f"what stands before the first _ of the file names ({survey.example}) cannot be it, {wrong}. "
        return (
            f"{cannot if wrong else ''}{'Say' if wrong else 'say'} where the speaker stands, by the group of a regular "
            f"expression on the file name (dataset.speaker_pattern='_([^_]+)_'; a name is {survey.example}) or on the "
            "path (dataset.speaker_pattern='^[^/]+/([^/]+)/'), or give a table with columns path,label,speaker"
        )

    @cached_property
    def _survey(self) -> tuple[NameSurvey, dict[str, str], list[str]]:
        """Classes and speakers, after a first pass; spelling -> class; and notes."""
        survey = NameSurvey()
        for utterance in self._labelled():
            survey.add(utterance, self.layout.pattern_text(utterance), self._speaker(utterance))
        spelling, notes = survey.merge_spellings() if self.target != "phone" else ({}, [])
        return survey, spelling, notes

    def _labelled(self) -> Iterator[Utterance]:
        """Every utterance; those without a class or, where phones are needed, without an alignment are refused."""
        for utterance in self.with_alignment(self.layout.utterances()):
            if utterance.word is None and self.target == "keyword":
                self.refuse(utterance.path, "its class is not known")
            else:
                yield utterance

    def _speaker(self, utterance: Utterance) -> str:
        if self.speaker_pattern is None and self.layout.has_speakers:
            return utterance.speaker
        text = self.layout.pattern_text(utterance)
        return (read_name(self.speaker_pattern, text) if self.speaker_pattern else before_underscore(text)) or ""

    @property
    def _is_guessed(self) -> bool:
        """Nobody said who speaks."""
        return self.speaker_pattern is None and not self.layout.has_speakers

    @cached_property
    def _is_anonymous(self) -> bool:
        """The guess at the speaker is plainly wrong: speakers are not known."""
        survey = self._survey[0]
        return survey.n > 0 and self._is_guessed and survey.guess_problem() is not None

    def _nothing_left(self) -> ValueError:
        """The error of a corpus of which no recording can be used."""
        reasons = self._refused.as_list()
        if not reasons:
            return ValueError(f"dataset.data_folder={self.data_folder} holds no recordings")
        last = reasons[-1]
        hint = ""
        if self.speaker_pattern and last["reason"] == "its speaker is not known":
            hint = (
                f"; dataset.speaker_pattern='{self.speaker_pattern.pattern}' matches none. It is searched for in the "
                "file name, or in the path below dataset.data_folder where it has a slash"
            )
        return ValueError(
            f"no recording in dataset.data_folder={self.data_folder} can be used; {len(reasons)} were refused, such as "
            f"{last['path']}: {last['reason']}{hint}"
        )
