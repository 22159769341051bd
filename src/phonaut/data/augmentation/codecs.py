"""Recordings that were compressed and decoded again, by what libsndfile brings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.data.batches import Batch

FORMATS = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "vorbis": ("OGG", "VORBIS")}
CODECS = tuple(FORMATS)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
LEAST_SAMPLES = 1200  # of what is encoded: of less, MP3 gives nothing back
MOST_COMPRESSION = 0.999  # closer to 1, libsndfile refuses MP3
PEAK = 0.9  # at which encoders see the recording: they clip at 1


def pass_codecs(
    batch: Batch, names: Sequence[str], codec: NDArray[np.int64], compression: NDArray[np.float64], sample_rate: int
) -> Batch:
    """Encode and decode some recordings, each by a codec of its own, at its own level; none gets longer or later.

    Args:
        batch: recordings.
        names: of codecs.
        codec: index into them for each recording, `(B,)`; -1: none.
        compression: from 0 (best quality) to 1 (smallest), `(B,)`.
        sample_rate: Hz.
    """
    (rows,) = np.nonzero(codec >= 0)
    if not len(rows):
        return batch
    audio = batch.audio.clone()
    for row in rows:
        n = int(batch.audio_lengths[row])
        samples = audio[row, :n].cpu().numpy().astype(np.float32)
        peak = float(np.abs(samples).max(initial=0.0))
        if peak > 0 and n:
            scale = PEAK / peak
            decoded = through(samples * scale, names[codec[row]], float(compression[row]), sample_rate) / scale
            audio[row, :n] = torch.from_numpy(decoded).to(audio.device, audio.dtype)
    return replace(batch, audio=audio)


def through(samples: NDArray[np.float32], name: str, compression: float, sample_rate: int) -> NDArray[np.float32]:
    """Samples `(n,)` of at most 1 in size, encoded and decoded, `(n,)`."""
    import soundfile

    container, subtype = FORMATS[name]
    n, file = len(samples), io.BytesIO()
    padded = np.pad(samples, (0, max(0, LEAST_SAMPLES - n)))
    level = min(compression, MOST_COMPRESSION)
    options = {"format": container, "subtype": subtype, "compression_level": level}
    soundfile.write(file, padded, sample_rate, **options)
    file.seek(0)
    decoded: NDArray[np.float32] = soundfile.read(file, dtype="float32")[0]
    return np.pad(decoded[:n], (0, max(0, n - len(decoded))))
