"""Small encoders, pre-trained on tones in a second or two, and runs behind them."""

from pathlib import Path

from phonaut.config.compose import compose
from phonaut.runs import Run
from phonaut.runs.training import begin, conclude, fit

SMALL = [
    "model.stack_size=3",
    "model.hidden_size=16",
    "model.n_heads=2",
    "model.intermediate_size=24",
    "model.n_layers=1",
]
FEW_FEATURES = ["features.n_mels=10", "features.n_fft=512", "features.win_length=400"]


def pretraining(tones: Path, *, n_epochs: int = 2) -> list[str]:
    """Overrides of a pre-training run on the tones."""
    return [
        "model=mockingjay_small",
        *SMALL,
        *FEW_FEATURES,
        "dataset=folder",
        f"dataset.data_folder={tones}",
        "batch_frames=400",
        "objective.mask_length=2",
        "objective.mask_prob=0.3",
        f"trainer.max_epochs={n_epochs}",
        "trainer.accelerator=cpu",
        "trainer.precision=32-true",
        "trainer.enable_progress_bar=false",
    ]


def trained(folder: Path, words: list[str]) -> Run:
    """A run, from configuration to metrics."""
    config = compose(words)
    folder.mkdir(parents=True)
    begin(config, folder, ["phonaut", "train"])
    conclude(config, folder, *fit(config, folder))
    return Run(folder)
