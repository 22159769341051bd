"""Keyword spotting on Google Speech Commands (Warden 2018, arXiv:1804.03209): wanted words, unknown words, silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.checks import refuse, within
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import entries, find_or_fetch
from phonaut.corpora.kws.quotas import UNKNOWN, Quotas
from phonaut.corpora.kws.speech_commands import (
    ARCHIVES,
    COMMANDS,
    LISTS,
    check_words,
    clips,
    keyword_list,
    official_lists,
    version,
    word_folders,
)
from phonaut.corpora.noise import Background, find_noise_folder, noise_folders
from phonaut.corpora.protocols import BySpeaker, Divided, Protocol, WithinSpeakers
from phonaut.data.utterance import SILENCE, Utterance


class KeywordCorpus(Corpus):
    """Wanted words, and as classes of their own other words (`_unknown_`) and noise without speech (`_silence_`).

    By default a clip's split follows from its speaker's name alone, by Google's own hash, for unknown words too: no
    speaker is in two splits. The unknown words that are used follow from a hash of their names, and noise recordings
    are divided in time, so that neither the order of a folder nor what else lies there changes either. The official
    split is `validation_list.txt` and `testing_list.txt`, where they are there.

    Args:
        data_folder: the folder that holds one folder per word.
        target: `keyword`, or `speaker`: the wanted words' clips, each speaker's divided among the splits.
        version: which version `download` fetches; what is on disk is recognised by its words.
        download: fetch the corpus (1.5 or 2.4 GB) where `data_folder` does not hold it.
        clear_download: delete the archive after unpacking.
        wanted_words: the keywords, or `all`.
        silence_prob: clips of `_silence_`, as a fraction of the number of wanted clips of each split.
        unknown_prob: clips of other words, likewise.
        input_length: samples of a clip.
        samplingrate: samples per second that `input_length` counts.
        extract_loudest: of a longer clip take the loudest window; false: its beginning.
        downsample: sample rate of the prepared copy, read by the front end; the files are never touched.
        timeshift_ms: read by the augmentation group, as are `train_snr_low` and `train_snr_high`.
        train_snr_low: dB.
        train_snr_high: dB.
        test_snr: signal-to-noise ratio in dB at which test clips are mixed with noise; None: they are not.
        noise_dataset: folders of noise recordings beside `_background_noise_`, each recording for one split alone.
        selection_seed: of the choice of unknown words and windows of silence; training has a seed of its own.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "kws"
    RULES: ClassVar = {
        **dict.fromkeys(("silence_prob", "unknown_prob"), within(0, 100)),
        **dict.fromkeys(("samplingrate", "downsample"), within(1, 10**6)),
        **dict.fromkeys(("train_snr_low", "train_snr_high", "test_snr"), within(-200, 200)),
        "input_length": within(1, 10**8),
        "timeshift_ms": within(0, 60_000),
    }
    published_split: ClassVar[bool] = True

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
        input_length: int = 16000,
        samplingrate: int = 16000,
        extract_loudest: bool = True,
        downsample: int | None = None,
        timeshift_ms: float | None = None,
        train_snr_low: float | None = None,
        train_snr_high: float | None = None,
        test_snr: float | None = None,
        noise_dataset: Sequence[str] | str | None = None,
        selection_seed: int = 59185,
    ) -> None:
        problems = target_problems(target, KeywordCorpus)
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
        self.wanted_words = keyword_list(wanted_words)
        self.clip_s = input_length / samplingrate
        self.timeshift_ms, self.train_snr_low, self.train_snr_high = timeshift_ms, train_snr_low, train_snr_high
        self.downsample, self.test_snr = downsample, test_snr
        self.extract_loudest, self.selection_seed = extract_loudest, selection_seed
        self.noise_dataset = noise_folders(noise_dataset)
        self._download = {"download": download, "clear_download": clear_download}
        self._fractions = {UNKNOWN: float(unknown_prob), SILENCE: float(silence_prob)}
        self._quotas: Quotas | None = None

    def default_protocol(self, target: str) -> Protocol:
        """Google's division: by a hash of the speaker; speakers are told apart within speakers."""
        return WithinSpeakers() if target == "speaker" else BySpeaker(balance=False)

    def first_look(self) -> None:
        """Find the folder and the wanted words.

        Raises:
            ValueError: they are not there.
        """
        self.folder  # noqa: B018  # raises

    @cached_property
    def folder(self) -> Path:
        """The folder of the corpus; fetched first where that was asked for.

        Raises:
            ValueError: it is not there, or lacks wanted words.
        """
        url, checksum = ARCHIVES[self.version]
        folder = find_or_fetch(self.data_folder, url=url, checksum=checksum, **self._download)
        check_words(self.wanted_words, folder)
        return folder

    def words(self) -> list[str] | None:
        """The classes: wanted words in the order in which they were asked, then `_unknown_`, `_silence_`."""
        keywords, other = self._word_folders()
        unknown = [UNKNOWN] if other and self._has_unknown else []
        silence = [SILENCE] if self._fractions[SILENCE] and self._has_noise else []
        return [*keywords, *unknown, *silence]

    def utterances(self) -> Iterator[Utterance]:
        """Every clip, word by word; those of other words, of which `select` takes some, are `_unknown_`.

        Raises:
            ValueError: no such folder, or it lacks a wanted word.
        """
        keywords, other = self._word_folders()
        folders = keywords | other if self._has_unknown else keywords
        lists = self._lists if not self._strange_lists else None
        for word in sorted(folders):
            for clip in clips(self.folder, word, folders[word], self._refused):
                split = lists.get(str(clip.recording), "train") if lists is not None else None
                yield replace(clip, split=split, word=word if word in keywords else UNKNOWN)

    @cached_property
    def _lists(self) -> dict[str, str] | None:
        return official_lists(self.folder)

    @cached_property
    def _strange_lists(self) -> list[str]:
        """The official lists of which no line is a clip that is there."""
        strange = set(LISTS) if self._lists is not None else set()
        for word, folders in word_folders(self.folder, self._refused).items():
            for clip in clips(self.folder, word, folders, self._refused):
                if not strange:
                    return []
                strange.discard((self._lists or {}).get(str(clip.recording), ""))
        return [LISTS[split] for split in LISTS if split in strange]

    def select(self, divided: Divided) -> Iterator[Utterance]:
        """The wanted clips, as many of other words as are asked for, and silence and noise."""
        if self._quotas is None or self._quotas.divided is not divided:
            wanted = {"unknown": self._fractions[UNKNOWN], "silence": self._fractions[SILENCE]}
            self._quotas = Quotas(divided, **wanted, seed=self.selection_seed)
        for clip in self._quotas.used():
            yield clip if self.extract_loudest else replace(clip, duration_s=self._beginning(clip))
        if self._has_noise:
            assert self.clip_s is not None
            shares = divided.plan.shares.by_split()
            noise = Background(self._noise_folder(), shares, self._refused, self.noise_dataset)
            yield from noise.utterances(self._quotas.n_silence, self.clip_s, self.selection_seed)

    def title(self) -> str:
        """Its name, the version and the classes."""
        keywords, other = self._word_folders()
        classes = self.words() or []
        extra = [word.strip("_") for word in (UNKNOWN, SILENCE) if word in classes]
        counted = " + ".join([f"{len(keywords)} word{'s' * (len(keywords) != 1)}", *extra])
        return f"Google Speech Commands, {version(keywords | other)}: {counted}"

    def official(self) -> str:
        """By lists."""
        return "official validation and testing lists"

    def split_hint(self) -> str:
        """A complete copy has lists, of clips that are there."""
        if self._strange_lists:
            return f"no line of {' and of '.join(self._strange_lists)} is a recording in {self.folder}"
        return f"it needs {' and '.join(LISTS.values())} in {self.folder}, which a complete copy of the corpus has"

    def notes(self) -> list[str]:
        """The classes that the corpus lacks."""
        if self.target == "speaker":
            return []
        notes = []
        if self._fractions[UNKNOWN] and not self._word_folders()[1]:
            notes.append("no word beside the wanted ones is there: there is no class _unknown_")
        if not self._has_noise:
            notes.append("there is no folder _background_noise_: no class _silence_, and no noise to mix in")
        elif SILENCE in (self.words() or []):
            notes.append("noise recordings are divided in time: no two splits share noise")
        return notes

    @property
    def _has_noise(self) -> bool:
        return self._noise_folder() is not None or (bool(self.noise_dataset) and self.target != "speaker")

    @property
    def _has_unknown(self) -> bool:
        return self._fractions[UNKNOWN] > 0 and self.target == "keyword"

    def _beginning(self, clip: Utterance) -> float | None:
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
        there = word_folders(self.folder, self._refused)
        keywords = self.wanted_words or list(there)
        return {word: there[word] for word in keywords}, {w: names for w, names in there.items() if w not in keywords}

    def _noise_folder(self) -> Path | None:
        """The folder of noise; a speaker is not told by noise."""
        if self.target == "speaker":
            return None
        return find_noise_folder(self.folder, entries(str(self.folder), self._refused)[1])
