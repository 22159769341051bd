"""Base of the training loops by batches: seeded steps, figures of epochs, history, schedule, resuming."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import lightning as L
import numpy as np
import torch
from lightning.pytorch.strategies import Strategy
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.features.batch_norm import share_statistics
from phonaut.training.averaging import renormalise
from phonaut.training.trainer_options import trainer_problems

# What a scheduler derives from the planned length of training: restored from a checkpoint, these would bring the old
# plan back where `max_epochs` was raised, so the new plan's values are kept.
PLANNED = ("total_steps", "T_max", "_schedule_phases")


class Statistics:
    """Sums over an epoch, each an attribute: plain tensors, no buffers, which DDP would overwrite with the first's."""

    def reduced(self, strategy: Strategy) -> Self:
        """The sums over all processes."""
        total = copy.copy(self)
        total.load_state_dict(
            {
                name: strategy.reduce(value.to(strategy.root_device, copy=True), reduce_op="sum").cpu()
                for name, value in self.state_dict().items()
            }
        )
        return total

    def summary(self) -> dict[str, float]:
        """Name -> figure."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Tensor]:
        """The sums that a checkpoint keeps."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the sums of a checkpoint; other entries are passed over."""
        for name in vars(self):
            setattr(self, name, state[name])


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generator that dropout draws from; to seed those of all devices would cost 0.3 ms a step."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class TrainingLoop(L.LightningModule):
    """Gradient descent on batches, one line of history an epoch.

    Every random draw of a step is a function of (seed, epoch, batch, process), so that a run that was killed and
    resumed gives the weights of one that was not.

    Args:
        model: what is trained.
        optimizer: `parameters -> optimizer`.
        scheduler: `optimizer -> scheduler` or None; keys the plan leaves open (`total_steps`, `T_max`) are filled in.
        interval: `step` or `epoch`: how often the scheduler moves.
        seed: of the run.

    Attributes:
        shown: figures beside a progress bar.
        figures: of an epoch, `train/<figure>` and `validation/<figure>`, which may be watched; none: not known.
        trains_encoders: its gradients reach an encoder in front of the model.
        trains_front_ends: its gradients reach weights of a front end or normaliser (`has_weights`).
        takes_teachers: it can learn the answers of trained models as well.
        averages: what it trains may be the mean of the weights of several epochs (`checkpoint=average`).
        averaged_epochs: of which it is, from 1; none: of one.
        shares_statistics: batch normalisation goes by the frames of all processes.
        unused: keys of a configuration that have no effect on it, with spaces between.
    """

    shown: tuple[str, ...] = ("loss",)
    figures: tuple[str, ...] = ()
    trains_encoders = True
    trains_front_ends = False
    takes_teachers = False
    averages = False
    unused = ""

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for classes of networks that this loop can train."""
        return True

    @classmethod
    def conflicts(cls, trainer: Mapping[str, Any]) -> list[str]:
        """Options of the Trainer that cannot be carried out, or that this loop cannot be combined with."""
        return trainer_problems(trainer)

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.interval = interval
        self.seed = seed
        self.training_statistics: Any = self.statistics()
        self.validation_statistics: Any = self.statistics()
        self.history: list[dict[str, float]] = []  # a line per finished epoch
        self.epoch_figures: dict[str, float] = {}  # of the last validation
        self.averaged_epochs: list[int] = []
        self.shares_statistics = True  # trainer.sync_batchnorm
        self.seconds = 0.0  # spent in training, over all processes that worked on this run
        self.started = 0.0
        self.counted_batch = -1

    def statistics(self) -> Statistics:
        """The sums of an epoch, at its start."""
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        """The optimizer over all trained parameters, and the scheduler with the planned number of steps.

        Raises:
            ValueError: the scheduler ends before training does.
        """
        return self.optimizer_over([p for p in self.parameters() if p.requires_grad])

    def optimizer_over(self, parameters: list[nn.Parameter], every: int = 1) -> Any:
        """The optimizer over some parameters, and its scheduler, as Lightning takes them.

        Args:
            parameters: that it changes.
            every: batches to one of its steps.

        Raises:
            ValueError: the scheduler ends before training does.
        """
        optimizer = self.make_optimizer(parameters)
        if self.make_scheduler is None:
            return optimizer
        n_steps = self.trainer.estimated_stepping_batches
        plan = int((n_steps if self.interval == "step" else self.trainer.max_epochs) or 1)
        plan = max(1, plan // every) if self.interval == "step" else plan
        scheduler = self.make_scheduler(optimizer, planned_length=plan)
        length = getattr(scheduler, "total_steps", plan)
        if length < plan:  # after its end one-cycle raises, and warm-up is at a rate of zero
            raise ValueError(f"scheduler.total_steps={length} is less than training takes, {plan} {self.interval}s: "
                             "leave it out, then the schedule is as long as that")  # fmt: skip
        entry = {"scheduler": scheduler, "interval": self.interval}
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            every_n_epochs = self.trainer.check_val_every_n_epoch or 1  # an earlier loss would count as no progress
            entry |= {"monitor": "validation/loss", "strict": True, "frequency": every_n_epochs}
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: Any = None,
    ) -> None:
        """As Lightning, which refuses it for a fused optimizer in bfloat16, as if gradients were scaled there."""
        if not gradient_clip_val or self.trainer.precision != "bf16-mixed":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if getattr(gradient_clip_algorithm, "value", gradient_clip_algorithm) == "value":
            torch.nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def seed_step(self, batch_idx: int) -> None:
        """Seed what a step draws, so that an optimizer's closure repeats the same function."""
        draw = np.random.SeedSequence((self.seed, self.current_epoch, batch_idx, self.global_rank))
        seed_device(self.device, int(draw.generate_state(1)[0]))

    def first_time(self, batch_idx: int) -> bool:
        """True if a batch comes for the first time: a closure (L-BFGS) comes several times for one batch."""
        first, self.counted_batch = batch_idx != self.counted_batch, batch_idx
        return first

    def on_fit_start(self) -> None:
        """Where several processes train, batch normalisation goes by the whole batch, as it does in one."""
        share_statistics(self.model, self.trainer.world_size > 1 and self.shares_statistics)

    def on_fit_end(self) -> None:
        """What follows is computed in one process."""
        share_statistics(self.model, False)

    def on_train_start(self) -> None:
        """The clock of this process starts."""
        self.started = time.perf_counter() - self.seconds

    def on_train_epoch_start(self) -> None:
        """A new epoch's sums; resumed in mid-epoch, this hook does not run and the sums go on."""
        self.training_statistics = self.statistics()
        self.counted_batch = -1

    def on_validation_epoch_start(self) -> None:
        """Validation starts from nothing."""
        self.validation_statistics = self.statistics()

    def on_validation_epoch_end(self) -> None:
        """Publish what checkpoints and early stopping watch."""
        figures = self.publish("validation", self.validation_statistics)
        self.epoch_figures = {} if self.trainer.sanity_checking else figures

    def on_train_epoch_end(self) -> None:
        """Publish the epoch's training figures and add a line to the history."""
        figures = self.publish("train", self.training_statistics) | self.epoch_figures
        self.seconds = time.perf_counter() - self.started
        place = {"epoch": self.current_epoch, "step": self.global_step}
        rate = {"lr": self.trainer.optimizers[0].param_groups[0]["lr"], "seconds": round(self.seconds, 3)}
        self.history.append(place | figures | rate)

    def publish(self, stage: str, statistics: Any) -> dict[str, float]:
        """Log an epoch's figures over all processes as `<stage>/<name>`."""
        summary = statistics.reduced(self.trainer.strategy).summary()
        figures = {f"{stage}/{name}": value for name, value in summary.items()}
        for name, value in figures.items():
            self.log(name, value, prog_bar=name.partition("/")[2] in self.shown)
        return figures

    def hear(self, batch: Any) -> None:
        """Run what is trained on a batch as training hears it; of loops that average."""
        raise NotImplementedError

    def renormalise(self, data: Any) -> None:
        """Running statistics of batch normalisation as means over the training batches, as the first epoch has them."""
        device = self.trainer.strategy.root_device
        self.model.to(device)
        renormalise(self.model, data.batches("train"), lambda batch: self.hear(batch.to(device)))
        self.model.cpu()

    def conclude(self, data: Any) -> dict[str, Any]:
        """Finish once the weights are chosen, and return entries for `model.json`."""
        return {}

    def samples(self, data: Any) -> dict[str, NDArray[Any]]:
        """Samples of a model that can generate: arrays for `samples.npz`."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history and the unfinished epoch's sums (of all processes; only the first one writes)."""
        self.seconds = time.perf_counter() - self.started
        checkpoint["phonaut"] = {
            "history": self.history,
            "seconds": self.seconds,
            "epoch_figures": self.epoch_figures,
            **self.training_statistics.reduced(self.trainer.strategy).state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore history and sums; keep this run's plan where `max_epochs` was raised since the checkpoint."""
        for state in checkpoint["lr_schedulers"]:
            for key in PLANNED:
                state.pop(key, None)
        saved = checkpoint["phonaut"]
        self.history, self.seconds, self.epoch_figures = saved["history"], saved["seconds"], saved["epoch_figures"]
        if self.global_rank == 0:  # the others go on from zero: the first process carries the sum of all
            self.training_statistics.load_state_dict(saved)
