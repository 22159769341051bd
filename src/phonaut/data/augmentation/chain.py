"""Perturbations of training recordings: of voice, room, noise, microphone and codec; on whole batches at once."""

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
from phonaut.data.augmentation.channel import KNOTS, apply_channel, gains, recorded_rooms, simulated_rooms
from phonaut.data.augmentation.codecs import CODECS, OPUS_RATES, pass_codecs
from phonaut.data.augmentation.mixing import NOISE_KINDS, RECORDED, mix
from phonaut.data.augmentation.resampling import STEPS
from phonaut.data.augmentation.timing import retime
from phonaut.data.batches import Batch

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

WARPS = 100  # vocal-tract lengths are multiples of 1/WARPS
PROBABILITIES = ("speed", "timeshift", "vtl", "room", "equalizer", "rolloff", "noise", "level", "codec", "time_mask",
                 "frequency_mask")  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """Each recording is changed with draws of its own, functions of (seed, epoch, recording) alone.

    In this order: speed and time shift (how it was spoken, and when), length of the vocal tract (by whom), room, noise
    (where), level and codec (how it was recorded), masks (what is hidden from the model). What changes time moves the
    spans with it. Values may leave [-1, 1]; nothing is clipped. Room, equaliser and roll-off are one filter, and noise
    is heard through none of them.

    Attributes:
        sample_rate: of the audio, Hz.
        speed_low: slowest speed, a factor on tempo and pitch alike; in steps of 0.025.
        speed_high: fastest speed.
        speed_prob: part of the recordings whose speed is changed. Where all recordings are clips of one length, the
            result is fitted to it around the middle.
        timeshift_ms: largest shift to either side; zeros come in.
        timeshift_prob: part of the recordings that are shifted.
        vtl_low: shortest factor on the frequencies of the mel filters, in steps of 0.01 (`phonaut.features.mel`).
        vtl_high: longest.
        vtl_prob: part of the recordings that another vocal tract has spoken.
        room_prob: part of the recordings that are heard in a room.
        room_rt60_low_s: shortest reverberation time of simulated rooms, seconds.
        room_rt60_high_s: longest.
        room_direct_low_db: least energy of the direct sound over that of the reverberation.
        room_direct_high_db: most.
        room_folder: recorded impulse responses in place of simulated ones.
        equalizer_db: largest gain or loss at 8 frequencies, linear in dB over octaves in between.
        equalizer_prob: part of the recordings that pass an equaliser.
        rolloff_low_hz: lowest cut-off of a low-pass filter of 24 dB an octave, drawn log-uniformly; null: none.
        rolloff_high_hz: highest.
        rolloff_prob: part of the recordings that are cut off.
        snr_low_db: loudest noise, as the ratio of the powers of recording and noise; null: no noise.
        snr_high_db: softest noise.
        noise_prob: part of the recordings that get noise; digital silence never gets any.
        noise_kinds: `white`, `pink` (power falls as 1/f), `brown` (as 1/f^2), `blue` (rises as f), `recorded` (where
            the corpus brings noise); each as likely.
        level_low_db: lowest gain.
        level_high_db: highest gain.
        level_prob: part of the recordings whose level is changed.
        codec_prob: part of the recordings that pass a codec; 10 to 40 ms of processor time for each.
        codecs: some of `mp3`, `opus`, `vorbis`, each as likely and at a random quality.
        time_mask_ms: longest stretch whose frames are replaced by the mean of the recording; 0: off.
        time_masks: stretches in a recording.
        time_mask_prob: part of the recordings that have them.
        frequency_mask: widest band, as a part of all, that is hidden likewise; 0: off.
        frequency_masks: bands in a recording.
        frequency_mask_prob: part of the recordings that have them.

    Raises:
        ValueError: a range is upside down, a probability outside [0, 1], a kind of noise unknown; all at once.
    """

    RULES: ClassVar = {
        **dict.fromkeys(("snr_low_db", "snr_high_db", "level_low_db", "level_high_db"), within(-200, 200)),
        **dict.fromkeys(("timeshift_ms", "time_mask_ms"), within(0, 60_000)),
        **dict.fromkeys(("room_direct_low_db", "room_direct_high_db"), within(-100, 100)),
        **dict.fromkeys(("room_rt60_low_s", "room_rt60_high_s"), within(0.01, 10)),
        **dict.fromkeys(("rolloff_low_hz", "rolloff_high_hz"), within(10, 10**6)),
        **dict.fromkeys(("time_masks", "frequency_masks"), within(1, 100)),
        **dict.fromkeys(("vtl_low", "vtl_high"), within(0.5, 2)),
        "equalizer_db": within(0, 100),
        "frequency_mask": within(0, 1),
    }

    sample_rate: int
    speed_low: float = 1.0
    speed_high: float = 1.0
    speed_prob: float = 1.0
    timeshift_ms: float = 0.0
    timeshift_prob: float = 1.0
    vtl_low: float = 1.0
    vtl_high: float = 1.0
    vtl_prob: float = 1.0
    room_prob: float = 0.0
    room_rt60_low_s: float = 0.1
    room_rt60_high_s: float = 0.4
    room_direct_low_db: float = 0.0
    room_direct_high_db: float = 15.0
    room_folder: str | None = None
    equalizer_db: float = 0.0
    equalizer_prob: float = 1.0
    rolloff_low_hz: float | None = None
    rolloff_high_hz: float | None = None
    rolloff_prob: float = 1.0
    snr_low_db: float | None = None
    snr_high_db: float | None = None
    noise_prob: float = 1.0
    noise_kinds: Sequence[str] = ("white", "pink", RECORDED)
    level_low_db: float = 0.0
    level_high_db: float = 0.0
    level_prob: float = 1.0
    codec_prob: float = 0.0
    codecs: Sequence[str] = CODECS
    time_mask_ms: float = 0.0
    time_masks: int = 1
    time_mask_prob: float = 1.0
    frequency_mask: float = 0.0
    frequency_masks: int = 1
    frequency_mask_prob: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise_kinds", tuple(self.noise_kinds))
        object.__setattr__(self, "codecs", tuple(self.codecs))
        refuse([*self.range_problems(), *self.value_problems()], "augmentation: ")

    @property
    def needs_mels(self) -> str:
        """The key by which mel filters are moved; empty: none are."""
        moves = (self.vtl_low, self.vtl_high) != (1, 1) and self.vtl_prob
        return f"augmentation.vtl_low={self.vtl_low} vtl_high={self.vtl_high}" if moves else ""

    @property
    def needs_bands(self) -> str:
        """The key by which bands are hidden; empty: none are."""
        return f"augmentation.frequency_mask={self.frequency_mask}" * bool(
            self.frequency_mask and self.frequency_mask_prob
        )

    def range_problems(self) -> list[str]:
        """All problems of the ranges."""
        problems = []
        if (self.snr_low_db is None) != (self.snr_high_db is None):
            problems.append("snr_low_db and snr_high_db are numbers both, or null both (no noise)")
        if (self.rolloff_low_hz is None) != (self.rolloff_high_hz is None):
            problems.append("rolloff_low_hz and rolloff_high_hz are numbers both, or null both (none is cut off)")
        units = {
            "speed": "",
            "vtl": "",
            "snr": "_db",
            "level": "_db",
            "room_direct": "_db",
            "room_rt60": "_s",
            "rolloff": "_hz",
        }
        for name, unit in units.items():
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
        for name in (f"{of}_prob" for of in PROBABILITIES):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is between 0 and 1, got {getattr(self, name)}")
        for name, there in (("noise_kinds", NOISE_KINDS), ("codecs", CODECS)):
            unknown = [kind for kind in getattr(self, name) if kind not in there]
            if unknown or not getattr(self, name):
                problems.append(f"{name} are some of {', '.join(there)}, got {', '.join(unknown) or 'none'}")
        if self.codec_prob and "opus" in self.codecs and self.sample_rate not in OPUS_RATES:
            problems.append(f"codecs: opus is for {', '.join(map(str, OPUS_RATES))} Hz, got {self.sample_rate}")
        if self.room_folder is not None and self.room_prob:
            try:
                recorded_rooms(self.room_folder, self.sample_rate)
            except ValueError as error:
                problems.append(str(error))
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
        result = self.change_channel(self.change_voice(result, uniform), uniform)
        result = self.mix_noise(result, uniform, noise, in_place=result.audio is not batch.audio)
        result = self.change_level(result, uniform, in_place=result.audio is not batch.audio)
        return self.mask(self.encode(result, uniform), uniform)

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

    def change_voice(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Note by which factor the front end is to move its mel filters for each recording."""
        low, high = round(self.vtl_low * WARPS), round(self.vtl_high * WARPS)
        if low == high == WARPS or not self.vtl_prob:
            return batch
        draw = uniform("vocal tract")
        warp = low + np.floor(draw[:, 1] * (high - low + 1))
        warp[draw[:, 0] >= self.vtl_prob] = WARPS
        return replace(batch, warp=torch.from_numpy(warp / WARPS).to(batch.audio.device))

    def change_channel(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Hear each recording in a room, through an equaliser and a low-pass filter of its own."""
        rooms = index = None
        if self.room_prob:
            draw = uniform("room")
            rooms = self.rooms()
            index = np.where(draw[:, 0] < self.room_prob, (draw[:, 1] * len(rooms)).astype(np.int64), -1)
        level_db = cutoff_hz = None
        if self.equalizer_db and self.equalizer_prob:
            draw = uniform("equalizer", KNOTS + 1)
            level_db = (2 * draw[:, 1:] - 1) * self.equalizer_db * (draw[:, :1] < self.equalizer_prob)
        if self.rolloff_low_hz is not None and self.rolloff_high_hz is not None and self.rolloff_prob:
            draw = uniform("roll-off")
            cutoff_hz = self.rolloff_low_hz * (self.rolloff_high_hz / self.rolloff_low_hz) ** draw[:, 1]
            cutoff_hz[draw[:, 0] >= self.rolloff_prob] = np.inf
        if level_db is None and cutoff_hz is None and index is None:
            return batch
        return apply_channel(batch, gains(level_db, cutoff_hz, self.sample_rate), rooms, index)

    def rooms(self) -> Tensor:
        """The impulse responses to choose among, `(R, L)`."""
        if self.room_folder is not None:
            return recorded_rooms(self.room_folder, self.sample_rate)
        times, direct = (
            (self.room_rt60_low_s, self.room_rt60_high_s),
            (self.room_direct_low_db, self.room_direct_high_db),
        )
        return simulated_rooms(*times, *direct, self.sample_rate)

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

    def encode(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Send some recordings through a codec."""
        if not self.codec_prob:
            return batch
        draw = uniform("codec", 3)
        codec = np.where(draw[:, 0] < self.codec_prob, (draw[:, 1] * len(self.codecs)).astype(np.int64), -1)
        return pass_codecs(batch, self.codecs, codec, draw[:, 2], self.sample_rate)

    def mask(self, batch: Batch, uniform: Callable[..., NDArray[np.float64]]) -> Batch:
        """Note what is to be hidden of the frames of each recording: from when to when, and which bands."""
        hidden: dict[str, Tensor] = {}
        seconds = (batch.audio_lengths.cpu().numpy() / self.sample_rate)[:, None]
        for name, n, longest, whole in (
            ("time_mask", self.time_masks, self.time_mask_ms / 1000, seconds),
            ("frequency_mask", self.frequency_masks, self.frequency_mask, np.ones_like(seconds)),
        ):
            prob = getattr(self, f"{name}_prob")
            if longest and prob:
                draw = uniform(name, 1 + 2 * n)
                width = np.minimum(draw[:, 1 : 1 + n] * longest, whole) * (draw[:, :1] < prob)
                begin = draw[:, 1 + n :] * (whole - width)
                hidden[name] = torch.from_numpy(np.stack([begin, begin + width], axis=2)).to(batch.audio.device)
        if not hidden:
            return batch
        return replace(batch, hidden_s=hidden.get("time_mask"), hidden_bands=hidden.get("frequency_mask"))
