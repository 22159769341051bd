"""Perturbations of training recordings: speed, time shift, noise, level; on whole batches, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.checks import refuse, within
from phonaut.data import draws
from phonaut.data.augmentation.noise import SLOPES, recorded, synthetic
from phonaut.data.augmentation.resampling import STEPS
from phonaut.data.augmentation.timing import clear_after, retime
from phonaut.data.batches import Batch

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

RECORDED = "recorded"
NOISE_KINDS = (*SLOPES, RECORDED)


@dataclass(frozen=True)
class Augmentation:
    """Each recording is changed with draws of its own, functions of (seed, epoch, recording) alone.

    In this order: speed and time shift (how it was spoken, and when), noise (where), level (how it was recorded). What
    changes time moves the spans with it. Values may leave [-1, 1]; nothing is clipped.

    Attributes:
        sample_rate: of the audio, Hz.
        speed_low: slowest speed, a factor on tempo and pitch alike; in steps of 0.025.
        speed_high: fastest speed.
        speed_prob: part of the recordings whose speed is changed. Where all recordings are clips of one length, the
            result is fitted to it around the middle.
        timeshift_ms: largest shift to either side; zeros come in.
        timeshift_prob: part of the recordings that are shifted.
        snr_low_db: loudest noise, as the ratio of the powers of recording and noise; null: no noise.
        snr_high_db: softest noise.
        noise_prob: part of the recordings that get noise; digital silence never gets any.
        noise_kinds: `white`, `pink` (power falls as 1/f), `recorded` (where the corpus brings noise); each as likely.
        level_low_db: lowest gain.
        level_high_db: highest gain.
        level_prob: part of the recordings whose level is changed.

    Raises:
        ValueError: a range is upside down, a probability outside [0, 1], a kind of noise unknown; all at once.
    """

    RULES: ClassVar = {
        **dict.fromkeys(("snr_low_db", "snr_high_db", "level_low_db", "level_high_db"), within(-200, 200)),
        "timeshift_ms": within(0, 60_000),
    }

    sample_rate: int
    speed_low: float = 1.0
    speed_high: float = 1.0
    speed_prob: float = 1.0
    timeshift_ms: float = 0.0
    timeshift_prob: float = 1.0
    snr_low_db: float | None = None
    snr_high_db: float | None = None
    noise_prob: float = 1.0
    noise_kinds: Sequence[str] = NOISE_KINDS
    level_low_db: float = 0.0
    level_high_db: float = 0.0
    level_prob: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise_kinds", tuple(self.noise_kinds))
        refuse([*self.range_problems(), *self.value_problems()], "augmentation: ")

    def range_problems(self) -> list[str]:
        """All problems of the ranges."""
        problems = []
        if (self.snr_low_db is None) != (self.snr_high_db is None):
            problems.append("snr_low_db and snr_high_db are numbers both, or null both (no noise)")
        for name, unit in (("speed", ""), ("snr", "_db"), ("level", "_db")):
            low, high = getattr(self, f"{name}_low{unit}"), getattr(self, f"{name}_high{unit}")
            if low is not None and high is not None and not low <= high:
                problems.append(f"{name}_low{unit}={low} is above {name}_high{unit}={high}")
        if not (self.speed_low >= 0.1 and self.speed_high <= 10):
            problems.append(f"speeds lie between 0.1 and 10, got {self.speed_low} to {self.speed_high}")
        return problems

    def value_problems(self) -> list[str]:
        """All problems of the other values."""
        problems = []
        if not self.timeshift_ms >= 0:
            problems.append(f"timeshift_ms is 0 or more (it shifts to both sides), got {self.timeshift_ms}")
        for name in ("speed_prob", "timeshift_prob", "noise_prob", "level_prob"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is between 0 and 1, got {getattr(self, name)}")
        unknown = [kind for kind in self.noise_kinds if kind not in NOISE_KINDS]
        if unknown or not self.noise_kinds:
            problems.append(f"noise_kinds are some of {', '.join(NOISE_KINDS)}, got {', '.join(unknown) or 'none'}")
        return problems

    def __call__(self, batch: Batch, *, seed: int, noise: UtteranceTable | None = None) -> Batch:
        """The batch as the network is to hear it in `batch.epoch`; the same object where nothing is changed.

        Args:
            batch: recordings and spans.
            seed: of the run.
            noise: recordings for `recorded` noise; without them the other kinds are used.
        """

        def uniform(stream: str, n: int = 2) -> NDArray[np.float64]:
            return draws.uniform(batch.draw_keys, seed=seed, epoch=batch.epoch, stream=stream, n=n)

        if not len(batch.keys):
            return batch
        result = self.change_time(batch, uniform)
        result = self.mix_noise(result, uniform, noise, in_place=result is not batch)
        return self.change_level(result, uniform, in_place=result is not batch)

    def change_time(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Play each recording at a speed of its own, and move it within its time."""
        low, high = round(self.speed_low * STEPS), round(self.speed_high * STEPS)
        most = round(self.timeshift_ms * self.sample_rate / 1000)
        if not (most and self.timeshift_prob) and (low == high == STEPS or not self.speed_prob):
            return batch
        draw = uniform("speed")
        steps = low + (draw[:, 1] * (high - low + 1)).astype(np.int64)
        steps[draw[:, 0] >= self.speed_prob] = STEPS
        draw = uniform("time shift")
        later = np.floor(draw[:, 1] * (2 * most + 1)).astype(np.int64) - most
        later[draw[:, 0] >= self.timeshift_prob] = 0
        return retime(batch, steps, later, low=min(low, STEPS), high=max(high, STEPS), sample_rate=self.sample_rate)

    def mix_noise(
        self, batch: Batch, uniform: Callable[..., NDArray[np.float64]], table: UtteranceTable | None, *, in_place: bool
    ) -> Batch:
        """Add noise of a kind and SNR of its own to each recording."""
        if self.snr_low_db is None or self.snr_high_db is None or not self.noise_prob:
            return batch
        kinds = tuple(kind for kind in self.noise_kinds if kind != RECORDED or (table is not None and len(table)))
        if not kinds:
            return batch
        draw = uniform("noise", 4)
        snr_db = self.snr_low_db + draw[:, 1] * (self.snr_high_db - self.snr_low_db)
        snr_db[draw[:, 0] >= self.noise_prob] = np.inf
        return mix(
            batch, snr_db, kinds, (draw[:, 2] * len(kinds)).astype(np.int64), draw[:, 3], table, in_place=in_place
        )

    def change_level(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]], *, in_place: bool) -> Batch:
        """Amplify or attenuate each recording."""
        if self.level_low_db == self.level_high_db == 0 or not self.level_prob:
            return batch
        draw = uniform("level")
        gain_db = self.level_low_db + draw[:, 1] * (self.level_high_db - self.level_low_db)
        gain_db[draw[:, 0] >= self.level_prob] = 0.0
        gain = torch.from_numpy(10.0 ** (gain_db / 20)).to(batch.audio.device, batch.audio.dtype)[:, None]
        return replace(batch, audio=batch.audio.mul_(gain) if in_place else batch.audio * gain)


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
