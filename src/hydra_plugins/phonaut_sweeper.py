"""Phonaut's sweeps as a plugin of Hydra: Hydra brings the launcher, Phonaut chooses and trains the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class PhonautSweeper(Sweeper):
    """Hands over to the `sweep` of the task function, with the options of `hydra.sweeper` and a way to launch trials.

    Args:
        **options: of `hydra.sweeper`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the launcher that was chosen."""
        self.task: Any = task_function
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Carry out the sweep."""
        options = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self.options.items()
        }
        self.task.sweep(options, self.launch)

    def launch(self, numbers: Sequence[int]) -> None:
        """Train the trials of some numbers, as many at a time as the launcher takes."""
        for done in self.launcher.launch([[f"+trial={number}"] for number in numbers], initial_job_idx=numbers[0]):
            _ = done.return_value  # raises what the trial did
