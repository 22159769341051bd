"""How fast a run listens, one thread: an hour read from a file in blocks; and what it finds in speech with noise.

    python benchmarks/listening.py [MODEL ...] [RUN ...]

For models with fresh weights (12 classes, streaming=true), the whole of `phonaut listen`: decoding, front end, network,
smoothing, detection. Of runs of dataset=kws, also what is found when their test words are laid into the last tenth of
the background noise, which training did not hear, with 2 to 5 s between them: words within 0.75 s of their clip, and
all other detections.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from machine import machine, peak_mb
from phonaut.config.compose import compose
from phonaut.deploy.detection import Detector
from phonaut.deploy.listening import Listener
from phonaut.deploy.scores import StatefulScores
from phonaut.deploy.smoothing import MovingAverage
from phonaut.deploy.sound import file_sound
from phonaut.deploy.streaming import StreamingModel
from phonaut.metrics.intervals import wilson
from phonaut.runs.listening import detections, is_word, listener_of
from phonaut.runs.load import LoadedRun, load
from phonaut.tasks.build import speech_model

MODELS = ("tc-res8", "tc-res14", "bc-res1", "mdtc", "ds-tcn", "gru", "lstm")
RATE, NEAR_S, GAIN = 16000, 0.75, 0.3  # GAIN: of the noise


def fresh(name: str) -> Listener:
    """A listener with fresh weights."""
    model = speech_model(compose([f"model={name}", "streaming=true", "recipe=none"]), 12)
    scores = StatefulScores(StreamingModel(model))
    words = list(range(10))
    smoothing = MovingAverage(words, shift_s=scores.shift_s, smoothing_s=0.3)
    detector = Detector([str(word) for word in words], window_s=1.3, threshold=0.65, refractory_s=1.0)
    return Listener(scores, smoothing, detector, RATE)


def stream(run: LoadedRun, split: str) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """The words of a split in noise, and when each begins and ends."""
    prepared = run.run.prepared()
    assert prepared is not None
    folder = Path(run.config.dataset["data_folder"]) / "_background_noise_"
    noises = [soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))]
    noise = np.concatenate([audio[len(audio) * 9 // 10 :] for audio in noises])
    rng, table = np.random.default_rng(0), prepared.utterances(split)
    parts, events, at = list[np.ndarray](), list[tuple[str, float, float]](), 0
    for row in rng.permutation(len(table)):
        word = table.word_name(row)
        if word == "_silence_":
            continue
        clip, gap = table.audio(row), np.zeros(int(RATE * rng.uniform(2, 5)))
        parts += [gap, clip]
        at += len(gap)
        events.append((str(word), at / RATE, (at + len(clip)) / RATE))
        at += len(clip)
    audio = np.concatenate([*parts, np.zeros(2 * RATE)])
    return (audio + GAIN * np.resize(noise, len(audio))).astype(np.float32), events


def found(run: LoadedRun, split: str, **options: Any) -> dict[str, Any]:
    """How many words are found, and how many detections are no word."""
    audio, events = stream(run, split)
    listener, how = listener_of(run, **options)
    heard = list(detections(listener, iter(np.array_split(audio, len(audio) // (10 * RATE)))))
    words, used, late = [event for event in events if is_word(event[0])], set[int](), []
    for word, start_s, end_s in words:
        near = [i for i, one in enumerate(heard) if i not in used and one.word == word
                and start_s <= one.end_s <= end_s + NEAR_S]  # fmt: skip
        if near:
            used.add(near[0])
            late.append(heard[near[0]].end_s - end_s)
    low, high = wilson(len(used), len(words))
    return {
        "how": how,
        "found": [len(used), len(words), low, high],
        "others": len(heard) - len(used),
        "minutes": len(audio) / RATE / 60,
        "late_s": np.percentile(late, [5, 50, 95]).round(2).tolist() if late else [],
        "real_time_factor": listener.computing_s / listener.heard_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=MODELS)
    parser.add_argument("--split", default="test")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "listening.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"machine": machine(), "speed": {}, "found": {}}
    with tempfile.TemporaryDirectory() as folder:
        path, minute = Path(folder) / "hour.wav", 0.1 * np.random.default_rng(0).standard_normal(60 * RATE)
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            for _ in range(round(options.minutes)):
                file.write(minute)
        for name in options.names:
            if Path(name).is_dir():
                run = load(name)
                for smoothing in ("mean", "hmm"):
                    row = found(run, options.split, smoothing=smoothing)
                    result["found"][f"{run.run.folder.parent.name} {smoothing}"] = row
                    print(name, smoothing, json.dumps(row), flush=True)
                continue
            listener = fresh(name)
            wall, processor = time.perf_counter(), time.process_time()
            n = sum(1 for _ in detections(listener, file_sound(path, RATE)))
            row = {
                "times_real_time": listener.heard_s / (time.process_time() - processor),
                "times_real_time_by_the_clock": listener.heard_s / (time.perf_counter() - wall),
                "peak_mb": peak_mb(),
            }
            result["speed"][name] = row
            print(name, n, json.dumps(row), flush=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
