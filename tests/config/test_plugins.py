"""A folder of a user, or of an installed package, adds choices with no edit to ours."""

import json
import re
from pathlib import Path

import pytest

from helpers.processes import Command
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config import plugins
from phonaut.config.compose import ConfigurationError, compose

TOY = """
from torch import Tensor, nn

class Mean(nn.Module):
    def __init__(self, n_features: int, n_classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.linear = scale, nn.Linear(n_features, n_classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return self.linear(self.scale * frames.sum(dim=1) / lengths[:, None])

def loudness(scored, unit: str) -> float:
    return float(scored.scores.max())
"""


def write_plugin(root: Path, module: str, *, folder: str = "my conf's") -> Path:
    """A module with a network, and beside it a folder that offers the network as a model."""
    conf = root / folder
    (conf / "model").mkdir(parents=True)
    (root / f"{module}.py").write_text(TOY)
    loop = "defaults:\n  - override /module@_global_.module: em\n"
    (conf / "model" / "toy.yaml").write_text(f"_target_: {module}.Mean\nscale: 1.0\n")
    (conf / "model" / "toy_em.yaml").write_text(f"{loop}\n_target_: {module}.Mean\nscale: 1.0\n")
    (conf / "metric").mkdir()
    (conf / "metric" / "loudness.yaml").write_text(f"_target_: {module}.loudness\nunit: dB\n")
    return conf


def test_a_choice_of_an_added_folder_composes_with_its_defaults(tmp_path: Path) -> None:
    plugins.add_config_dir(write_plugin(tmp_path, "toy_composes"))
    config = compose(["model=toy", "model.scale=2"])
    assert config.choices["model"] == "toy"
    assert config.model["scale"] == 2
    assert config.choices["module"] == "speech_classifier"
    with pytest.raises(ConfigurationError, match="module=em cannot train model=toy_em"):  # the default was overridden
        compose(["model=toy_em"])
    assert "toy" in plugins.choices()["model"]
    assert "lstm" in plugins.choices()["model"]


def test_a_registry_is_read_over_all_folders_and_is_no_choice(tmp_path: Path) -> None:
    plugins.add_config_dir(write_plugin(tmp_path, "toy_registry"))
    assert plugins.registry("metric")["loudness"] == {"_target_": "toy_registry.loudness", "unit": "dB"}
    assert not {"metric", "command"} & plugins.choices().keys()


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin(tmp_path / "installed_toy", "network", folder="conf")
    for file in (tmp_path / "installed_toy" / "conf").rglob("*.yaml"):
        file.write_text(file.read_text().replace("network.", "installed_toy.network."))
    (tmp_path / "installed_toy" / "__init__.py").touch()
    about = tmp_path / "toy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[phonaut.plugins]\ntoy = installed_toy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.installed_config_dirs.cache_clear()
    try:
        assert compose(["model=toy"]).model["_target_"] == "installed_toy.network.Mean"
        (about / "entry_points.txt").write_text("[phonaut.plugins]\ntoy = json\n")
        plugins.installed_config_dirs.cache_clear()
        with pytest.raises(ValueError, match="plugin toy names json, a package without a folder conf"):
            plugins.config_dirs()
    finally:
        monkeypatch.undo()
        plugins.installed_config_dirs.cache_clear()


def test_a_folder_that_is_not_there_and_a_name_that_is_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        plugins.add_config_dir(tmp_path / "nothing")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "lstm.yaml").write_text("_target_: torch.nn.LSTM\n")
    with pytest.raises(ValueError, match=r"there is a model.lstm\.yaml in .* already; choose another name"):
        plugins.add_config_dir(tmp_path / "conf")
    assert plugins.added_config_dirs() == []


def test_a_registry_without_a_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "loud.yaml").write_text("unit: dB\n")
    plugins.add_config_dir(tmp_path / "conf")
    with pytest.raises(ValueError, match=r"loud\.yaml: needs a line such as _target_: module.name"):
        plugins.registry("metric")


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True])
def test_a_model_of_an_added_folder_trains_alone_and_in_a_sweep(tmp_path: Path, sweep: bool) -> None:
    conf = write_plugin(tmp_path, f"toy_trains_{sweep}".lower())
    words = [*run_settings(write_tones(tmp_path / "tones", n_takes=1), small=True), "experiment_id=x"]
    words += ["-m", "model=toy,majority"] if sweep else ["model=toy"]
    printed = Command(tmp_path, ["train", *words, "--config-dir", str(conf)]).finish()
    assert re.search("to resume  phonaut train .* --config-dir .*my conf", printed)
    runs = {path.parent.name for path in tmp_path.glob("trained_models/x/**/metrics.json")}
    assert runs == ({"toy", "majority"} if sweep else {"toy"})
    for path in tmp_path.glob("trained_models/x/**/metrics.json"):
        assert json.loads(path.read_text())["test"]["loudness"]["n"] > 0, "the metric beside the model counts too"
