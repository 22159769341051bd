"""Training by gradient descent: scores of spans against their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import Rule, within
from phonaut.data.augmentation.chain import Augmentation
from phonaut.data.batches import Batch
from phonaut.data.classes import is_word
from phonaut.data.prepared import UtteranceTable
from phonaut.features import Sinc
from phonaut.metrics import rates_from_confusion
from phonaut.models import EMClassifier
from phonaut.models.dnnhmm import DNNHMM
from phonaut.models.generators.generator import Generator
from phonaut.models.speech_model import SpeechModel
from phonaut.networks import reparameterized as reparameterized_layers
from phonaut.networks.mockingjay import Mockingjay
from phonaut.networks.padding import masked_mean, without_padding
from phonaut.networks.pooling import moving_mean
from phonaut.networks.statistics_noise import StatisticsNoise
from phonaut.training.distillation import Teachers
from phonaut.training.loop import Statistics, TrainingLoop
from phonaut.training.losses import cross_entropy, max_pooling


class EpochStatistics(Statistics):
    """Loss and confusions summed over an epoch."""

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

    def summary(self) -> dict[str, float]:
        """Mean loss, accuracy, macro recall and macro F1; of one class the loss."""
        total, n = self.loss.tolist()
        rates = rates_from_confusion(self.confusion.numpy()) if len(self.confusion) > 1 else {}
        return {"loss": total / max(n, 1.0), **rates}


class SpeechClassifier(TrainingLoop):
    """Cross-entropy over spans, on whole batches of augmented recordings.

    `loss = -sum_c q_c log softmax(scores)_c` with `q = (1 - a) onehot + a / C` for label smoothing `a` (Szegedy 2016).
    With mixup the frames of a span are `w x_i + (1 - w) x_j`, and its `onehot` is `w onehot_i + (1 - w) onehot_j`, for
    another span j of the batch of the same length (Zhang et al. 2018, arXiv:1710.09412); w is the larger of both parts
    that Beta(mixup, mixup) gives.

    Args:
        model: what is trained.
        classes: names of the classes, in the order of the scores.
        optimizer: as of `TrainingLoop`.
        scheduler: likewise.
        interval: likewise.
        augmentation: applied to training batches only, or None.
        noise: recordings that augmentation may mix in.
        seed: of augmentation and dropout.
        label_smoothing: `a` above, in [0, 1).
        mixup: both parameters of the beta distribution of weights; 0: off. 0.2 mixes little, 1 evenly.
        statistics_noise: part of the batches in which mean and deviation of the first hidden layers are perturbed
            (`phonaut.networks.statistics_noise`); 0: off, 0.5 by custom.
        reparameterized: convolutions over time have branches in training (`phonaut.networks.reparameterized`), which
            are folded into them when it ends.
        teachers: trained models whose answers are learned beside the labels, or None.
        loss: `cross_entropy`, `focal` or `max_pooling` (`phonaut.training.losses`); validation is of cross-entropy.
        gamma: of the focal loss.
        negative_weight: of classes that are no words (`_silence_`, `_unknown_`) when training ends, others having 1;
            it rises from 1.
        window_ms: of `max_pooling`: what a score of the stream looks at.

    Raises:
        ValueError: negatives are asked for, and all classes are words.
    """

    shown = ("loss", "accuracy")
    figures: tuple[str, ...] = ("loss", "accuracy", "recall", "f1")
    trains_front_ends = averages = takes_teachers = True
    RULES: ClassVar = {
        "label_smoothing": Rule("must be from 0 to below 1", lambda value: 0 <= value < 1),
        "mixup": within(0, 100),
        "statistics_noise": within(0, 1),
        "gamma": within(0, 10),
        "negative_weight": within(0, 1000, beyond=True),
    }
    owns_loss = False  # another one than its options say

    @classmethod
    def problems(cls, *, loss: str = "cross_entropy", mixup: float = 0.0, **options: Any) -> list[str]:
        """Losses that cannot be combined with something else."""
        if cls.owns_loss and (loss != "cross_entropy" or options.get("negative_weight", 1) != 1):
            return [f"module.loss and module.negative_weight are of module=speech_classifier, and {cls.__name__} has a "
                    "loss of its own: leave them out"]  # fmt: skip
        if mixup and loss == "max_pooling":
            return [f"module.mixup={mixup} mixes words, of which module.loss=max_pooling knows one: leave one out"]
        return []

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for networks that give scores; what is fitted by EM, encoders and generators have loops of their own."""
        return not issubclass(network, (EMClassifier, DNNHMM, Mockingjay, Generator))

    def __init__(
        self,
        model: SpeechModel,
        classes: Sequence[str],
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        augmentation: Augmentation | None = None,
        noise: UtteranceTable | None = None,
        seed: int = 0,
        label_smoothing: float = 0.1,
        mixup: float = 0.0,
        statistics_noise: float = 0.0,
        reparameterized: bool = False,
        teachers: Teachers | None = None,
        loss: Literal["cross_entropy", "focal", "max_pooling"] = "cross_entropy",
        gamma: float = 2.0,
        negative_weight: float = 1.0,
        window_ms: float = 1000.0,
    ) -> None:
        self.classes = list(classes)
        super().__init__(model, optimizer=optimizer, scheduler=scheduler, interval=interval, seed=seed)
        self.augmentation = augmentation
        self.noise = noise
        self.label_smoothing, self.mixup = label_smoothing, mixup
        self.distillation = teachers
        self.kind_of_loss, self.gamma = loss, gamma if loss == "focal" else 0.0
        self.negative_weight, self.window_ms = negative_weight, window_ms
        self.counted = torch.zeros(())  # what the last loss is a mean over: spans or frames, by their weights
        self.words = torch.tensor([i for i, name in enumerate(self.classes) if is_word(name)])
        if len(self.words) == len(self.classes) and (loss == "max_pooling" or negative_weight != 1):
            key = "loss=max_pooling" if loss == "max_pooling" else f"negative_weight={negative_weight:g}"
            raise ValueError(f"module.{key} needs a class that is no word, _unknown_ or _silence_, and there are "
                             f"{', '.join(self.classes[:12])}: leave it out")  # fmt: skip
        if reparameterized:
            reparameterized_layers.attach(model.network)
        if statistics_noise:
            StatisticsNoise.attach(model.network, statistics_noise)

    def statistics(self) -> EpochStatistics:
        """Losses and confusions, at the start of an epoch."""
        return EpochStatistics(len(self.classes))

    def augmented(self, batch: Batch) -> Batch:
        """The batch as training sees it."""
        if self.augmentation is None:
            return batch
        return self.augmentation(batch, seed=self.seed, noise=self.noise)

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Mean cross-entropy of the labelled spans; zero where a batch has none.

        Args:
            scores: `(N, C)`.
            labels: classes, `(N,)`, or weights of all classes, `(N, C)`, which are 0 where nothing is known.
            smoothing: of labels.
        """
        known = labelled(labels)
        self.counted = known.sum()
        if not bool(known.any()):
            return scores.sum() * 0.0
        scores, labels = scores[known], labels[known]
        gamma, weights = (self.gamma, self.weights()) if self.training else (0.0, None)
        if weights is not None:
            self.counted = (weights[labels] if labels.ndim == 1 else labels @ weights).sum()
        return cross_entropy(scores, labels, smoothing, gamma=gamma, weights=weights)

    def shared(self, loss: Tensor) -> Tensor:
        """A loss of which the mean over processes, as ddp takes it, is that of the whole batch."""
        if self.trainer.world_size == 1:
            return loss
        mean: Any = self.trainer.strategy.reduce(self.counted.detach().float().clone(), reduce_op="mean")
        part: Tensor = self.counted / mean.clamp(min=1e-6)
        return loss * part

    def taught(self, scores: Tensor, labels: Tensor, smoothing: float, told: Tensor | None) -> Tensor:
        """`loss`, joined with what teachers answer for these scores, `(N, C)`, where there are some."""
        loss = self.loss(scores, labels, smoothing)
        if told is None:
            return loss
        assert self.distillation is not None
        known = labelled(labels)
        return self.distillation.joined(loss, scores[known], told[known])

    def progress(self) -> float:
        """Share of training that is done."""
        return self.global_step / max(1.0, float(self.trainer.estimated_stepping_batches))

    def weights(self) -> Tensor | None:
        """Of classes at this step, `(C,)`; None: all alike."""
        if self.negative_weight == 1:
            return None
        weights = torch.full((len(self.classes),), 1 + (self.negative_weight - 1) * self.progress())
        return weights.index_fill(0, self.words, 1.0).to(self.device)

    def pooled_loss(self, segments: Tensor, lengths: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `(N, C)` of segments, and the loss of the scores that their streams have at every hidden frame."""
        network, known = self.model.network, labels >= 0
        frames, mask = without_padding(segments, lengths)
        hidden, mask = network.body(frames, lengths, mask)
        scores = network.decide(masked_mean(hidden, mask))
        weights = self.weights()
        self.counted = known.sum() if weights is None else weights[labels[known]].sum()
        if not bool(known.any()):
            return scores, scores.sum() * 0.0
        window = max(1, round(self.window_ms / 1000 / (self.model.front_end.frame_shift_s * network.time_stride)))
        of_frames = network.decide(moving_mean(hidden, window, {}))[known]
        words, mask = self.words.to(labels.device), None if mask is None else mask[known]
        return scores, max_pooling(of_frames, mask, labels[known], words, weights)

    def scores_and_loss(self, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """Scores `(N, C)` of the spans of a batch, and what training lowers.

        Frame-level networks learn from frames, those that may answer early from the weighted losses of all exits.
        """
        segments, lengths = self.model.segments(batch)
        labels = batch.labels
        if self.mixup and self.training:
            segments, labels = mixed(segments, lengths, labels, len(self.classes), self.mixup)
        if self.kind_of_loss == "max_pooling" and self.training:
            return self.pooled_loss(segments, lengths, labels)
        told = self.distillation.answer(batch) if self.distillation is not None and self.training else None
        if exits := getattr(self.model.network, "exit_weights", ()):
            of_exits = self.model.network.exit_scores(segments, lengths)
            losses = [w * self.taught(one, labels, smoothing, told) for w, one in zip(exits, of_exits, strict=True)]
            return self.model.network.chosen(of_exits)[0], torch.stack(losses).sum()
        scores = self.model.classify(segments, lengths)
        if not self.model.frame_level:
            return scores, self.taught(scores, labels, smoothing, told)
        logits, segment = self.model.network.frame_logits(segments, lengths)
        return scores, self.taught(logits, labels[segment], smoothing, None if told is None else told[segment])

    def hear(self, batch: Batch) -> None:
        """Run the model on a batch as training hears it: of a network that may answer early, all of it."""
        segments = self.model.segments(self.augmented(batch))
        getattr(self.model.network, "exit_scores", self.model.classify)(*segments)

    def conclude(self, data: Any) -> dict[str, Any]:
        """Fold branches; what a learned front end and a network with exits have to say, for `model.json`."""
        reparameterized_layers.fold(self.model.network)
        return bands_of(self.model.front_end) | exits_of(self.model, data)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch: augment, score, loss."""
        self.seed_step(batch_idx)
        batch = self.augmented(batch)
        scores, loss = self.scores_and_loss(batch, self.label_smoothing)
        if self.first_time(batch_idx):
            self.training_statistics.update(loss, scores, batch.labels)
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return self.shared(loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Scores of clean recordings, without smoothing."""
        scores, loss = self.scores_and_loss(batch, 0.0)
        self.validation_statistics.update(loss, scores, batch.labels)


def labelled(labels: Tensor) -> Tensor:
    """Which spans have a label, `(N,)`: a class of at least 0, or weights of all classes that are not all 0."""
    return labels >= 0 if labels.ndim == 1 else labels.sum(dim=1) > 0


def mixed(segments: Tensor, lengths: Tensor, labels: Tensor, n_classes: int, mixup: float) -> tuple[Tensor, Tensor]:
    """Segments `(N, T, D)`, each with a part of another one, and their labels as weights `(N, C)`.

    The larger part stays the segment's own, so that `labels (N,)` still name the likest class. Spans without a label,
    and pairs of different lengths, are not mixed.
    """
    other = torch.randperm(len(labels), device=labels.device)
    weight = torch.distributions.Beta(mixup, mixup).sample(labels.shape).to(segments)
    weight = torch.maximum(weight, 1 - weight)
    fits = (labels >= 0) & (labels[other] >= 0) & (lengths == lengths[other])
    fits &= other != torch.arange(len(labels), device=labels.device)
    weight = torch.where(fits, weight, 1.0)
    onehot = F.one_hot(labels.clamp(min=0), n_classes).to(segments.dtype) * (labels >= 0)[:, None]
    targets = weight[:, None] * onehot + (1 - weight[:, None]) * onehot[other]
    own = weight[:, None, None]
    return own * segments + (1 - own) * segments[other], targets


def bands_of(front_end: nn.Module) -> dict[str, Any]:
    """`bands_hz`: edges of learned filters, `[low, high]` each, as training began and as it ended."""
    if not isinstance(front_end, Sinc):
        return {}
    fresh = Sinc(**asdict(front_end.options))
    edges = {"began": fresh.bands(), "learned": front_end.bands()}
    return {"bands_hz": {name: torch.stack(one, dim=1).tolist() for name, one in edges.items()}}


def exits_of(model: SpeechModel, data: Any) -> dict[str, Any]:
    """Of a network that may answer early: how often it does on the test split, and what it computes on average.

    `exits`, the part of the spans that each exit answers; `exit_macs`, the mean of their multiply-accumulates.
    """
    network: Any = model.network
    if not getattr(network, "exit_weights", ()):
        return {}
    taken, n_frames = [], []
    with torch.inference_mode():
        for batch in data.batches("test" if len(data.dataset("test")) else "validation"):
            segments, lengths = model.segments(batch)
            taken.append(network.chosen(network.exit_scores(segments, lengths))[1])
            n_frames.append(lengths)
    share = torch.bincount(torch.cat(taken), minlength=len(network.exit_weights)).double()
    share = share / share.sum()
    mean = round(torch.cat(n_frames).double().mean().item())
    macs = torch.tensor(network.exit_macs(mean, model.front_end.n_features), dtype=torch.float64)
    return {"exits": share.tolist(), "exit_macs": float(share @ macs)}
