"""Framing of recordings: counts and times of frames, and padding beyond the ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

Mode = Literal["center", "snip_edges", "causal"]
PadMode = Literal["reflect", "replicate", "constant"]
Count = TypeVar("Count", int, Tensor)


@dataclass(frozen=True)
class Framing:
    """The windows of a recording: `win_length` samples every `hop_length`, laid out in one of three ways.

    | mode | frame `t` covers the samples | frames of `n` samples |
    |---|---|---|
    | `center` | `win_length` around `t * hop`, beyond the ends as `pad_mode` says | `1 + n // hop` (`n_fft` even) |
    | `snip_edges` | `[t * hop, t * hop + win)`: whole windows only | `1 + (n - win) // hop` |
    | `causal` | `[(t + 1) * hop - win, (t + 1) * hop)`, zeros before the first | `n // hop` |

    A recording has at least one frame: where it ends before its first window does, zeros follow (`center`: as
    `pad_mode` says). `center` is the layout of `torch.stft` and librosa, `snip_edges` that of Kaldi. `pad_mode` acts on
    `center` alone: `reflect` mirrors the recording about its first and last sample (again and again where it is shorter
    than half a window, as `numpy.pad` does), `replicate` repeats those samples, `constant` takes zeros.

    Args:
        win_length: samples of a window.
        hop_length: samples from one window to the next.
        n_fft: samples of a frame as it is handed out, at least `win_length`; what follows the window is arbitrary,
            and a window function padded with zeros removes it.
        mode: `center`, `snip_edges` or `causal`.
        pad_mode: `reflect`, `replicate` or `constant`.

    >>> Framing(win_length=400, hop_length=160, n_fft=512, mode="snip_edges").n_frames(16000)
    98
    """

    win_length: int
    hop_length: int
    n_fft: int
    mode: Mode = "center"
    pad_mode: PadMode = "reflect"

    @property
    def first_sample(self) -> int:
        """The sample at which the window of frame 0 begins; negative where it begins before the recording."""
        if self.mode == "center":
            return (self.n_fft - self.win_length) // 2 - self.n_fft // 2
        return self.hop_length - self.win_length if self.mode == "causal" else 0

    @property
    def offset(self) -> float:
        """The sample at the centre of frame 0; that of frame `t` is `t * hop_length` later."""
        return 0.0 if self.mode == "center" else self.first_sample + self.win_length / 2

    def n_frames(self, n_samples: Count) -> Count:
        """Frames of recordings of `n_samples`: of an int, or of a tensor of any shape."""
        beyond = 2 * (self.n_fft // 2) - self.n_fft if self.mode == "center" else -self.first_sample - self.win_length
        count = 1 + (n_samples + beyond) // self.hop_length
        return count.clamp(min=1) if isinstance(count, Tensor) else max(1, count)

    def frames(self, audio: Tensor, audio_lengths: Tensor) -> Tensor:
        """The frames `(B, T, n_fft)` of `audio (B, S)`, a view in which neighbours overlap.

        Each recording ends at its own `audio_lengths (B,)`: what follows in `audio` is never read by one of its
        frames. `T` is the frame count of `S` samples; a recording's frames past its own count are arbitrary.
        """
        # `head` and `tail` are the samples before the first and after the last of each recording, as `pad_mode` says;
        # the tail is written at the recording's own end, over the padding of the batch.
        n_before, n_samples = -self.first_sample, audio.shape[1]
        end = audio_lengths[:, None]
        after = end + torch.arange(self.n_fft, device=audio.device)
        if self.mode == "center" and self.pad_mode != "constant":
            before = torch.arange(-n_before, 0, device=audio.device).expand(len(audio), -1)
            head, tail = audio.gather(1, self.source_of(before, end)), audio.gather(1, self.source_of(after, end))
        else:
            head, tail = audio.new_zeros(len(audio), n_before), audio.new_zeros(len(audio), self.n_fft)
        padded = torch.cat([head, audio, audio.new_zeros(len(audio), self.n_fft)], dim=1)
        padded = padded.scatter_(1, after + n_before, tail)
        return padded.unfold(1, self.n_fft, self.hop_length)[:, : self.n_frames(n_samples)]

    def source_of(self, sample: Tensor, n_samples: Tensor) -> Tensor:
        """The sample of the recording that replaces `sample`, which may lie beyond its ends."""
        last = n_samples - 1
        if self.pad_mode == "replicate":
            return torch.minimum(sample.clamp(min=0), last)
        # Reflected about both ends, a recording repeats every 2 (n - 1) samples: forward up to sample n - 1, then
        # backward. A phase beyond n - 1 is therefore that far before the end of the period.
        period = (2 * last).clamp(min=1)
        phase = sample.remainder(period)
        return torch.minimum(phase, period - phase)
