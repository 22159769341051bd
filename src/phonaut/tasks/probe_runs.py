"""Probes of a pre-training run: after each of its epochs, or of the checkpoints that it has kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from phonaut.checkpoints.state_dict import model_weights, read_checkpoint
from phonaut.config.compose import compose
from phonaut.config.schema import Config
from phonaut.data.datamodule import SpeechData
from phonaut.models.representation_model import RepresentationModel
from phonaut.tasks import build
from phonaut.tasks.base import Trained
from phonaut.tasks.classification import speech_data
from phonaut.training.callbacks.probing import PROBE_FILE, OnlineProbe, ProbeFile, linear_probe

WORDS = ("dataset=", "dataset.", "protocol=", "protocol.", "target=", "classes=", "n_classes=", "labels_pct=",
         "labels_each=")  # fmt: skip


def probed_data(words: Sequence[str], encoder: Config) -> SpeechData:
    """The corpus and target of a probe, at the sample rate of the encoder of a configuration.

    Raises:
        ValueError: words that choose neither, no corpus, or a corpus that cannot be used.
    """
    wrong = [word for word in words if not word.startswith(WORDS)]
    if wrong:
        raise ValueError(f"a probe takes {', '.join(WORDS)}; it got {wrong[0]}")
    if not any(word.startswith("dataset=") for word in words):
        raise ValueError("a probe needs a corpus: dataset=speechocean762 target=speaker")
    config = compose(words)
    config.features["sample_rate"] = encoder.features["sample_rate"]
    return speech_data(config, build.prepared_corpus(config))


def online_probe(config: Config, folder: Path) -> OnlineProbe:
    """The callback that probes the encoder of a run after every epoch."""
    words = [str(word) for word in config.probe]
    return OnlineProbe(probed_data(words, config), ProbeFile(folder / PROBE_FILE, words))


def probe_run(run: Trained, words: Sequence[str], progress: Callable[[str], None]) -> None:
    """Probe every checkpoint that a pre-training run has kept, or where there is none, its encoder.

    `probe.json` of the run gets a line a checkpoint: `epoch`, counted from 0, `step`, and the accuracy as `value`,
    `low`, `high`, `n`.

    Args:
        run: of pre-training.
        words: corpus and target, as words of `phonaut train`.
        progress: called with each figure.

    Raises:
        ValueError: the run has no weights, or the words cannot be used.
    """
    data = probed_data(words, run.config)
    file = ProbeFile(run.folder / PROBE_FILE, words)
    model = run.model.to(build.device_of(run.config.trainer))
    assert isinstance(model, RepresentationModel)
    checkpoints = sorted((run.folder / "checkpoints").glob("epoch-*.ckpt"))
    for path in checkpoints:
        checkpoint = read_checkpoint(path)
        model.load_state_dict(model_weights(checkpoint))
        accuracy = linear_probe(model, data)
        epoch, step = int(checkpoint["epoch"]), int(checkpoint["global_step"])
        file.put(epoch, step, accuracy)
        progress(f"epoch {epoch + 1}, step {step}: {accuracy.value:.1%}")
    if not checkpoints:
        epoch = int(run.about["best_epoch"])
        step = next((int(line["step"]) for line in run.history if line["epoch"] == epoch), 0)
        file.put(epoch, step, linear_probe(model, data))
