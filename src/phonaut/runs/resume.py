"""Decide if a run starts anew, resumes, or is refused, by the configuration that its folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from phonaut.config.compose import read_plain
from phonaut.config.nodes import as_before, flat
from phonaut.runs.run import Run

# Keys that may differ when a run is resumed: where and how fast it runs, and how it is shown.
FREE_KEYS = frozenset(
    {
        "experiment_id",
        "output_dir",
        "resume",
        "overwrite",
        "n_workers",
        "checkpoint_minutes",
        "probe",
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.accelerator",
        "trainer.enable_progress_bar",
        "trainer.log_every_n_steps",
    }
)

LENGTHS = ("trainer.max_epochs", "trainer.max_steps")  # which may grow


def differences(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    """The keys in which two configurations differ and must not, as `key: old -> new`.

    >>> differences({"seed": 1, "trainer": {"max_epochs": 5}}, {"seed": 2, "trainer": {"max_epochs": 9}})
    ['seed: 1 -> 2']
    """
    before, after = flat(old), flat(new)
    changed = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        longer = key in LENGTHS and a is not None and b is not None and b >= a
        if a != b and key not in FREE_KEYS and not longer:
            changed.append(f"{key}: {a} -> {b}")
    return changed


def state_of(folder: Path, config: Mapping[Any, Any]) -> Literal["new", "resume", "finished"]:
    """Decide if starting `config` in `folder` trains anew, resumes, or has nothing to do.

    Raises:
        ValueError: the folder holds a run of another configuration; the differing keys are named.
    """
    if not (folder / "config.yaml").exists():
        if folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
            raise ValueError(f"{folder} holds files but no run; choose another experiment_id or delete it")
        return "new"
    run, old = Run(folder), as_before(read_plain(folder), dict(config))
    different = differences(old, config)
    if different:
        shown = "\n  ".join(different)
        raise ValueError(
            f"{folder} holds a run of another configuration:\n  {shown}\n"
            "choose another experiment_id, or overwrite=true to replace it"
        )
    longer = any(flat(config).get(key) != flat(old).get(key) for key in LENGTHS)
    return "finished" if run.finished and not longer else "resume"
