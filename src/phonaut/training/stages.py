"""Training of verification systems: an epoch is one of their steps, over the whole background."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from phonaut.models.frame_cache import FrameCache
from phonaut.models.speakers import Utterances, VerificationSystem
from phonaut.training.corpus_module import corpus_of
from phonaut.training.em import EMStep
from phonaut.training.loop import Statistics, TrainingLoop
from phonaut.training.speakers import SPEEDS
from phonaut.training.trainer_options import n_processes

if TYPE_CHECKING:
    from phonaut.data.trial_data import TrialData
    from phonaut.models.speech_model import SpeechModel


SPEEDS_BY_DEFAULT = (0.9, 1.1)


class StepStatistics(Statistics):
    """Nothing: a step has its figures."""

    def summary(self) -> dict[str, float]:
        """None."""
        return {}


class Stages(TrainingLoop):
    """Steps of a verification system until it is done, on frames that are computed once.

    Arguments are those of `TrainingLoop`, of which those of gradient descent are not used, and one more.

    Args:
        speeds: at which the background is heard besides, each time by other speakers (Yamamoto 2019, "Speaker
            augmentation"): multiples of 0.025, none of them 1. None: 0.9 and 1.1 where there is audio.
    """

    RULES: ClassVar = {"speeds": SPEEDS}

    shown = ("log_likelihood",)
    trains_encoders = False
    unused = "optimizer scheduler augmentation batch_size early_stopping labels_pct labels_each"

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for verification systems."""
        return isinstance(network, type) and issubclass(network, VerificationSystem)

    @classmethod
    def conflicts(cls, trainer: Mapping[str, Any]) -> list[str]:
        """Limits of an epoch, for a step takes the whole background; and several processes."""
        whole = {"limit_train_batches": 1.0, "overfit_batches": 0.0, "fast_dev_run": False}
        gradients = {"gradient_clip_val": None, "gradient_clip_algorithm": None, "accumulate_grad_batches": 1}
        wrong = super().conflicts(trainer) + [
            f"trainer.{key}={trainer[key]}: {why}; leave it at {value}"
            for some, why in ((whole, "a step is one over the whole background"), (gradients, "there are no gradients"))
            for key, value in some.items()
            if trainer.get(key, value) != value
        ]
        if n_processes(trainer) > 1:
            wrong.append(
                f"trainer.devices={trainer['devices']}: these systems are trained by one process; leave it out"
            )
        return wrong

    def __init__(
        self,
        model: SpeechModel,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        seed: int = 0,
        speeds: Sequence[float] | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, scheduler=scheduler, interval=interval, seed=seed)
        self.speeds = speeds
        self.automatic_optimization = False
        self.system: VerificationSystem = self.model.network
        self.kept: dict[str, Any] | None = None
        self.step_figures: dict[str, float] = {}
        self.is_ready = False

    def statistics(self) -> StepStatistics:
        """The sums of an epoch: none."""
        return StepStatistics()

    def setup(self, stage: str) -> None:
        """Read the frames of the background, and begin."""
        if stage != "fit" or self.is_ready:
            return
        data: TrialData = corpus_of(self.trainer)
        data.whole_epochs = True
        self.system.begin(Utterances.joined(background_of(self.model, data, self.speeds)), self.seed)
        self.is_ready = True

    def configure_optimizers(self) -> Any:
        """The step."""
        return EMStep([p for p in self.model.parameters() if p.requires_grad])

    def on_train_start(self) -> None:
        """Go on from a checkpoint."""
        super().on_train_start()
        if self.kept is not None:
            self.system.load_training_state(self.kept)
            self.kept = None

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """One step of the system."""

        def step() -> float:
            self.step_figures = {} if self.system.done else dict(self.system.step())
            return 0.0

        optimizer: Any = self.optimizers()
        optimizer.step(step)
        if self.system.done:
            self.trainer.should_stop = True

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Trials are scored at the end."""

    def on_train_epoch_end(self) -> None:
        """Add a line to the history."""
        figures = {f"train/{name}": float(value) for name, value in self.step_figures.items()}
        for name, value in figures.items():
            self.log(name, value, prog_bar=name.partition("/")[2] in self.shown)
        self.seconds = time.perf_counter() - self.started
        place = {"epoch": self.current_epoch, "step": self.global_step}
        self.history.append(place | figures | {"seconds": round(self.seconds, 3)})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the course of training."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["phonaut"] |= {"stages": self.system.training_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it, once there are parameters."""
        super().on_load_checkpoint(checkpoint)
        self.kept = checkpoint["phonaut"]["stages"]


def background_of(model: Any, data: TrialData, speeds: Sequence[float] | None) -> list[Utterances]:
    """The background as it is, and at each of the speeds by other speakers; row i is the same recording in all."""
    background = utterances_of(model, data, "train")
    if speeds is None:
        speeds = SPEEDS_BY_DEFAULT if data.prepared.frames is None else ()
    copies = []
    for speed in speeds:
        copy = utterances_of(model, data, "train", speed)
        names = {name: np.array([f"{one} x{speed:g}" for one in copy[name].tolist()]) for name in ("id", "speaker")}
        copies.append(copy.replaced(**names))
    return [background, *copies]


def utterances_of(model: Any, data: TrialData, split: str, speed: float = 1.0) -> Utterances:
    """The frames of all recordings of a split, with ids, speakers, phrases and texts, in the order of the corpus."""
    segments = FrameCache(model, data, speed).segments(split)
    table = data.prepared.utterances(split)
    rows = data.spans[split].row.tolist()
    return Utterances(
        segments.frames,
        segments.lengths.astype(np.int64),
        {
            "id": np.array(data.ids(split), np.str_),
            "speaker": segments.speakers,
            "phrase": np.array(data.phrases(split), np.str_),
            "text": np.array([table.text(row) for row in rows], np.str_),
            "speech_s": (data.spans[split].end_s - data.spans[split].start_s) / speed,
        },
    )


def train_to_the_end(system: VerificationSystem, background: Utterances, seed: int) -> VerificationSystem:
    """Train a system outside the Trainer, on other recordings: a turn of development."""
    with torch.no_grad():
        system.begin(background, seed)
        while not system.done:
            system.step()
    return system
