"""One utterance of a corpus, from the adapter that lists it to the table that training reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SPLITS = ("train", "validation", "test")
TARGETS = ("keyword", "phone", "speaker", "gender")
SILENCE = "_silence_"  # the word of recordings in which nobody speaks; their speaker is a room
NOISE_SPLITS = ("noise", "noise_test")  # mixed into training, and into the test under `test_snr`


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone and its times in seconds from the start of its utterance."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance: a recording or a part of one, with its labels, before its audio is opened.

    Attributes:
        id: unique, and the same on every machine: the relative path without its suffix, or an utterance id.
        path: the audio file.
        split: as a corpus lists it, its official split, or None where it has none; once a protocol has divided the
            corpus, one of `SPLITS`, or of `NOISE_SPLITS` for noise.
        speaker: speaker id; empty where it is not known.
        word: the keyword label; `_unknown_` and `_silence_` are words too.
        text: transcript.
        phones: phone alignment, in seconds from the start of the utterance.
        sentence: sentence id, where speakers repeat sentences.
        start_s: start in the recording, seconds.
        duration_s: length in seconds; None: to the end of the recording.
        session: recording session.
        recording: id of the recording where several utterances are parts of one; None: `id`. Parts of one recording
            stay together where recordings are divided.
        channel: of the recording, from 0; None: all are mixed.
        pcm_rate: Hz of a recording without a header, which is mono of 16 bits, the lower byte first; None: the header
            of the file says what it is.
    """

    id: str
    path: Path
    split: str | None = None
    speaker: str = ""
    word: str | None = None
    text: str | None = None
    phones: tuple[Phone, ...] = ()
    sentence: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    session: str | None = None
    recording: str | None = None
    channel: int | None = field(default=None, repr=False)  # prepared folders are named by a hash of what is shown
    pcm_rate: int | None = field(default=None, repr=False)


class DividedCorpus(Protocol):
    """A corpus whose utterances all have a split: what preparation reads.

    Attributes:
        name: of the corpus, `fsdd`, `kws` ...
        clip_s: keyword window in seconds: shorter utterances are padded to it, of longer ones the loudest window is
            taken; None: whole utterances.
    """

    @property
    def name(self) -> str:
        """Of the corpus."""
        ...

    @property
    def clip_s(self) -> float | None:
        """Length of a clip, seconds."""
        ...

    def utterances(self) -> Iterator[Utterance]:
        """All utterances, streaming, in an order that does not depend on the file system.

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
        """Files that were refused while listing, as `{"path", "reason"}`; complete once `utterances` is exhausted."""
        ...
