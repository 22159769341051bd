"""Griffin-Lim from magnitudes: Phonaut against librosa at equal spectral convergence, on the same cores.

Both get the magnitudes of the same recordings (gliding voices with noise), in windows of 25 ms every 10, begin with
random phases, and take as many iterations as librosa does by default (32, momentum 0.99) or as Phonaut needs to come as
near. How near is measured alike for both, by librosa's transform of the audio they return. They take turns; the
median over the rounds of (librosa's time / ours) is printed.

    python benchmarks/inversion.py [--recordings 8] [--seconds 3] [--rounds 9] [--output FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch

from machine import machine, write_result
from phonaut.features import Spectrogram
from phonaut.features.griffin_lim import griffin_lim

SAMPLE_RATE = 16000
PAUSE_S = 0.2
STFT = {"n_fft": 512, "win_length": 400, "hop_length": 160}
LIBROSA_ITERATIONS = 32
WANTED = 3.0


def recordings(n: int, seconds: float) -> np.ndarray:
    """`n` voices of 20 harmonics that glide from their own pitch, four syllables a second, with noise, (n, samples)."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = rng.uniform(90, 200, (n, 1)) + 20 * np.sin(2 * np.pi * rng.uniform(0.3, 1, (n, 1)) * t)
    phase = 2 * np.pi * np.cumsum(pitch, axis=1) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 21)) * (1 + np.sin(8 * np.pi * t))
    return (0.05 * voice + 0.002 * rng.standard_normal(voice.shape)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()

    audio = torch.from_numpy(recordings(arguments.recordings, arguments.seconds))
    front_end = Spectrogram(**STFT, log=None, power=1, pad_mode="constant")
    lengths = torch.full((len(audio),), audio.shape[1])
    magnitude = front_end(audio, lengths)[0]
    for_librosa = magnitude.mT.contiguous().numpy()

    def convergence(found: np.ndarray) -> float:
        """Mean over recordings of the spectral convergence in dB."""
        got = np.abs(librosa.stft(found, pad_mode="constant", **STFT))
        norms = [np.sqrt(np.square(x).sum(axis=(1, 2))) for x in (got - for_librosa, for_librosa)]
        return float((20 * np.log10(norms[0] / norms[1])).mean())

    def ours(n_iterations: int) -> np.ndarray:
        found = griffin_lim(magnitude, front_end.layout, front_end.window, lengths, seed=0, n_iterations=n_iterations)
        return found.audio.numpy()

    def librosas(magnitudes: np.ndarray) -> np.ndarray:
        options: dict[str, Any] = {"n_iter": LIBROSA_ITERATIONS, "random_state": 0, "pad_mode": "constant"}
        return librosa.griffinlim(magnitudes, length=audio.shape[1], **STFT, **options)

    wanted = convergence(librosas(for_librosa))
    n_iterations = next((n for n in range(2, 200) if convergence(ours(n)) <= wanted), None)
    if n_iterations is None:
        raise SystemExit(f"200 iterations do not come to librosa's {wanted:.1f} dB")
    runs: dict[str, Callable[[], np.ndarray]] = {
        "phonaut": lambda: ours(n_iterations),
        "librosa, one by one": lambda: np.stack([librosas(one) for one in for_librosa]),
        "librosa, on the batch": lambda: librosas(for_librosa),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            time.sleep(PAUSE_S)
            run()
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    report: dict[str, Any] = {
        "machine": machine(),
        "recordings": arguments.recordings,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "convergence_db": {"librosa": wanted, "phonaut": convergence(ours(n_iterations))},
        "iterations": {"librosa": LIBROSA_ITERATIONS, "phonaut": n_iterations},
        "peers": {},
    }
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    print(f"librosa {LIBROSA_ITERATIONS} iterations {wanted:.2f} dB, phonaut {n_iterations} for as much")
    for peer in list(runs)[1:]:
        ratios = [theirs / mine for theirs, mine in zip(seconds[peer], seconds["phonaut"], strict=True)]
        row = {"ratio": statistics.median(ratios), "wanted": WANTED, "seconds": statistics.median(seconds[peer])}
        row["ours_seconds"] = statistics.median(seconds["phonaut"])
        report["peers"][peer] = row
        print(
            f"{peer:24} {row['seconds'] * 1e3:8.1f} ms, phonaut {row['ours_seconds'] * 1e3:7.1f}: "
            f"{row['ratio']:4.1f} times as fast (wanted {WANTED:g})"
        )
    write_result(arguments.output, report)


if __name__ == "__main__":
    main()
