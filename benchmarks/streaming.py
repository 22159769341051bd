"""Real-time factor of streaming, one thread: hop by hop as from a microphone, and in blocks as from a file.

    python benchmarks/streaming.py [MODEL ...]

A factor is seconds of computing to a second of sound: front end (40 MFCC), network, mean over time. The bare script
does the least that a hop needs: it runs the same front end and network over the last second again, at each new score.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from machine import machine
from phonaut.config.compose import compose
from phonaut.deploy import StreamingModel
from phonaut.tasks.build import speech_model

MODELS = ("tc-res8", "tc-res14", "branchy-tc-res8", "gds", "bc-res1", "bc-res3", "mdtc", "ds-tcn", "gru", "lstm")
RESULT = Path(__file__).parent / "results" / "streaming.json"
HOP, RATE, REPEATS = 160, 16000, 5


def seconds_of(stream: StreamingModel, audio: torch.Tensor, size: int) -> float:
    """Seconds that a recording takes in chunks of `size` samples."""
    state = stream.initial_state()
    start = time.process_time()
    for at in range(0, audio.shape[1], size):
        _, state = stream.step(audio[:, at : at + size], state)
    return time.process_time() - start


def again(stream: StreamingModel, audio: torch.Tensor) -> float:
    """Seconds where the last second is heard again at each score."""
    step = round(stream.score_shift_s * RATE)
    start = time.process_time()
    with torch.no_grad():
        for end in range(RATE, audio.shape[1] + 1, step):
            stream.model(audio[:, end - RATE : end], torch.tensor([RATE]))
    return (time.process_time() - start) * audio.shape[1] / (audio.shape[1] - RATE)


def main() -> None:
    torch.set_num_threads(1)
    rows = {}
    print(f"{'model':16} {'state, bytes':>12} {'by hops':>8} {'in 10 s':>8} {'windows':>8}   best of {REPEATS}")
    for name in sys.argv[1:] or MODELS:
        stream = StreamingModel(speech_model(compose([f"model={name}", "streaming=true", "recipe=none"]), 12))
        audio = 0.1 * torch.randn(1, 20 * RATE, generator=torch.Generator().manual_seed(0))
        part = audio[:, : 5 * RATE]
        hops = min(seconds_of(stream, part, HOP) for _ in range(REPEATS)) / 5
        blocks = min(seconds_of(stream, audio, 10 * RATE) for _ in range(REPEATS)) / 20
        windows = min(again(stream, part) for _ in range(2)) / 5
        rows[name] = {"state_bytes": stream.initial_state().n_bytes, "hops": hops, "blocks": blocks, "windows": windows}
        print(f"{name:16} {rows[name]['state_bytes']:12} {hops:8.4f} {blocks:8.4f} {windows:8.4f}", flush=True)
    RESULT.write_text(json.dumps({"machine": machine(), "real_time_factor": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
