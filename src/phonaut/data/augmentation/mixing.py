"""Noise mixed into recordings at a signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data import draws
from phonaut.data.augmentation.noise import SLOPES, recorded, synthetic
from phonaut.data.augmentation.timing import clear_after
from phonaut.data.batches import Batch

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

RECORDED = "recorded"
NOISE_KINDS = (*SLOPES, RECORDED)


def add_noise(
    batch: Batch, snr_db: float, *, kind: str = "white", seed: int = 0, noise: UtteranceTable | None = None
) -> Batch:
    """Noise at a fixed SNR, the same for a recording whenever and wherever it is tested.

    It is added to the waveform of the whole recording, before the front end: `10 log10(P_recording / P_noise) = snr_db`
    with both powers as means over all samples of the recording, its pauses and the zeros around a short clip included.
    So all spans of a recording hear one noise, of one level, and a soft phone is worse off than a loud one. Of a
    recording that is read in windows (`max_recording_s`), each window counts as one.

    Args:
        batch: recordings.
        snr_db: ratio of the powers of recording and noise.
        kind: `white`, `pink` or `recorded`.
        seed: of the noise.
        noise: recordings of noise, for `recorded`.

    Raises:
        ValueError: the kind is unknown, or there are no recordings to take it from.
    """
    if kind not in NOISE_KINDS:
        raise ValueError(f"noise is one of {', '.join(NOISE_KINDS)}, got {kind}")
    if kind == RECORDED and (noise is None or not len(noise)):
        raise ValueError("recorded noise needs recordings, and this corpus brings none; use white or pink")
    place = draws.uniform(batch.draw_keys, seed=seed, epoch=0, stream="test noise")[:, 0]
    n = len(place)
    return mix(batch, np.full(n, snr_db), (kind,), np.zeros(n, np.int64), place, noise)


def mix(
    batch: Batch,
    snr_db: NDArray[np.float64],
    kinds: tuple[str, ...],
    kind_index: NDArray[np.int64],
    place: NDArray[np.float64],
    table: UtteranceTable | None,
    *,
    in_place: bool = False,
) -> Batch:
    """Add to each recording noise `kinds[kind_index]` from `place`, so that `10 log10(P_recording / P_noise) = snr_db`.

    Both powers are means over the recording's own samples, padding left out. An infinite SNR adds nothing, nor does
    noise join where either power is zero.
    """
    (noisy,) = np.nonzero(np.isfinite(snr_db))
    if not len(noisy):
        return batch
    where = torch.from_numpy(noisy).to(batch.audio.device)
    clean, lengths = batch.audio.index_select(0, where), batch.audio_lengths.index_select(0, where)
    added = noise_for(clean, lengths, kinds, kind_index[noisy], place[noisy], table)
    clear_after(added, lengths)
    needed = norms(clean) * torch.from_numpy(10.0 ** (-snr_db[noisy] / 20)).to(clean.device)
    present = norms(added)
    gain = torch.where(present > 0, needed / present, 0.0).to(clean.dtype)
    copy = batch.audio.index_copy_ if in_place else batch.audio.index_copy
    return replace(batch, audio=copy(0, where, clean.addcmul_(added, gain[:, None])))


def noise_for(
    audio: Tensor,
    lengths: Tensor,
    kinds: tuple[str, ...],
    kind_index: NDArray[np.int64],
    place: NDArray[np.float64],
    table: UtteranceTable | None,
) -> Tensor:
    """Noise `kinds[kind_index]` from `place` for each recording of `audio (B, S)`, at whatever level."""
    made = tuple(kind for kind in kinds if kind != RECORDED)
    if made:
        index = np.array([made.index(kind) if kind in made else 0 for kind in kinds])
        added = synthetic(made, index[kind_index], place, audio)
    else:
        added = torch.zeros_like(audio)
    (from_table,) = np.nonzero(np.array(kinds)[kind_index] == RECORDED)
    if len(from_table):
        assert table is not None
        where = torch.from_numpy(from_table)
        stretches = recorded(table, place[from_table], lengths.cpu()[where].numpy(), audio.shape[1])
        added[where.to(added.device)] = stretches.to(added.device)
    return added


def norms(audio: Tensor) -> Tensor:
    """Euclidean norm of each row in float64, `(B,)`: a few rows at a time, so that their copies stay in the cache."""
    return torch.cat([torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) for rows in torch.split(audio, 8)])
