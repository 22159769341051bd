"""Base class of front ends: framing, computation in blocks, deltas."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from phonaut.features.checking import unknown_keys
from phonaut.features.framing import Framing
from phonaut.features.functional import deltas, length_mask
from phonaut.features.options import FrontEndOptions

# Frames in a block. On a CPU a block's spectra should stay in the cache (6 to 16 clips of a second measured best); on a
# GPU blocks only bound the memory.
BLOCK_FRAMES = 1000
GPU_BLOCKS = 32


class FrontEnd(nn.Module):
    """From waveforms to frames: `forward(audio (B, S), audio_lengths (B,)) -> (frames (B, T, D), lengths (B,))`.

    A recording's frames depend on its own `audio_lengths` samples only, whatever else is in the batch; frames past its
    count are 0. A recording has at least one frame. The result is differentiable. The arithmetic is never in half
    precision, whatever the type of `audio` and autocast are. Sub-classes override `analyze` and `transform`.

    Args:
        options: the fields of the class's `Options`, by keyword.

    Attributes:
        n_features: `D`.
        sample_rate: Hz.
        frame_shift_s: seconds from one frame to the next.
        frame_offset_s: time of the centre of frame 0 in seconds.

    Raises:
        ValueError: for options that do not fit together; all problems are named.
    """

    Options: ClassVar[type[FrontEndOptions]] = FrontEndOptions
    options: FrontEndOptions
    n_features: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__signature__ = inspect.signature(cls.Options)  # type: ignore[attr-defined]

    def __init__(self, **options: Any) -> None:
        problems = self.problems(**options)
        if problems:
            raise ValueError(f"{type(self).__name__}: " + "\n".join(problems))
        super().__init__()
        self.options = self.Options(**options)
        self.layout: Framing = self.options.layout()
        self.sample_rate: float = self.options.sample_rate
        self.frame_shift_s = self.layout.hop_length / self.sample_rate
        self.frame_offset_s = self.layout.offset / self.sample_rate
        self._exact: dict[str, Tensor] = {}

    def constant(self, name: str, value: Tensor) -> None:
        """Keep `value` as the buffer `name`: outside the state dict, for it follows from the options."""
        self._exact[name] = value.double()
        self.register_buffer(name, value.float(), persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """As every module, but constants are exact in float64, not rounded before, and never below float32."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in self._exact.items():
            moved = getattr(self, name)
            dtype = torch.float64 if moved.dtype == torch.float64 else torch.float32
            setattr(self, name, value.to(moved.device, dtype))
        return self

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """All problems of `options`, without building anything; empty if there are none.

        >>> from phonaut.features import MFCC
        >>> MFCC.problems(n_mfcc=13, f_max=9000)
        ['f_max=9000 is above half of sample_rate=16000: use f_max=8000 or less']
        """
        unknown = unknown_keys(cls.Options, options)
        known = {key: value for key, value in options.items() if key in cls.Options.__dataclass_fields__}
        return unknown + cls.Options(**known).problems()

    def n_frames(self, audio_lengths: Tensor) -> Tensor:
        """Frames of recordings of `audio_lengths` samples."""
        return self.layout.n_frames(audio_lengths)

    def analyze(self, frames: Tensor) -> Tensor:
        """Result of each window `(B, T, n_fft)` alone, `(B, T, D')`: computed in blocks."""
        return frames

    def analyze_warped(self, frames: Tensor, warp: Tensor) -> Tensor:
        """As `analyze`, with mel filters whose frequencies are moved by factors `warp (B,)`.

        Raises:
            ValueError: there are no such filters.
        """
        raise ValueError(f"{type(self).__name__} has no mel filters to warp")

    def transform(self, analyzed: Tensor, lengths: Tensor) -> Tensor:
        """Features `(B, T, D)` of the analyzed windows of recordings of `lengths (B,)` frames."""
        return analyzed

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `(B, T, D)` of `audio (B, S)`, and how many each recording has `(B,)`."""
        return self.warped(audio, audio_lengths, None)

    def warped(self, audio: Tensor, audio_lengths: Tensor, warp: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `forward`, with mel filters whose frequencies are moved by factors `warp (B,)` (`analyze_warped`)."""
        check(audio, audio_lengths)
        if audio.dtype == torch.float64 and any(getattr(self, name).dtype != torch.float64 for name in self._exact):
            name = type(self).__name__
            raise ValueError(f"audio is float64, and {name} computes in float32: write audio.float(), or "
                             f"{name}(...).double()")  # fmt: skip
        with full_precision(audio):
            lengths = self.n_frames(audio_lengths)
            samples = audio.to(torch.promote_types(audio.dtype, torch.float32))
            features = self._features(samples, audio_lengths, lengths, warp)
            orders = [features]
            causal, kind = self.options.framing == "causal", self.options.delta_kind
            for order in range(1, self.options.deltas + 1):
                below = orders[-1] if kind == "htk" else features
                orders.append(deltas(below, lengths, causal=causal, kind=kind, order=order))
            features = torch.cat(orders, dim=-1) if len(orders) > 1 else features
            n_frames = features.shape[1]
            on_cpu = audio.device.type == "cpu" and not torch.compiler.is_compiling()  # where a look costs nothing
            if not (on_cpu and bool((lengths == n_frames).all())):
                features = features.masked_fill(~length_mask(lengths, n_frames)[:, :, None], 0.0)
            return features.to(audio.dtype), lengths

    def _features(self, audio: Tensor, audio_lengths: Tensor, lengths: Tensor, warp: Tensor | None) -> Tensor:
        """Features of all frames, the windows in blocks of recordings; an exported graph has one block."""
        frames = self.layout.frames(audio, audio_lengths)
        most = BLOCK_FRAMES * (1 if audio.device.type == "cpu" else GPU_BLOCKS)
        size = max(1, most // frames.shape[1])
        if warp is not None:
            blocks = zip(torch.split(frames, size), torch.split(warp, size), strict=True)
            return self.transform(torch.cat([self.analyze_warped(*block) for block in blocks]), lengths)
        if len(audio) <= size or torch.compiler.is_compiling():
            return self.transform(self.analyze(frames), lengths)
        return self.transform(torch.cat([self.analyze(block) for block in torch.split(frames, size)]), lengths)

    def extra_repr(self) -> str:
        """The options that are not at their defaults, and what comes out."""
        usual = asdict(self.Options())
        given = [f"{key}={value}, " for key, value in asdict(self.options).items() if value != usual[key]]
        shift = f"every {self.frame_shift_s * 1e3:g} ms at {self.sample_rate:g} Hz"
        return f"{''.join(given)}n_features={self.n_features} {shift}"


def check(audio: Tensor, audio_lengths: Tensor) -> None:
    """Refuse what is not a batch of waveforms.

    Raises:
        ValueError: for wrong shapes or types, or lengths that are not from 1 to S (looked at on the CPU only: a look
            at a GPU's values would make it wait).
    """
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ValueError(
            f"audio must be floating-point samples in [-1, 1] of shape (B, S); got {audio.dtype} of shape "
            f"{tuple(audio.shape)}: write audio[None] for one recording, audio / 32768 for int16"
        )
    if audio_lengths.shape != audio.shape[:1] or audio_lengths.is_floating_point():
        raise ValueError(
            f"audio_lengths must be {len(audio)} whole numbers, one for each recording of audio; got "
            f"{audio_lengths.dtype} of shape {tuple(audio_lengths.shape)}"
        )
    if audio_lengths.device.type == "cpu" and not torch.compiler.is_compiling() and len(audio):
        least, most = int(audio_lengths.min()), int(audio_lengths.max())
        if least < 1 or most > audio.shape[1]:
            raise ValueError(
                f"audio_lengths must be from 1 to {audio.shape[1]}, the samples of audio; got {least} to {most}"
            )


def full_precision(audio: Tensor) -> AbstractContextManager[Any]:
    """Autocast off: half precision holds neither the range of a power spectrum nor a cepstrum's differences."""
    device = audio.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
