"""A task of one's own: a file and configuration files beside it, and every command serves it."""

from pathlib import Path

import numpy as np
import pytest

import phonaut
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.runs import Run

# The task itself is ten lines: the number of the class is regressed on the mean of the frames.
TASK = """
from phonaut.reports.sections import Section
from phonaut.tasks.classification import Classification
from phonaut.training import SpeechClassifier

class LeastSquares(SpeechClassifier):
    def loss(self, scores, labels, smoothing):
        return (scores[:, 0] - labels).square().mean()

class Regression(Classification):
    metrics = ("squared_error",)
    report = ("headline", "training", lambda record: Section("<p>regressed on means</p>"), "setup")
"""
NETWORK = """
from torch import nn

class MeanOfFrames(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.linear = nn.Linear(n_features, 1)

    def forward(self, frames, lengths):
        return self.linear(frames.sum(dim=1) / lengths[:, None])

def squared_error(scored):
    return float((scored.scores[:, 0] - scored.label).__pow__(2).mean())
"""
FILES = {
    "toy_task.py": TASK,
    "toy_network.py": NETWORK,
    "conf/task/regression.yaml": "_target_: toy_task.Regression\n",
    "conf/module/least_squares.yaml": "_target_: toy_task.LeastSquares\nlabel_smoothing: 0.0\n",
    "conf/metric/squared_error.yaml": "_target_: toy_network.squared_error\ndirection: lower\n",
    "conf/model/mean_of_frames.yaml": """
defaults:
  - override /task@_global_.task: regression
  - override /module@_global_.module: least_squares

_target_: toy_network.MeanOfFrames
""",
}


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, text in FILES.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    tones = write_tones(tmp_path / "tones", n_takes=2)
    return ["train", *run_settings(tones, small=True), "--config-dir", str(tmp_path / "toy" / "conf")]


def test_a_task_of_ones_own_trains_resumes_evaluates_compares_and_reports(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train = [*words, "model=mean_of_frames", "augmentation=none"]
    assert main(typed(*train, "experiment_id=a", "trainer.max_epochs=2")) == 0
    run = Run("trained_models/a")
    p = run.predictions("test")
    error = np.mean((p.scores[:, 0] - p.label) ** 2)
    assert run.metrics["test"]["squared_error"]["value"] == pytest.approx(error, rel=1e-5)
    assert "accuracy" not in run.metrics["test"]
    assert main([*train, "experiment_id=a", "trainer.max_epochs=4"]) == 0, "it goes on"
    assert "resuming from" in capsys.readouterr().out
    assert [line["epoch"] for line in run.history] == [0, 1, 2, 3]
    assert run.history[-1]["validation/loss"] < run.history[0]["validation/loss"]
    assert main(["evaluate", "trained_models/a"]) == 0
    assert main([*train, "experiment_id=b", "trainer.max_epochs=4", "seed=1"]) == 0
    capsys.readouterr()
    assert main(["compare", "trained_models/a", "trained_models/b", "metric=squared_error"]) == 0
    assert "squared error" in capsys.readouterr().out
    page = (run.folder / "report.html").read_text()
    assert "regressed on means" in page
    assert "squared error" in page
    assert "confus" not in page.lower().split("<script")[0].split("</style>")[-1]


def test_a_loaded_run_answers_for_files_and_arrays_like_its_predictions(words: list[str], tmp_path: Path) -> None:
    import soundfile

    assert main(typed(*words, "model=tc-res8", "model.channels=[4,4]", "experiment_id=c", "trainer.max_epochs=2")) == 0
    loaded = phonaut.load("trained_models/c")
    p = loaded.run.predictions("test")
    files = [tmp_path / "tones" / f"{cut}.wav" for cut in p.cut]
    answers = loaded.predict(files)
    for answer, probabilities, best in zip(answers, p.probabilities(), p.predicted, strict=True):
        np.testing.assert_allclose(list(answer.probabilities.values()), probabilities, atol=1e-5)
        assert answer.label == p.classes[best]
    audio, rate = soundfile.read(files[0], dtype="float32")
    assert loaded.predict(audio, rate).probability == pytest.approx(answers[0].probability, abs=1e-4)
    assert loaded.predict(files[0]).label == answers[0].label
    with pytest.raises(ValueError, match=r"no such recording or folder: gone\.wav"):
        loaded.predict("gone.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"cannot be used: .*text\.wav"):
        loaded.predict([files[0], tmp_path / "text.wav"])
