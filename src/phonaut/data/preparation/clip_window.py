"""The window of an utterance in its recording, fitted to the length of a clip, with its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phonaut.data.preparation.audio import ENERGY_HOP_S, BadRecordingError, Recording
from phonaut.data.utterance import NOISE_SPLITS, SPLITS, Phone, Utterance

TOLERANCE_S = 0.1  # by which an utterance or a phone may end after its recording: times in tables are rounded
ENDS_LATE = "a cut ends after the recording: shortened"


@dataclass(frozen=True, slots=True)
class Placement:
    """The samples of an utterance: a part of a recording, between zeros where a clip is longer.

    Attributes:
        recording: number of the recording in the file of audio.
        start: first sample of the recording.
        valid: number of samples of the recording.
        before: number of zeros before them.
        n_samples: length, zeros included.
        fit: `padded`, or `loudest` where the loudest window was taken; else empty.
        content: hash of the samples; empty where none may be compared.
        source: `(Hz, samples, channels)` of the audio file; None: frames, which have none.
    """

    recording: int
    start: int
    valid: int
    before: int
    n_samples: int
    fit: str
    content: str
    source: tuple[int, int, int] | None


def clip_window(
    utterance: Utterance, recording: Recording, sample_rate: int, clip_s: float | None
) -> tuple[Utterance, Placement]:
    """Fit an utterance to the length of a clip: its times, moved and shortened, and the place of its samples.

    Of an utterance longer than `clip_s` the loudest window is taken, to 10 ms; a shorter one stands between equally
    many zeros. Its `start_s` and `duration_s` are those of its samples in the recording, without the zeros; its phones
    count from the start of the clip.

    Raises:
        BadRecordingError: the utterance lies outside its recording, or its phones outside the utterance.
        ValueError: the adapter named a split that does not exist.
    """
    if utterance.split not in (*SPLITS, *NOISE_SPLITS):
        raise ValueError(
            f"split {utterance.split!r} of {utterance.id}: it is one of {', '.join((*SPLITS, *NOISE_SPLITS))}"
        )
    start, n = bounds(utterance, recording, sample_rate)
    last_s = utterance.phones[-1].end_s if utterance.phones else 0.0
    if clip_s is None and last_s > n / sample_rate + TOLERANCE_S:
        raise BadRecordingError(
            f"its phones end at {last_s:.2f} s, but {n / sample_rate:.2f} s are there: it was shortened, or they are "
            "of another recording"
        )
    total, valid, skipped = n, n, 0
    if clip_s is not None and utterance.split not in NOISE_SPLITS:
        total = round(clip_s * sample_rate)
        valid = min(n, total)
        skipped = loudest(recording, start, n, total, sample_rate) if n > total else 0
    before = (total - valid) // 2
    placement = Placement(
        recording=recording.number,
        start=start + skipped,
        valid=valid,
        before=before,
        n_samples=total,
        fit="padded" if valid < total else "loudest" if n > total else "",
        content=f"{recording.content}-{start}-{n}" if recording.content else "",
        source=(recording.source_rate, recording.n_source, recording.n_channels),
    )
    clip = replace(
        utterance,
        start_s=placement.start / sample_rate,
        duration_s=valid / sample_rate,
        phones=phones_inside(utterance, skipped, before, valid, sample_rate),
    )
    return clip, placement


def bounds(utterance: Utterance, recording: Recording, sample_rate: int) -> tuple[int, int]:
    """First sample and number of samples of an utterance.

    Raises:
        BadRecordingError: there are none.
    """
    if not recording.n_samples:
        raise BadRecordingError(f"of its {recording.n_source} samples none is left at {sample_rate} Hz")
    if not (math.isfinite(utterance.start_s) and math.isfinite(utterance.duration_s or 0.0)):
        raise BadRecordingError(f"the cut starts at {utterance.start_s} s and is {utterance.duration_s} s long")
    start = round(utterance.start_s * sample_rate)
    there = recording.n_samples - start
    n = there if utterance.duration_s is None else round(utterance.duration_s * sample_rate)
    if start < 0 or there <= 0:
        seconds = recording.n_samples / sample_rate
        raise BadRecordingError(f"the cut starts at {utterance.start_s:.2f} s, but the recording has {seconds:.2f} s")
    if n <= 0:
        raise BadRecordingError(f"the cut is {utterance.duration_s} s long")
    if n > there + TOLERANCE_S * sample_rate and ENDS_LATE not in recording.remarks:
        recording.remarks.append(ENDS_LATE)
    return start, min(n, there)


def loudest(recording: Recording, start: int, n: int, clip: int, sample_rate: int) -> int:
    """Offset of the loudest window of `clip` samples among `n` samples from `start` on."""
    hop = max(1, round(ENERGY_HOP_S * sample_rate))
    energies = np.concatenate(recording.energies)
    return loudest_start(energies[start // hop : (start + n) // hop], n, clip, hop)


def loudest_start(energies: NDArray[np.float64], n_samples: int, clip: int, hop: int) -> int:
    """Start of the window of `clip` samples with the greatest energy, to `hop` samples.

    >>> loudest_start(np.array([0.0, 0.0, 5.0, 5.0, 0.0]), 500, 200, 100)
    200
    """
    width = clip // hop
    if len(energies) <= width:
        return 0
    # The energy of a window is the difference of two running sums; the last one ends with the samples.
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    return min(int(np.argmax(sums[width:] - sums[:-width])) * hop, n_samples - clip)


def phones_inside(utterance: Utterance, skipped: int, before: int, valid: int, sample_rate: int) -> tuple[Phone, ...]:
    """The phones of an utterance that lost `skipped` samples and won `before` zeros; those outside are left out."""
    moved_s = (before - skipped) / sample_rate
    first_s, last_s = before / sample_rate, (before + valid) / sample_rate
    moved = (
        Phone(phone.label, max(first_s, phone.start_s + moved_s), min(last_s, phone.end_s + moved_s))
        for phone in utterance.phones
    )
    return tuple(phone for phone in moved if phone.start_s < phone.end_s)
