"""The window of an utterance in its recording, fitted to the length of a clip, with its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.data.names import printable
from phonaut.data.preparation.audio import ENERGY_HOP_S, BadRecordingError, Recording
from phonaut.data.utterance import NOISE_SPLITS, SPLITS, Utterance

TOLERANCE_S = 0.1  # by which a cut or a phone may end after its recording: times in tables are rounded
ENDS_LATE = "a cut ends after the recording: shortened"


def fitted(
    utterance: Utterance, recording: Recording, number: int, sample_rate: int, clip_s: float | None
) -> dict[str, Any]:
    """A cut as it is listed: its labels, and which samples of its recording stand where in it.

    `n_samples` are those of the cut: `before` zeros, `valid` samples of the recording from `start` on, and zeros.
    Of a cut longer than `clip_s` the loudest window is taken, to 10 ms; a shorter one stands in the middle.

    Raises:
        BadRecordingError: the cut lies outside its recording, or its phones outside the cut.
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
    return {
        "id": utterance.id,
        "split": utterance.split,
        "speaker": utterance.speaker,
        "word": utterance.word,
        "text": utterance.text or "",
        "sentence": utterance.sentence or "",
        "session": utterance.session or "",
        "phones": inside(utterance, skipped, before, valid, sample_rate),
        "recording": number,
        "start": start + skipped,
        "valid": valid,
        "before": before,
        "n_samples": total,
        "fit": "padded" if valid < total else "loudest" if n > total else "",
        "content": f"{recording.content}-{start}-{n}" if recording.content else "",
        "path": printable(recording.path),
        "source": [recording.source_rate, recording.n_source, recording.n_channels],
    }


def bounds(utterance: Utterance, recording: Recording, sample_rate: int) -> tuple[int, int]:
    """First sample and number of samples of a cut.

    Raises:
        BadRecordingError: there are none.
    """
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
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    return min(int(np.argmax(sums[width:] - sums[:-width])) * hop, n_samples - clip)


def inside(
    utterance: Utterance, skipped: int, before: int, valid: int, sample_rate: int
) -> list[tuple[str, float, float]]:
    """The phones of a cut that lost `skipped` samples and won `before`: cut off where its sound ends, or left out."""
    moved_s = (before - skipped) / sample_rate
    first_s, last_s = before / sample_rate, (before + valid) / sample_rate
    found = []
    for phone in utterance.phones:
        start_s, end_s = max(first_s, phone.start_s + moved_s), min(last_s, phone.end_s + moved_s)
        if start_s < end_s:
            found.append((phone.label, start_s, end_s))
    return found
