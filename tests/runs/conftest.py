"""Runs that several files listen with."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.cli import main

WORDS = {"low": 300.0, "high": 2500.0, "_silence_": 0.0}
MODELS = {"tc-res8": ["model=tc-res8", "streaming=true"], "gmm": ["model=gmm"]}


@pytest.fixture(scope="session")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal network and a density, trained on tones of half a second."""
    place = tmp_path_factory.mktemp("listening")
    settings = run_settings(write_tones(place / "tones", n_takes=2, words=WORDS))
    for name, more in MODELS.items():
        words = [*settings, *more, f"output_dir={place}", f"experiment_id={name}"]
        assert main(["train", *words, "trainer.enable_progress_bar=false"]) == 0
    return place
