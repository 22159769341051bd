"""A system of verification that trains at once: a speaker is a mean of frames, a phrase their normalised course."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.cli import main
from phonaut.models.speakers import Utterances, VerificationSystem
from phonaut.models.speakers.streams import cmvn

RATE = 16000
PARTS = 4  # of a phrase
WORDS = {"rise": (1.0, 1.3, 1.7), "fall": (1.7, 1.3, 1.0)}
CONF = """\
# Toy system of verification.
defaults:
  - override /module@_global_.module: stages
  - override /task@_global_.task: verification

_target_: helpers.speakers_of_tones.Toy
"""


class Toy(VerificationSystem):
    """Cosine of means, and of the courses of normalised frames."""

    scores = ("speaker", "phrase")

    def __init__(self, *, n_features: int, n_classes: int = 0) -> None:
        super().__init__(n_features)
        self.mean: Array | None = None

    def begin(self, background: Utterances, seed: int) -> None:
        self.mean = background.frames.mean(axis=0).astype(np.float64)

    def tensors(self) -> dict[str, Tensor]:
        return {} if self.mean is None else {"toy:mean": torch.from_numpy(self.mean)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.mean = tensors["toy:mean"].numpy()

    def represent(self, utterances: Utterances) -> Utterances:
        normalised = cmvn(utterances)
        rows = range(len(utterances))
        voice = np.stack([utterances.of(row).mean(axis=0) - self.mean for row in rows])
        course = [np.array_split(normalised.of(row), PARTS) for row in rows]
        return utterances.without_frames(
            voice=voice, course=np.stack([np.concatenate([part.mean(axis=0) for part in one]) for one in course])
        )

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        n = int(model.max()) + 1
        made: dict[str, Array] = {}
        for name in ("voice", "course"):
            sums = np.zeros((n, represented[name].shape[1]))
            np.add.at(sums, model, represented[name])
            made[name] = sums / np.bincount(model, minlength=n)[:, None]
        return Utterances(np.empty((0, 1), np.float32), np.zeros(n, np.int64), {**made, "model": np.arange(n)})

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        names = {"speaker": "voice", "phrase": "course"}
        return {name: cosine(references[of][model], tested[of][recording]) for name, of in names.items()}


def cosine(a: Array, b: Array) -> Array:
    made: Array = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return made


def spoken(speaker: int, word: str, take: int) -> np.ndarray:
    """A word in tones: harmonics of a speaker's pitch and resonance, each take a little different, quiet around it."""
    rng = np.random.default_rng((speaker, sorted(WORDS).index(word), take))
    time = np.linspace(0, 1, round(RATE * rng.uniform(0.4, 0.5)))
    wander = np.exp(0.04 * np.interp(time, np.linspace(0, 1, 6), rng.standard_normal(6)))
    pitch = 110 * 1.03**speaker
    course = np.interp(time, (0, 0.5, 1), WORDS[word]) * wander
    phase = 2 * np.pi * np.cumsum(pitch * course) / RATE
    centre = 500 * 1.14**speaker
    tones = sum(
        np.exp(-(((n * pitch - centre) / 400) ** 2)) * np.sin(n * phase + rng.uniform(0, 6)) for n in range(1, 24)
    )
    quiet = [np.zeros(round(RATE * rng.uniform(0.2, 0.3))) for _ in range(2)]
    audio = np.concatenate([quiet[0], 0.5 * tones / np.abs(tones).max(), quiet[1]])
    return audio + 0.003 * rng.standard_normal(len(audio))


def write_voices(folder: Path, n_speakers: int = 12, n_takes: int = 5) -> Path:
    for word in WORDS:
        (folder / word).mkdir(parents=True)
        for speaker in range(n_speakers):
            for take in range(n_takes):
                soundfile.write(folder / word / f"s{speaker:02d}_{take}.wav", spoken(speaker, word, take), RATE)
    return folder


def write_conf(folder: Path) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "toy.yaml").write_text(CONF)
    return folder


def trained(root: Path) -> Path:
    """A folder with voices, `conf` and a run of the toy on them, `runs/toy`, made once below `root`."""
    home = root / "toy-verifier"
    if not home.exists():
        write_voices(home / "voices")
        write_conf(home / "conf")
        assert main(words_of_run(home)) == 0
    return home


def words_of_run(home: Path, *more: str) -> list[str]:
    """Words of `phonaut` that train a toy on voices: speakers 2, 5, 8 and 11 are tested, calibrated in turns."""
    return [
        "train", "--config-dir", str(home / "conf"), "model=toy", "dataset=folder",
        f"dataset.data_folder={home / 'voices'}", "protocol.test_speakers=[s02,s05,s08,s11]", "protocol.turns=2",
        "protocol.enrol_takes=1-3", f"output_dir={home / 'runs'}", "experiment_id=toy", *more,
    ]  # fmt: skip
