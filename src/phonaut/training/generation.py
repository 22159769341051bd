"""Training of generators: one loss, or players that take turns, over batches of windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from phonaut.models.generators.generator import Generator, Player, Windows
from phonaut.training.loop import Statistics, TrainingLoop


class TermSums(Statistics):
    """Terms of windows summed over an epoch.

    Args:
        names: of the terms.

    Attributes:
        sums: sum and number of windows of each term, `(terms, 2)`: a player that has its turn less often has fewer.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(len(self.names), 2, dtype=torch.float64)

    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Add a batch, `name -> (B,)`."""
        if not terms:
            return
        rows = [self.names.index(name) for name in terms]
        values = torch.stack([value.detach().double().sum() for value in terms.values()])
        numbers = torch.tensor([len(value) for value in terms.values()], dtype=torch.float64, device=values.device)
        self.sums = self.sums.to(values.device)  # stays where the terms are: no wait for a GPU
        self.sums[rows] += torch.stack([values, numbers], dim=1)

    def summary(self) -> dict[str, float]:
        """Means over the windows."""
        return {name: total / n for name, (total, n) in zip(self.names, self.sums.tolist(), strict=True) if n}

    def state_dict(self) -> dict[str, Tensor]:
        """The sums."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the sums of a checkpoint."""
        self.sums = state["sums"]


class Generation(TrainingLoop):
    """Training of a generator on windows: figures are means over windows, a smaller last batch weighs less.

    A generator of one player is trained as any network. Where there are several, each has an optimizer and a schedule
    of its own, and they take turns: with every batch each player whose turn it is changes its own parameters alone, in
    the order of `Generator.players`. Draws derive from (seed, epoch, window), so that order, batch size, workers,
    processes and resuming change none; those of validation are the same in every epoch.

    Args:
        model: `windows(batch, seed=, epoch=, stage=) -> Windows`, and the generator as its `network`.
        optimizer: as of `TrainingLoop`, made for each player.
        scheduler: likewise.
        interval: likewise.
        seed: of all draws.
    """

    figures = ("loss",)
    unused = "augmentation dataset.timeshift_ms dataset.train_snr_low dataset.train_snr_high"  # frames are known before

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for generators."""
        return issubclass(network, Generator)

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        seed: int = 0,
    ) -> None:
        self.generator_terms: Sequence[str] = model.network.terms  # type: ignore[assignment, union-attr]  # before the base class asks for statistics
        super().__init__(model, optimizer=optimizer, scheduler=scheduler, interval=interval, seed=seed)
        self.automatic_optimization = len(self.network.players()) == 1

    @property
    def network(self) -> Generator:
        """The generator."""
        network: Generator = self.model.network
        return network

    def statistics(self) -> TermSums:
        """Sums of the generator's terms, at the start of an epoch."""
        return TermSums(self.generator_terms)

    def configure_optimizers(self) -> Any:
        """An optimizer and a scheduler for each player. Errors are those of `TrainingLoop`."""
        made = [self.optimizer_over(player.parameters, player.every) for player in self.network.players()]
        return made[0] if self.automatic_optimization else made

    def windows(self, batch: Any, stage: str) -> Windows:
        """The windows of a batch, with their draws."""
        epoch = self.current_epoch if stage == "train" else 0
        windows: Windows = self.model.windows(batch, seed=self.seed, epoch=epoch, stage=stage)
        return windows

    def batch_number(self, batch_idx: int) -> int:
        """The number of a batch of training, from 1, over all epochs."""
        return self.current_epoch * int(self.trainer.num_training_batches) + batch_idx + 1

    def progress(self, batch_idx: int) -> float:
        """Share of training that is done before a batch."""
        planned = float(self.trainer.estimated_stepping_batches) * self.trainer.accumulate_grad_batches
        return (self.batch_number(batch_idx) - 1) / max(1.0, planned)

    def loss(self, player: Player, windows: Windows, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """What a player lowers, and its terms: the mean over the windows of all processes, where gradients are meaned.

        A batch without windows has a loss of zero.
        """
        terms = player.terms(windows, progress) if len(windows) else {}
        total = (
            terms[player.loss].sum() if terms else sum(((p * 0.0).sum() for p in player.parameters), torch.zeros(()))
        )
        n: Any = torch.tensor(float(len(windows)), device=total.device)
        mean_n = self.trainer.strategy.reduce(n, reduce_op="mean")
        return total / mean_n.clamp(min=1.0), {name: value.detach() for name, value in terms.items()}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """One batch: a step of the one player, or a turn of each whose turn it is."""
        self.seed_step(batch_idx)
        windows = self.windows(batch, "train")
        players, progress = self.network.players(), self.progress(batch_idx)
        if not self.automatic_optimization:
            self.take_turns(players, windows, progress, self.batch_number(batch_idx))
            return None
        loss, terms = self.loss(players[0], windows, progress)
        if self.first_time(batch_idx):
            self.training_statistics.update(terms)
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """A step of the one player's optimizer, and what the generator does after it."""
        super().optimizer_step(*arguments, **named)
        self.network.after_step()

    # --- players who take turns

    def take_turns(self, players: list[Player], windows: Windows, progress: float, number: int) -> None:
        """A step of each player whose turn comes with batch `number`."""
        optimizers: Any = self.optimizers()
        schedulers: Any = self.lr_schedulers() or [None] * len(players)
        for player, optimizer, scheduler in zip(players, optimizers, schedulers, strict=True):
            if number % player.every:
                continue
            self.toggle_optimizer(optimizer)
            loss, terms = self.loss(player, windows, progress)
            optimizer.zero_grad()
            with self.alone():
                self.manual_backward(loss)
            self.mean_gradients(player)
            optimizer.step()
            self.untoggle_optimizer(optimizer)
            if scheduler is not None and self.interval == "step":
                scheduler.step()
            self.training_statistics.update(terms)
            self.log(f"train/{player.loss}_step", loss.detach(), on_step=True, on_epoch=False)
        self.network.after_step()

    def alone(self) -> AbstractContextManager[Any]:
        """Keep ddp from its own exchange of gradients: it would wait for those of the other players."""
        strategy: Any = self.trainer.strategy
        return nullcontext() if self.trainer.world_size == 1 else strategy.block_backward_sync()

    def mean_gradients(self, player: Player) -> None:
        """The mean gradients of all processes."""
        if self.trainer.world_size == 1:
            return
        for parameter in player.parameters:
            if parameter.grad is not None:
                mean: Any = self.trainer.strategy.reduce(parameter.grad, reduce_op="mean")
                parameter.grad.copy_(mean)

    def on_train_epoch_end(self) -> None:
        """Publish figures; schedules of players that go by epochs move here, Lightning leaves them alone."""
        super().on_train_epoch_end()
        if self.automatic_optimization or self.interval == "step":
            return
        schedulers: Any = self.lr_schedulers() or []
        for scheduler in schedulers:
            if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step()
            elif "validation/loss" in self.epoch_figures:
                scheduler.step(self.epoch_figures["validation/loss"])

    # --- validation

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The terms on validation data, with the weights that they have when training ends."""
        windows = self.windows(batch, "validation")
        if len(windows):
            self.validation_statistics.update(self.network.losses(windows))
