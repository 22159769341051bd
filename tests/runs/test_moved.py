"""A run goes on wherever it, its recordings or its machine have been moved, and says what has changed since."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from golden.record import command
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.compose import compose
from phonaut.files import read_json, write_json
from phonaut.runs import Run
from phonaut.runs.resume import as_begun
from phonaut.runs.training import commit
from phonaut.training.checkpointing import BEFORE_LAST, LAST


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, and a run on them of two epochs."""
    folder = tmp_path_factory.mktemp("here")
    write_tones(folder / "recordings", n_speakers=4, n_takes=1)
    status, _, told = command(["train", *words(folder), "trainer.max_epochs=2"])
    assert status == 0, told
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """The same, moved: recordings and run are copies, and those of before are not named by anything."""
    return Path(shutil.copytree(trained, tmp_path / "there"))


def words(folder: Path) -> list[str]:
    settings = [word for word in run_settings(folder / "recordings", small=True) if "max_epochs" not in word]
    few = ["model.channels=[4,4]", "augmentation=none", "trainer.enable_progress_bar=false", "features.hop_length=640"]
    return [*settings, *few, f"output_dir={folder / 'out'}", "experiment_id=x"]


def run_in(folder: Path) -> Run:
    return Run(folder / "out" / "x")


def told_by(*line: str) -> tuple[int, str]:
    status, out, told = command(line)
    return status, out + told


def test_moved_with_its_recordings_it_is_resumed_and_keeps_its_best_epochs(place: Path) -> None:
    kept = {path.name for path in (run_in(place).folder / "checkpoints").glob("epoch-*.ckpt")}
    status, told = told_by("train", *words(place), "trainer.max_epochs=3")
    assert status == 0, told
    assert "resuming from" in told
    assert "changed" not in told
    assert len(run_in(place).history) == 3
    now = {path.name for path in (run_in(place).folder / "checkpoints").glob("epoch-*.ckpt")}
    assert now == {*kept, "epoch-002.ckpt"}, "of the five best that are kept, those of before are some"


def test_moved_recordings_are_evaluated_where_they_are_said_or_usually_are(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_in(place).metrics["test"]
    stored = run_in(place).folder / "config.yaml"
    gone = str(place / "gone")
    stored.write_text(stored.read_text().replace(run_in(place).config.dataset["data_folder"], gone))
    monkeypatch.setenv("PHONAUT_DATA", str(place / "nowhere"))
    status, told = told_by("evaluate", str(run_in(place).folder))
    assert status == 2
    assert gone in told
    assert f"phonaut evaluate {run_in(place).folder} dataset.data_folder=... says where it lies now" in told
    for more, data in (([f"dataset.data_folder={place / 'recordings'}"], "nowhere"), ([], "")):
        monkeypatch.setenv("PHONAUT_DATA", str(place / data))
        (run_in(place).folder / "predictions" / "test.npz").unlink()
        status, told = told_by("evaluate", str(run_in(place).folder), *more)
        assert status == 0, told
        assert run_in(place).metrics["test"] == before


@pytest.mark.parametrize("change", ["another label", "another speaker"])
def test_other_recordings_are_no_moved_ones(change: str, place: Path) -> None:
    recordings = place / "recordings"
    if change == "another label":
        (recordings / "low" / "s0_0.wav").rename(recordings / "high" / "s0_1.wav")
    else:
        (recordings / "low" / "s0_0.wav").rename(recordings / "low" / "s3_1.wav")
    before = run_in(place).metrics
    moved = [f"dataset.data_folder={recordings}"]
    for line in (["train", *words(place), "trainer.max_epochs=3"], ["evaluate", str(run_in(place).folder), *moved]):
        status, told = told_by(*line)
        assert status == 2
        assert "are not those that the run was trained on" in told
    assert run_in(place).metrics == before, "and nothing is lost"


def test_audio_that_is_not_the_same_to_the_bit_is_warned_of(place: Path) -> None:
    about: dict[str, Any] = run_in(place).corpus
    write_json(run_in(place).folder / "corpus.json", about | {"digests": about["digests"] | {"audio": "other"}})
    with pytest.warns(UserWarning, match="not what it was to the bit"):
        status, _ = told_by("train", *words(place), "trainer.max_epochs=3")
    assert status == 0


def test_other_settings_of_a_runs_own_corpus_are_refused_with_what_may_be_set(place: Path) -> None:
    status, told = told_by("evaluate", str(run_in(place).folder), "dataset.clip_s=1")
    assert status == 2
    assert "of the run's own corpus, dataset.data_folder= may be set" in told


def test_a_run_that_may_not_be_written_is_evaluated_in_a_copy(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("phonaut.runs.evaluation.os.access", lambda *_: False)
    files = {path: path.stat().st_mtime_ns for path in run_in(place).folder.rglob("*")}
    with pytest.warns(UserWarning, match="may not be written: predictions, figures and report are in"):
        status, told = told_by("evaluate", str(run_in(place).folder), f"dataset.data_folder={place / 'recordings'}")
    assert status == 0, told
    assert "accuracy" in told
    assert files == {path: path.stat().st_mtime_ns for path in run_in(place).folder.rglob("*")}


def test_the_words_that_it_was_begun_with_take_it_up_though_they_mean_something_else_by_now(place: Path) -> None:
    run, line = run_in(place), ["phonaut", "train", *words(place)]
    config = compose(words(place))
    config.features["n_mels"], config.trainer["max_epochs"], config.n_workers = 30, 7, 3
    begun = as_begun(run.folder, config, line)
    assert begun.features["n_mels"] == 20
    assert (begun.trainer["max_epochs"], begun.n_workers) == (7, 3)
    assert as_begun(run.folder, config, [*line, "features.n_mels=30"]).features["n_mels"] == 30, "to be refused"


def test_a_damaged_best_epoch_costs_that_epoch(place: Path) -> None:
    folder = run_in(place).folder
    (folder / "metrics.json").unlink()
    for path in (folder / "checkpoints").glob("epoch-*.ckpt"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"epoch-00\d\.ckpt is damaged.*taking the next best epoch"):
        status, told = told_by("train", *words(place), "trainer.max_epochs=2")
    assert status == 0, told


@pytest.mark.parametrize("damage", ["empty", "flipped"])
def test_a_damaged_last_checkpoint_goes_back_to_the_one_before(damage: str, place: Path) -> None:
    folder = run_in(place).folder
    path = folder / "checkpoints" / LAST
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 4, 3 * len(data) // 4, len(data) // 64):  # some of it is padding
        data[at] ^= 1
    path.write_bytes(b"" if damage == "empty" else bytes(data))
    (folder / "metrics.json").unlink()
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be read .*going back"):
        status, told = told_by("train", *words(place), "trainer.max_epochs=2")
    assert status == 0, told
    assert BEFORE_LAST in told
    assert len(run_in(place).history) == 2


@pytest.mark.parametrize("name", ["metrics.json", "model.json", "history.json", "corpus.json", "config.yaml",
                                  "model.safetensors", "predictions/test.npz"])  # fmt: skip
def test_a_damaged_file_of_a_run_is_named_in_a_sentence(name: str, place: Path) -> None:
    path = run_in(place).folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    of_report = name in ("metrics.json", "history.json", "predictions/test.npz")
    status, told = told_by("report" if of_report else "evaluate", str(path.parents[name.count("/")]))
    assert status == 2
    assert str(path) in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "error", [FileNotFoundError("git"), PermissionError("git"), subprocess.TimeoutExpired("git", 1)]
)
def test_where_there_is_no_git_the_commit_is_not_known(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert commit() is None


def test_a_run_keeps_what_tells_its_recordings(trained: Path) -> None:
    kept = read_json(run_in(trained).folder / "corpus.json", dict[str, Any]())
    assert kept["digests"].keys() == {"labels", "audio"}
    assert json.loads((run_in(trained).folder / "environment.json").read_text())["git"] in (None, commit())
