"""Probes of a pre-training run: after each of its epochs, or of the checkpoints that it has kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from phonaut.config.compose import compose
from phonaut.data.datamodule import SpeechData
from phonaut.runs import build as parts
from phonaut.runs import pretraining
from phonaut.runs.evaluation import device_of
from phonaut.runs.run import PROBE_FILE, Run
from phonaut.tasks.pretraining import pretrains
from phonaut.training.callbacks.probing import OnlineProbe, ProbeFile, linear_probe

WORDS = (
    "dataset=",
    "dataset.",
    "protocol=",
    "protocol.",
    "target=",
    "classes=",
    "n_classes=",
    "labels_pct=",
    "labels_each=",
)


def probed_data(words: Sequence[str], encoder: DictConfig) -> SpeechData:
    """The corpus and target of a probe, at the sample rate of the encoder of a configuration.

    Raises:
        ValueError: words that choose neither, no corpus, or a corpus that cannot be used.
    """
    wrong = [word for word in words if not word.startswith(WORDS)]
    if wrong:
        raise ValueError(f"a probe takes {', '.join(WORDS)}; it got {wrong[0]}")
    if not any(word.startswith("dataset=") for word in words):
        raise ValueError("what is probed? Name a corpus: dataset=speechocean762 target=speaker")
    config = compose(words)
    if config.features.sample_rate != encoder.features.sample_rate:
        config.features.sample_rate = encoder.features.sample_rate
    return parts.speech_data(config, parts.prepared_corpus(config))


def online_probe(config: DictConfig, folder: Path) -> OnlineProbe:
    """What probes the encoder of a run after every epoch."""
    words = [str(word) for word in config.probe]
    return OnlineProbe(probed_data(words, config), ProbeFile(folder / PROBE_FILE, words))


def probe_run(run: Run, words: Sequence[str], tell: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
    """Probe every checkpoint that a pre-training run has kept, or where there is none, its encoder.

    Args:
        run: of pre-training.
        words: corpus and target, as words of `phonaut train`.
        tell: is told each figure as it is found.

    Returns:
        A line a checkpoint: `epoch`, counted from 0, `step`, and the accuracy as `value`, `low`, `high`, `n`. They are
        in `probe.json` of the run as well.

    Raises:
        ValueError: the run has no weights, or the words cannot be used.
    """
    if not pretrains(run.config):
        raise ValueError(
            f"{run.folder} is no pre-trained encoder: its own classes are scored, without dataset= or target="
        )
    data = probed_data(words, run.config)
    file = ProbeFile(run.folder / PROBE_FILE, words)
    device = device_of(run.config.trainer.accelerator)
    model = pretraining.load_model(run).to(device)
    checkpoints = sorted((run.folder / "checkpoints").glob("epoch-*.ckpt"))
    for path in checkpoints:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        prefix = "model."
        weights = {k.removeprefix(prefix): v for k, v in kept["state_dict"].items() if k.startswith(prefix)}
        model.load_state_dict(weights)
        found = linear_probe(model, data)
        file.put(int(kept["epoch"]), int(kept["global_step"]), found)
        tell(f"epoch {int(kept['epoch']) + 1}, step {int(kept['global_step'])}: {found.value:.1%}")
    if not checkpoints:
        epoch = int(run.model["best_epoch"])
        step = next((int(line["step"]) for line in run.history if line["epoch"] == epoch), 0)
        file.put(epoch, step, linear_probe(model, data))
    return file.read()
