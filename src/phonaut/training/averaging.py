"""Means of the weights of several epochs, and the statistics of batch normalisation that belong to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from phonaut.checkpoints.state_dict import read_checkpoint
from phonaut.checks import within
from phonaut.data.batches import Batch
from phonaut.networks.network import evaluating


class AveragedCheckpoint(ModelCheckpoint):
    """Keeps the checkpoints of several epochs, whose mean becomes the model (Izmailov 2018, "Averaging weights").

    Args:
        n_averaged: how many.
        monitor: by which figure they are the best, as in wekws (Wang 2023); None: they are the last.
        mode: `min` or `max`, of that figure.
        dirpath: where they lie.
        enable_version_counter: as of Lightning's.
    """

    RULES: ClassVar = {"n_averaged": within(2, 1000)}

    def __init__(
        self,
        n_averaged: int = 10,
        *,
        monitor: str | None = None,
        mode: str = "min",
        dirpath: Path | str | None = None,
        enable_version_counter: bool = False,
    ) -> None:
        last = {"monitor": "epoch", "mode": "max"}  # which Lightning counts among the figures
        super().__init__(
            dirpath,
            filename="epoch-{epoch:03d}",
            save_top_k=n_averaged,
            auto_insert_metric_name=False,
            enable_version_counter=enable_version_counter,
            **(last if monitor is None else {"monitor": monitor, "mode": mode}),  # type: ignore[arg-type]
        )

    def mean(self) -> tuple[dict[str, Tensor], list[int]]:
        """The mean of the kept states, and their epochs, from 1; damaged ones are named in a warning and left out."""
        states: dict[int, dict[str, Tensor]] = {}
        for path in sorted(map(Path, self.best_k_models)):
            try:
                states[int(path.stem.rpartition("-")[2]) + 1] = read_checkpoint(path)["state_dict"]
            except (ValueError, KeyError, FileNotFoundError) as error:
                warnings.warn(f"{error}; taking the mean of the other epochs", stacklevel=2)
        return mean_of(states.values()), list(states)


def mean_of(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several states of a model, summed in double precision; of whole numbers, the last.

    >>> mean_of({"w": torch.tensor([w]), "n": torch.tensor(n)} for n, w in enumerate([1.0, 2.0]))
    {'w': tensor([1.5000]), 'n': tensor(1)}
    """
    total: dict[str, Tensor] = {}
    last: Mapping[str, Tensor] = {}
    n = 0
    for n, last in enumerate(states, 1):  # noqa: B007  # how many there are
        total = {name: total.get(name, 0) + value.double() for name, value in last.items()}
    return {
        name: (total[name] / n).to(value.dtype) if value.is_floating_point() else value for name, value in last.items()
    }


def renormalise(model: nn.Module, batches: Iterable[Batch], hear: Callable[[Batch], Any]) -> None:
    """Set running statistics of batch normalisation that is trained to their means over batches.

    All else is as in evaluation: nothing is dropped out.

    Args:
        model: whose layers they are; left in the mode that it was in.
        batches: of training.
        hear: runs the model on a batch.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and any(p.requires_grad for p in module.parameters())
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for batch in batches:
            for norm in norms:  # those that have heard something, which a single frame is not
                norm.momentum = 1 / (int(norm.num_batches_tracked or 0) + 1)
            hear(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
