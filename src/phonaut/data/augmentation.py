"""Perturbations of training recordings: speed, time shift, noise, level; on whole batches, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data import draws, resampling
from phonaut.data.batches import Batch
from phonaut.data.noise import SLOPES, recorded, synthetic

if TYPE_CHECKING:
    from phonaut.data.prepared import CutTable

RECORDED = "recorded"
NOISE_KINDS = (*SLOPES, RECORDED)


@dataclass(frozen=True)
class Augmentation:
    """Each recording is changed with draws of its own, functions of (seed, epoch, recording) alone.

    In this order: speed and time shift (how it was spoken, and when), noise (where), level (how it was recorded). What
    changes time moves the spans with it. Values may leave [-1, 1]; nothing is clipped.

    Attributes:
        sample_rate: of the audio, Hz.
        speed_low: slowest speed, a factor on tempo and pitch alike; in steps of 0.01.
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
        problems = [*self.wrong_ranges(), *self.wrong_values()]
        if problems:
            raise ValueError("augmentation: " + "; ".join(problems))

    def wrong_ranges(self) -> list[str]:
        """What is wrong with the ranges."""
        problems = []
        if (self.snr_low_db is None) != (self.snr_high_db is None):
            problems.append("snr_low_db and snr_high_db are numbers both, or null both (no noise)")
        for name, unit in (("speed", ""), ("snr", "_db"), ("level", "_db")):
            low, high = getattr(self, f"{name}_low{unit}"), getattr(self, f"{name}_high{unit}")
            if low is not None and high is not None and not low <= high:
                problems.append(f"{name}_low{unit}={low} is above {name}_high{unit}={high}")
        if not 0.1 <= self.speed_low or not self.speed_high <= 10:
            problems.append(f"speeds lie between 0.1 and 10, got {self.speed_low} to {self.speed_high}")
        return problems

    def wrong_values(self) -> list[str]:
        """What is wrong with the other values."""
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

    def __call__(self, batch: Batch, *, seed: int, noise: CutTable | None = None) -> Batch:
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
        batch = self.change_speed(batch, uniform)
        batch = self.shift_time(batch, uniform)
        batch = self.mix_noise(batch, uniform, noise)
        return self.change_level(batch, uniform)

    def change_speed(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Play each recording at a speed of its own."""
        low, high = round(self.speed_low * resampling.STEPS), round(self.speed_high * resampling.STEPS)
        if low == high == resampling.STEPS or not self.speed_prob:
            return batch
        draw = uniform("speed")
        percent = low + (draw[:, 1] * (high - low + 1)).astype(np.int64)
        percent[draw[:, 0] >= self.speed_prob] = resampling.STEPS
        (changed,) = np.nonzero(percent != resampling.STEPS)
        return play_at(batch, percent, changed, low=low, high=high, sample_rate=self.sample_rate)

    def shift_time(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Move each recording within its time."""
        most = round(self.timeshift_ms * self.sample_rate / 1000)
        if not most or not self.timeshift_prob:
            return batch
        draw = uniform("time shift")
        shift = np.floor(draw[:, 1] * (2 * most + 1)).astype(np.int64) - most
        shift[draw[:, 0] >= self.timeshift_prob] = 0
        audio = clear_padding(stretch(batch.audio, -shift, batch.audio.shape[1]), batch)
        later_s = torch.from_numpy(shift / self.sample_rate).to(audio.device)
        return move_spans(replace(batch, audio=audio), batch, torch.ones_like(later_s), later_s, self.sample_rate)

    def mix_noise(
        self, batch: Batch, uniform: Callable[..., NDArray[np.float64]], table: CutTable | None = None
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
        return mix(batch, snr_db, kinds, (draw[:, 2] * len(kinds)).astype(np.int64), draw[:, 3], table)

    def change_level(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Amplify or attenuate each recording."""
        if self.level_low_db == self.level_high_db == 0 or not self.level_prob:
            return batch
        draw = uniform("level")
        gain_db = self.level_low_db + draw[:, 1] * (self.level_high_db - self.level_low_db)
        gain_db[draw[:, 0] >= self.level_prob] = 0.0
        return replace(batch, audio=batch.audio * column(10.0 ** (gain_db / 20), batch.audio))


def add_noise(
    batch: Batch, snr_db: float, *, kind: str = "white", seed: int = 0, noise: CutTable | None = None
) -> Batch:
    """Noise at a fixed SNR, the same for a recording whenever and wherever it is tested.

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
    chosen: NDArray[np.int64],
    place: NDArray[np.float64],
    table: CutTable | None,
) -> Batch:
    """Add to each recording noise `kinds[chosen]` from `place`, so that `10 log10(P_recording / P_noise) = snr_db`.

    Both powers are means over the recording's own samples, padding left out. An infinite SNR adds nothing, nor does
    noise join where either power is zero.
    """
    made = tuple(kind for kind in kinds if kind != RECORDED)
    if made:
        index = np.array([made.index(kind) if kind in made else 0 for kind in kinds])
        added = synthetic(made, index[chosen], place, batch.audio)
    else:
        added = torch.zeros_like(batch.audio)
    (from_table,) = np.nonzero((np.array(kinds)[chosen] == RECORDED) & np.isfinite(snr_db))
    if len(from_table):
        assert table is not None
        where = torch.from_numpy(from_table)
        lengths = batch.audio_lengths.cpu()[where].numpy()
        stretches = recorded(table, place[from_table], lengths, batch.audio.shape[1])
        added[where.to(added.device)] = stretches.to(added.device)
    added = clear_padding(added, batch)
    wanted = torch.linalg.vector_norm(batch.audio, dim=1, dtype=torch.float64)
    wanted *= torch.from_numpy(10.0 ** (-snr_db / 20)).to(wanted.device)
    present = torch.linalg.vector_norm(added, dim=1, dtype=torch.float64)
    gain = torch.where(present > 0, wanted / present, 0.0).to(batch.audio.dtype)
    return replace(batch, audio=torch.addcmul(batch.audio, added, gain[:, None]))


def play_at(
    batch: Batch, percent: NDArray[np.int64], changed: NDArray[np.int64], *, low: int, high: int, sample_rate: int
) -> Batch:
    """The recordings `changed` at speeds of `percent (B,)` hundredths; clips are fitted to their length again."""
    if not len(changed):
        return batch
    device = batch.audio.device
    where, speed = torch.from_numpy(changed).to(device), torch.from_numpy(percent).to(device)
    faster = resampling.change_speed(batch.audio[where], percent[changed], low=low, high=high)
    lengths = resampling.resampled_length(batch.audio_lengths, speed)
    zeros = torch.arange(faster.shape[1], device=device) >= lengths[where][:, None]
    faster.masked_fill_(zeros, 0.0)
    later = torch.zeros_like(lengths)
    if batch.clip_samples is not None:
        clip = batch.clip_samples
        begin = (-(-clip * resampling.STEPS // percent) - clip) // 2  # where the clip begins in the result
        faster, later = stretch(faster, begin[changed], clip), -torch.from_numpy(begin).to(device)
        lengths = batch.audio_lengths
    n_samples = int(lengths.max()) if batch.clip_samples is None else batch.audio.shape[1]
    audio = torch.nn.functional.pad(batch.audio, (0, n_samples - batch.audio.shape[1]))
    if audio is batch.audio:
        audio = audio.clone()
    audio[where] = torch.nn.functional.pad(faster, (0, n_samples - faster.shape[1]))
    played = replace(batch, audio=audio, audio_lengths=lengths)
    return move_spans(played, batch, resampling.STEPS / speed.double(), later / sample_rate, sample_rate)


def move_spans(batch: Batch, before: Batch, factor: Tensor, later_s: Tensor, sample_rate: int) -> Batch:
    """The spans where `before` came to be `batch`: times are now `time * factor (B,) + later_s (B,)`.

    A span that was all of its recording still is. Others are clipped to it; of one that has left it, nothing is known
    any more: label -1.
    """
    recording = before.span_recording
    old_s, new_s = (lengths[recording].double() / sample_rate for lengths in (before.audio_lengths, batch.audio_lengths))
    whole = (before.span_start_s <= 0) & (before.span_end_s >= old_s - 0.5 / sample_rate)
    start_s, end_s = (
        torch.minimum((time * factor[recording] + later_s[recording]).clamp(min=0), new_s)
        for time in (before.span_start_s, before.span_end_s)
    )
    gone = ~whole & (end_s <= start_s)
    return replace(
        batch,
        span_start_s=torch.where(whole, 0.0, start_s),
        span_end_s=torch.where(whole, new_s, end_s),
        labels=before.labels.masked_fill(gone, -1),
    )


def stretch(audio: Tensor, begin: NDArray[np.int64], n_samples: int) -> Tensor:
    """`n_samples` of each recording from sample `begin (B,)` on, zero outside it: `(B, n_samples)`."""
    n_items, n_present = audio.shape
    before = max(-int(begin.min()), 0)
    after = max(int(begin.max()) + n_samples - n_present, 0)
    padded = torch.nn.functional.pad(audio, (before, after))
    rows = np.arange(n_items) * padded.shape[1] + before + begin
    stretches = padded.as_strided((padded.numel() - n_samples + 1, n_samples), (1, 1))
    return stretches.index_select(0, torch.from_numpy(rows).to(audio.device))


def clear_padding(audio: Tensor, batch: Batch) -> Tensor:
    """`audio`, zero beyond the recordings of `batch`."""
    if batch.clip_samples is not None:  # no recording is shorter than another
        return audio
    return audio.masked_fill_(torch.arange(audio.shape[1], device=audio.device) >= batch.audio_lengths[:, None], 0.0)


def column(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """`(B,)` draws as a `(B, 1)` factor of `like`."""
    return torch.from_numpy(values).to(like.device, like.dtype)[:, None]
