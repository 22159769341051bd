"""Hey Snips: a wake word and other speech (Coucke et al. 2019, arXiv:1811.07684; Leroy et al., arXiv:1810.05512)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from phonaut.checks import refuse, within
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import Refused, entries, find_folder
from phonaut.corpora.kws.quotas import UNKNOWN, Quotas
from phonaut.corpora.noise import Background, noise_folders
from phonaut.corpora.protocols import Divided
from phonaut.data.utterance import SILENCE, Utterance
from phonaut.files import listed_path

HOTWORD = "hey_snips"
LISTS = {"train": "train.json", "validation": "dev.json", "test": "test.json"}
NEEDED = ("is_hotword", "worker_id", "audio_file_path")
HOT = {"1": True, "true": True, "0": False, "false": False}


class HeySnips(Corpus):
    """The wake word `hey_snips` and, as a class of its own, what else its speakers said (`_unknown_`).

    `train.json`, `dev.json` and `test.json` are lists of entries with `is_hotword` (1 or 0), `worker_id` and
    `audio_file_path`, relative to the folder of the lists; they are the official split. Both releases are read: `id`
    and `duration` are not in the lists of every copy. An entry that lasts 0 s is refused.

    Args:
        data_folder: the folder of the lists, or the one above it.
        target: `keyword`, or `speaker`: who speaks, in all recordings.
        clip_s: seconds of a clip: shorter ones are padded, of longer ones the loudest window is taken; null: whole.
        unknown_prob: clips of other speech, as a fraction of the wake words of each split; null: all there are.
        silence_prob: clips of `_silence_`, likewise; they are cut from `noise_dataset`.
        timeshift_ms: read by the augmentation group, as are `train_snr_low` and `train_snr_high`.
        train_snr_low: dB.
        train_snr_high: dB.
        test_snr: signal-to-noise ratio in dB at which test clips are mixed with noise; None: they are not.
        noise_dataset: folders of noise recordings, each recording for one split alone.
        selection_seed: of the choice of other speech and windows of silence.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "snips"
    RULES: ClassVar = {
        **dict.fromkeys(("silence_prob", "unknown_prob"), within(0, 1000)),
        **dict.fromkeys(("train_snr_low", "train_snr_high", "test_snr"), within(-200, 200)),
        "clip_s": within(0.01, 3600),
        "timeshift_ms": within(0, 60_000),
    }
    published_split: ClassVar[bool] = True

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        clip_s: float | None = 2.0,
        unknown_prob: float | None = None,
        silence_prob: float = 0.1,
        timeshift_ms: float | None = None,
        train_snr_low: float | None = None,
        train_snr_high: float | None = None,
        test_snr: float | None = None,
        noise_dataset: Sequence[str] | str | None = None,
        selection_seed: int = 59185,
    ) -> None:
        problems = target_problems(target, HeySnips)
        if train_snr_low is not None and train_snr_high is not None and train_snr_low > train_snr_high:
            problems.append(f"dataset.train_snr_low={train_snr_low} is above dataset.train_snr_high={train_snr_high}")
        refuse(problems)
        self.data_folder, self.target, self.clip_s = Path(data_folder), target, clip_s
        self.timeshift_ms, self.train_snr_low, self.train_snr_high = timeshift_ms, train_snr_low, train_snr_high
        self.test_snr, self.selection_seed = test_snr, selection_seed
        self.unknown_prob = None if unknown_prob is None else float(unknown_prob)
        self.silence_prob, self.noise_dataset = float(silence_prob), noise_folders(noise_dataset)

    @cached_property
    def folder(self) -> Path:
        """The folder of the lists.

        Raises:
            ValueError: they are not there.
        """
        root = find_folder(self.data_folder, otherwise="; it is sent on request (docs/corpora.md)")
        inside = [root / name for name in entries(str(root), Refused())[1]]
        for folder in (root, *inside):
            if any((folder / name).is_file() for name in LISTS.values()):
                return folder
        raise ValueError(f"dataset.data_folder={root} holds none of {', '.join(LISTS.values())}")

    def first_look(self) -> None:
        """Find the lists.

        Raises:
            ValueError: there are none.
        """
        self.folder  # noqa: B018  # raises

    def words(self) -> list[str]:
        """The wake word, then other speech and silence where they are asked for."""
        unknown = [UNKNOWN] if self.unknown_prob != 0 else []
        return [HOTWORD, *unknown, *([SILENCE] if self.has_silence else [])]

    @property
    def has_silence(self) -> bool:
        """Tell whether there is noise to cut silence from, and it is asked for."""
        return bool(self.noise_dataset) and self.silence_prob > 0 and self.clip_s is not None

    def utterances(self) -> Iterator[Utterance]:
        """Every entry, list by list.

        Raises:
            ValueError: a list is not one.
        """
        first: dict[str, str] = {}
        for split, name in LISTS.items():
            path = self.folder / name
            if path.is_file():
                for number, entry in enumerate(read_list(path)):
                    place = f"{path}[{number}]"
                    if (utterance := self.utterance(entry, split, place)) is None:
                        continue
                    if (before := first.setdefault(utterance.id, place)) != place:
                        self.refuse(place, f"its id {utterance.id} is that of {before} too")
                        continue
                    yield utterance

    def utterance(self, entry: Any, split: str, place: str) -> Utterance | None:
        """An entry as an utterance; None: it is refused, by its place in the list."""
        missing = [key for key in NEEDED if not isinstance(entry, dict) or key not in entry]
        if missing:
            self.refuse(place, f"the entry has no {', '.join(missing)}")
            return None
        said = str(entry["is_hotword"]).lower()
        if said not in HOT:
            self.refuse(place, f"is_hotword is 1 or 0, got {said}")
            return None
        file = listed_path(str(entry["audio_file_path"]))
        path = os.path.join(self.folder, file)
        if (seconds := entry.get("duration")) is not None and not is_positive(seconds):
            self.refuse(path, f"its duration in the list is {seconds} s")
            return None
        stem = file.rpartition(".")[0] or file
        word = HOTWORD if HOT[said] else UNKNOWN
        text = "hey snips" if HOT[said] else None
        return Utterance(str(entry.get("id", stem)), Path(path), split, str(entry["worker_id"]), word, text)

    def select(self, divided: Divided) -> Iterator[Utterance]:
        """The wake words, as much other speech as is asked for, and silence and noise."""
        if self.target == "speaker":
            yield from super().select(divided)
            return
        silence = self.silence_prob if self.has_silence else 0.0
        quotas = Quotas(divided, unknown=self.unknown_prob, silence=silence, seed=self.selection_seed)
        yield from quotas.used()
        if self.noise_dataset:
            noise = Background(None, divided.plan.shares.by_split(), self._refused, self.noise_dataset)
            yield from noise.utterances(quotas.n_silence, self.clip_s or math.inf, self.selection_seed)

    def title(self) -> str:
        """Its name and the classes."""
        return "Hey Snips" if self.target == "speaker" else f"Hey Snips: {', '.join(self.words())}"

    def official(self) -> str:
        """By lists."""
        return f"official split: {', '.join(LISTS.values())}"

    def notes(self) -> list[str]:
        """The classes that are missing."""
        if self.target == "speaker" or self.has_silence or not self.silence_prob:
            return []
        return ["dataset.noise_dataset names no recordings of noise: there is no class _silence_"]


def read_list(path: Path) -> list[Any]:
    """The entries of a list.

    Raises:
        ValueError: it is no list of JSON.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(read, list):
        raise ValueError(f"{path} must be a JSON list of entries with {', '.join(NEEDED)}")
    return read


def is_positive(seconds: object) -> bool:
    """True for a duration that an entry may have."""
    try:
        return float(seconds) > 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
