"""Negatives beside a divided corpus, near words and recordings, as `_unknown_` in training alone."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from phonaut.corpora.disk import Refused, stems, walk
from phonaut.corpora.kws.quotas import UNKNOWN
from phonaut.corpora.negatives.choice import chosen
from phonaut.corpora.protocols import Divided, Protocol
from phonaut.corpora.synthetic.synthesis import Recipe, generate, read
from phonaut.corpora.synthetic.voices import BLOCKS, MIN_SPEAKERS
from phonaut.data.classes import is_word
from phonaut.data.trials import TrialList
from phonaut.data.utterance import SILENCE, Utterance
from phonaut.files import expanded

TRAINING_VOICES = 7  # of each block of speakers
MOST_VOICES = 2 * TRAINING_VOICES * len(BLOCKS)


@dataclass(frozen=True)
class WithNegatives:
    """A protocol that puts negatives into the training part of what another one divides.

    Args:
        protocol: that one.
        near: near words for each class.
        voices: that speak each of them.
        folder: of recordings in which no word of the run is said; None: there are none.
        classes: those that the run is limited to; None: all words of the corpus.
    """

    protocol: Protocol
    near: int = 0
    voices: int = 14
    folder: str | None = None
    classes: Sequence[str] | None = None

    def divide(self, corpus: Any, target: str | None = None) -> Beside:
        """The divided corpus, and negatives beside it."""
        return Beside(self.protocol.divide(corpus, target), self)


class Beside:
    """A divided corpus with negatives.

    Args:
        divided: the corpus.
        negatives: which.
    """

    def __init__(self, divided: Divided, negatives: WithNegatives) -> None:
        self.divided, self.negatives = divided, negatives
        self.files = Refused()

    @property
    def name(self) -> str:
        """Of the corpus."""
        return self.divided.name

    @property
    def clip_s(self) -> float | None:
        """Length of a clip, seconds."""
        return self.divided.clip_s

    @property
    def genders(self) -> Mapping[str, str]:
        """`f` or `m` of each speaker whose gender is known."""
        return self.divided.genders

    @property
    def trials(self) -> Mapping[str, TrialList]:
        """Lists of verification trials."""
        return self.divided.trials

    def utterances(self) -> Iterator[Utterance]:
        """Those of the corpus, then near words, then recordings.

        Raises:
            ValueError: near words cannot be said here, or the folder has no recordings.
        """
        yield from self.divided.utterances()
        if self.negatives.near:
            yield from self.spoken()
        if self.negatives.folder is not None:
            yield from self.recorded()

    def words(self) -> list[str] | None:
        """The classes of the corpus with `_unknown_`, before silence."""
        words = self.divided.words()
        if words is None or UNKNOWN in words:
            return words
        at = words.index(SILENCE) if SILENCE in words else len(words)
        return [*words[:at], UNKNOWN, *words[at:]]

    def notes(self) -> list[str]:
        """Those of the corpus, and what the negatives are."""
        notes = self.divided.notes()
        if self.negatives.near:
            said = "; ".join(f"{name}: {', '.join(texts) or 'none is near'}" for name, texts in self.near.items())
            n = sum(map(len, self.near.values()))
            notes.append(f"{UNKNOWN} of training has {n} near words, each by {self.negatives.voices} voices of "
                         f"espeak-ng ({said})")  # fmt: skip
        if self.negatives.folder is not None:
            notes.append(f"{UNKNOWN} of training has {len(self.recordings)} recordings of {self.negatives.folder}")
        return notes

    def refused(self) -> list[dict[str, str]]:
        """Files that were refused while listing."""
        return [*self.divided.refused(), *self.files.as_list()]

    # --- near words

    @cached_property
    def near(self) -> dict[str, list[str]]:
        """The near words of each word."""
        names = self.negatives.classes or self.divided.words()
        if names is None:
            names = sorted({one.word for one in self.divided.utterances() if one.word and one.split == "train"})
        return chosen([name for name in names if is_word(name)], self.negatives.near)

    def spoken(self) -> Iterator[Utterance]:
        """Each near word by each voice, in a room of its own, as `dataset=synthetic` has training voices and rooms."""
        texts = tuple(sorted(text for texts in self.near.values() for text in texts))
        if not texts:
            return
        voices = self.negatives.voices
        folder = generate(Recipe(words=texts, n_speakers=MIN_SPEAKERS * math.ceil(voices / TRAINING_VOICES)))
        names: dict[str, None] = {}
        for entry in read(folder):
            if entry["split"] == "train":
                names.setdefault(entry["speaker"])
        taken = set(list(names)[:voices])
        for entry in read(folder):
            if entry["speaker"] in taken:
                yield Utterance(
                    id=f"{UNKNOWN}/espeak-ng/{entry['id']}",
                    path=folder / f"{entry['id']}.wav",
                    split="train",
                    speaker=f"espeak-ng/{entry['speaker']}",
                    word=UNKNOWN,
                    text=entry["text"],
                )

    # --- recordings

    @cached_property
    def recordings(self) -> list[tuple[str, str]]:
        """Paths below the folder, without and with their suffix.

        Raises:
            ValueError: there are none.
        """
        assert self.negatives.folder is not None
        root = expanded(self.negatives.folder)
        if not root.is_dir():
            raise ValueError(f"negatives.folder={root} is no folder; it is to hold recordings in which no word of the "
                             "run is said, such as phonaut mine collects")  # fmt: skip
        found = [(f"{below}/{stem}".lstrip("/"), os.path.join(below, name))
                 for below, names in walk(root, self.files) for name, stem in stems(names)]  # fmt: skip
        if not found:
            raise ValueError(f"negatives.folder={root} holds no recordings")
        return found

    def recorded(self) -> Iterator[Utterance]:
        """Each recording; who speaks in it is not known."""
        root = expanded(str(self.negatives.folder))
        for name, path in self.recordings:
            yield Utterance(f"{UNKNOWN}/recordings/{name}", root / path, "train", word=UNKNOWN)
