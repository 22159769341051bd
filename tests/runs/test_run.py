"""Where a run lies, and when it may be taken up again."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from phonaut.files import remove
from phonaut.runs.resume import differences, state_of
from phonaut.runs.run import Run, empty, new_experiment

CONFIG = {"seed": 0, "trainer": {"max_epochs": 5, "devices": 1}, "optimizer": {"lr": 0.1}}


def write_run(folder: Path, *, finished: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(CONFIG)))
    if finished:
        (folder / "metrics.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder


def test_the_same_configuration_resumes_until_it_is_finished(tmp_path: Path) -> None:
    assert state_of(tmp_path / "none", CONFIG) == "new"
    assert state_of(write_run(tmp_path / "a"), CONFIG) == "resume"
    assert state_of(write_run(tmp_path / "b", finished=True), CONFIG) == "finished"


def test_another_configuration_is_refused_and_every_differing_key_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    other = CONFIG | {"seed": 1, "optimizer": {"lr": 0.2}}
    with pytest.raises(ValueError, match=r"(?s)optimizer\.lr: 0\.1 -> 0\.2.*seed: 0 -> 1.*overwrite=true"):
        state_of(folder, other)


def test_more_epochs_continue_a_finished_run_and_fewer_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", finished=True)
    assert state_of(folder, CONFIG | {"trainer": {"max_epochs": 9, "devices": 1}}) == "resume"
    assert differences(CONFIG, CONFIG | {"trainer": {"max_epochs": 4, "devices": 1}}) == ["trainer.max_epochs: 5 -> 4"]


def test_devices_and_workers_may_change() -> None:
    assert differences(CONFIG, CONFIG | {"trainer": {"max_epochs": 5, "devices": 2}, "n_workers": 4}) == []


def test_a_run_that_kept_nothing_stands_in_nobodys_way(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "checkpoints" / "last.ckpt").unlink()
    assert state_of(folder, CONFIG) == "resume"
    assert state_of(folder, CONFIG | {"seed": 1}) == "new"


@pytest.mark.parametrize("left", [".lock", ".config.yaml.x1b_q9zw", ".config.yaml.x1b_q9zw.part"])
def test_a_folder_that_a_kill_left_without_a_configuration_is_begun_anew(left: str, tmp_path: Path) -> None:
    (tmp_path / left).touch()
    assert state_of(tmp_path, CONFIG) == "new"


@pytest.mark.parametrize("kill", range(1, 6))
def test_a_kill_while_a_run_is_replaced_leaves_a_run_that_is_not_finished(
    kill: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "a", finished=True)
    for name in ("model.json", "model.safetensors", "history.json"):
        (folder / name).touch()
    removed = list[Path]()

    def deadly(path: Path) -> None:
        if len(removed) == kill:
            raise KeyboardInterrupt
        removed.append(path)
        remove(path)

    monkeypatch.setattr("phonaut.runs.run.remove", deadly)
    with pytest.raises(KeyboardInterrupt):
        empty(folder)
    assert not Run(folder).finished


def test_where_the_recordings_lie_is_no_other_configuration(tmp_path: Path) -> None:
    part = {"name": "a", "corpus": {"data_folder": "/a", "seed": 0}}
    old = {"dataset": {"data_folder": "/a", "alignment": "/a.ctm", "clip_s": 1.0, "corpora": [part]}}
    moved = {"name": "a", "corpus": {"data_folder": "/b", "seed": 0}}
    assert differences(old, {"dataset": {"data_folder": "/b", "clip_s": 1.0, "corpora": [moved]}}) == []
    assert differences(old, {"dataset": old["dataset"] | {"clip_s": 2.0}}) == ["dataset.clip_s: 1.0 -> 2.0"]


def test_runs_without_a_name_that_start_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    names = [new_experiment(str(tmp_path / "out"), "fsdd", "keyword") for _ in range(3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(set(names)) == sorted(names)


def test_a_folder_of_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds files but no run"):
        state_of(tmp_path, CONFIG)


def test_the_experiment_folder_stands_for_its_only_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x" / "tc-res8")
    assert Run(tmp_path / "x").folder == folder
    with pytest.raises(ValueError, match="is not a run"):
        Run(tmp_path)
    write_run(tmp_path / "x" / "lstm")
    with pytest.raises(ValueError, match="name one of the runs"):
        Run(tmp_path / "x")


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "", "\x00"])
def test_a_damaged_file_of_a_run_is_named(content: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.json is damaged"):
        _ = Run(folder).metrics
