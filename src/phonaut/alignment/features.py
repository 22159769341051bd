"""Frames of utterances, and the times of what lies between frames."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.alignment.utterances import Utterance, samples
from phonaut.arrays import Index
from phonaut.data.prepared import PreparedCorpus
from phonaut.features import MFCC

AT_ONCE = 16  # recordings in a batch


@dataclass(frozen=True, eq=False)
class Framed:
    """Frames of utterances, one after another.

    Attributes:
        frames: `(N, D)`, in a file that is gone with this process: memory is for what is worked on.
        lengths: `(B,)`.
        durations_s: `(B,)`.
        shift_s: from a frame's centre to that of the next.
        offset_s: centre of the first frame.
    """

    frames: NDArray[np.float32]
    lengths: Index
    durations_s: NDArray[np.float64]
    shift_s: float
    offset_s: float

    def border_s(self, frame: int | Index, b: int) -> Any:
        """When a frame begins: halfway between its centre and that of the one before, within the utterance.

        `offset + (t - 1/2) shift` for frame t; the first frame begins with the recording.
        """
        time_s = self.offset_s + (np.asarray(frame) - 0.5) * self.shift_s
        return np.where(np.asarray(frame) == 0, 0.0, np.clip(time_s, 0.0, self.durations_s[b]))

    def only(self, which: NDArray[np.bool_]) -> Framed:
        """Those of some of the utterances."""
        rows = self.frames[np.repeat(which, self.lengths)]
        return Framed(rows, self.lengths[which], self.durations_s[which], self.shift_s, self.offset_s)


def front_end(sample_rate: int, **options: Any) -> MFCC:
    """Thirteen cepstra with slopes and their slopes, every 10 ms, of windows of 20 ms: what speech is aligned by."""
    window = {"win_length": round(0.020 * sample_rate), "hop_length": round(0.010 * sample_rate)}
    return MFCC(**({"sample_rate": sample_rate, "n_mfcc": 13, "deltas": 2, **window} | options))


@torch.no_grad()
def framed(prepared: PreparedCorpus, wanted: Sequence[Utterance], made_by: MFCC) -> Framed:
    """Frames of utterances, with mean 0 and variance 1 over all that a speaker says."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # goes when the map of it does
    lengths, seconds = np.zeros(len(wanted), np.int64), np.zeros(len(wanted))
    speakers = sorted({one.speaker for one in wanted})
    number = {name: n for n, name in enumerate(speakers)}
    whose = np.array([number[one.speaker] for one in wanted], np.int64)
    sums = np.zeros((3, len(speakers), made_by.n_features))
    for first in range(0, len(wanted), AT_ONCE):
        audio = [torch.from_numpy(samples(prepared, one)) for one in wanted[first : first + AT_ONCE]]
        n_samples = torch.tensor([len(one) for one in audio])
        frames, n_frames = made_by(torch.nn.utils.rnn.pad_sequence(audio, batch_first=True), n_samples)
        part = slice(first, first + len(audio))
        lengths[part], seconds[part] = n_frames.numpy(), n_samples.numpy() / prepared.sample_rate
        for one, length, speaker in zip(frames, n_frames, whose[part], strict=True):
            own = one[:length].double().numpy()
            sums[:, speaker] += [np.full(own.shape[1], len(own)), own.sum(axis=0), np.square(own).sum(axis=0)]
            file.write(own.astype(np.float32).tobytes())
    file.flush()
    shape = (int(lengths.sum()), made_by.n_features)
    values: NDArray[np.float32] = np.memmap(file, np.float32, "r+", shape=shape) if shape[0] else np.empty(shape, "f4")
    mean = sums[1] / np.maximum(sums[0], 1)
    scale = np.sqrt(np.maximum(sums[2] / np.maximum(sums[0], 1) - mean**2, 1e-10))
    begin = 0
    for n, speaker in zip(lengths.tolist(), whose, strict=True):
        values[begin : begin + n] = (values[begin : begin + n] - mean[speaker]) / scale[speaker]
        begin += n
    return Framed(values, lengths, seconds, made_by.frame_shift_s, made_by.frame_offset_s)
