"""Monitoring of training: a line an epoch, pictures and sounds in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from phonaut.data.batches import Batch
from phonaut.files import write_json
from phonaut.training.gradient import SpeechClassifier
from phonaut.training.loop import TrainingLoop


class HistoryCallback(Callback):
    """A callback that shows the history once an epoch is in it: when the next one starts, or training ends."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The epoch before is in the history now."""
        assert isinstance(pl_module, TrainingLoop)
        if trainer.is_global_zero:
            self.show(trainer, pl_module.history)

    on_train_end = on_train_epoch_start

    def show(self, trainer: L.Trainer, history: list[dict[str, float]]) -> None:
        """Show a line an epoch; there may be none yet."""
        raise NotImplementedError


class EpochLines(HistoryCallback):
    """One line an epoch, that stays to be read; a bar in a terminal is beside it."""

    def show(self, trainer: L.Trainer, history: list[dict[str, float]]) -> None:
        """Print the newest line."""
        if not history:
            return
        last = history[-1]
        if "train/loss" not in last:  # of systems that train in steps of their own, and say when they are done
            figures = [f"{key.partition('/')[2]} {last[key]:.4g}" for key in last if key.startswith("train/")]
            if "validation/accuracy" in last:
                figures.append(f"validation accuracy {last['validation/accuracy']:.1%}")
            if not figures:  # of what is counted, where nothing is validated
                return
            print(f"step {int(last['epoch']) + 1:3d}   {'   '.join(figures)}   {last['seconds']:.0f} s", flush=True)
            return
        accuracy, validated = (
            f" accuracy {last[key]:.1%}" if key in last else "" for key in ("train/accuracy", "validation/accuracy")
        )
        validation = f"   validation loss {last['validation/loss']:.3f}{validated}" if "validation/loss" in last else ""
        of = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        print(
            f"epoch {int(last['epoch']) + 1:3d}{of}   loss {last['train/loss']:.3f}{accuracy}"
            f"{validation}   {last['seconds']:.0f} s",
            flush=True,
        )


class HistoryFile(HistoryCallback):
    """Keeps `history.json` up to date, so that a run can be looked at while it trains."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def show(self, trainer: L.Trainer, history: list[dict[str, float]]) -> None:
        """Replace the file."""
        write_json(self.path, history)


class TensorBoardPictures(Callback):
    """Spectrograms and sounds of the first training batch as the network gets it, and the confusions of validation."""

    def __init__(self, n_examples: int = 4, every_n_epochs: int = 10) -> None:
        self.n_examples = n_examples
        self.every_n_epochs = every_n_epochs

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Show the first examples of the run, augmented."""
        first = batch_idx == 0 and trainer.current_epoch == 0 and isinstance(batch, Batch)
        if first and isinstance(
            trainer.logger, TensorBoardLogger
        ):  # all processes: batch statistics are of all of them
            assert isinstance(pl_module, SpeechClassifier)
            self.show_examples(writer_of(trainer), pl_module, batch)

    def show_examples(self, writer: Any, module: SpeechClassifier, batch: Batch) -> None:
        """Add a few spectrograms and sounds."""
        from phonaut.plots import spectrogram

        labels, batch = batch.labels, module.augmented(batch)  # which may give labels of its own
        front_end = module.model.front_end
        with torch.no_grad():
            frames, lengths = module.model.frames_of(batch)
        for i in range(min(self.n_examples, len(frames))):
            spans = (batch.span_recording == i).nonzero()
            label = int(labels[spans[0, 0]]) if len(spans) else -1
            name = f"{i}_{module.classes[label] if label >= 0 else 'no_label'}"
            if batch.frames is None:
                audio = batch.audio[i, : int(batch.audio_lengths[i])].cpu()
                audio = torch.nn.functional.pad(
                    audio, (0, max(0, 2 - len(audio)))
                )  # of one sample TensorBoard makes none
                writer.add_audio(f"train/{name}", audio.clamp(-1, 1), 0, sample_rate=int(front_end.sample_rate))
            figure = spectrogram(frames[i, : int(lengths[i])].cpu().numpy(), frame_shift_s=front_end.frame_shift_s)
            writer.add_figure(f"train/{name}", figure, 0)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the confusion matrix now and then, and at the last epoch."""
        assert isinstance(pl_module, SpeechClassifier)
        epoch, last = trainer.current_epoch, (trainer.max_epochs or 0) - 1
        if trainer.sanity_checking or (epoch % self.every_n_epochs and epoch != last):
            return
        confusion = pl_module.validation_statistics.reduced(trainer.strategy).confusion  # all processes take part
        if trainer.is_global_zero and isinstance(trainer.logger, TensorBoardLogger):
            from phonaut.plots import confusion_matrix

            figure = confusion_matrix(confusion.numpy(), pl_module.classes)
            writer_of(trainer).add_figure("validation/confusion", figure, trainer.global_step)


def writer_of(trainer: L.Trainer) -> Any:
    """TensorBoard's writer."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    return trainer.logger.experiment
