"""Trained runs that a classifier learns from beside its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from phonaut.config.check import has_frames, of_mels_problems
from phonaut.config.schema import Config
from phonaut.tasks import build
from phonaut.tasks.other_runs import Other, other_run
from phonaut.training.distillation import Teachers


def problems(config: Config) -> list[str]:
    """What teachers cannot be combined with; empty if there are none."""
    chosen = config.teacher
    if not chosen.run:
        return []
    said, wrong = f"teacher.run={','.join(chosen.runs)}", []
    if not 0 < chosen.weight <= 1:
        wrong.append(f"teacher.weight={chosen.weight:g}: must be above 0, and at most 1")
    if not 0.1 <= chosen.temperature <= 100:
        wrong.append(f"teacher.temperature={chosen.temperature:g}: must be from 0.1 to 100")
    if config.encoder.run or config.generated.run:
        other = f"encoder.run={config.encoder.run}" if config.encoder.run else f"generated.run={config.generated.run}"
        wrong.append(f"{said} hears audio, and {other} gives frames in its place: leave one out")
    if config.module.get("mixup"):
        wrong.append(f"{said} hears recordings, and module.mixup={config.module['mixup']} mixes frames of the student: "
                     "leave one out")  # fmt: skip
    if config.module.get("loss") == "max_pooling":
        wrong.append(f"{said} answers for whole spans, and module.loss=max_pooling is of frames: leave one out")
    return wrong


def teachers_of(config: Config, classes: Sequence[str]) -> Teachers | None:
    """The teachers of a run; None where it has none.

    Raises:
        ValueError: one is not there or not trained, classifies nothing or other classes, or cannot hear what the
            student hears.
    """
    if not config.teacher.run:
        return None
    runs = [other_run(path) for path in config.teacher.runs]
    for run in runs:
        check(run, config, classes)
    orders = [[run.classes.index(name) for name in classes] for run in runs]
    options = {"temperature": config.teacher.temperature, "weight": config.teacher.weight}
    return Teachers([run.model for run in runs], orders, **options)


def check(run: Other, config: Config, classes: Sequence[str]) -> None:
    """Refuse a teacher of other classes, or one that cannot hear what the student hears.

    Raises:
        ValueError: it is refused.
    """
    said = f"teacher.run={run.path}"
    if run.config.choices.get("task", "classification") != "classification":
        raise ValueError(f"{said} is no classifier: train one with target={config.target}")
    if set(run.classes) != set(classes):
        lacks, more = sorted(set(classes) - set(run.classes)), sorted(set(run.classes) - set(classes))
        differs = " and ".join(
            f"{what} {', '.join(names[:5])}" for what, names in (("lacks", lacks), ("has", more)) if names
        )
        raise ValueError(f"{said} knows other classes than this run: it {differs}")
    theirs, ours = run.config.features, config.features
    if has_frames(config) or has_frames(run.config):
        if theirs != ours:
            raise ValueError(f"{said} hears other frames, or recordings: train it on dataset=frames with the same keys")
    elif theirs["sample_rate"] != ours["sample_rate"]:
        raise ValueError(f"{said} hears {theirs['sample_rate']} samples a second, and this run {ours['sample_rate']}: "
                         f"train it with features.sample_rate={ours['sample_rate']}")  # fmt: skip
    made = build.augmentation_of(config)
    chosen = {**config.choices, "features": run.config.choices.get("features")}
    hears = replace(config, features=theirs, encoder=run.config.encoder, choices=chosen)
    for problem in of_mels_problems(hears, getattr(made, "needs_mels", ""), getattr(made, "needs_bands", "")):
        raise ValueError(f"{said}, of features={chosen['features']}: {problem}")
