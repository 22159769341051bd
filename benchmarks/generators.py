"""All generators on the same windows, for the same time, beside principal components and a Gaussian; and their speed.

    python benchmarks/generators.py fsdd --minutes 5 --output benchmarks/results/generators.json
    python benchmarks/generators.py speechocean762 --alignment alignments/speechocean762/pocketsphinx.ctm --minutes 5
    python benchmarks/generators.py fsdd --part speed

Each model has its defaults, and as many epochs as fit into the minutes, by the time of a few batches of its own;
schedules end with the last epoch. `fsdd`: sliding windows of 20 frames of 40 mels at 8 kHz, labelled by the word.
`speechocean762`: 20 frames of 80 mels around each phone. Figures are those of the test windows. What is done already is
not done again. `--part speed` trains a CVAE beside a bare PyTorch loop on ready tensors, epochs by turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.config.nodes import instantiate
from phonaut.runs import Run, train
from phonaut.runs.trainer import trainer_of
from phonaut.runs.training import build

MODELS = ("cvae", "lstm_vae", "gated_vae", "fhvae", "wae_gan", "wae_mmd", "wgan_gp", "flow_matching")
N_TIMED = 15  # batches, after five
MEL = ["features=melspec", "features.f_min=0", "features.top_db=null", "features.amin=1e-8"]  # those of any judge too
CORPORA = {
    "fsdd": ["dataset=fsdd", "target=keyword", *MEL, "features.sample_rate=8000", "features.n_mels=40",
             "features.n_fft=256", "features.win_length=200", "features.hop_length=80"],
    "speechocean762": ["dataset=speechocean762", "target=phone", *MEL, "features.n_mels=80", "features.n_fft=512",
                       "features.win_length=400"],
}  # fmt: skip
SHOWN = {"snr_db": "SNR, dB", "lsd_db": "LSD, dB", "elbo": "ELBO", "mmd": "MMD", "frechet": "Frechet",
         "sample_precision": "precision", "sample_recall": "recall", "coverage": "coverage",
         "copying": "copying"}  # fmt: skip
BASELINES = {"PCA, 16": "/pca_16", "PCA, 128": "/pca_128", "Gaussian": "/gaussian", "training windows": "/floor"}


class Batches(Callback):
    """Seconds of each batch, from its start to its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def epochs_within(words: list[str], minutes: float) -> tuple[int, float]:
    """Epochs that fit into the minutes, at least one, and the seconds of one."""
    config = compose([*words, "trainer.max_epochs=1", f"trainer.limit_train_batches={5 + N_TIMED}",
                      "trainer.limit_val_batches=0"])  # fmt: skip
    _, loop, data = build(config)
    timed = Batches()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(config, Path(folder))
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)] + [timed]
        trainer.fit(loop, datamodule=data)
    n_batches = -(-len(data.windows("train")) // config.batch_size)
    seconds = statistics.mean(timed.seconds[5:]) * n_batches
    return max(1, int(60 * minutes / seconds)), seconds


def trained(words: list[str], model: str, minutes: float, folder: Path) -> Run:
    """The finished run of a model."""
    run = Run(folder) if folder.exists() else None
    if run is None or not run.metrics:
        words = [*words, f"model={model}", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
        n_epochs, _ = epochs_within(words, minutes)
        run = train(compose([*words, f"trainer.max_epochs={n_epochs}"]), folder, ["phonaut", "train", *words])
        assert run is not None
    return run


def cell(figures: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    if (one := figures.get(name)) is None:
        return ""
    return f"{one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]"


def quality(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train all, and print their table."""
    words = [*CORPORA[arguments.corpus], *arguments.overrides]
    if arguments.alignment:
        words.append(f"dataset.alignment={arguments.alignment}")
    rows: dict[str, Any] = {}
    print("| model | epochs | parameters |", " | ".join(SHOWN.values()), "|", flush=True)
    for model in arguments.only:
        run = trained(words, model, arguments.minutes, arguments.folder / arguments.corpus / model)
        figures: dict[str, Any] = run.metrics["test"]
        about = {key: run.model.get(key) for key in ("epochs", "best_epoch", "parameters", "train_seconds")}
        rows[model] = {**about, "test": figures}
        shown = [cell(figures, name) for name in SHOWN]
        print("|", " | ".join([model, str(len(run.history)), f"{about['parameters']:,}", *shown]), "|", flush=True)
    for title, suffix in BASELINES.items():
        print("|", " | ".join([title, "", "", *(cell(figures, name + suffix) for name in SHOWN)]), "|", flush=True)
    return {"words": words, "minutes": arguments.minutes, "rows": rows}


class BareLoop(Callback):
    """A bare epoch before each of Phonaut's, and the seconds of both."""

    def __init__(self, config: Any, loop: Any, data: Any) -> None:
        windows, self.size = data.windows("train"), config.batch_size
        self.frames = loop.model.windows(windows[torch.arange(len(windows)).numpy()]).frames
        sizes = {"n_features": self.frames.shape[2], "window_frames": self.frames.shape[1], "condition_size": 0}
        self.network = instantiate(config.model, **sizes).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        self.bare_s: list[float] = []
        self.phonaut_s: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        started, network = time.perf_counter(), self.network
        for rows in torch.randperm(len(self.frames)).split(self.size):
            frames = self.frames[rows]
            nothing = frames.new_zeros(len(frames), 0)
            mean, log_variance = network.posterior(frames, nothing)
            latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            fit = -network.likelihood(network.decoder(latents, nothing), frames)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
            self.optimizer.zero_grad()
            (fit + kl).mean().backward()
            self.optimizer.step()
        self.started = time.perf_counter()
        self.bare_s.append(self.started - started)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.phonaut_s.append(time.perf_counter() - self.started)


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """A CVAE's epochs and bare ones by turns, on ready frames."""
    config = compose([*CORPORA[arguments.corpus], *arguments.overrides, "model=cvae", "trainer.accelerator=cpu",
                      f"trainer.max_epochs={arguments.epochs + 1}", "trainer.limit_val_batches=0",
                      "trainer.enable_progress_bar=false"])  # fmt: skip
    _, loop, data = build(config)
    bare = BareLoop(config, loop, data)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(config, Path(folder))
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)] + [bare]
        trainer.fit(loop, datamodule=data)
    ratios = [a / b for a, b in zip(bare.phonaut_s[1:], bare.bare_s[1:], strict=True)]  # the first is the warm-up
    print(f"epoch of {len(bare.frames):,} windows: Phonaut {statistics.median(bare.phonaut_s[1:]):.2f} s, bare loop "
          f"{statistics.median(bare.bare_s[1:]):.2f} s, median ratio {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    return {"windows": len(bare.frames), "phonaut_s": bare.phonaut_s[1:], "bare_s": bare.bare_s[1:], "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("overrides", nargs="*", default=[])
    parser.add_argument("--part", choices=["quality", "speed"], default="quality")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each model")
    parser.add_argument("--epochs", type=int, default=5, help="of the speed test")
    parser.add_argument("--only", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--alignment", type=Path, help="phones of speechocean762, by phonaut align")
    parser.add_argument("--folder", type=Path, default=Path("trained_models/generators"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = (quality if arguments.part == "quality" else speed)(arguments)
    known = json.loads(arguments.output.read_text()) if arguments.output and arguments.output.exists() else {}
    write_result(arguments.output, {**known, f"{arguments.corpus}/{arguments.part}": {**result, "machine": machine()}})


if __name__ == "__main__":
    main()
