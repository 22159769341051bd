"""Milliseconds for one recording of a second, from audio to scores, one thread: tc-res8 with its front end.

    python benchmarks/latency.py

The bare script does the same with nothing but PyTorch: `stft`, two matrix products, slopes over five frames, CMVN, and
the network written down as `nn.Conv1d` and `nn.BatchNorm1d`, for one length and no mask. Both run in turns; the ratio
is the median of rounds, the times are the best and the median.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from machine import machine
from phonaut.config.compose import compose
from phonaut.features.mel import mel_filters
from phonaut.tasks.build import speech_model

RATE, ROUNDS, EACH = 16000, 60, 5
RESULT = Path(__file__).parent / "results" / "latency.json"


class BareFeatures(nn.Module):
    """13 MFCC with both orders of slopes, each recording normalised."""

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filters(sample_rate=RATE, n_fft=512, n_mels=40, f_min=20, f_max=RATE / 2)
        self.register_buffer("window", torch.hann_window(480))
        self.register_buffer("mel", torch.as_tensor(filters, dtype=torch.float32))
        n = torch.arange(40) + 0.5
        basis = math.sqrt(2 / 40) * torch.cos(math.pi / 40 * n[:, None] * torch.arange(13))
        basis[:, 0] /= math.sqrt(2)
        self.register_buffer("basis", basis)
        self.register_buffer("slope", torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 5) / 10)

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(audio, 512, 160, 480, self.window, center=True, return_complex=True).abs().square()
        mel = 10 * torch.log10((spectrum.transpose(1, 2) @ self.mel).clamp(min=1e-10))
        mel = torch.maximum(mel, mel.amax() - 80)
        first = (mel @ self.basis).transpose(1, 2)
        second = self.slopes(first)
        x = torch.cat([first, second, self.slopes(second)], dim=1)
        return (x - x.mean(dim=2, keepdim=True)) / x.std(dim=2, keepdim=True, correction=0)

    def slopes(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (2, 2), mode="replicate")
        return F.conv1d(padded.transpose(0, 1), self.slope).transpose(0, 1)


def convolution(n_in: int, n_out: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch normalisation."""
    return nn.Sequential(nn.Conv1d(n_in, n_out, size, stride, padding=size // 2, bias=False), nn.BatchNorm1d(n_out))


class BareBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = convolution(n_in, n_out, 9, 2), convolution(n_out, n_out, 9)
        self.shortcut = convolution(n_in, n_out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + F.relu(self.shortcut(x)))


class Bare(nn.Module):
    """Audio `(1, S)` to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = BareFeatures()
        self.first = convolution(39, 16, 3)
        self.blocks = nn.Sequential(BareBlock(16, 24), BareBlock(24, 32), BareBlock(32, 48))
        self.last = nn.Linear(48, 12)

    def forward(self, audio: Tensor) -> Tensor:
        return self.last(self.blocks(F.relu(self.first(self.features(audio)))).mean(dim=2))


def milliseconds(run: Callable[[], Tensor]) -> float:
    """Of one call, mean of a few."""
    start = time.perf_counter()
    for _ in range(EACH):
        run()
    return 1000 * (time.perf_counter() - start) / EACH


def main() -> None:
    torch.set_num_threads(1)
    config = compose(["dataset=fsdd", "model=tc-res8"])
    ours, bare = speech_model(config, 12).eval(), Bare().eval()
    audio, lengths = 0.1 * torch.randn(1, RATE), torch.tensor([RATE])
    with torch.inference_mode():
        gap = (ours.frames(audio, lengths)[0][0].T - bare.features(audio)[0]).abs().max()
        assert gap < 1e-2, f"the bare script has other features: {gap}"
        runs = {"phonaut": lambda: ours(audio, lengths), "bare": lambda: bare(audio)}
        for run in runs.values():
            milliseconds(run)
        rounds = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    ratio = statistics.median(one["phonaut"] / one["bare"] for one in rounds)
    times = {name: [one[name] for one in rounds] for name in runs}
    for name, one in times.items():
        print(f"{name:8} best {min(one):.2f} ms, median {statistics.median(one):.2f} ms")
    print(f"ratio, median of {ROUNDS} rounds: {ratio:.2f}")
    best = {name: min(one) for name, one in times.items()}
    RESULT.write_text(
        json.dumps({"machine": machine(), "best_ms": best, "ratio": ratio}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
