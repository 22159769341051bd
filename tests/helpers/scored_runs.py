"""Runs as evaluation leaves them, without models: known answers to known items, written in a moment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from phonaut.runs import Predictions
from phonaut.tasks.scoring import figures

TASK = {"_target_": "phonaut.tasks.classification.Classification"}
CLASSES = ("yes", "no", "stop")


def scored(
    answers: Sequence[str],
    truth: Sequence[str],
    *,
    n_speakers: int = 4,
    classes: Sequence[str] = CLASSES,
    prefix: str = "cut",
    **columns: Any,
) -> Predictions:
    """Predictions that give these answers: one span a cut, speakers in turns."""
    n = len(truth)
    known = [*classes]
    scores = np.zeros((n, len(known)), dtype=np.float32)
    scores[np.arange(n), [known.index(answer) for answer in answers]] = 3.0
    values = {
        "cut": np.array([f"{prefix}-{i:04d}" for i in range(n)]),
        "recording": np.array([f"{prefix}-{i:04d}.wav" for i in range(n)]),
        "speaker": np.array([f"{prefix}-s{i % n_speakers}" for i in range(n)]),
        "label": np.array([known.index(word) if word in known else -1 for word in truth]),
        "label_name": np.array(truth),
        "scores": scores,
        "start_s": np.zeros(n),
        "end_s": np.ones(n),
        "classes": np.array(known),
    }
    names = [one.name for one in fields(Predictions)]
    more = {name: columns.pop(name) for name in [*columns] if name not in names}
    return Predictions(**(values | columns), columns=more)


def write_scored(
    folder: Path,
    predictions: Predictions,
    *,
    split: str = "test",
    noisy: Mapping[str, Predictions] | None = None,
    model: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    noise: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run with these predictions, and those under conditions."""
    folder.mkdir(parents=True)
    settings = {
        "task": {"_target_": "phonaut.tasks.classification.Classification"},
        "target": "keyword",
        "seed": 0,
        "choices": {"model": folder.name},
        "experiment_id": folder.parent.name,
    }
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(settings | dict(config or {}))))
    about = {"model": folder.name, "classes": [str(c) for c in predictions.classes], "parameters": 65204}
    corpus = {"name": "clips", "notes": ["by speaker: no speaker is in two splits"]}
    predictions.save(folder / "predictions" / f"{split}.npz")
    rates = figures(predictions)
    for condition, heard in (noisy or {}).items():
        heard.save(folder / "predictions" / f"{split}.{condition}.npz")
        rates |= {f"{metric}/{condition}": rate for metric, rate in figures(heard).items()}
    files = {"model": about | dict(model or {}), "corpus": corpus, "metrics": {split: rates}, "noise": noise or {}}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def answers_of(truth: Sequence[str], n_wrong: int, classes: Sequence[str] = CLASSES) -> list[str]:
    """The true words but for `n_wrong`, evenly, which are taken for the class after."""
    wrong = set(np.linspace(0, len(truth) - 1, n_wrong).astype(int).tolist()) if n_wrong else set()
    return [classes[(classes.index(w) + 1) % len(classes)] if i in wrong else w for i, w in enumerate(truth)]
