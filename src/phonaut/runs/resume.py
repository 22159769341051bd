"""Decide if a run starts anew, resumes, or is refused, by the configuration that its folder holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from phonaut.config.aliases import current_overrides
from phonaut.config.compose import read_config
from phonaut.config.nodes import PLACES, as_before, flat, without_places
from phonaut.config.schema import Config
from phonaut.files import PART
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
        "recipe",  # whose values stand beside it
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.accelerator",
        "trainer.sync_batchnorm",  # of several processes, and how many there are may change
        "trainer.enable_progress_bar",
        "trainer.log_every_n_steps",
    }
)

LENGTHS = ("trainer.max_epochs", "trainer.max_steps")  # which may grow
NOTHING = re.compile(rf"\.lock|\.config\.yaml\..*|\..*{re.escape(PART)}")  # files of a run that never began


def differences(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    """The keys in which two configurations differ and must not, as `key: old -> new`.

    Names of choices are none, for the keys of what was chosen stand beside them; nor is it where the recordings lie:
    whether they are the same, `check_same_recordings` says.

    >>> differences({"seed": 1, "trainer": {"max_epochs": 5}}, {"seed": 2, "trainer": {"max_epochs": 9}})
    ['seed: 1 -> 2']
    """
    before, after = (flat(without_places(dict(config))) for config in (old, new))
    changed = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        longer = key in LENGTHS and a is not None and b is not None and b >= a
        if a != b and key not in FREE_KEYS and not key.startswith("choices.") and not longer:
            changed.append(f"{key}: {a} -> {b}")
    return changed


def as_begun(folder: Path, config: Config, command: Sequence[str]) -> Config:
    """The configuration of a run that is taken up again by the words that it was begun with.

    Defaults may have changed since, in this program or in files of the user's: it goes on with those of its own.

    Args:
        folder: of the run.
        config: what the words mean today.
        command: the words.

    Returns:
        `config` where there is no run in the folder, or it was begun with other words.
    """
    if not (folder / "config.yaml").exists() or not Run(folder).begun:
        return config
    run, new = Run(folder), config.to_dict()
    if words_of(shlex.split(run.environment.get("resume_command", ""))) != words_of(command):
        return config
    old = as_before(read_config(folder).to_dict(), new)
    if not (changed := differences(old, new)):
        return config
    print(f"{folder} goes on as it was begun, though its words mean something else by now: {', '.join(changed)}")
    allowed = {key: value for key, value in flat(new).items() if key in FREE_KEYS or key in LENGTHS}
    old["dataset"] = placed(old["dataset"], new["dataset"])
    for key, value in allowed.items():
        *groups, name = key.split(".")
        node = old
        for group in groups:
            node = node[group]
        node[name] = value
    return Config.of(old)


def words_of(command: Sequence[str]) -> set[str]:
    """The words of a command, with today's names, that a run cannot change."""
    words = current_overrides([word for word in command if "=" in word])
    free = {*FREE_KEYS, *LENGTHS, *(f"dataset.{key}" for key in PLACES)}
    return {word for word in words if word.partition("=")[0].lstrip("+") not in free}


def placed(old: Any, new: Any) -> Any:
    """Options of a corpus, its files being where `new` says."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: new[key] if key in PLACES and key in new else placed(value, new.get(key))
                for key, value in old.items()}  # fmt: skip
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [placed(*pair) for pair in zip(old, new, strict=True)]
    return old


def state_of(folder: Path, config: Mapping[Any, Any]) -> Literal["new", "resume", "finished"]:
    """Decide if starting `config` in `folder` trains anew, resumes, or has nothing to do.

    A run of another configuration that has kept nothing yet, because it failed or was killed as it began, is none.

    Raises:
        ValueError: the folder holds a run of another configuration, and the differing keys are named; or other files.
    """
    if not (folder / "config.yaml").exists():
        if folder.exists() and not all(NOTHING.fullmatch(path.name) for path in folder.iterdir()):
            raise ValueError(f"{folder} holds files but no run; choose another experiment_id or delete it")
        return "new"
    run, new = Run(folder), Config.of(dict(config)).to_dict()
    old = as_before(read_config(folder).to_dict(), new)
    different = differences(old, new)
    if different and not run.begun:
        return "new"
    if different:
        shown = "\n  ".join(different)
        raise ValueError(
            f"{folder} holds a run of another configuration:\n  {shown}\n"
            "choose another experiment_id, or overwrite=true to replace it"
        )
    longer = any(flat(new).get(key) != flat(old).get(key) for key in LENGTHS)
    return "finished" if run.finished and not longer else "resume"
