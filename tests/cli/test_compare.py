"""From two trainings to a comparison, as a person does it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.processes import Command
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.cli.train import train_one
from phonaut.config.compose import compose
from phonaut.runs.run import job_name


def test_two_trainings_in_noise_are_compared_and_the_table_is_whole_in_a_narrow_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = write_tones(tmp_path / "tones", n_takes=2)
    settings = typed(*run_settings(tones), "trainer.max_epochs=3", "experiment_id=x")
    monkeypatch.chdir(tmp_path)
    for model in ("majority", "gmm"):
        assert main(["train", *settings, f"model={model}"]) == 0
        assert main(["evaluate", f"trained_models/x/{model}", "noise=white", "snr_db=0,20"]) == 0
    capsys.readouterr()
    words = ["compare", "trained_models/x/majority", "trained_models/x/gmm"]
    shown = Command(tmp_path, words, COLUMNS="40").finish()
    assert "…" not in shown
    assert "accuracy on 12 clips of 2 speakers (test)" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("gmm")]
    values = {}
    for model in ("majority", "gmm"):
        metrics = json.loads((tmp_path / "trained_models" / "x" / model / "metrics.json").read_text())["test"]
        values[model] = metrics["accuracy"]["value"]
        assert metrics["accuracy/white_0_db"]["n"] == 12
    assert f"{100 * values['gmm']:.1f} %" in line
    assert f"{100 * (values['gmm'] - values['majority']):+.1f} (" in line
    written = [Path(text) for text in shown.splitlines() if text.startswith("trained_models/comparisons")]
    assert [path.name for path in written] == ["compare.html", "compare.csv", "noise.png"]
    rows = list(csv.DictReader(written[1].open()))
    assert [row["run"] for row in rows] == ["majority", "gmm"]
    assert float(rows[1]["log_likelihood_per_frame"]) < 0

    assert main([*words, "output=here", "metric=f1", "split=validation"]) == 0
    assert "f1 on 6 clips of 1 speaker (validation)" in capsys.readouterr().out
    assert (tmp_path / "here" / "compare.html").exists()


def write_digits(folder: Path) -> Path:
    """FSDD's layout with tones: six speakers, ten digits."""
    (folder / "recordings").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for s, speaker in enumerate(("george", "jackson", "lucas", "nicolas", "theo", "yweweler")):
        for digit in range(10):
            tone = 0.3 * np.sin(2 * np.pi * (300 + 250 * digit + 5 * s) * np.arange(2400) / 8000)
            for take in range(2):
                audio = tone + 0.01 * rng.random(2400)
                soundfile.write(folder / "recordings" / f"{digit}_{speaker}_{take}.wav", audio, 8000)
    return folder


def test_folds_of_a_sweep_are_evaluated_and_compared_as_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["dataset=fsdd", f"dataset.data_folder={write_digits(tmp_path / 'fsdd')}", "model=majority"]
    settings += ["protocol=leave_one_speaker_out", "features.sample_rate=8000", "features.n_mfcc=10"]
    monkeypatch.chdir(tmp_path)
    for experiment in ("a", "b"):
        for number, fold in enumerate((0, 3)):  # as each job of `train -m protocol.fold=0,3` does
            overrides = [*settings, f"protocol.fold={fold}", f"output_dir=trained_models/{experiment}"]
            overrides.append(f"experiment_id={job_name(number, [f'fold={fold}'])}")
            train_one(compose(overrides), overrides)
    assert main(["evaluate", "trained_models/a", "noise=white", "snr_db=10"]) == 0
    capsys.readouterr()
    assert main(["compare", "trained_models/a", "trained_models/b", "output=out"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy on 40 clips of 2 speakers (test)" in shown
    assert "majority, 2 folds" in shown
    first, second = csv.DictReader((tmp_path / "out" / "compare.csv").open())
    assert first["folds"] == second["folds"] == "2"
    assert second["difference"] == "0.0"
    assert float(first["accuracy/white_10_db"]) == 0.1
    assert second["accuracy/white_10_db"] == ""
    assert "the test cuts of folds 0, 3 pooled" in (tmp_path / "out" / "compare.html").read_text()
    assert main(["compare", "trained_models/a", "output=one"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy on 40 clips of 2 speakers (test)" in shown, "one cross-validation has its pooled figure"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare"], "usage: phonaut compare RUN RUN"),
        (["compare", "/nowhere", "/nowhere/too"], "/nowhere is not a run"),
        (
            ["compare", "a", "b", "splt=test"],
            "compare takes fusion=, metric=, output=, split=; it got splt; did you mean split?",
        ),
        (["evaluate", "a", "noise=violet"], "noise is some of white, pink, brown, blue, recorded, got violet"),
        (["evaluate", "a", "noise_folder=b"], "noise_folder= goes with noise="),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
