"""What the processes of a command tell each other; here they are threads."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.processes import meeting_place
from phonaut import peers
from phonaut.cli import main
from phonaut.peers import Peers, Place


@pytest.fixture(autouse=True)
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in meeting_place().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(peers, "BEAT_S", 0.05)
    monkeypatch.setattr(peers, "SILENCE_S", 0.5)


def by_two(first: Callable[[Peers], object], second: Callable[[Peers], object]) -> list[BaseException | None]:
    """Let two processes do something, each as the context is for; the error that each ends with."""
    errors: list[BaseException | None] = [None, None]

    def be(rank: int, do: Callable[[Peers], object]) -> None:
        try:
            with Peers(Place(rank, 2, 0, 2)) as others:
                do(others)
        except BaseException as error:
            errors[rank] = error

    threads = [threading.Thread(target=be, args=pair) for pair in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return errors


def test_what_one_says_the_other_hears_and_both_go_on_when_both_are_there() -> None:
    heard, times = [], {}

    def say(others: Peers) -> None:
        others.say("word", "yes")
        others.say("nothing")
        time.sleep(0.3)
        times["there"] = time.monotonic()
        others.agree("there")

    def hear(others: Peers) -> None:
        heard.extend([others.hear("word"), others.hear("nothing")])
        others.agree("there")
        times["gone on"] = time.monotonic()

    assert by_two(say, hear) == [None, None]
    assert heard == ["yes", ""]
    assert times["gone on"] > times["there"]


@pytest.mark.parametrize("kind", [ValueError, OSError])
def test_an_error_of_one_ends_the_other_with_its_sentence(kind: type[Exception]) -> None:
    def fail(others: Peers) -> None:
        raise kind("no such corpus")

    first, second = by_two(lambda others: others.agree("ready"), fail)
    assert isinstance(first, kind)
    assert str(first) == str(second) == "no such corpus"


def test_whoever_says_nothing_any_more_is_given_up() -> None:
    def fall_silent(others: Peers) -> None:
        time.sleep(0.2)
        others.over.set()  # its heart stops, as that of a machine without current
        time.sleep(1.5)

    first, second = by_two(lambda others: others.hear("word", 1), fall_silent)
    assert isinstance(first, ConnectionError)
    assert "process 1 of 2 is silent" in str(first)
    assert second is None


def test_a_process_of_srun_gets_the_variables_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    of_slurm = {
        "SLURM_PROCID": "3",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "node[07-08]",
        "SLURM_NODEID": "1",
        "SLURM_JOB_ID": "31234",
    }
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name)
    for name, value in of_slurm.items():
        monkeypatch.setenv(name, value)
    here = peers.place()
    assert here == Place(rank=3, n=4, local_rank=1, n_machines=2)
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1",
             "MASTER_ADDR": "node07", "MASTER_PORT": "16234"}  # fmt: skip
    for name in given:
        monkeypatch.setenv(name, "")  # so that it is taken away again
        monkeypatch.delenv(name)
    peers.join(here)
    assert {name: os.environ[name] for name in given} == given
    assert peers.place() == here


def test_a_file_that_is_not_seen_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SHARED_S", 0.2)
    threading.Timer(0.1, (tmp_path / "late").touch).start()
    peers.see((tmp_path / "late").exists, "late")
    with pytest.raises(ValueError, match="never is not what the first machine has there"):
        peers.see((tmp_path / "never").exists, "never")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "trained_models/x"], "evaluate works in one process"),
        (["train", "-m", "seed=0,1"], "leave torchrun or srun out"),
        (["train", "dataset=folder"], "experiment_id=NAME"),
    ],
)
def test_what_several_processes_cannot_do_the_first_of_each_machine_says(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    assert said in capsys.readouterr().err
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(words) == 2
    assert not capsys.readouterr().err
