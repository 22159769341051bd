"""What every corpus is to the rest of Phonaut: a stream of items, each with its labels and its split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

SPLITS = ("train", "validation", "test")
NOISE_SPLITS = ("noise", "noise_test")  # mixed into training, and into the test under `test_snr`


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone and its times in seconds from the start of its cut."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Item:
    """One cut that an adapter found, before its audio is opened.

    Attributes:
        id: unique, and the same on every machine: the relative path without its suffix, or an utterance id.
        path: the audio file.
        split: one of `SPLITS` or `NOISE_SPLITS`.
        speaker: speaker id.
        word: the keyword label; `_unknown_` and `_silence_` are words too.
        text: transcript.
        phones: phone alignment, in seconds from the start of the cut.
        sentence: sentence id, where speakers repeat sentences.
        start_s: start of the cut in its recording, seconds.
        duration_s: length of the cut in seconds; None: to the end of the recording.
        session: recording session.
    """

    id: str
    path: Path
    split: str
    speaker: str
    word: str | None = None
    text: str | None = None
    phones: tuple[Phone, ...] = ()
    sentence: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    session: str | None = None


@runtime_checkable
class Corpus(Protocol):
    """An adapter from what is on a user's disk to items.

    Attributes:
        name: of the adapter, `fsdd`, `kws` ...
        clip_s: keyword window in seconds: shorter cuts are padded to it, of longer ones the loudest window is taken;
            None: whole cuts.
    """

    name: str
    clip_s: float | None

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values: part of the cache key."""
        ...

    def items(self) -> Iterator[Item]:
        """All items, streaming, in an order that does not depend on the file system.

        Raises:
            ValueError: for a mistake of the user, with what to type instead.
        """
        ...

    def words(self) -> list[str] | None:
        """The order of the keyword classes where it is fixed; None: the sorted words of the training split."""
        ...

    def notes(self) -> list[str]:
        """Sentences that a user must read: the protocol first."""
        ...

    def refused(self) -> list[dict[str, str]]:
        """What was refused while listing, as `{"path", "reason"}`; complete once `items` is exhausted."""
        ...
