"""Training by gradient descent: scores of spans against their labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import Strategy
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.data.augmentation import Augmentation
from phonaut.data.batches import Batch
from phonaut.data.prepared import CutTable
from phonaut.metrics import rates_from_confusion
from phonaut.modules.speech_model import SpeechModel

# What a scheduler derives from the planned length of training: restored from a checkpoint, these would bring the old
# plan back where `max_epochs` was raised, so the new plan's values are kept.
PLANNED = ("total_steps", "T_max", "_schedule_phases")


class EpochStatistics:
    """Loss and confusions summed over an epoch.

    Plain tensors and no buffers: DDP would overwrite every process's buffers with those of the first.
    """

    def __init__(self, n_classes: int) -> None:
        self.confusion = torch.zeros(n_classes, n_classes, dtype=torch.int64)
        self.loss = torch.zeros(2, dtype=torch.float64)  # sum over spans, number of spans

    def update(self, loss: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch; spans labelled -1 count for nothing."""
        known = labels >= 0
        n_classes = len(self.confusion)
        cells = labels[known] * n_classes + scores.detach()[known].argmax(dim=1)
        counts = torch.bincount(cells, minlength=n_classes**2).view(n_classes, n_classes)
        n = known.sum()
        self.confusion = self.confusion.to(counts.device) + counts  # stays where the scores are: no wait for a GPU
        self.loss = self.loss.to(n.device) + torch.stack([loss.detach().double() * n, n.double()])

    def reduced(self, strategy: Strategy) -> EpochStatistics:
        """The sums over all processes."""
        total = EpochStatistics(len(self.confusion))
        device = strategy.root_device
        total.confusion = strategy.reduce(self.confusion.to(device, copy=True), reduce_op="sum").cpu()
        total.loss = strategy.reduce(self.loss.to(device, copy=True), reduce_op="sum").cpu()
        return total

    def summary(self) -> dict[str, float]:
        """Mean loss, accuracy, macro recall and macro F1."""
        total, n = self.loss.tolist()
        return {"loss": total / max(n, 1.0), **rates_from_confusion(self.confusion.numpy())}


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generator that dropout draws from; to seed those of all devices would cost 0.3 ms a step."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class SpeechClassifier(L.LightningModule):
    """Cross-entropy over spans, on whole batches of augmented recordings.

    `loss = -sum_c q_c log softmax(scores)_c` with `q = (1 - a) onehot + a / C` for label smoothing `a` (Szegedy 2016).

    Every random draw of a step is a function of (seed, epoch, batch), so that a run that was killed and resumed gives
    the weights of one that was not.

    Args:
        model: what is trained.
        classes: names of the classes, in the order of the scores.
        optimizer: `parameters -> optimizer`.
        scheduler: `optimizer -> scheduler` or None; keys the plan leaves open (`total_steps`, `T_max`) are filled in.
        interval: `step` or `epoch`: how often the scheduler moves.
        augmentation: applied to training batches only, or None.
        noise: recordings that augmentation may mix in.
        seed: of augmentation and dropout.
        label_smoothing: `a` above, in [0, 1).
    """

    def __init__(
        self,
        model: SpeechModel,
        classes: Sequence[str],
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        augmentation: Augmentation | None = None,
        noise: CutTable | None = None,
        seed: int = 0,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.model = model
        self.classes = list(classes)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.interval = interval
        self.augmentation = augmentation
        self.noise = noise
        self.seed = seed
        self.label_smoothing = label_smoothing
        self.training_statistics = EpochStatistics(len(self.classes))
        self.validation_statistics = EpochStatistics(len(self.classes))
        self.history: list[dict[str, float]] = []  # a line per finished epoch
        self.epoch_figures: dict[str, float] = {}  # of the last validation
        self.seconds = 0.0  # spent in training, over all processes that worked on this run
        self.started = 0.0
        self.counted_batch = -1

    def configure_optimizers(self) -> Any:
        """The optimizer over all trained parameters, and the scheduler with the planned number of steps."""
        optimizer = self.make_optimizer([p for p in self.model.parameters() if p.requires_grad])
        if self.make_scheduler is None:
            return optimizer
        plan = self.trainer.estimated_stepping_batches if self.interval == "step" else self.trainer.max_epochs
        scheduler = self.make_scheduler(optimizer, planned_length=int(plan or 1))
        entry = {"scheduler": scheduler, "interval": self.interval}
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            entry |= {"monitor": "validation/loss", "strict": True}
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def augmented(self, batch: Batch) -> Batch:
        """The batch as training sees it."""
        if self.augmentation is None:
            return batch
        return self.augmentation(batch, seed=self.seed, noise=self.noise)

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Mean cross-entropy of the labelled spans; zero where a batch has none."""
        if not bool((labels >= 0).any()):
            return scores.sum() * 0.0
        return F.cross_entropy(scores, labels, ignore_index=-1, label_smoothing=smoothing)

    def scores_and_loss(self, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """Scores `(N, C)` of the spans of a batch, and what training lowers."""
        scores = self.model.scores(batch)
        return scores, self.loss(scores, batch.labels, smoothing)

    def on_train_start(self) -> None:
        """The clock of this process starts."""
        self.started = time.perf_counter() - self.seconds

    def on_train_epoch_start(self) -> None:
        """A new epoch's sums; resumed in mid-epoch, this hook does not run and the sums go on."""
        self.training_statistics = EpochStatistics(len(self.classes))
        self.counted_batch = -1

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch: augment, score, loss. Seeded here, so that an optimizer's closure repeats the same function."""
        draw = np.random.SeedSequence((self.seed, self.current_epoch, batch_idx, self.global_rank))
        seed_device(self.device, int(draw.generate_state(1)[0]))
        batch = self.augmented(batch)
        scores, loss = self.scores_and_loss(batch, self.label_smoothing)
        if batch_idx != self.counted_batch:  # a closure (L-BFGS) comes several times for one batch
            self.training_statistics.update(loss, scores, batch.labels)
            self.counted_batch = batch_idx
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Validation starts from nothing."""
        self.validation_statistics = EpochStatistics(len(self.classes))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Scores of clean recordings, without smoothing."""
        scores, loss = self.scores_and_loss(batch, 0.0)
        self.validation_statistics.update(loss, scores, batch.labels)

    def on_validation_epoch_end(self) -> None:
        """Publish what checkpoints and early stopping watch."""
        self.epoch_figures = self.publish("validation", self.validation_statistics)

    def on_train_epoch_end(self) -> None:
        """Publish the epoch's training figures and add a line to the history."""
        figures = self.publish("train", self.training_statistics) | self.epoch_figures
        self.seconds = time.perf_counter() - self.started
        place = {"epoch": self.current_epoch, "step": self.global_step}
        rate = {"lr": self.trainer.optimizers[0].param_groups[0]["lr"], "seconds": round(self.seconds, 3)}
        self.history.append(place | figures | rate)

    def publish(self, stage: str, statistics: EpochStatistics) -> dict[str, float]:
        """Log an epoch's figures over all processes as `<stage>/<name>`."""
        summary = statistics.reduced(self.trainer.strategy).summary()
        figures = {f"{stage}/{name}": value for name, value in summary.items()}
        shown = {f"{stage}/loss", f"{stage}/accuracy"}
        for name, value in figures.items():
            self.log(name, value, prog_bar=name in shown)
        return figures

    def conclude(self, data: Any) -> dict[str, Any]:
        """What is left to do when the weights are chosen; and what `model.json` should say of it."""
        return {}

    def samples(self, data: Any) -> dict[str, NDArray[Any]]:
        """What a model that can generate makes; arrays for `samples.npz`."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history and the unfinished epoch's sums (of all processes; only the first one writes)."""
        self.seconds = time.perf_counter() - self.started
        sums = self.training_statistics.reduced(self.trainer.strategy)
        checkpoint["phonaut"] = {
            "history": self.history,
            "seconds": self.seconds,
            "epoch_figures": self.epoch_figures,
            "confusion": sums.confusion,
            "loss": sums.loss,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore history and sums; keep this run's plan where `max_epochs` was raised since the checkpoint."""
        for state in checkpoint["lr_schedulers"]:
            for key in PLANNED:
                state.pop(key, None)
        saved = checkpoint["phonaut"]
        self.history, self.seconds, self.epoch_figures = saved["history"], saved["seconds"], saved["epoch_figures"]
        if self.global_rank == 0:  # the others go on from zero: the first process carries the sum of all
            self.training_statistics.confusion, self.training_statistics.loss = saved["confusion"], saved["loss"]
