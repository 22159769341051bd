"""Pre-training: an encoder learns to predict frames that it does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.data.batches import Batch
from phonaut.features.functional import length_mask
from phonaut.files import keep_files_of
from phonaut.models.guesses import guess_losses
from phonaut.models.objectives import DrawKey, Objective
from phonaut.models.representation_model import Reconstruction, RepresentationModel
from phonaut.networks.mockingjay import Mockingjay
from phonaut.networks.network import evaluating
from phonaut.training.loop import Statistics, TrainingLoop

N_EXAMPLES = 4  # recordings that are shown


class LossSums(Statistics):
    """Absolute errors summed over an epoch."""

    def __init__(self) -> None:
        self.loss = torch.zeros(2, dtype=torch.float64)  # sum, and number of features of frames

    def update(self, sums: Tensor) -> None:
        """Add a batch, `(2,)`."""
        self.loss = self.loss.to(sums.device) + sums.detach().double()

    def summary(self) -> dict[str, float]:
        """The mean."""
        total, n = self.loss.tolist()
        return {"loss": total / max(n, 1.0)}


class Representation(TrainingLoop):
    """Mean absolute error of predicted frames, over those that the objective counts, of all processes together.

    Masks derive from (seed, epoch, utterance), so that order, batch size, workers, processes and resuming change none;
    those of validation are the same in every epoch, so that its losses can be compared.

    Args:
        model: what is trained.
        objective: what it is asked for.
        optimizer: as of `TrainingLoop`.
        scheduler: likewise.
        interval: likewise.
        seed: of masks and dropout.
        compile: compile the layers of the encoder (`torch.compile`): some minutes at the start, then faster steps.
    """

    figures = ("loss",)

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for encoders."""
        return issubclass(network, Mockingjay)

    @classmethod
    def problems(cls, compile: bool = False) -> list[str]:
        """Problems of the options."""
        return compiler_problems() if compile else []

    def __init__(
        self,
        model: RepresentationModel,
        objective: Objective,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__(model, optimizer=optimizer, scheduler=scheduler, interval=interval, seed=seed)
        self.objective = objective
        if compile:
            keep_files_of("inductor", "TORCHINDUCTOR_CACHE_DIR")
            model.network.compile_layers()

    def statistics(self) -> LossSums:
        """Errors, at the start of an epoch."""
        return LossSums()

    def draw_key(self, batch: Batch, stage: str) -> DrawKey:
        """Key of the masks of a batch."""
        return DrawKey(batch.draw_keys, self.seed, batch.epoch if stage == "train" else 0, stage)

    def recording_losses(self, batch: Batch, stage: str) -> Tensor:
        """Sum and number of the errors that count, by recording, `(B, 2)`."""
        frames, targets, lengths = self.model.inputs_and_targets(batch)
        task = self.model.task(frames, lengths, self.objective, self.draw_key(batch, stage))
        losses: Tensor = self.model.recording_losses(frames, targets, lengths, task)
        return losses

    def guess_losses(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        """The same of simple guesses; see `phonaut.models.guesses`."""
        frames, targets, lengths = self.model.inputs_and_targets(batch)
        return guess_losses(
            targets, lengths, self.model.task(frames, lengths, self.objective, self.draw_key(batch, stage))
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch: alter, encode, predict."""
        self.seed_step(batch_idx)
        total, n = self.recording_losses(batch, "train").sum(dim=0)
        if self.first_time(batch_idx):
            self.training_statistics.update(torch.stack([total.detach(), n]))
        # DDP takes the mean of the processes' gradients: of their sums over the mean number, it is that of one process.
        mean_n: Any = self.trainer.strategy.reduce(n.detach().clone(), reduce_op="mean")
        loss: Tensor = total / mean_n.clamp(min=1.0)
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The errors on recordings of other speakers."""
        self.validation_statistics.update(self.recording_losses(batch, "validation").sum(dim=0))

    def examples(self, data: Any) -> tuple[list[str], Reconstruction]:
        """Masked input, prediction and target of a few recordings of the validation split."""
        dataset = data.dataset("validation")
        rows = np.unique(np.linspace(0, len(dataset) - 1, N_EXAMPLES).astype(np.int64))
        batch = dataset[rows].to(self.device)
        with evaluating(self.model):
            examples: Reconstruction = self.model.reconstruction(
                batch, self.objective, self.draw_key(batch, "validation")
            )
        return [dataset.table.id(row) for row in batch.rows.tolist()], examples

    def samples(self, data: Any) -> dict[str, NDArray[Any]]:
        """Examples for the report.

        Returns:
            `seen (N, D)`, `predicted (N, D')`, `truth (N, D')` and `chosen (N,)` of all examples, one after another;
            their `lengths (K,)` and `cuts (K,)`.
        """
        names, examples = self.examples(data)
        lengths, valid = examples.lengths.cpu(), length_mask(examples.lengths, examples.chosen.shape[1])
        arrays = {
            name: value[valid].float().cpu().numpy().astype(np.bool_ if name == "chosen" else np.float16)
            for name, value in examples._asdict().items()
            if name != "lengths"
        }
        return arrays | {"lengths": lengths.numpy(), "cuts": np.array(names, dtype=np.str_)}


def compiler_problems() -> list[str]:
    """Requirements of `torch.compile` that this machine lacks."""
    import importlib.util
    import os
    import shutil
    import sysconfig

    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        return ["module.compile=true needs a C++ compiler (g++), and there is none: leave it out"]
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return ["module.compile=true needs Python.h, of Python's development files, which is not there: leave it out"]
    torch = importlib.util.find_spec("torch")
    if torch and " " in str(torch.origin):  # PyTorch's call of the compiler does not quote it
        return [f"module.compile=true: PyTorch cannot compile from a path with a space, {torch.origin}: leave it out"]
    return []
