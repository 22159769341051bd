"""A pre-training run from recordings to page: every objective, killed and resumed, on one process and on two."""

import gzip
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.encoders_of_tones import pretraining, trained
from helpers.processes import Command, die_at, train_by_two
from helpers.runs_of_tones import write_tones
from phonaut.metrics import mean_over
from phonaut.runs import Run
from phonaut.tasks.pretraining import CUTS


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)


def without_masks(words: list[str]) -> list[str]:
    """For an objective that has no masks."""
    return [word for word in words if not word.startswith(("objective.mask_prob", "objective.mask_length"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["objective=mockingjay"],
        ["objective=tera"],
        ["objective=apc"],
        ["objective=tera", "target_features=linear", "target_features.n_fft=512", "target_features.win_length=400"],
        ["objective=apc", "streaming=true", "normalizer=null"],
        ["trainer.precision=bf16-mixed", "trainer.accumulate_grad_batches=2"],
    ],
    ids=lambda more: " ".join(more[:2]),
)
def test_a_run_has_a_loss_with_an_interval_curves_and_pictures(
    more: list[str], tones: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from phonaut.reports import write_report

    if more == ["objective=mockingjay"]:
        request.getfixturevalue("drawn")  # into TensorBoard, as well as onto the page
    words = pretraining(tones)
    words = without_masks(words) if "objective=apc" in more else words
    run = trained(tmp_path / "x" / "mockingjay_small", [*words, *more])
    loss = run.metrics["validation"]["loss"]
    assert loss["low"] <= loss["value"] <= loss["high"]
    assert loss["n"] == 6, "three words, twice, by the one speaker who is held out"
    assert [line["epoch"] for line in run.history] == [0, 1]
    assert all(np.isfinite([line["train/loss"], line["validation/loss"]]).all() for line in run.history)
    best = min(line["validation/loss"] for line in run.history)
    assert loss["value"] == pytest.approx(best, rel=0.02), "the epoch of the lowest loss is kept"
    page = write_report(run.folder).read_text()
    assert "95 % interval" in page
    assert page.count("<img ") == 3 * len(np.load(run.folder / "samples.npz")["cuts"])
    assert run.model["frame_shift_s"] == pytest.approx(0.0375)


@pytest.mark.slow
def test_speakers_who_are_left_out_are_never_heard_and_the_run_says_whom_it_heard(tones: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", [*pretraining(tones, n_epochs=1), "leave_out_speakers=[s3,folder/s6]"])
    lines = gzip.decompress((run.folder / CUTS).read_bytes()).decode().splitlines()
    heard = [(split, name) for split, _, name in (line.partition(" ") for line in lines)]
    assert {split for split, _ in heard} == {"train", "validation"}
    speakers = {name.rsplit("/", 1)[1].split("_")[0] for _, name in heard}
    assert speakers == {"s0", "s1", "s2", "s4", "s5", "s7"}
    prepared = run.prepared()
    assert prepared is not None
    assert not [path for path in prepared.recordings.path if "s3_" in path or "s6_" in path]
    trained_on, validated_on = (
        {name.rsplit("/", 1)[1].split("_")[0] for part, name in heard if part == split}
        for split in ("train", "validation")
    )
    assert not trained_on & validated_on


KILLED = ["objective=tera", "experiment_id=x"]


@pytest.fixture(scope="module")
def calm(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A run that nothing disturbs; how often checkpoints are written changes no weight."""
    command = Command(tmp_path_factory.mktemp("calm"), ["train", *pretraining(tones, n_epochs=3), *KILLED])
    command.finish()
    return command


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [5.0, 0.00001], ids=["epochs", "within epochs"])
def test_killed_and_resumed_it_has_the_same_losses_and_weights(
    minutes: float, tones: Path, calm: Command, tmp_path: Path
) -> None:
    words = ["train", *pretraining(tones, n_epochs=3), *KILLED, f"checkpoint_minutes={minutes}"]
    assert Command(tmp_path, words, die_at, 1, 2).wait() == -signal.SIGKILL
    assert "resuming from" in Command(tmp_path, words).finish()
    runs = [Run(folder / "trained_models" / "x" / "mockingjay_small") for folder in (calm.file.parent, tmp_path)]
    for a, b in zip(*(run.history for run in runs), strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}
    files = [run.folder / "model.safetensors" for run in runs]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert "MiB" in calm.output, "what memory a step takes is said"


@pytest.mark.slow
def test_one_process_and_two_give_the_same_model_up_to_rounding(tones: Path, tmp_path: Path) -> None:
    words = [*pretraining(tones), "model.dropout=0.0", "experiment_id=x"]
    Command(tmp_path / "one", ["train", *words]).finish()
    train_by_two(tmp_path / "two", words)
    weights = [
        load_file(tmp_path / name / "trained_models/x/mockingjay_small/model.safetensors") for name in ("one", "two")
    ]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=2e-4)
    history = [
        json.loads((tmp_path / name / "trained_models/x/mockingjay_small/history.json").read_text())
        for name in ("one", "two")
    ]
    for a, b in zip(*history, strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-4)


@pytest.mark.slow
def test_half_precision_has_the_loss_curve_of_float32_within_two_per_cent(tones: Path, tmp_path: Path) -> None:
    words = pretraining(tones, n_epochs=4)
    curves = [
        [line["validation/loss"] for line in trained(tmp_path / p, [*words, f"trainer.precision={p}"]).history]
        for p in ("32-true", "bf16-mixed")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)


def test_the_interval_is_over_speakers_and_over_recordings_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(8), 5)
    sums = np.stack([100 * (1 + speakers / 4) + rng.normal(size=40), np.full(40, 100.0)], axis=1)
    rate = mean_over(sums, speakers)
    assert rate.value == pytest.approx(sums[:, 0].sum() / 4000)
    assert rate.n == 40
    assert rate.low < rate.value < rate.high
    single = mean_over(sums[:5], speakers[:5])
    assert single.low < single.value < single.high
    assert (single.high - single.low) < 0.1 * (rate.high - rate.low)
