"""Trained models of other runs that a task needs while it trains: a generator, a density of its codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from phonaut.checkpoints.state_dict import check_state_dict, read_weights
from phonaut.config.compose import read_config
from phonaut.config.nodes import instantiate
from phonaut.config.schema import Config
from phonaut.files import expanded, read_json, run_folder
from phonaut.models.shaped_by_data import adopt_shapes
from phonaut.tasks.encoders import trained_file


class Other(NamedTuple):
    """Another run, trained.

    Attributes:
        path: as it was given.
        folder: of it.
        config: of it.
        classes: of its model.
        task: that it was trained for.
        model: in evaluation mode.
    """

    path: str
    folder: Path
    config: Config
    classes: list[str]
    task: Any
    model: Any


def other_run(path: str) -> Other:
    """A trained run by its folder.

    Raises:
        ValueError: there is none, it has not ended, or its weights do not fit its configuration.
    """
    folder = run_folder(expanded(path))
    config, file = read_config(folder), trained_file(folder)
    task = instantiate(config.task)
    classes = list(read_json(folder / "model.json", dict[str, Any]()).get("classes", []))
    model, weights = task.model(config, classes), read_weights(file)
    adopt_shapes(model, weights)
    check_state_dict(model.state_dict(), weights, str(file))
    model.load_state_dict(weights)
    return Other(path, folder, config, classes, task, model.eval())


def refuse_other_frames(said: str, generator: Config, classifier: Config) -> None:
    """Refuse a classifier that hears other frames than a generator makes.

    Raises:
        ValueError: front ends or normalisers differ; it says with which words the classifier is to be trained.
    """
    words = []
    for group in ("features", "normalizer"):
        theirs, ours = getattr(generator, group) or {}, getattr(classifier, group) or {}
        keys = [key for key in theirs if key in ours and theirs[key] != ours[key]]
        if "_target_" in keys or theirs.keys() != ours.keys():
            words.append(f"{group}={generator.choices.get(group) or 'null'}")
        words += [
            f"{group}.{key}={'null' if theirs[key] is None else theirs[key]}" for key in keys if key != "_target_"
        ]
    if words:
        raise ValueError(f"{said}: the classifier is to be trained with {' '.join(words)}")
