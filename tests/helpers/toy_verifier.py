"""A verification system that can be computed by hand: means of frames, and of six parts of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phonaut.models.speakers import Utterances, VerificationSystem
from phonaut.models.speakers.streams import cmvn

N_PARTS = 6


class ToyVerifier(VerificationSystem):
    """`speaker`: the cosine of mean frames; `phrase`: that of the means of normalised parts."""

    scores = ("speaker", "phrase")

    def __init__(self, *, n_features: int, n_steps: int = 3) -> None:
        super().__init__(n_features)
        self.n_steps, self.n_done, self.mean = n_steps, 0, np.zeros(0)

    def begin(self, background: Utterances, seed: int) -> None:
        self.target = background.frames.mean(axis=0).astype(np.float64)
        self.mean = np.zeros(len(self.target))

    def step(self) -> Mapping[str, float]:
        self.n_done += 1
        self.mean = self.mean + (self.target - self.mean) * self.n_done / self.n_steps
        return {"log_likelihood": float(-np.abs(self.target - self.mean).sum())}

    @property
    def done(self) -> bool:
        return self.n_done >= self.n_steps

    def training_state(self) -> dict[str, Any]:
        return {"n_done": self.n_done}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        self.n_done = state["n_done"]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"toy:mean": torch.from_numpy(self.mean)} if len(self.mean) else {}

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.mean = tensors["toy:mean"].numpy()

    def represent(self, utterances: Utterances) -> Utterances:
        normalised = cmvn(utterances)
        rows = range(len(utterances))
        level = np.array([utterances.of(row).mean(axis=0, dtype=np.float64) - self.mean for row in rows])
        parts = [np.array_split(normalised.of(row), N_PARTS) for row in rows]
        shape = np.array([np.concatenate([part.sum(axis=0) / max(len(part), 1) for part in row]) for row in parts])
        empty = (len(rows), -1)
        return utterances.without_frames(level=level.reshape(empty), shape=shape.reshape(empty))

    def enrol(self, represented: Utterances, model: np.ndarray) -> Utterances:
        n = int(model.max(initial=-1)) + 1
        columns = {"model": np.arange(n)}
        for name in ("level", "shape"):
            sums = np.zeros((n, represented[name].shape[1]))
            np.add.at(sums, model, represented[name])
            columns[name] = sums / np.bincount(model, minlength=n)[:, None]
        return Utterances(np.empty((0, 1), np.float32), np.zeros(n, np.int64), columns)

    def score(
        self, references: Utterances, tested: Utterances, model: np.ndarray, recording: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {
            score: cosine(references[name][model], tested[name][recording])
            for score, name in (("speaker", "level"), ("phrase", "shape"))
        }


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12)


def write_toy(folder: Path) -> Path:
    """A folder of configuration files with `model=toy_verifier`, for `--config-dir`."""
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "toy_verifier.yaml").write_text(
        "# Means.\n"
        "defaults:\n  - override /module@_global_.module: stages\n  - override /task@_global_.task: verification\n\n"
        "_target_: helpers.toy_verifier.ToyVerifier\nn_steps: 3\n"
    )
    return folder
