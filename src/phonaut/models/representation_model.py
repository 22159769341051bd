"""The chain of pre-training: frames that are altered, representations, frames that are predicted from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from phonaut.data.batches import Batch
from phonaut.features import FrontEnd
from phonaut.models.objectives import DrawKey, Objective, PredictionTask, masked_l1
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.mockingjay import Mockingjay, PredictionHead, checked_packing, stack_frames


class Reconstruction(NamedTuple):
    """Prediction of masked frames by a head, beside the target; all `(B, T, D)`, of frames that are not stacked.

    Attributes:
        seen: the input, altered.
        predicted: the prediction for each frame.
        truth: the target, as it is.
        chosen: the frames that count, `(B, T)`.
        lengths: of input and target, `(B,)`.
    """

    seen: Tensor
    predicted: Tensor
    truth: Tensor
    chosen: Tensor
    lengths: Tensor


class RepresentationModel(SpeechModel):
    """Front end, normaliser and encoder in a row, `audio -> frames -> representations`, and a head to train it with.

    Args:
        front_end: of the input.
        network: the encoder.
        normalizer: of input and target, or None.
        target_front_end: of the target; None: that of the input. Its frames lie where those of the input do.
    """

    front_end: FrontEnd
    network: Mockingjay

    def __init__(
        self,
        front_end: FrontEnd,
        network: Mockingjay,
        normalizer: nn.Module | None = None,
        target_front_end: FrontEnd | None = None,
    ) -> None:
        super().__init__(front_end, network, normalizer)
        self.target_front_end = target_front_end
        self.n_targets = (target_front_end or front_end).n_features
        self.head = PredictionHead(network.n_outputs, network.stack_size * self.n_targets)

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Representations `(B, T', H)` of recordings `(B, S)`, and their lengths `(B,)`."""
        representations: tuple[Tensor, Tensor] = self.network(*self.frames(audio, audio_lengths))
        return representations

    @torch.no_grad()
    def inputs_and_targets(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised frames of input and target, stacked, and their lengths."""
        frames, lengths = self.frames(batch.audio, batch.audio_lengths)
        targets = frames
        if self.target_front_end is not None:
            targets, _ = self.target_front_end(batch.audio, batch.audio_lengths)
            if self.normalizer is not None:
                targets = self.normalizer(targets, lengths)
            targets, _ = stack_frames(targets, lengths, self.network.stack_size)
        stack_size = self.network.stack_size
        frames, n_stacked = stack_frames(frames, lengths, stack_size)
        return frames, targets if self.target_front_end is not None else frames, n_stacked

    def task(self, frames: Tensor, lengths: Tensor, objective: Objective, key: DrawKey) -> PredictionTask:
        """Masked input and the positions that count in the loss, from stacked frames."""
        n_bands = 1 + self.front_end.options.deltas
        return objective.task(frames, lengths, key, n_bands=n_bands, stack_size=self.network.stack_size)

    def recording_losses(self, frames: Tensor, targets: Tensor, lengths: Tensor, task: PredictionTask) -> Tensor:
        """Sum and number of the absolute errors that count, by recording: `(B, 2)`.

        Those are the errors in all features of the chosen frames and, where features are hidden in all frames, in these
        features; of a target with other features than the input, then in all of them. Nothing else goes through the
        head.
        """
        packing = checked_packing(frames, lengths)
        hidden = self.network.encode(packing.pack(task.frames), packing)[-1]
        counted = packing.pack(task.target_mask)
        some = None
        if task.bins is not None:
            of_bins = task.bins if self.target_front_end is None else task.bins.any(dim=1, keepdim=True)
            some = packing.pack(task.target_mask[:, :, None] | of_bins[:, None, :])
            counted = some.any(dim=1)
        rows = counted.nonzero().squeeze(1)
        later = packing.pack(targets.roll(-task.n_future, 1) if task.n_future else targets)[rows]
        predicted = self.head(hidden[rows])
        weights = None if some is None else some[rows].expand_as(later)
        recording = (packing.places // packing.n_frames)[rows]
        return masked_l1(predicted, later, weights, recording, len(lengths))

    @torch.no_grad()
    def reconstruction(self, batch: Batch, objective: Objective, key: DrawKey) -> Reconstruction:
        """Masked input, prediction and target of each frame; predictions are moved to the frames that they are of."""
        frames, targets, lengths = self.inputs_and_targets(batch)
        task = self.task(frames, lengths, objective, key)
        hidden, _ = self.encoded(task.frames, lengths)
        predicted, chosen = self.head(hidden).float(), task.target_mask
        if task.n_future:
            predicted, chosen = (torch.roll(x, task.n_future, 1) for x in (predicted, chosen))
            predicted[:, : task.n_future] = 0.0
            chosen[:, : task.n_future] = False
        stack_size = self.network.stack_size
        seen, predicted, truth = (
            x.unflatten(2, (stack_size, -1)).flatten(1, 2) for x in (task.frames, predicted, targets)
        )
        return Reconstruction(seen, predicted, truth, chosen.repeat_interleave(stack_size, 1), lengths * stack_size)

    def encoded(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden states of frames that are stacked already."""
        packing = checked_packing(frames, lengths)
        return packing.unpack(self.network.encode(packing.pack(frames), packing)[-1]), lengths
