"""Settings in which runs differ: what was chosen, what was set, and what follows from a choice."""

from pathlib import Path

from helpers.scored_runs import CLASSES, scored, write_scored
from phonaut.runs.differing import Setting, differing
from phonaut.runs.run import Run


def test_what_was_set_is_told_from_what_follows_from_a_choice_and_places_are_left_out(tmp_path: Path) -> None:
    models = (
        ("gru", {"_target_": "phonaut.networks.GRU", "hidden_size": 64, "dropout": 0.2}),
        ("tc-res8", {"_target_": "phonaut.networks.TCResNet8", "width": 1.0, "dropout": 0.5}),
        ("tc-res8", {"_target_": "phonaut.networks.TCResNet8", "width": 1.5, "dropout": 0.5}),
    )
    runs = []
    for i, (choice, options) in enumerate(models):
        config = {
            "choices": {"model": choice, "dataset": "fsdd"},
            "dataset": {"data_folder": f"/disk{i}"},
            "model": options,
            "trainer": {"devices": i + 1, "max_epochs": 30},
            "output_dir": f"/runs{i}",
        }
        runs.append(Run(write_scored(tmp_path / str(i) / choice, scored(CLASSES, CLASSES), config=config)))
    assert differing(runs) == [
        Setting("model", ["gru", "tc-res8", "tc-res8"], follows=False),
        Setting("model.hidden_size", ["64", "–", "–"], follows=True),
        Setting("model.dropout", ["0.2", "0.5", "0.5"], follows=True),
        Setting("model.width", ["–", "1", "1.5"], follows=False),
    ]
    assert differing(runs[:1] * 2) == []
