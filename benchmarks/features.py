"""MFCC of 1-second clips: Phonaut in batches against librosa and kaldi-native-fbank, on the same cores.

Each peer computes what Phonaut computes, to 1e-3 on every coefficient, or there is no result. All take turns, so
that what else the machine does falls on all; the median over the rounds of (peer's time / ours) is printed. A turn is a
pause, a call that is not timed, and one that is: BLAS threads of the turn before wait in a loop for 0.1 s, on a core
that the next one needs.

    python benchmarks/features.py [--clips 256] [--rounds 15] [--output benchmarks/results/features.json]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kaldi_native_fbank
import librosa
import numpy as np
import torch

from machine import machine, write_result
from phonaut.features import KALDI_MFCC, MFCC

SAMPLE_RATE = 16000
PAUSE_S = 0.2
LIBROSA = {"n_mels": 40, "n_fft": 512, "win_length": 480, "hop_length": 160, "fmin": 20, "fmax": 8000}


def clips(n: int) -> np.ndarray:
    """`n` clips of one second: noise under a moving envelope, (n, samples) in [-1, 1]."""
    generator = np.random.default_rng(0)
    envelope = np.interp(np.arange(SAMPLE_RATE), np.linspace(0, SAMPLE_RATE, 12), generator.uniform(0, 0.3, 12))
    return (envelope * generator.standard_normal((n, SAMPLE_RATE))).clip(-1, 1).astype(np.float32)


def kaldi_options() -> Any:
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.use_energy = False
    return options


def kaldi_mfcc(audio: np.ndarray, options: Any) -> np.ndarray:
    mfcc = kaldi_native_fbank.OnlineMfcc(options)
    mfcc.accept_waveform(SAMPLE_RATE, audio)
    mfcc.input_finished()
    return np.stack([mfcc.get_frame(i) for i in range(mfcc.num_frames_ready)])


def workloads(audio: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """What takes turns: a name and a function that returns the features of all clips."""
    ours, kaldi, options = MFCC(pad_mode="constant"), MFCC(**KALDI_MFCC), kaldi_options()
    batch, lengths = torch.from_numpy(audio), torch.full((len(audio),), SAMPLE_RATE)
    loud, two = audio * 32768, ThreadPoolExecutor(2)

    def librosa_mfcc(signal: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(y=signal, sr=SAMPLE_RATE, htk=True, norm=None, **LIBROSA)
        return np.swapaxes(librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=40), -1, -2)

    return {
        "phonaut": lambda: ours(batch, lengths)[0].numpy(),
        "librosa, clip by clip": lambda: np.stack([librosa_mfcc(clip) for clip in audio]),
        "librosa, on the batch": lambda: librosa_mfcc(audio),
        "phonaut, Kaldi's settings": lambda: kaldi(batch, lengths)[0].numpy(),
        "kaldi-native-fbank, clip by clip": lambda: np.stack([kaldi_mfcc(clip, options) for clip in loud]),
        "kaldi-native-fbank, two threads": lambda: np.stack(list(two.map(lambda c: kaldi_mfcc(c, options), loud))),
    }


PAIRS = {
    "librosa, clip by clip": ("phonaut", 5.0),
    "librosa, on the batch": ("phonaut", 2.0),
    "kaldi-native-fbank, clip by clip": ("phonaut, Kaldi's settings", 10.0),
    "kaldi-native-fbank, two threads": ("phonaut, Kaldi's settings", 10.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    runs = workloads(clips(arguments.clips))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results = {name: run() for name, run in runs.items()}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            time.sleep(PAUSE_S)
            run()
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    report: dict[str, Any] = {"machine": machine(), "clips": arguments.clips, "rounds": arguments.rounds, "peers": {}}
    for peer, (ours, wanted) in PAIRS.items():
        ratios = [theirs / mine for theirs, mine in zip(seconds[peer], seconds[ours], strict=True)]
        difference = float(np.abs(results[peer] - results[ours]).max())
        if difference > 1e-3:
            raise SystemExit(f"{peer} and {ours} differ by {difference:g}: they do not do the same work")
        report["peers"][peer] = {
            "ratio": statistics.median(ratios),
            "wanted": wanted,
            "ms_per_clip": statistics.median(seconds[peer]) * 1e3 / arguments.clips,
            "ours_ms_per_clip": statistics.median(seconds[ours]) * 1e3 / arguments.clips,
            "largest_difference": difference,
        }
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    for peer, row in report["peers"].items():
        print(
            f"{peer:34} {row['ms_per_clip']:7.3f} ms a clip, phonaut {row['ours_ms_per_clip']:.3f}: "
            f"{row['ratio']:5.1f} times as fast (wanted {row['wanted']:g}), difference {row['largest_difference']:.1e}"
        )
    write_result(arguments.output, report)


if __name__ == "__main__":
    main()
