"""The trials of a sweep: none is trained twice, none that breaks a limit known before, and a kill changes nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.sweeps_of_bowls import Bowl, figures

GRID = ("model.width=1,2", "model.kernel_size=3,5")
SEARCHES = ("optuna", "nevergrad")


@pytest.fixture(params=SEARCHES)
def search(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    name: str = request.param
    return name


def words_of(bowl: Any) -> list[list[str]]:
    return [trial.words for trial in bowl.trials()]


def test_a_grid_trains_each_combination_once_and_what_is_added_later(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path / "g", "grid", GRID)
    bowl.run()
    assert len(bowl.trained) == 4
    bowl.run()
    assert len(bowl.trained) == 4
    bowl.words = ("model.width=3,1,2", *GRID[1:])
    sweep = bowl.run()
    assert len(bowl.trained) == 6
    assert len({tuple(words) for words in bowl.trained}) == 6
    assert [trial.job for trial in sweep.trials()][:1] == ["0_width-1_kernel_size-3"]


def test_a_grid_tries_again_what_failed_and_a_search_does_not(tmp_path: Path, search: str) -> None:
    def fails(words: Sequence[str]) -> dict[str, float]:
        if len(bowl.trained) == 2:
            raise ValueError("the disk is full")
        return figures(words)

    bowl = Bowl(tmp_path / "g", "grid", GRID)
    assert [trial.state for trial in bowl.run(score=fails).trials()].count("failed") == 1
    assert [trial.state for trial in bowl.run().trials()] == ["finished"] * 4
    assert len(bowl.trained) == 5
    bowl = Bowl(tmp_path / "s", search)
    assert [trial.state for trial in bowl.run(n_trials=4, score=fails).trials()].count("failed") == 1
    assert [trial.state for trial in bowl.run(n_trials=4).trials()].count("failed") == 1
    assert len(bowl.trained) == 4


@pytest.mark.parametrize(("n_jobs", "killed_at"), [(1, 5), (3, 4)])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path, search: str, n_jobs: int, killed_at: int
) -> None:
    whole, killed = (Bowl(tmp_path / name, search) for name in ("whole", "killed"))
    expected = words_of(whole.run(n_trials=9, n_jobs=n_jobs))
    assert len({tuple(words) for words in expected}) > 6, "it does not draw one trial again and again"
    with pytest.raises(KeyboardInterrupt):
        killed.run(n_trials=9, n_jobs=n_jobs, killed_at=killed_at)
    assert len(killed.trained) == killed_at
    assert words_of(killed.run(n_trials=9, n_jobs=n_jobs)) == expected
    assert len(killed.trained) == len({tuple(words) for words in killed.trained}), "no trial is trained twice"


def test_a_search_goes_on_with_more_trials(tmp_path: Path, search: str) -> None:
    bowl = Bowl(tmp_path / "s", search)
    first = words_of(bowl.run(n_trials=4))
    again = words_of(bowl.run(n_trials=6))
    assert again[: len(first)] == first
    assert len(bowl.trained) == 6


def test_what_breaks_a_limit_that_is_known_before_is_not_trained_and_does_not_count(
    tmp_path: Path, search: str
) -> None:
    bowl = Bowl(tmp_path / "s", search)
    sweep = bowl.run(n_trials=8, limits=["macs<=12000"])
    states = {trial.number: trial.state for trial in sweep.trials()}
    assert list(states.values()).count("finished") == len(bowl.trained) == 8
    refused = [trial for trial in sweep.trials() if trial.state == "infeasible"]
    assert refused
    assert all(trial.figures["macs"] > 12000 for trial in refused)
    assert refused[0].reason == "not macs<=12000"
    assert all(trial.figures["macs"] <= 12000 for trial in sweep.trials() if trial.state == "finished")


def test_a_limit_known_after_training_keeps_a_trial_from_being_the_best(tmp_path: Path) -> None:
    sweep = Bowl(tmp_path / "g", "grid", GRID).run(limits=["accuracy<=0.7"])
    assert len([trial for trial in sweep.trials() if trial.state == "finished"]) == 4
    assert [trial.figures["accuracy"] for trial in sweep.best()] == [pytest.approx(0.54)]


def test_the_same_words_are_trained_once_however_often_a_search_asks_for_them(
    tmp_path: Path, search: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bowl = Bowl(tmp_path / "s", search, ("model.width=1,2", "model.kernel_size=3,5"))
    sweep = bowl.run(n_trials=6)
    assert len(bowl.trained) == len({tuple(words) for words in bowl.trained}) <= 4
    assert {trial.state for trial in sweep.trials()} == {"finished"}
    assert "of 6 trials were trained" in capsys.readouterr().out


def test_a_search_whose_first_trials_all_fail_ends(tmp_path: Path, search: str) -> None:
    def fails(words: Sequence[str]) -> dict[str, float]:
        raise ValueError("there is no such corpus")

    bowl = Bowl(tmp_path / "s", search)
    with pytest.raises(ValueError, match="all 3 trials failed, so the sweep ends here: there is no such corpus"):
        bowl.run(score=fails)
    assert len(bowl.run(n_trials=5).best()) == 1, "with the cause gone, it goes on"


def test_several_goals_are_searched_and_the_front_is_what_nothing_beats(tmp_path: Path, search: str) -> None:
    sweep = Bowl(tmp_path / "s", search).run(n_trials=15, goals=[("accuracy", True), ("macs", False)])
    front = [(trial.figures["accuracy"], trial.figures["macs"]) for trial in sweep.best()]
    everything = [(trial.figures["accuracy"], trial.figures["macs"]) for trial in sweep.trials()]
    beaten = {
        one for one in everything if any(o[0] >= one[0] and o[1] <= one[1] and o != one for o in everything)
    }  # fmt: skip
    assert set(front) == set(everything) - beaten
    assert front == sorted(front, reverse=True)


def test_optuna_ends_nearer_to_the_best_than_it_began(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    trials = Bowl(tmp_path / "s", "optuna").run(n_trials=25).trials()
    values = [trial.figures["accuracy"] for trial in trials]
    assert sum(values[-8:]) / 8 > sum(values[:8]) / 8 + 0.05


def test_another_trial_under_a_number_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    Bowl(tmp_path / "s", "optuna").run(n_trials=2)
    (tmp_path / "s" / "study.db").unlink()
    with pytest.raises(ValueError, match=r"trial 0 in .* is model\.width=.* and would now be"):
        Bowl(tmp_path / "s", "optuna", seed=7).run(n_trials=2)
