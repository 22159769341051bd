"""Detection on long audio, measured: wake words of Arabic with other words, speech and noise as negatives; and peers.

    python benchmarks/detection.py corpus FOLDER        # what the runs below are trained on
    python benchmarks/detection.py alexa FOLDER         # synthetic "alexa" (espeak-ng) for a run and the peers
    python benchmarks/detection.py peers RUN            # the run and the peers on one stream of it
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
WORDS = ("yes", "no", "stop", "start", "open")
N_SPEAKERS, N_CUTS, N_NOISES = 20, 20, 20


def data() -> Path:
    return Path(os.environ.get("PHONAUT_DATA", "datasets"))


def write_corpus(folder: Path) -> None:
    """Five words of `arabic_speech_commands`, the other fifteen and cuts of read English as `_unknown_`, noise.

    Every cut has one of the corpus's speakers in its name, so that it goes into the split of that speaker; the English
    speakers beyond the first thirty are kept for negatives.
    """
    for word in sorted((data() / "arabic_speech_commands").iterdir()):
        for path in sorted(word.glob("*.flac")):
            speaker, _, take = path.stem.split("_")
            name = path.name if word.name in WORDS else f"{speaker}_NO_{word.name}{take}.flac"
            place = folder / (word.name if word.name in WORDS else "_unknown_") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.symlink_to(path.resolve())
    rng = np.random.default_rng(0)
    english = sorted((data() / "speechocean762" / "WAVE").iterdir())[:30]
    (folder / "_silence_").mkdir(exist_ok=True)
    for number in range(1, N_SPEAKERS + 1):
        heard = english[(number - 1) * len(english) // N_SPEAKERS : number * len(english) // N_SPEAKERS]
        paths = [path for one in heard for path in sorted(one.iterdir())]
        for cut in range(N_CUTS):
            audio, rate = soundfile.read(paths[cut % len(paths)], dtype="float32")
            assert rate == RATE
            at = int(rng.integers(0, max(1, len(audio) - RATE)))
            soundfile.write(
                folder / "_unknown_" / f"{number:08d}_NO_english{cut:02d}.wav", audio[at : at + RATE], RATE
            )
        for cut in range(N_NOISES):
            spectrum = np.fft.rfft(rng.standard_normal(RATE))
            spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -rng.uniform(0, 1)
            noise = np.fft.irfft(spectrum)
            level = 10 ** (rng.uniform(-70, -25) / 20)
            soundfile.write(
                folder / "_silence_" / f"{number:08d}_NO_{cut:02d}.wav", level * noise / noise.std(), RATE
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["corpus"])
    parser.add_argument("place", type=Path)
    options = parser.parse_args()
    write_corpus(options.place)


if __name__ == "__main__":
    main()
