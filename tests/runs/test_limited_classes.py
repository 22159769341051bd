"""A run that is limited to some classes: what it is scored on, what it says, and whom it may be compared with."""

from pathlib import Path

import pytest

from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.runs import Run


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("limited") / "tones", n_takes=2)


def train(tones: Path, model: str, *more: str) -> Run:
    settings = typed(*run_settings(tones), "trainer.max_epochs=1")
    words = [*settings, f"output_dir={tones.parent}", f"model={model}", *more]
    assert main(["train", *words]) == 0
    (name,) = [word.partition("=")[2] for word in more if word.startswith("experiment_id=")]
    return Run(tones.parent / name / model)


def test_other_classes_are_in_no_figure_and_the_report_says_so(tones: Path) -> None:
    run = train(tones, "majority", "classes=[low,high]", "experiment_id=named")
    assert run.classes == ["high", "low"]
    assert set(run.predictions("test").label_name.tolist()) == {"high", "low"}
    assert run.metrics["test"]["accuracy"]["n"] == 8
    limit = (
        "limited to 2 classes, high, low; spans of others are left out: 10 of 30 in train, 2 of 6 in validation, 4 of"
    )
    assert limit in run.corpus["notes"][0]
    assert limit in (run.folder / "report.html").read_text(encoding="utf-8")
    assert main(["evaluate", str(run.folder), "split=validation"]) == 0
    assert run.metrics["validation"]["accuracy"]["n"] == 4


def test_every_kind_of_model_is_limited_alike(tones: Path) -> None:
    small = ["model.channels=[4,4]"]
    for model, more in (("tc-res8", small), ("gmm", ["model.n_mix=1"])):
        run = train(tones, model, "n_classes=2", f"experiment_id=kinds_{model}", *more)
        assert run.classes == ["high", "low"]
        assert run.predictions("test").scores.shape == (8, 2)


def test_a_folder_of_new_recordings_is_scored_whole(tones: Path) -> None:
    run = train(tones, "majority", "classes=[low,high]", "experiment_id=new")
    assert main(["evaluate", str(run.folder), str(tones)]) == 0
    predictions = run.predictions("tones")
    assert len(predictions) == 48
    assert int((predictions.label < 0).sum()) == 16, "what the model does not know is reported apart"


def test_runs_of_other_classes_are_other_runs(tones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limited = train(tones, "majority", "classes=2", "experiment_id=two")
    everything = train(tones, "majority", "experiment_id=all")
    capsys.readouterr()
    assert main(["compare", str(limited.folder), str(everything.folder)]) == 2
    assert "cannot be compared" in capsys.readouterr().err
    settings = typed(*run_settings(tones), "trainer.max_epochs=1")
    again = [*settings, f"output_dir={tones.parent}", "model=majority"]
    assert main(["train", *again, "classes=3", "experiment_id=two"]) == 2
    assert "classes: 2 -> 3" in capsys.readouterr().err
    assert main(["train", *again, "n_classes=2", "experiment_id=two"]) == 0
    assert "is finished" in capsys.readouterr().out


def test_names_that_are_none_are_refused_with_the_nearest(tones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = [*run_settings(tones), f"output_dir={tones.parent}", "model=majority", "experiment_id=wrong"]
    assert main(["train", *again, "classes=[low,hihg]"]) == 2
    assert (
        "classes names hihg, which the training split of folder lacks; the nearest are high" in capsys.readouterr().err
    )
