"""The settings that make a model what it is, out of its whole configuration, for reports and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonaut.config.nodes import class_of, flat
from phonaut.config.schema import Config

# Groups and keys, in the order in which they are shown.
GROUPS = ("model", "features", "normalizer", "augmentation", "objective", "module", "optimizer", "scheduler")
KEYS = ("batch_size", "batch_frames", "trainer.max_epochs", "seed")
MANY = ("features", "normalizer", "augmentation", "scheduler")  # of which the name says enough
OF_OPTIMIZER = ("lr", "weight_decay", "momentum")


def hyper_parameters(config: Config) -> dict[str, Any]:
    """What was chosen of each group, and the settings of model, loop and optimizer, as flat keys.

    Left out is what the task or its training loop does not use (EM takes no optimizer), and what is not set.
    """
    settings = flat(config.to_dict())
    unused = {name for node in (config.task, config.module) if node for name in class_of(node).unused.split()}
    found: dict[str, Any] = {}
    for group in GROUPS:
        choice = config.choices.get(group)
        if group in unused or choice in (None, "null", "none"):
            continue
        found[group] = choice
        if group in MANY:
            continue
        for key, value in settings.items():
            of_group, _, option = key.partition(".")
            wanted = option in OF_OPTIMIZER if group == "optimizer" else option not in ("", "_target_")
            if of_group == group and wanted and key not in unused and value is not None:
                found[key] = value
    return found | {key: settings[key] for key in KEYS if key not in unused and settings.get(key) is not None}


def write_hyper_parameters(folder: Path, config: Config, metrics: dict[str, dict[str, dict[str, float]]]) -> None:
    """Add a run to TensorBoard's table of hyper-parameters, with its figures, as `final/test/accuracy`."""
    from torch.utils.tensorboard.summary import hparams, scalar
    from torch.utils.tensorboard.writer import FileWriter

    figures = {
        f"final/{split}/{name}": of["value"]
        for split, rates in metrics.items()
        for name, of in rates.items()
        if "/" not in name
    }
    settings = {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in hyper_parameters(config).items()
    }
    writer = FileWriter(str(folder), filename_suffix=".hparams")
    for part in [*hparams(settings, figures), *(scalar(*one) for one in figures.items())]:  # type: ignore[no-untyped-call]
        writer.add_summary(part)
    writer.close()
