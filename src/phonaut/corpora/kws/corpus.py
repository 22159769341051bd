"""Keyword spotting on Google Speech Commands (Warden 2018, arXiv:1804.03209): wanted words, unknown words, silence."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phonaut.corpora.disk import Refused, digests, entries, find_or_fetch
from phonaut.corpora.kws.speech_commands import (
    ARCHIVES,
    COMMANDS,
    LISTS,
    Clip,
    check_words,
    clips,
    official_lists,
    version,
    wanted_list,
    word_folders,
)
from phonaut.corpora.noise import SILENCE, Background, find_noise_folder
from phonaut.corpora.options import refuse, seen_at_once
from phonaut.corpora.protocols.hashing import Cuts, WithinSpeakers, hash_percent, wrong_shares, wrong_target
from phonaut.data.utterance import SPLITS, Item

UNKNOWN = "_unknown_"


@dataclass
class Survey:
    """What the first pass over the names found."""

    n_wanted: Counter[str] = field(default_factory=Counter)  # clips of wanted words by split
    unknown: set[str] = field(default_factory=set)  # ids of the chosen clips of other words
    splits_of: dict[str, set[str]] = field(default_factory=dict)  # by speaker


class KeywordCorpus:
    """Wanted words, and as classes of their own other words (`_unknown_`) and noise without speech (`_silence_`).

    A clip's split follows from its speaker's name alone, by Google's own hash, for unknown words too: no speaker is in
    two splits. Which of the unknown words are used follows from a hash of their names, and noise recordings are divided
    in time, so that neither the order of a folder nor what else lies there changes either.

    Args:
        data_folder: the folder that holds one folder per word.
        target: `keyword`, or `speaker`: the wanted words' clips, each speaker's divided among the splits.
        version: which version `download` fetches; what is on disk is recognised by its words.
        download: fetch the corpus (1.5 or 2.4 GB) where `data_folder` does not hold it.
        clear_download: delete the archive after unpacking.
        wanted_words: the keywords, or `all`.
        silence_prob: clips of `_silence_`, as a fraction of the number of wanted clips of each split.
        unknown_prob: clips of other words, likewise.
        train_pct: share of the speakers.
        dev_pct: share of the speakers.
        test_pct: share of the speakers.
        use_default_split: the corpus's own `validation_list.txt` and `testing_list.txt` in place of the shares.
        group_speakers_by_id: false divides by recording: speakers then are in several splits, and the notes say so.
        input_length: samples of a clip.
        samplingrate: samples per second that `input_length` counts.
        extract_loudest: of a longer clip take the loudest window; false: its beginning.
        downsample: sample rate of the prepared copy, read by the front end; the files are never touched.
        timeshift_ms: read by the augmentation group, as are `train_snr_low` and `train_snr_high`.
        train_snr_low: dB.
        train_snr_high: dB.
        test_snr: signal-to-noise ratio in dB at which test clips are mixed with noise; None: they are not.
        selection_seed: of the choice of unknown words and windows of silence; training has a seed of its own.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "kws"

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        version: int = 2,
        download: bool = False,
        clear_download: bool = True,
        wanted_words: Sequence[str] | str = COMMANDS,
        silence_prob: float = 0.1,
        unknown_prob: float = 0.1,
        train_pct: float = 80,
        dev_pct: float = 10,
        test_pct: float = 10,
        use_default_split: bool = False,
        group_speakers_by_id: bool = True,
        input_length: int = 16000,
        samplingrate: int = 16000,
        extract_loudest: bool = True,
        downsample: int | None = None,
        timeshift_ms: float | None = None,
        train_snr_low: float | None = None,
        train_snr_high: float | None = None,
        test_snr: float | None = None,
        selection_seed: int = 59185,
    ) -> None:
        problems = [*wrong_target(target, self.name), *wrong_shares(train_pct, dev_pct, test_pct)]
        if version not in ARCHIVES:
            problems.append(f"dataset.version is 1 or 2; received {version}")
        for key, value in {"silence_prob": silence_prob, "unknown_prob": unknown_prob}.items():
            if not value >= 0:
                problems.append(
                    f"dataset.{key} is a fraction of the number of wanted clips, 0 or more; received {value}"
                )
        lengths = {"input_length": input_length, "samplingrate": samplingrate, "downsample": downsample}
        for key, length in lengths.items():
            if length is not None and not length > 0:
                problems.append(f"dataset.{key} is a number of samples, above 0; received {length}")
        if train_snr_low is not None and train_snr_high is not None and train_snr_low > train_snr_high:
            problems.append(f"dataset.train_snr_low={train_snr_low} is above dataset.train_snr_high={train_snr_high}")
        refuse(problems)
        self.data_folder = Path(data_folder)
        self.target, self.version = target, version
        self.wanted_words = wanted_list(wanted_words)
        self.clip_s: float | None = input_length / samplingrate
        self.timeshift_ms, self.train_snr_low, self.train_snr_high = timeshift_ms, train_snr_low, train_snr_high
        self.downsample, self.test_snr = downsample, test_snr
        self.use_default_split, self.group_speakers_by_id = use_default_split, group_speakers_by_id
        self.extract_loudest, self.selection_seed = extract_loudest, selection_seed
        self._download = {"download": download, "clear_download": clear_download}
        self._fractions = {UNKNOWN: float(unknown_prob), SILENCE: float(silence_prob)}
        self._shares = {"train": float(train_pct), "validation": float(dev_pct), "test": float(test_pct)}
        self._cuts = Cuts(dev_pct, dev_pct + test_pct)
        self._within = WithinSpeakers(dev_pct, test_pct)
        self._refused = Refused()
        self._folder: Path | None = None
        self._listed: dict[str, str] = {}
        self._survey: Survey | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.folder(), options)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings that decides which cuts there are."""
        lists = [self.folder() / name for name in LISTS.values()]
        return {
            "corpus": self.name,
            "target": self.target,
            "wanted_words": self.wanted_words,
            "fractions": self._fractions,
            "shares": self._shares,
            "default_split": self.use_default_split and digests(path for path in lists if path.exists()),
            "group_speakers_by_id": self.group_speakers_by_id,
            "clip_s": self.clip_s,
            "extract_loudest": self.extract_loudest,
            "selection_seed": self.selection_seed,
        }

    def folder(self) -> Path:
        """Where the corpus is; fetched first where that was asked for.

        Raises:
            ValueError: it is not there, or lacks wanted words.
        """
        if self._folder is None:
            url, checksum = ARCHIVES[self.version]
            found = find_or_fetch(self.data_folder, url=url, checksum=checksum, **self._download)
            check_words(self.wanted_words, found)
            self._folder = found
        return self._folder

    def words(self) -> list[str] | None:
        """The classes: wanted words in the order in which they were asked, then `_unknown_`, `_silence_`."""
        wanted, other = self._word_folders()
        unknown = [UNKNOWN] if other and self._fractions[UNKNOWN] and self.target == "keyword" else []
        silence = [SILENCE] if self._fractions[SILENCE] and self._noise_folder() else []
        return [*wanted, *unknown, *silence]

    def items(self) -> Iterator[Item]:
        """Every cut, word by word, then the noise.

        Raises:
            ValueError: no such folder, or it lacks a wanted word or the official lists.
        """
        survey = self.survey()
        wanted, other = self._word_folders()
        for word, folders in sorted((wanted | other).items()):
            label = word if word in wanted else UNKNOWN
            if label == UNKNOWN and not survey.unknown:
                continue
            for clip in clips(self.folder(), word, folders, self._refused):
                if label == word or clip.id in survey.unknown:
                    yield Item(
                        id=clip.id,
                        path=Path(clip.path),
                        split=self._split(clip),
                        speaker=clip.speaker,
                        word=label,
                        text=word,
                        duration_s=None if self.extract_loudest else self._beginning(clip),
                    )
        if noise := self._noise_folder():
            assert self.clip_s is not None
            n_silence = {split: self._count(SILENCE, split) for split in SPLITS}
            background = Background(noise, self._shares, self._refused)
            yield from background.items(n_silence, self.clip_s, self.selection_seed)

    def notes(self) -> list[str]:
        """The protocol, and what the corpus lacks."""
        survey = self.survey()
        wanted, other = self._word_folders()
        classes = self.words() or []
        extra = [word.strip("_") for word in (UNKNOWN, SILENCE) if word in classes]
        counted = " + ".join([f"{len(wanted)} word{'s' * (len(wanted) != 1)}", *extra])
        notes = [f"Google Speech Commands, {version(wanted | other)}: {counted}; {self._protocol(survey)}"]
        if self.target == "speaker":
            return notes
        if self._fractions[UNKNOWN] and not other:
            notes.append("no word beside the wanted ones is there: there is no class _unknown_")
        if self._noise_folder() is None:
            notes.append("there is no folder _background_noise_: no class _silence_, and no noise to mix in")
        elif SILENCE in classes:
            notes.append(f"noise recordings are divided in time ({self._percent()}): no two splits share noise")
        return notes

    def refused(self) -> list[dict[str, str]]:
        """Files that could not be listed."""
        return self._refused.as_list()

    def survey(self) -> Survey:
        """A first pass over the names: how many wanted clips each split has, and which unknown words go with them."""
        if self._survey is None:
            wanted, other = self._word_folders()
            if self.use_default_split:
                self._listed = official_lists(self.folder())
            if self.target == "speaker":
                for clip in self._clips(wanted):
                    self._within.add(clip.speaker, clip.id)
            survey = self._survey = Survey()
            for clip in self._clips(wanted):
                split = self._split(clip)
                survey.n_wanted[split] += 1
                survey.splits_of.setdefault(clip.speaker, set()).add(split)
            if self.target == "keyword" and self._fractions[UNKNOWN]:
                survey.unknown = self._choose_unknown(survey, other)
        return self._survey

    def _choose_unknown(self, survey: Survey, other: dict[str, list[str]]) -> set[str]:
        """The clips of other words with the smallest hashes: further words displace some, and reshuffle none."""
        chosen: dict[str, list[tuple[float, str]]] = {split: [] for split in SPLITS}
        most = {split: self._count(UNKNOWN, split) for split in SPLITS}
        for clip in self._clips(other):
            split = self._split(clip)
            survey.splits_of.setdefault(clip.speaker, set()).add(split)
            entry = (-hash_percent(f"{self.selection_seed}/{clip.id}"), clip.id)
            if len(chosen[split]) < most[split]:
                heapq.heappush(chosen[split], entry)
            elif most[split] and entry > chosen[split][0]:
                heapq.heapreplace(chosen[split], entry)
        return {name for heap in chosen.values() for _, name in heap}

    def _count(self, word: str, split: str) -> int:
        """Clips of `_unknown_` or `_silence_`: a fraction of the wanted clips, rounded up, as in Google's code."""
        return math.ceil(round(self.survey().n_wanted[split] * self._fractions[word], 6))

    def _clips(self, folders: dict[str, list[str]]) -> Iterator[Clip]:
        for word, names in folders.items():
            yield from clips(self.folder(), word, names, self._refused)

    def _split(self, clip: Clip) -> str:
        if self.target == "speaker":
            return self._within.split(clip.speaker, clip.id)
        if self.use_default_split:
            return self._listed.get(clip.id.lower(), "train")
        return self._cuts.split(clip.hashed if self.group_speakers_by_id else clip.id.lower())

    def _beginning(self, clip: Clip) -> float | None:
        """Seconds to read where a longer clip is cut behind."""
        import soundfile

        try:
            info = soundfile.info(clip.path)
        except (soundfile.SoundFileError, OSError):
            return None  # refused with its reason when it is read
        assert self.clip_s is not None
        return self.clip_s if info.frames > self.clip_s * info.samplerate else None

    def _word_folders(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The folders of the wanted words in the order in which they were asked, and those of all others."""
        there = word_folders(self.folder(), self._refused)
        wanted = self.wanted_words or list(there)
        return {word: there[word] for word in wanted}, {w: names for w, names in there.items() if w not in wanted}

    def _noise_folder(self) -> Path | None:
        """Where noise is; a speaker is not told by noise."""
        if self.target == "speaker":
            return None
        return find_noise_folder(self.folder(), entries(str(self.folder()), self._refused)[1])

    def _protocol(self, survey: Survey) -> str:
        shared = sum(len(splits) > 1 for splits in survey.splits_of.values())
        if self.target == "speaker":
            return f"each speaker's clips are divided among the splits ({self._percent()})"
        if self.use_default_split:
            found = f"{shared} speakers are in more than one split" if shared else "no speaker is in two splits"
            return f"official validation and testing lists; {found}"
        if self.group_speakers_by_id:
            return f"divided by Google's hash of the speaker ({self._percent()}); no speaker is in two splits"
        return f"divided by a hash of the recording ({self._percent()}); {shared} speakers are in more than one split"

    def _percent(self) -> str:
        return " / ".join(f"{share:g}" for share in self._shares.values()) + " %"
