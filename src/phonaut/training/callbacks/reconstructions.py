"""Pictures of pre-training while it goes on: what is seen, what is made of it, and what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from phonaut.networks.mockingjay import Mockingjay
from phonaut.training.callbacks.monitoring import writer_of
from phonaut.training.corpus_module import corpus_of
from phonaut.training.representation import Representation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@torch.no_grad()
def inside(network: Mockingjay, frames: Tensor, frame_shift_s: float) -> dict[str, Figure]:
    """Hidden states and attention of an encoder for one recording.

    Args:
        network: in evaluation mode.
        frames: what it takes, `(T, D)`.
        frame_shift_s: seconds between them.

    Returns:
        `layers` and `attention`.
    """
    from phonaut.plots import attention_maps, coarse, hidden_layers
    from phonaut.plots.encoder import MOST_HEADS

    states, lengths = network.hidden_states(frames[None], torch.tensor([len(frames)], device=frames.device))
    shift_s, _ = network.times(frame_shift_s, 0.0)
    maps = [coarse(layer[:MOST_HEADS].float().cpu().numpy()) for layer in network.attention_maps(frames)]
    return {
        "layers": hidden_layers([state[0].float().cpu().numpy() for state in states], frame_shift_s=shift_s),
        "attention": attention_maps(maps, seconds=int(lengths[0]) * shift_s),
    }


class Reconstructions(Callback):
    """A few recordings of the validation split in TensorBoard: altered input, prediction and truth side by side.

    Of the first one also the hidden states and the attention of every layer.

    Args:
        every_n_epochs: how often.
    """

    def __init__(self, every_n_epochs: int = 10) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show them now and then, and at the last epoch."""
        assert isinstance(pl_module, Representation)
        epoch, last = trainer.current_epoch, (trainer.max_epochs or 0) - 1
        if not trainer.is_global_zero or trainer.sanity_checking or not isinstance(trainer.logger, TensorBoardLogger):
            return
        if epoch % self.every_n_epochs and epoch != last:
            return
        from phonaut.plots import spectrograms

        names, shown = pl_module.examples(corpus_of(trainer))
        shift_s = pl_module.model.front_end.frame_shift_s
        for i, (name, n) in enumerate(zip(names, shown.lengths.tolist(), strict=True)):
            pictures = {
                title: value[i, :n].float().cpu().numpy()
                for title, value in (("seen", shown.seen), ("predicted", shown.predicted), ("true", shown.truth))
            }
            figure = spectrograms(pictures, shown.chosen[i, :n].cpu().numpy(), frame_shift_s=shift_s)
            writer_of(trainer).add_figure(f"validation/{i}_{name}", figure, trainer.global_step)
        frames = shown.seen[0, : int(shown.lengths[0])]
        for what, figure in inside(pl_module.model.network, frames, shift_s).items():
            writer_of(trainer).add_figure(f"validation/0_{names[0]}/{what}", figure, trainer.global_step)
