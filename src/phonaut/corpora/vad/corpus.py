"""Voice activity: clips of speech against clips of noise, in the four divisions of the original."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.checks import refuse, within
from phonaut.corpora.base import Corpus
from phonaut.corpora.disk import entries, find_folder
from phonaut.corpora.hashing import Shares, balanced_cuts, hash_percent
from phonaut.corpora.noise import Background, noise_folders
from phonaut.corpora.options import as_list, choice_problems
from phonaut.corpora.protocols import Divided, Official, Protocol
from phonaut.corpora.vad.files import NOISE_FILES, SPEECH_COMMANDS, SPEECH_FILES, Clip, clips, languages_of
from phonaut.data.utterance import Utterance

NOISE, SPEECH = "noise", "speech"
DATA_SPLITS = ("vad", "vad_speech", "vad_balanced", "getrennt")
APART = "NC"  # Northern Cities, of the UW/NU corpus: a dialect in the names of its files
N_MIXED = 100  # recordings of noise of a split that are mixed into its clips, as in the original


class VoiceActivity(Corpus):
    """Clips of `noise` and of `speech`, divided 60 / 20 / 20 by speaker and by place of noise.

    `noise_files/` holds noise of any layout, `speech_files/` speech: Common Voice as it is delivered, or files whose
    names begin with the speaker and `_`. Of each split the noise that comes first by a hash, 100 recordings at most, is
    what `train_snr_low` to `train_snr_high` and `test_snr` mix into its clips.

    `data_split=vad` takes all there is; `vad_balanced` as many clips of speech as of noise in each split; `vad_speech`
    likewise, of clips of Speech Commands (`speech_commands_v0.02/`); `getrennt` likewise, and mixes no noise in:
    speakers whose names have `NC` (a dialect, in the UW/NU corpus) validate and test, all others train, where there are
    both.

    Args:
        data_folder: the folder of `noise_files` and `speech_files`.
        target: `keyword`.
        data_split: one of the four.
        lang: languages of Common Voice that are used; null: all that are there.
        clip_s: seconds of a clip: shorter ones are padded, of longer ones the loudest window is taken.
        timeshift_ms: read by the augmentation group, as are `train_snr_low` and `train_snr_high`.
        train_snr_low: dB.
        train_snr_high: dB.
        test_snr: signal-to-noise ratio in dB at which test clips are mixed with noise; None: they are not.
        noise_dataset: folders of noise recordings to mix in beside those, each recording for one split alone.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "vad"
    targets: ClassVar[tuple[str, ...]] = ("keyword",)
    shares: ClassVar[Shares] = Shares(60, 20, 20)
    RULES: ClassVar = {
        **dict.fromkeys(("train_snr_low", "train_snr_high", "test_snr"), within(-200, 200)),
        "clip_s": within(0.01, 3600),
        "timeshift_ms": within(0, 60_000),
    }

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        data_split: str = "vad_balanced",
        lang: Sequence[str] | str | None = None,
        clip_s: float = 1.0,
        timeshift_ms: float | None = None,
        train_snr_low: float | None = None,
        train_snr_high: float | None = None,
        test_snr: float | None = None,
        noise_dataset: Sequence[str] | str | None = None,
    ) -> None:
        problems = choice_problems("data_split", data_split, DATA_SPLITS)
        if target != "keyword":
            problems.append(f"dataset=vad tells speech from noise, type target=keyword; received target={target}")
        if train_snr_low is not None and train_snr_high is not None and train_snr_low > train_snr_high:
            problems.append(f"dataset.train_snr_low={train_snr_low} is above dataset.train_snr_high={train_snr_high}")
        languages = tuple(as_list(lang))
        if languages and data_split == "vad_speech":
            problems.append("dataset.lang has no effect: the speech of data_split=vad_speech is Speech Commands")
        refuse(problems)
        self.data_folder, self.target, self.data_split, self.languages = (
            Path(data_folder),
            target,
            data_split,
            languages,
        )
        self.test_snr, self.noise_dataset = test_snr, noise_folders(noise_dataset)
        self.clip_s = clip_s
        self.timeshift_ms, self.train_snr_low, self.train_snr_high = timeshift_ms, train_snr_low, train_snr_high

    @cached_property
    def folder(self) -> Path:
        """The folder of the corpus.

        Raises:
            ValueError: it lacks noise, speech, or a language that was asked for.
        """
        root = find_folder(self.data_folder)
        there = entries(str(root), self._refused)[1]
        wanted = SPEECH_COMMANDS if self.data_split == "vad_speech" else (SPEECH_FILES,)
        missing = [] if NOISE_FILES in there else [NOISE_FILES]
        missing += [] if set(wanted) & set(there) else [wanted[0]]
        if missing:
            raise ValueError(
                f"dataset.data_folder={root} has no folder {' nor '.join(missing)}, which data_split={self.data_split} "
                "takes its recordings from"
            )
        if unknown := sorted(set(self.languages) - set(known := languages_of(root))):
            raise ValueError(
                f"dataset.lang={','.join(unknown)}: {root / SPEECH_FILES} has Common Voice in "
                f"{', '.join(known) or 'no language'}"
            )
        return root

    def first_look(self) -> None:
        """Find the folders.

        Raises:
            ValueError: one is missing.
        """
        self.folder  # noqa: B018  # raises

    def words(self) -> list[str]:
        """Noise, then speech."""
        return [NOISE, SPEECH]

    def default_protocol(self, target: str) -> Protocol:
        """That of `data_split`."""
        return Official()

    def utterances(self) -> Iterator[Utterance]:
        """Every clip of noise, then of speech, each with the split of its speaker or place.

        Raises:
            ValueError: there is no noise, or no speech.
        """
        for word, splits in self._splits.items():
            for clip in self._clips(word):
                yield Utterance(clip.name, Path(clip.path), splits[clip.who], f"{word}/{clip.who}", word, clip.text)

    def _clips(self, word: str) -> Iterator[Clip]:
        if word == NOISE:
            return clips(self.folder, NOISE_FILES, self._refused)
        if self.data_split != "vad_speech":
            return clips(self.folder, SPEECH_FILES, self._refused, self.languages)
        there = entries(str(self.folder), self._refused)[1]
        return clips(self.folder, next(name for name in SPEECH_COMMANDS if name in there), self._refused)

    @cached_property
    def _splits(self) -> dict[str, dict[str, str]]:
        """By class: the split of each place of noise, or of each speaker."""
        splits = {}
        for word in (NOISE, SPEECH):
            everybody = {clip.who for clip in self._clips(word)}
            if not everybody:
                raise ValueError(f"dataset.data_folder={self.folder} holds no recordings of {word}")
            dialect = {who for who in everybody if APART in who and word == SPEECH and self.data_split == "getrennt"}
            cuts = balanced_cuts(map(hash_percent, everybody), self.shares.dev, self.shares.test)
            splits[word] = {who: cuts.split(who) for who in everybody}
            if dialect and dialect != everybody:
                cuts = balanced_cuts(map(hash_percent, dialect), 50, 0)
                held = {who: "validation" if cuts.split(who) == "validation" else "test" for who in dialect}
                splits[word] = {who: held.get(who, "train") for who in everybody}
        return splits

    def select(self, divided: Divided) -> Iterator[Utterance]:
        """All clips, or as many of speech as of noise in each split; and noise to mix in."""
        hashes: dict[tuple[str, str], list[float]] = defaultdict(list)
        for clip in divided.assigned():
            hashes[str(clip.split), str(clip.word)].append(hash_percent(clip.id))
        last = {key: sorted(values) for key, values in hashes.items()}
        mixed = {"train": "noise", "test": "noise_test"} if self.data_split != "getrennt" else {}
        for clip in divided.assigned():
            split, position = str(clip.split), hash_percent(clip.id)
            n = min(len(last.get((split, word), ())) for word in (NOISE, SPEECH))
            mine = last[split, str(clip.word)]
            if self.data_split == "vad" or (n and position <= mine[n - 1]):
                yield clip
            if clip.word == NOISE and split in mixed and position <= mine[:N_MIXED][-1]:
                yield replace(clip, id=f"{mixed[split]}/{clip.id}", split=mixed[split], word=None)
        if self.noise_dataset:
            noise = Background(None, divided.plan.shares.by_split(), self._refused, self.noise_dataset)
            yield from noise.utterances({}, 1.0, 0)

    def title(self) -> str:
        """Its name and division."""
        languages = f", {', '.join(self.languages)}" if self.languages else ""
        return f"speech against noise ({self.data_split}{languages})"

    def official(self) -> str:
        """By speaker and place."""
        if self.data_split != "getrennt":
            return (
                f"{'all clips' if self.data_split == 'vad' else 'as many clips of speech as of noise'}, {self.shares}"
            )
        apart = {"validation", "test"} == {split for who, split in self._splits[SPEECH].items() if APART in who}
        who = "speakers with NC in their names validate and test, all others train" if apart else str(self.shares)
        return f"as many clips of speech as of noise, which is not mixed into speech; {who}"
