"""Training of speaker embeddings: angular margin, crops, copies at other speeds, averaged weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from phonaut.checkpoints.state_dict import read_weights, write_weights
from phonaut.checks import Rule, within
from phonaut.data import draws
from phonaut.data.augmentation.resampling import STEPS
from phonaut.data.augmentation.timing import retime
from phonaut.data.batches import Batch
from phonaut.networks.embedding import Cosines, EmbeddingNetwork, cosines, with_margin
from phonaut.training.averaging import mean_of
from phonaut.training.gradient import SpeechClassifier

if TYPE_CHECKING:
    from phonaut.data.datamodule import SpeechData

RESIDUE = 1e-3  # of the margin, that would be missing at the end of an exponential without its last correction


def are_speeds(speeds: Any) -> bool:
    """Whether these are speeds of copies: a list of different multiples of 0.025 from 0.5 to 2, none of them 1.

    >>> are_speeds([0.9, 1.1]), are_speeds(0.9), are_speeds(["fast"]), are_speeds([1.0])
    (True, False, False, False)
    """
    if not isinstance(speeds, Sequence) or isinstance(speeds, str) or len(set(map(str, speeds))) != len(speeds):
        return False
    numbers = all(isinstance(speed, int | float) and not isinstance(speed, bool) for speed in speeds)
    return numbers and all(
        0.5 <= speed <= 2 and speed != 1 and abs(speed * STEPS - round(speed * STEPS)) < 1e-6 for speed in speeds
    )


SPEEDS = Rule("must be a list of different multiples of 0.025 from 0.5 to 2, without 1", are_speeds)
SHARE = Rule("must be a share of training, 0 to 1", lambda value: 0 <= value <= 1)


class SpeakerEmbedding(SpeechClassifier):
    """Cross-entropy of speakers with an additive angular margin (Deng et al. 2019, "ArcFace", equation 3).

    With `theta_c` the angle between an embedding and the vector of speaker c, and y the speaker,

        loss = -log softmax(s cos(theta_c + m [c = y]))_y

    The margin m grows from 0 (Wang, wespeaker 2022). A recording that is longer than `crop_s` is heard in part, another
    part in every epoch. In every epoch each recording is heard at one of its speeds, drawn: at another than its own it
    is that of another speaker, whose vector is thrown away when training ends (Yamamoto 2019, "Speaker augmentation").
    Draws are functions of (seed, epoch, recording) alone. Validation hears whole recordings as they are.

    At the end, weights are the mean of those after each of the last epochs (Izmailov 2018, "Averaging weights"), and
    statistics of batch normalisation are computed anew, over the batches of training. The weights of these epochs lie
    beside the checkpoints, so that a run which was killed, or is continued, comes to the same mean.

    Args:
        *arguments: those of `SpeechClassifier`.
        margin: m at the end, radians.
        margin_begin: share of training before it begins to grow.
        margin_end: share of training when it has grown.
        crop_s: longest stretch of a recording that is heard, seconds; None: all of it.
        speeds: of the copies, multiples of 0.025, none of them 1; none: there are no copies.
        n_averaged: epochs whose weights are averaged; 1: the epoch that was kept is taken as it is.
        **named: those of `SpeechClassifier`.

    Raises:
        ValueError: the network gives no embeddings.
    """

    trains_front_ends = averages = takes_teachers = False
    owns_loss = True
    RULES: ClassVar = {
        **SpeechClassifier.RULES,
        "margin": within(0, 1.5),
        **dict.fromkeys(("margin_begin", "margin_end"), SHARE),
        "crop_s": within(0.01, 3600),
        "speeds": SPEEDS,
        "n_averaged": within(1, 1000),
    }

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for networks that embed speakers."""
        return issubclass(network, EmbeddingNetwork)

    @classmethod
    def problems(cls, *, margin_begin: float = 0.0, margin_end: float = 0.0, **options: Any) -> list[str]:
        """A margin that ends before it begins."""
        wrong = super().problems(**options)
        if margin_end < margin_begin:
            wrong.append(f"module.margin_end={margin_end} must be at least module.margin_begin={margin_begin}")
        return wrong

    def __init__(
        self,
        *arguments: Any,
        margin: float = 0.2,
        margin_begin: float = 0.13,
        margin_end: float = 0.27,
        crop_s: float | None = 2.0,
        speeds: Sequence[float] = (0.9, 1.1),
        n_averaged: int = 10,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        network = self.model.network
        if not isinstance(network, EmbeddingNetwork):
            raise ValueError(f"module=speaker_embedding trains networks that embed, and no {type(network).__name__}")
        self.margin, self.margin_begin, self.margin_end = margin, margin_begin, margin_end
        self.crop_s, self.n_averaged = crop_s, n_averaged
        self.steps = np.array([STEPS, *(round(speed * STEPS) for speed in speeds)], dtype=np.int64)
        n_copies, n_embedding = len(self.classes) * len(speeds), network.classifier.weight.shape[1]
        self.copies = Cosines(n_embedding, n_copies) if n_copies else None

    # --- what is heard

    def augmented(self, batch: Batch) -> Batch:
        """The batch as training hears it: at other speeds by other speakers, then changed as by `SpeechClassifier`."""
        return super().augmented(self.sped(batch))

    def sped(self, batch: Batch) -> Batch:
        """Each recording at one of the speeds; a span of speaker c at speed k has the label `c + k C`."""
        if self.copies is None or not len(batch.keys):
            return batch
        draw = draws.uniform(batch.draw_keys, seed=self.seed, epoch=batch.epoch, stream="copies")[:, 0]
        copy = (draw * len(self.steps)).astype(np.int64)
        batch = retime(
            batch,
            self.steps[copy],
            np.zeros_like(copy),
            low=int(self.steps.min()),
            high=int(self.steps.max()),
            sample_rate=self.model.front_end.sample_rate,
        )
        of_span = torch.from_numpy(copy).to(batch.labels.device)[batch.span_recording]
        labels = torch.where(batch.labels >= 0, batch.labels + of_span * len(self.classes), batch.labels)
        return replace(batch, labels=labels)

    def cropped(self, batch: Batch, segments: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """A stretch of at most `crop_s` of each segment `(N, T, D)`."""
        if self.crop_s is None:
            return segments, lengths
        longest = max(1, round(self.crop_s / self.model.front_end.frame_shift_s))
        if segments.shape[1] <= longest:
            return segments, lengths
        keys = batch.draw_keys[batch.span_recording.cpu().numpy()]
        draw = draws.uniform(keys, seed=self.seed, epoch=batch.epoch, stream="crop")[:, 0]
        spare = (lengths - longest).clamp(min=0)
        first = (torch.from_numpy(draw).to(lengths.device) * (spare + 1)).long()
        rows = first[:, None] + torch.arange(longest, device=first.device)
        whole = torch.arange(len(segments), device=first.device)[:, None]
        return segments[whole, rows.clamp(max=segments.shape[1] - 1)], lengths.clamp(max=longest)

    # --- what is lowered

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch: change, crop, embed, loss with the margin of this step."""
        self.seed_step(batch_idx)
        batch = self.augmented(batch)
        network: Any = self.model.network
        segments, lengths = self.cropped(batch, *self.model.segments(batch))
        vectors = [network.classifier.weight, *([] if self.copies is None else [self.copies.weight])]
        cosine = cosines(network.embed(segments, lengths), torch.cat(vectors))
        margin = margin_at(self.progress(), self.margin, self.margin_begin, self.margin_end)
        scale = network.classifier.scale
        loss = self.loss(scale * with_margin(cosine, batch.labels, margin), batch.labels, self.label_smoothing)
        if self.first_time(batch_idx):
            n = len(self.classes)  # a copy that is taken for another copy of its speaker is right
            known = batch.labels >= 0
            scores = scale * cosine.view(len(cosine), -1, n).amax(dim=1)
            self.training_statistics.update(loss, scores, torch.where(known, batch.labels % n, batch.labels))
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return self.shared(loss)

    # --- the mean of the last epochs

    def folder(self) -> Path:
        """Where weights of the last epochs lie."""
        return Path(self.trainer.default_root_dir) / "checkpoints"

    def on_train_epoch_end(self) -> None:
        """Keep the weights of this epoch, and forget those that are too old."""
        super().on_train_epoch_end()
        if self.n_averaged == 1 or not self.trainer.is_global_zero:
            return
        self.folder().mkdir(parents=True, exist_ok=True)
        write_weights(weights_file(self.folder(), self.current_epoch), self.model.state_dict())
        weights_file(self.folder(), self.current_epoch - self.n_averaged).unlink(missing_ok=True)

    def conclude(self, data: SpeechData) -> dict[str, Any]:
        """Take the mean of the weights of the last epochs, and compute statistics of batch normalisation anew."""
        n_epochs = len(self.history)
        epochs = range(max(0, n_epochs - self.n_averaged), n_epochs)
        if self.n_averaged > 1 and len(epochs) > 1:
            self.model.load_state_dict(mean_of(read_weights(weights_file(self.folder(), one)) for one in epochs))
            self.averaged_epochs = [epoch + 1 for epoch in epochs]
            self.renormalise(data)
        return super().conclude(data)

    def hear(self, batch: Batch) -> None:
        """Run the network on a batch as training hears it."""
        batch = self.augmented(batch)
        self.model.network.embed(*self.cropped(batch, *self.model.segments(batch)))


def margin_at(progress: float, margin: float, begin: float, end: float) -> float:
    """The margin after a share of training: 0 until `begin`, then towards `margin`, which it has from `end` on.

    `margin (1 - r^u) / (1 - r)` with `u` the share of the way from begin to end, and `r` = 0.001 (wespeaker's
    exponential schedule, which stops at `1 - r`).

    >>> [round(margin_at(progress, 0.2, 0.2, 0.4), 3) for progress in (0.0, 0.2, 0.25, 0.3, 0.4, 1.0)]
    [0.0, 0.0, 0.165, 0.194, 0.2, 0.2]
    """
    if progress >= end:
        return margin
    if progress <= begin:
        return 0.0
    left: float = RESIDUE ** ((progress - begin) / (end - begin))
    return margin * (1 - left) / (1 - RESIDUE)


def weights_file(folder: Path, epoch: int) -> Path:
    """Where the weights after an epoch lie, from 0."""
    return folder / f"weights-{epoch:03d}.safetensors"
