"""EM behind the Trainer: one process as two, the decision on top, what is noted."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.processes import Command, train_by_two
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.runs.training import fit
from phonaut.training import EM

SMALL = {
    "gmmhmm": ["model=gmmhmm", "model.n_mix=2"],
    "genhmm": [
        "model=genhmm", "model.n_mix=1", "model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1",
        "model.gmm_init_steps=1", "+model.dtype=float64", "model.batch_size=0",
    ],
}  # fmt: skip
QUIET = ["trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL)
def test_one_process_is_two(model: str, tones: Path, tmp_path: Path) -> None:
    settings = [*run_settings(tones), *SMALL[model], *QUIET]
    Command(tmp_path, ["train", *settings, "experiment_id=one"]).finish()
    train_by_two(tmp_path, [*settings, "experiment_id=two"])
    found = []
    for name in ("one", "two"):
        folder = tmp_path / "trained_models" / name / model
        history = json.loads((folder / "history.json").read_text())
        figures = [[line["train/loss"], line["validation/loss"], line["validation/accuracy"]] for line in history]
        found.append((load_file(folder / "model.safetensors"), figures))
    (one, history), (two, other) = found
    np.testing.assert_allclose(other, history, rtol=1e-6)
    assert one.keys() == two.keys()
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


def trained(tones: Path, folder: Path, *more: str) -> EM:
    _, module, _ = fit(compose([*run_settings(tones), *SMALL["gmmhmm"], *QUIET, *more]), folder)
    assert isinstance(module, EM)
    return module


@pytest.mark.slow
def test_an_epoch_is_an_em_step_and_is_noted(tones: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    module = trained(tones, tmp_path, "model.tol=-1", "trainer.max_epochs=5", "trainer.log_every_n_steps=1")
    assert [line["epoch"] for line in module.history] == [0, 1, 2, 3, 4]
    losses = [line["train/loss"] for line in module.history]
    assert losses == sorted(losses, reverse=True)
    curves = np.array(module.curves)
    assert curves.shape == (5, 3)
    assert (np.diff(curves, axis=0) > -1e-6).all()
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert {"train/loss", "validation/loss", "validation/accuracy"} <= set(tags)
    assert {f"log_likelihood/{name}" for name in ("low", "middle", "high")} <= set(tags)


@pytest.mark.slow
def test_it_ends_when_every_class_is_done(tones: Path, tmp_path: Path) -> None:
    module = trained(tones, tmp_path, "model.tol=0.01", "trainer.max_epochs=60")
    assert len(module.history) < 60
    assert module.densities.done


@pytest.mark.slow
def test_costs_and_calibration_come_with_the_model(tones: Path, tmp_path: Path) -> None:
    settings = [*run_settings(tones), *SMALL["gmmhmm"], *QUIET, "experiment_id=x", f"output_dir={tmp_path}"]
    more = ["model.calibration=true", "model.costs=[[0,1,1],[1,0,1],[1000,1000,0]]", "trainer.max_epochs=2"]
    assert main(["train", *typed(*settings, *more)]) == 0
    folder = tmp_path / "x" / "gmmhmm"
    about = json.loads((folder / "model.json").read_text())
    assert about["calibration"]["cross_validated_accuracy"] > 0.5
    assert about["log_likelihood_per_frame"].keys() == {"validation", "test"}
    assert len(about["states"]) == 3
    with np.load(folder / "samples.npz") as kept:
        assert sorted(kept["classes"]) == ["high", "low", "middle"]
        assert kept["frames"].shape == (kept["lengths"].sum(), len(kept["low"]))
        assert (kept["lengths"][:, 0] == kept["lengths"][:, 1]).all()
        assert (kept["low"] < kept["high"]).all()
    page = (folder / "report.html").read_text()
    assert page.count("segment of ") == 9 + page.count("a real segment of ")
    assert page.count('class="spark"') == 3
    before = json.loads((folder / "metrics.json").read_text())["test"]
    assert main(["evaluate", str(folder)]) == 0
    assert json.loads((folder / "metrics.json").read_text())["test"] == before
