"""Detection on long sound, measured: what runs are trained on, and peers on the stream of a run.

    python benchmarks/detection.py corpus FOLDER
    python benchmarks/detection.py alexa RUN --python VENV/bin/python [--negatives FOLDER]

`corpus` writes a corpus of five Arabic words beside the other fifteen, cuts of read English and noise
(`FOLDER/words`), and read English of other speakers as negatives (`FOLDER/negatives`).

`alexa` builds the test stream of a run of `dataset=synthetic` whose first word is "alexa" (espeak-ng's voices: no
person says it), and runs the run and the models "alexa" of pymicro-wakeword and pyopen-wakeword on it, which are
installed for another Python, so that they touch nothing here. All are scored in the same way: the same matching,
refractory time and thresholds. The peers' own settings smooth their probabilities (the first: the mean of five; the
second: none).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16000
WORDS = ("yes", "no", "stop", "start", "open")
N_SPEAKERS, N_ENGLISH, N_CUTS, N_NOISES = 20, 30, 20, 20
PEERS = ("pymicro-wakeword", "pyopen-wakeword")
DEFAULTS = {"pymicro-wakeword": 0.9, "pyopen-wakeword": 0.5}  # thresholds that they come with
BLOCK = 1280  # samples that a peer is given at once


def write_corpus(folder: Path) -> None:
    """Words, `_unknown_`, `_silence_` and negatives.

    Every cut has one of the corpus's speakers in its name, so that it goes into the split of that speaker; the English
    speakers beyond the first thirty are kept for negatives.
    """
    import soundfile

    data = Path(os.environ.get("PHONAUT_DATA", "datasets"))
    english = sorted((data / "speechocean762" / "WAVE").iterdir())
    (folder / "negatives").mkdir(parents=True)
    for path in (path for speaker in english[N_ENGLISH:] for path in sorted(speaker.iterdir())):
        (folder / "negatives" / f"{path.parent.name}_{path.name}").symlink_to(path.resolve())
    words = folder / "words"
    for word in sorted((data / "arabic_speech_commands").iterdir()):
        for path in sorted(word.glob("*.flac")):
            speaker, _, take = path.stem.split("_")
            name = path.name if word.name in WORDS else f"{speaker}_NO_{word.name}{take}.flac"
            place = words / (word.name if word.name in WORDS else "_unknown_") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
    rng = np.random.default_rng(0)
    (words / "_silence_").mkdir()
    for number in range(1, N_SPEAKERS + 1):
        heard = english[(number - 1) * N_ENGLISH // N_SPEAKERS : number * N_ENGLISH // N_SPEAKERS]
        paths = [path for one in heard for path in sorted(one.iterdir())]
        for cut in range(N_CUTS):
            audio, _ = soundfile.read(paths[cut % len(paths)], dtype="float32")
            at = int(rng.integers(0, max(1, len(audio) - RATE)))
            soundfile.write(words / "_unknown_" / f"{number:08d}_NO_english{cut:02d}.wav", audio[at : at + RATE], RATE)
        for cut in range(N_NOISES):
            spectrum = np.fft.rfft(rng.standard_normal(RATE))
            spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -rng.uniform(0, 1)
            noise = np.fft.irfft(spectrum)
            level = 10 ** (rng.uniform(-70, -25) / 20)
            soundfile.write(words / "_silence_" / f"{number:08d}_NO_{cut:02d}.wav", level * noise / noise.std(), RATE)


def peer_probabilities(name: str, samples: np.ndarray) -> Iterator[tuple[float, float]]:
    """Time and probability of "alexa", by a peer; runs under the Python that has it."""
    blocks = [samples[at : at + BLOCK] for at in range(0, len(samples) - BLOCK + 1, BLOCK)]
    if name == "pymicro-wakeword":
        from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

        micro, features = MicroWakeWord.from_builtin(Model.ALEXA), MicroWakeWordFeatures()
        n = 0
        for block in blocks:
            for row in features.process_streaming(block.tobytes()):
                n += 1
                p = micro.process_streaming_prob(row)
                if n % micro.stride == 0:
                    yield n * 0.01, float(p)
        return
    from pyopen_wakeword import Model, OpenWakeWord, OpenWakeWordFeatures

    words, embeddings = OpenWakeWord.from_builtin(Model.ALEXA), OpenWakeWordFeatures.from_builtin()
    for number, block in enumerate(blocks, 1):
        heard = [p for row in embeddings.process_streaming(block.tobytes()) for p in words.process_streaming(row)]
        if heard:
            yield number * BLOCK / RATE, max(heard)


def alexa(folder: Path, python: str, negatives: Path | None, minutes: float | None) -> dict[str, Any]:
    """Figures of a run and the peers."""
    from phonaut.deploy.detection import Track
    from phonaut.runs.detection import scored
    from phonaut.runs.load import load
    from phonaut.runs.streams import DetectionTest, fresh, hear, stream_of

    run = load(folder)
    word = str(run.about["classes"][0])
    test = DetectionTest(listening={"keywords": (word,)}, negatives=negatives, minutes=minutes)
    prepared = run.run.prepared()
    assert prepared is not None
    found = stream_of(run, test, prepared, "test")
    begun = time.process_time()
    heard = hear(run, test, prepared, "test", print)
    assert found is not None
    assert heard is not None
    stream, about = found
    print(*about, sep="\n")
    listener, _ = fresh(run, test)
    tracks = {"ours": (heard.track, listener.detector.threshold, time.process_time() - begun)}
    samples = np.rint(32767 * np.concatenate(list(stream.sound())).clip(-1, 1)).astype("<i2")
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "samples.npy", samples)
        for name in PEERS:
            command = [python, __file__, "track", str(Path(place) / "samples.npy"), "--peer", name]
            out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            track = Track(np.array(out["end_s"]), np.array(out["p"])[:, None])
            tracks[name] = (track, DEFAULTS[name], out["seconds"])
    result: dict[str, Any] = {"stream": about, "digest": stream.digest}
    for name, (track, threshold, seconds) in tracks.items():
        rates, kept = scored(heard._replace(track=track), listener, threshold)
        result[name] = {"threshold": threshold, "processor_s": round(seconds, 1), "missed": kept["n_missed"],
                        "false": kept["n_false_alarms"], "n": kept["n"], "hours": kept["hours"],
                        "said": [one["said"] for one in kept["false_alarms"]],
                        **{key: rate.as_dict() for key, rate in rates.items()}}  # fmt: skip
        print(name, json.dumps(result[name]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["corpus", "alexa", "track"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--negatives", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--peer")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "detection.json")
    options = parser.parse_args()
    if options.what == "corpus":
        write_corpus(options.place)
    elif options.what == "track":
        begun = time.process_time()
        rows = list(peer_probabilities(options.peer, np.load(options.place)))
        end_s, p = zip(*rows, strict=True)
        print(json.dumps({"end_s": end_s, "p": p, "seconds": time.process_time() - begun}))
    else:
        from machine import machine

        result = alexa(options.place, options.python, options.negatives, options.minutes)
        options.output.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
