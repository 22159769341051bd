"""Training by expectation-maximisation: an epoch is an EM step over the whole training split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phonaut.models.em_classifier import EMClassifier, Segments
from phonaut.models.frame_cache import FrameCache
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.training.corpus_module import corpus_of
from phonaut.training.gradient import EpochStatistics, SpeechClassifier
from phonaut.training.trainer_options import is_whole_split

if TYPE_CHECKING:
    from phonaut.data.datamodule import SpeechData

LIMITS = {"limit_train_batches": 1.0, "limit_val_batches": 1.0, "val_check_interval": 1.0}
LEFT: dict[str, dict[str, Any]] = {  # reason -> options of the Trainer that change nothing, and their values
    "an EM step is one over the whole split": {**LIMITS, "overfit_batches": 0.0, "fast_dev_run": False},
    "EM has no gradients": {"gradient_clip_val": None, "gradient_clip_algorithm": None, "accumulate_grad_batches": 1,
                            "sync_batchnorm": None},
    "EM computes in the precision that it needs": {"precision": "32-true"},
}  # fmt: skip
SHOWN_CLASSES = 8  # whose samples are kept


class EMStep(torch.optim.Optimizer):
    """An optimizer whose step is the M-step, so that Lightning counts, saves and distributes EM as it does descent."""

    def __init__(self, params: Iterable[nn.Parameter]) -> None:
        super().__init__(params, {})

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Do the step that `closure` is."""
        assert closure is not None
        return closure()

    def load_state_dict(self, state_dict: Any) -> None:
        """Restore nothing: the state of EM is that of the model."""


class EM(SpeechClassifier):
    """EM on the segments of all classes; statistics are those of the whole training split, over all processes.

    Frames are computed once, without augmentation. `validation/loss` is minus the log-likelihood of a frame of the
    validation split under its own class; the epoch with the least is kept. Training ends when every class is done.

    Arguments are those of `SpeechClassifier`; those of gradient descent are not used.

    Args:
        *arguments: of `SpeechClassifier`.
        segments_of: gives the segments of a split; None: those of the spans of the data.
        **named: of `SpeechClassifier`.
    """

    figures = (*SpeechClassifier.figures, "log_likelihood")
    trains_encoders = trains_front_ends = averages = takes_teachers = False
    owns_loss = True
    unused = "optimizer scheduler augmentation module.label_smoothing dataset.timeshift_ms dataset.train_snr_low " + (
        "dataset.train_snr_high"
    )

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for classifiers that are fitted by EM."""
        return issubclass(network, EMClassifier)

    @classmethod
    def conflicts(cls, trainer: Mapping[str, Any]) -> list[str]:
        """Limits of an epoch, what is done to gradients, and a precision: EM has one of its own."""
        return super().conflicts(trainer) + [
            f"trainer.{key}={trainer[key]}: {why}; leave it at {value}"
            for why, values in LEFT.items()
            for key, value in values.items()
            if not (is_whole_split(trainer.get(key)) if key in LIMITS else trainer.get(key, value) == value)
        ]

    def __init__(self, *arguments: Any, segments_of: Callable[[str], Segments] | None = None, **named: Any) -> None:
        named.pop("label_smoothing", None)
        super().__init__(*arguments, **named)
        self.automatic_optimization = False
        self.augmentation = None
        if not isinstance(self.model.network, EMClassifier):
            raise ValueError(f"module=em fits densities, and no {type(self.model.network).__name__}")
        self.densities: EMClassifier = self.model.network
        self.segments_of = segments_of
        self.parts: list[Segments] = []
        self.median_frames: list[int] = []  # of the training segments of each class
        self.held: Segments | None = None
        self.curves: list[list[float]] = []  # log-likelihood of a frame, a row an epoch, a column a class
        self.kept: dict[str, Any] | None = None

    def setup(self, stage: str) -> None:
        """Read the frames of all segments, and start every class."""
        if stage != "fit" or self.parts:
            return
        data: SpeechData = corpus_of(self.trainer)
        data.whole_epochs = True
        segments_of = self.segments_of or FrameCache(self.model, data).segments
        everything = segments_of("train")
        rank, world = self.trainer.global_rank, self.trainer.world_size
        self.densities.initialize(everything, self.seed, rank, world)
        if isinstance(self.densities, GenerativeClassifier):
            self.median_frames = everything.lengths[median_segments(everything, len(self.classes))].tolist()
        self.parts = parts_of(everything, len(self.classes), rank, world)
        held = segments_of("validation")
        self.held = held.select(np.arange(len(held))[rank::world])

    def configure_optimizers(self) -> Any:
        """The M-step."""
        return EMStep([p for p in self.model.parameters() if p.requires_grad])

    def on_train_start(self) -> None:
        """Go on from a checkpoint."""
        super().on_train_start()
        if self.kept is not None:
            self.densities.load_em_state(self.kept)
            self.kept = None

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        """One EM step of all classes."""
        log_probs: list[float] = []

        def step() -> float:
            log_probs.extend(self.densities.em_step(self.parts))
            return 0.0

        optimizer: Any = self.optimizers()
        optimizer.step(step)
        n_frames = torch.tensor([float(len(part.frames)) for part in self.parts], dtype=torch.float64)
        frames: Any = self.trainer.strategy.reduce(n_frames.to(self.device), reduce_op="sum")
        logs = torch.tensor(log_probs, dtype=torch.float64)  # of all processes already
        self.curves.append((logs / frames.cpu().clamp(min=1)).tolist())
        self.training_statistics.loss = torch.stack([-logs.sum(), frames.cpu().sum()])
        if self.densities.done:
            self.trainer.should_stop = True

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Scores of this process's share of the validation split."""
        if self.held is None or not len(self.held):
            return
        found = self.densities.log_likelihoods(torch.from_numpy(self.held.frames).to(self.device), self.held.lengths)
        labels, n_frames = torch.from_numpy(self.held.labels), self.held.lengths[self.held.labels >= 0].sum()
        scores = self.densities.scores(found, self.held.lengths).cpu()
        self.validation_statistics.update(torch.zeros(()), scores, labels)
        total = true_class_log_likelihood(found, self.held.labels)
        self.validation_statistics.loss = torch.tensor([-total, float(n_frames)], dtype=torch.float64)

    def publish(self, stage: str, statistics: EpochStatistics) -> dict[str, float]:
        """As for every classifier; of training there are log-likelihoods, and no scores.

        What is counted has no likelihood, and a split without spans no figure: neither is in the history.
        """
        if stage == "validation":
            figures = super().publish(stage, statistics)
            return figures if statistics.reduced(self.trainer.strategy).loss[1] else {}
        loss = float(statistics.loss[0] / statistics.loss[1].clamp(min=1))
        self.log("train/loss", loss, prog_bar=True)
        for name, value in zip(self.classes, self.curves[-1], strict=True):
            self.log(f"log_likelihood/{name}", value)
        if not self.densities.is_density:
            return {}
        return {"train/loss": loss, "train/log_likelihood": -loss}

    def on_train_epoch_end(self) -> None:
        """Add a line to the history."""
        figures = self.publish("train", self.training_statistics) | self.epoch_figures
        self.seconds = time.perf_counter() - self.started
        place = {"epoch": self.current_epoch, "step": self.global_step}
        self.history.append(place | figures | {"seconds": round(self.seconds, 3)})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of EM of every class."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["phonaut"] |= {"em": self.densities.em_state(), "curves": self.curves}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it, once there are parameters."""
        super().on_load_checkpoint(checkpoint)
        self.kept, self.curves = checkpoint["phonaut"]["em"], checkpoint["phonaut"]["curves"]

    def conclude(self, data: SpeechData) -> dict[str, Any]:
        """Calibrate on the validation split, where that is asked for; return what `model.json` should say."""
        about: dict[str, Any] = {}
        if isinstance(self.densities, GenerativeClassifier):
            about["states"] = [model.n_components for model in self.densities.models]
            about["median_frames"] = self.median_frames
            about["log_likelihood_curves"] = {"classes": self.classes, "per_frame": self.curves}
        if self.densities.decision.calibration:
            held = FrameCache(self.model, data).segments("validation")
            found = self.densities.log_likelihoods(torch.from_numpy(held.frames), held.lengths)
            found, known = self.densities.class_log_likelihoods(found, held.lengths), held.labels >= 0
            penalty, accuracy = self.densities.decision.fit_calibration(
                found[known], held.labels[known], held.speakers[known]
            )
            about["calibration"] = {"penalty": penalty, "cross_validated_accuracy": accuracy}
        return about

    def samples(self, data: SpeechData) -> dict[str, NDArray[Any]]:
        """For a look at what densities have learned: of some classes a segment that is real, one that is drawn, and
        one that goes through the states in turn, each as long as it is expected to last.

        Returns:
            `frames` of all, one after another `(N, D)`, float32; their `lengths` `(K, 3)`; the names of the `classes`
            `(K,)`, the most frequent first; `low` and `high`, between which the frames of training lie, `(D,)`.
        """
        if not isinstance(self.densities, GenerativeClassifier):
            return {}
        known = FrameCache(self.model, data).segments("train")
        known = known.select(np.arange(len(data.spans["train"].label)))  # without generated ones, which come last
        frequent = np.argsort(-np.bincount(known.labels, minlength=len(self.classes)), kind="stable")[:SHOWN_CLASSES]
        rng, frames = np.random.default_rng(self.seed), []
        median = median_segments(known, len(self.classes))
        for c in frequent.tolist():
            real = known.select(median[[c]]).frames
            path = self.densities.in_turn(c, len(real))
            frames += [real, self.densities.sample(c, len(real), rng), self.densities.sample(c, len(path), rng, path)]
        low, high = np.quantile(known.frames, (0.01, 0.99), axis=0)
        return {
            "frames": np.concatenate(frames).astype(np.float32),
            "lengths": np.array([len(part) for part in frames]).reshape(-1, 3),
            "classes": np.array([self.classes[c] for c in frequent], dtype=np.str_),
            "low": low,
            "high": high,
        }


def parts_of(segments: Segments, n_classes: int, rank: int, world_size: int) -> list[Segments]:
    """A process's share of the segments of each class, in float64."""
    shares = (segments.select(np.flatnonzero(segments.labels == c)[rank::world_size]) for c in range(n_classes))
    return [replace(share, frames=share.frames.astype(np.float64)) for share in shares]


def median_segments(segments: Segments, n_classes: int) -> NDArray[np.int64]:
    """The number of a segment of median length of each class, `(C,)`; each class has one."""
    order = np.lexsort((segments.lengths, segments.labels))
    first, end = np.searchsorted(segments.labels[order], (np.arange(n_classes), np.arange(n_classes) + 1))
    median: NDArray[np.int64] = order[(first + end) // 2]
    return median


def true_class_log_likelihood(found: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The sum of the log-likelihoods `(B, C)` under the own classes; of what a class cannot produce, a million less."""
    of_true = found[labels >= 0, labels[labels >= 0]]
    return float(np.nan_to_num(of_true, neginf=-1e6).sum())
