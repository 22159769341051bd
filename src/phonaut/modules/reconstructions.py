"""Pictures of pre-training while it goes on: what is seen, what is made of it, and what was there."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback

from phonaut.modules.monitoring import writer_of
from phonaut.modules.representation import Representation


class Reconstructions(Callback):
    """A few recordings of the validation split in TensorBoard: altered input, prediction and truth side by side.

    Args:
        every_n_epochs: how often.
    """

    def __init__(self, every_n_epochs: int = 10) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show them now and then, and at the last epoch."""
        assert isinstance(pl_module, Representation)
        epoch, last = trainer.current_epoch, (trainer.max_epochs or 0) - 1
        if not trainer.is_global_zero or trainer.sanity_checking or trainer.logger is None:
            return
        if epoch % self.every_n_epochs and epoch != last:
            return
        from phonaut.plots import spectrograms

        names, found = pl_module.examples(trainer.datamodule)  # type: ignore[attr-defined]
        shift_s = pl_module.model.front_end.frame_shift_s
        for i, (name, n) in enumerate(zip(names, found.lengths.tolist(), strict=True)):
            pictures = {
                title: value[i, :n].float().cpu().numpy()
                for title, value in (("seen", found.seen), ("predicted", found.predicted), ("true", found.truth))
            }
            figure = spectrograms(pictures, found.chosen[i, :n].cpu().numpy(), frame_shift_s=shift_s)
            writer_of(trainer).add_figure(f"validation/{i}_{name}", figure, trainer.global_step)
