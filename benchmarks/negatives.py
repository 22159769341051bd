"""What negatives in training are worth: misses in noise, and false alarms in the speech of people who say no word.

    python benchmarks/negatives.py background bed,happy FOLDER     # FOLDER/mine and FOLDER/test, of different speakers
    python benchmarks/negatives.py measure FOLDER/test RUN [RUN ...]

`background` links utterances of speechocean762 and LibriSpeech ($PHONAUT_DATA) in which none of the words is said,
each with an empty file of labels. `measure` prints, for 5, 10 and 20 % of the words missed in pink noise (validation
and test stream), false alarms an hour of that speech, and their ratio to those of the first run, with 95 % intervals by
a bootstrap over minutes, the same minutes for all runs.
"""

from __future__ import annotations

import os
import random
import re
import sys
from pathlib import Path

import numpy as np

N_MINED = 18  # speakers of speechocean762 whose speech may be mined
THRESHOLDS = np.unique(np.concatenate([np.linspace(0.02, 1, 99), 1 - np.geomspace(1e-5, 0.02, 60)]))


def background(words: set[str], folder: Path) -> None:
    """Link utterances without the words, of some speakers for mining and of the others for the test."""
    data = Path(os.environ.get("PHONAUT_DATA", "datasets"))
    ocean = data / "speechocean762"
    lines = [line.split(None, 1) for line in (ocean / "train" / "text").read_text().splitlines()]
    speaker = dict(line.split() for line in (ocean / "train" / "utt2spk").read_text().splitlines())
    places = dict(line.split(None, 1) for line in (ocean / "train" / "wav.scp").read_text().splitlines())
    found = [(speaker[name], name, text, ocean / places[name]) for name, text in lines]
    people = sorted(set(speaker.values()))
    random.Random(0).shuffle(people)
    for transcripts in sorted((data / "LibriSpeech").rglob("*.trans.txt")):
        for name, text in (line.split(None, 1) for line in transcripts.read_text().splitlines()):
            found.append((name.split("-")[0], name, text, transcripts.parent / f"{name}.flac"))
    for who, name, text, path in found:
        if not path.exists() or words & set(re.findall("[a-z']+", text.lower())):
            continue
        link = folder / ("mine" if who in people[:N_MINED] else "test") / f"{who}_{name}{path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
        link.with_suffix(".csv").write_text("")


def heard(run: Path, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words missed in pink noise `(H, N)`, false alarms in each minute of speech `(H, M)`, hours of each minute."""
    import phonaut
    from phonaut.deploy.thresholds import hits
    from phonaut.metrics.spotting import PIECE_S, matched
    from phonaut.runs.detection import events_of, time_of
    from phonaut.runs.streams import DetectionTest, fresh, hear, heard_in_files

    loaded, test = phonaut.load(run), DetectionTest(noise="pink")
    listener, prepared = fresh(loaded, test)[0], loaded.run.prepared()
    streams = [hear(loaded, test, prepared, split, lambda text: None) for split in ("validation", "test")]
    speech = heard_in_files(loaded, test, folder, "test", lambda text: None)
    hours = time_of(speech).hours
    missed, alarms = [], []
    for threshold in THRESHOLDS:
        row = []
        for stream in filter(None, streams):
            found, events = (
                hits(stream.track, float(threshold), listener.detector.refractory_s),
                events_of(stream, listener),
            )
            event = matched(stream.track.end_s[found.row], found.word, events)
            row.append(~np.isin(np.arange(len(events.word)), event))
        missed.append(np.concatenate(row))
        rows = hits(speech.track, float(threshold), listener.detector.refractory_s).row
        minute = np.minimum(speech.track.end_s[rows] // PIECE_S, len(hours) - 1).astype(np.int64)
        alarms.append(np.bincount(minute, minlength=len(hours)))
    return np.array(missed), np.array(alarms), hours


def measure(folder: Path, runs: list[Path]) -> None:
    """Print false alarms an hour of each run at equal misses."""
    found = {run: heard(run, folder) for run in runs}
    hours = found[runs[0]][2]
    drawn = np.random.default_rng(0).integers(0, len(hours), (2000, len(hours)))
    for part in (0.05, 0.1, 0.2):
        print(f"at most {100 * part:g} % missed")
        first = None
        for run, (missed, alarms, _) in found.items():
            may = np.flatnonzero(missed.mean(axis=1) <= part)
            if not len(may):
                print(f"  {run}: never")
                continue
            here = alarms[may[-1]]
            rate = here[drawn].sum(axis=1) / hours[drawn].sum(axis=1)
            low, high = np.quantile(rate, [0.025, 0.975])
            text = f"  {run}: {missed[may[-1]].sum()} of {missed.shape[1]} missed, {here.sum()} false alarms, "
            text += f"{here.sum() / hours.sum():.0f} an hour [{low:.0f}, {high:.0f}]"
            if first is not None and first.sum():
                low, high = np.quantile(
                    here[drawn].sum(axis=1) / np.maximum(first[drawn].sum(axis=1), 1), [0.025, 0.975]
                )
                text += f", {here.sum() / first.sum():.2f} [{low:.2f}, {high:.2f}] of the first"
            first = here if first is None else first
            print(text)


if __name__ == "__main__":
    if sys.argv[1] == "background":
        background(set(sys.argv[2].split(",")), Path(sys.argv[3]))
    else:
        measure(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
