"""A probe of an encoder: least squares as scikit-learn has it, nothing of the encoder changed, a figure an epoch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.encoders_of_tones import pretraining, trained
from helpers.runs_of_tones import write_tones
from phonaut.cli import main
from phonaut.metrics import Estimate
from phonaut.runs import Run
from phonaut.runs.load import load
from phonaut.tasks.probe_runs import probe_run, probed_data
from phonaut.training.callbacks.probing import RIDGE, ProbeFile, fitted, items, linear_probe


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)


@pytest.fixture(scope="module")
def words(tones: Path) -> list[str]:
    return ["dataset=folder", f"dataset.data_folder={tones}", "target=keyword"]


@pytest.fixture(scope="module")
def probed(tones: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is probed after every epoch."""
    quoted = ",".join(f'"{word}"' for word in words)
    folder = tmp_path_factory.mktemp("x") / "mockingjay_small"
    return trained(folder, [*pretraining(tones, n_epochs=3), f"probe=[{quoted}]"])


@pytest.mark.slow
@pytest.mark.oracle
def test_it_is_ridge_regression_to_indicators_of_classes(probed: Run, words: list[str]) -> None:
    from sklearn.linear_model import Ridge

    model, data = load(probed.folder).model, probed_data(words, probed.config)

    def all_items(split: str) -> tuple[np.ndarray, np.ndarray]:
        parts = list(items(model, data, split))
        return torch.cat([p[0] for p in parts]).numpy(), torch.cat([p[1] for p in parts]).numpy()

    (x, label), (others, truth) = all_items("train"), all_items("validation")
    assert (x[:, -1] == 1).all()
    ridge = RIDGE * (x[:, :-1] ** 2).sum(axis=0).mean()
    by_sklearn = Ridge(alpha=ridge, fit_intercept=False).fit(x, np.eye(len(data.classes))[label])
    np.testing.assert_allclose(fitted(model, data).numpy(), by_sklearn.coef_.T, rtol=1e-4, atol=1e-6)
    accuracy = (by_sklearn.predict(others).argmax(axis=1) == truth).mean()
    assert linear_probe(model, data).value == pytest.approx(accuracy)
    assert linear_probe(model, data).n == len(truth)


@pytest.mark.slow
def test_items_are_the_means_of_spans_of_representations(probed: Run, words: list[str]) -> None:
    model, data = load(probed.folder).model, probed_data(words, probed.config)
    batch = next(data.batches("validation"))
    x, label, span, names = next(items(model, data, "validation"))
    with torch.no_grad():
        found, lengths = model(batch.audio, batch.audio_lengths)
    expected = torch.stack([found[i, :n].mean(dim=0) for i, n in enumerate(lengths.tolist())])
    torch.testing.assert_close(x[:, :-1], expected[batch.span_recording].double(), atol=1e-5, rtol=1e-5)
    assert label.tolist() == batch.labels.tolist()
    assert span.tolist() == list(range(len(names)))


@pytest.mark.slow
def test_a_run_that_is_probed_learns_what_one_does_that_is_not(probed: Run, tones: Path, tmp_path: Path) -> None:
    plain = trained(tmp_path / "x" / "mockingjay_small", pretraining(tones, n_epochs=3))
    assert (plain.folder / "model.safetensors").read_bytes() == (probed.folder / "model.safetensors").read_bytes()
    assert not (plain.folder / "probe.json").exists()


@pytest.mark.slow
def test_each_epoch_has_a_figure_in_the_file_in_tensorboard_and_on_the_page(probed: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from phonaut.reports import write_report

    lines = probed.read("probe.json", {})["epochs"]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["step"] for line in lines] == [line["step"] for line in probed.history]
    events = EventAccumulator(str(probed.folder))
    events.Reload()
    shown = events.Scalars("probe/accuracy")
    assert [e.step for e in shown] == [line["step"] for line in lines]
    assert [e.value for e in shown] == pytest.approx([line["value"] for line in lines])
    page = write_report(probed.folder).read_text()
    assert "Probe accuracy over steps" in page
    assert "target=keyword" in page


@pytest.mark.slow
def test_checkpoints_that_are_there_give_the_same_figures_again(
    probed: Run, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (probed.folder / "probe.json").read_bytes()
    (probed.folder / "probe.json").unlink()
    assert main(["evaluate", str(probed.folder), *words]) == 0
    assert (probed.folder / "probe.json").read_bytes() == before
    shown = capsys.readouterr().out
    assert shown.count("95 % interval") == 3
    assert shown.rstrip().endswith("report.html")


def test_a_run_taken_up_again_replaces_what_was_probed_after_it_was_killed(tmp_path: Path) -> None:
    file = ProbeFile(tmp_path / "probe.json", ["dataset=fsdd"])
    for epoch in range(4):
        file.add(epoch, 10 * epoch + 10, Estimate(0.1 * epoch, 0.0, 1.0, 5))
    file.add(2, 30, Estimate(0.9, 0.8, 1.0, 5))
    assert [(line["epoch"], line["value"]) for line in file.read()] == [(0, 0.0), (1, 0.1), (2, 0.9)]
    file.put(0, 10, Estimate(0.5, 0.4, 0.6, 5))
    assert [line["value"] for line in file.read()] == [0.5, 0.1, 0.9]
    other = ProbeFile(tmp_path / "probe.json", ["dataset=kws"])
    other.add(0, 10, Estimate(0.2, 0.1, 0.3, 7))
    assert len(json.loads(file.path.read_text())["epochs"]) == 1, "of another corpus, it begins anew"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model=probe"], "a probe takes dataset=.*it got model=probe"),
        (["target=keyword"], "a probe needs a corpus: dataset="),
        (["dataset=fsdd", "dataset.unknown=1"], "unknown key dataset.unknown"),
    ],
)
def test_words_that_name_no_probe_are_refused(more: list[str], message: str, probed: Run) -> None:
    with pytest.raises(ValueError, match=message):
        probe_run(load(probed.folder), more, print)


def test_probes_belong_to_pretraining() -> None:
    from phonaut.config.compose import ConfigurationError, compose

    with pytest.raises(ConfigurationError, match="probe is for pre-training"):
        compose(['probe=["dataset=fsdd"]'])
