"""A run of two machines: the model is that of one, and what goes wrong on one of them ends both with its sentence."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.processes import Command, note_steps, train_by_two, two_machines
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.config.compose import compose
from phonaut.peers import Place
from phonaut.runs.training import check_processes


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a run; batches of seven cannot be divided evenly, and dropout draws for each process."""
    tones = write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)
    return typed(*run_settings(tones), "batch_size=7", "trainer.max_epochs=3", "model.dropout=0", "experiment_id=x")


@pytest.mark.slow
def test_killed_on_one_machine_it_ends_on_both_and_resumed_its_model_is_that_of_one_process(
    words: list[str], tmp_path: Path
) -> None:
    Command(tmp_path / "one", ["train", *words]).finish()
    two, (first, second) = tmp_path / "two", two_machines()
    left = Command(two, ["train", *words, "trainer.num_nodes=2"], **first)
    killed = Command(
        two, ["train", *words, "trainer.num_nodes=2"], note_steps, tmp_path / "steps", signal.SIGKILL, **second
    )
    assert killed.wait(60) == -signal.SIGKILL
    assert left.wait(30) == 1
    assert left.output.splitlines()[-1].startswith("phonaut: another process of this run is gone")
    assert "Traceback" not in left.output

    resumed, silent = train_by_two(two, words)
    assert "resuming from" in resumed
    assert not silent, "the first process alone speaks"
    runs = [folder / "trained_models" / "x" / "tc-res8" for folder in (tmp_path / "one", two)]
    one, other = (load_file(run / "model.safetensors") for run in runs)
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_allclose(other[key], value, rtol=1e-3, atol=1e-4, err_msg=key)
    one, other = (json.loads((run / "history.json").read_text()) for run in runs)
    figures = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")
    assert [[line[name] for name in figures] for line in other] == [
        pytest.approx([line[name] for name in figures], rel=1e-4) for line in one
    ]


@pytest.mark.slow
def test_other_words_on_one_machine_are_refused_on_both_and_there_is_no_run(words: list[str], tmp_path: Path) -> None:
    ranks = [
        Command(tmp_path, ["train", *words, "trainer.num_nodes=2", f"seed={seed}"], **machine)
        for seed, machine in enumerate(two_machines())
    ]
    for command in ranks:
        assert command.wait(60) == 2
        sentence = "phonaut: the words of this machine are not those of the first one: seed: 0 -> 1"
        assert command.output.splitlines()[-1] == sentence
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("here", "options", "advice"),
    [
        (Place(0, 2, 0, 2), [], "trainer.num_nodes=2 trainer.devices=1"),
        (Place(3, 4, 1, 2), ["trainer.devices=4"], "trainer.num_nodes=2 trainer.devices=2"),
        (Place(0, 2, 0, 1), ["trainer.devices=1"], "trainer.num_nodes=1 trainer.devices=2"),
    ],
)
def test_processes_that_are_not_those_of_the_configuration_are_refused(
    here: Place, options: list[str], advice: str
) -> None:
    with pytest.raises(ValueError, match=advice):
        check_processes(compose([*options, "trainer.accelerator=cpu"]), here)
    check_processes(compose([*options, "trainer.accelerator=cpu"]), Place())
