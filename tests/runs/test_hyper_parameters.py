"""Hyper-parameters of a run: what was chosen and is used, in a report and in TensorBoard."""

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from phonaut.config.compose import compose
from phonaut.runs.hyper_parameters import hyper_parameters, write_hyper_parameters


def test_em_has_no_optimizer_and_a_network_has_its_own() -> None:
    gru = hyper_parameters(compose(["dataset=fsdd", "model=gru", "optimizer.lr=0.002", "batch_size=7"]))
    assert (gru["model"], gru["optimizer.lr"], gru["batch_size"], gru["seed"]) == ("gru", 0.002, 7, 0)
    assert "model.hidden_size" in gru
    em = hyper_parameters(compose(["dataset=fsdd", "model=gmm", "model.n_mix=3"]))
    assert em["model.n_mix"] == 3
    assert not [key for key in em if key.startswith(("optimizer", "scheduler", "augmentation"))]


def test_tensorboard_reads_settings_and_figures(tmp_path: Path) -> None:
    config = compose(["dataset=fsdd", "model=gru"])
    rate = {"value": 0.75, "low": 0.6, "high": 0.9, "n": 4, "method": ""}
    write_hyper_parameters(tmp_path, config, {"test": {"accuracy": rate, "accuracy/noise_10_db": rate}})
    (path,) = tmp_path.iterdir()
    settings, figures = {}, {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            settings.update(data.session_start_info.hparams)
            if value.tag.startswith("final"):
                figures[value.tag] = value.tensor.float_val[0]
    assert settings["model"].string_value == "gru"
    assert settings["seed"].number_value == 0
    assert figures == {"final/test/accuracy": 0.75}
