"""One density of a generator's codes, trained as densities are and measured as generators are: on tones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from helpers.runs_of_tones import write_tones
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.metrics.discrepancy import mmd
from phonaut.models.code_density import CodeDensity
from phonaut.reports import write_report
from phonaut.reports.record import read
from phonaut.reports.terminal import lines
from phonaut.runs import Run, train
from phonaut.runs.evaluation import evaluate
from phonaut.runs.figure_comparison import compare_figures
from phonaut.runs.generation import prior_of
from phonaut.runs.load import load
from phonaut.runs.training import build
from phonaut.tasks.generation_figures import Figures
from phonaut.tasks.generation_prior import PriorGeneration

T, D, Z, SHIFT = 12, 20, 4, 6


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones") / "corpus", n_speakers=5, n_takes=2)


def trained(folder: Path, *words: str) -> Run:
    quiet = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    run = train(compose([*words, *quiet]), folder, ["phonaut", "train"])
    assert run is not None
    return run


def corpus(tones: Path) -> list[str]:
    return ["dataset=folder", f"dataset.data_folder={tones}", "protocol.validation_speakers=[s3]",
            "protocol.test_speakers=[s4]"]  # fmt: skip


@pytest.fixture(scope="module")
def generator(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("generator") / "id" / "cvae"
    return trained(
        folder, *corpus(tones), "model=cvae", "model.channels=[8,8,8]", "model.hidden_size=16",
        f"model.latent_size={Z}", f"task.window_frames={T}", f"task.shift_frames={SHIFT}", f"features.n_mels={D}",
        "batch_size=32", "trainer.max_epochs=6", "optimizer.lr=0.01", "task.condition=[label]",
    )  # fmt: skip


def words_of(generator: Run, model: str = "gmm") -> list[str]:
    return ["task=generation", f"model={model}", "model.n_mix=1", f"encoder.run={generator.folder}"]


@pytest.fixture(scope="module")
def prior(generator: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("prior") / "id" / "gmm", *words_of(generator), "trainer.max_epochs=2")


@pytest.fixture(scope="module")
def chain(generator: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("chain") / "id" / "gmmhmm"
    return trained(folder, *words_of(generator, "gmmhmm"), "trainer.max_epochs=3")


def codes_of(generator: Run, path: Path) -> torch.Tensor:
    """Codes of the windows of a recording of a known word, found one window at a time."""
    model: Any = load(generator.folder).model
    audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    with torch.inference_mode():
        frames = (model.front_end(audio[None], torch.tensor([len(audio)]))[0][0] - model.mean) / model.deviation
        word = torch.nn.functional.one_hot(torch.tensor([model.labels.index(path.parent.name)]), 3).float()
        begins = range(0, len(frames) - T + 1, SHIFT)
        return torch.cat([model.network.encode(frames[None, b : b + T], word) for b in begins])


def test_its_sequences_are_the_codes_of_the_generators_windows_with_their_condition(
    generator: Run, prior: Run, tones: Path
) -> None:
    run: Any = load(prior.folder)
    data = run.task.data(run.config)
    run.task.open(run.model, data)
    found, table = run.task.segments(run.model, data, "test"), data.prepared.utterances("test")
    assert found.labels.tolist() == [0] * 6
    assert found.speakers.tolist() == ["s4"] * 6
    parts = np.split(found.frames, np.cumsum(found.lengths)[:-1])
    for row in range(6):
        word, name = table.id(row).split("/")[-2:]
        expected = codes_of(generator, tones / word / f"{name}.wav").numpy()
        np.testing.assert_allclose(parts[row], expected, atol=1e-4)


def test_a_gaussian_of_codes_has_the_mean_and_the_variance_of_the_training_windows(
    generator: Run, prior: Run, tones: Path
) -> None:
    codes = torch.cat([codes_of(generator, path) for path in sorted(tones.rglob("s[0-2]_*.wav"))])
    network: Any = load(prior.folder).model.network
    emissions = network.models[0].emissions
    assert len(network.models) == 1
    np.testing.assert_allclose(emissions.means_.reshape(-1), codes.mean(dim=0), rtol=1e-3, atol=1e-4)
    covariances = emissions.covars_.reshape(-1)
    np.testing.assert_allclose(covariances, codes.var(dim=0, correction=0), rtol=2e-2, atol=1e-3)


def test_its_figures_are_those_of_what_it_draws_beside_the_generators_floor(generator: Run, prior: Run) -> None:
    ours, theirs = prior.metrics["test"], generator.metrics["test"]
    of_samples = {name for name in theirs if not name.startswith(("snr_db", "lsd_db", "elbo", "mcd"))}
    assert set(ours) == of_samples
    for name in ("mmd/floor", "mmd/gaussian", "frechet/floor", "frechet/gaussian"):
        assert ours[name]["value"] == pytest.approx(theirs[name]["value"], rel=1e-4, abs=1e-6)
    assert ours["mmd"]["value"] != pytest.approx(theirs["mmd"]["value"], rel=1e-2)
    run: Any = load(prior.folder)
    data = run.task.data(run.config)
    run.task.open(run.model, data)
    windows = run.task.windows_of(run.model)
    figures, batch = Figures(windows, data), data.windows("test")[np.arange(len(data.windows("test")))]
    one_hot = torch.nn.functional.one_hot(batch.labels, 3).float()
    density = CodeDensity(run.model.front_end, run.model.network, run.about["median_frames"])
    with torch.inference_mode():
        codes = density.codes(np.zeros(len(one_hot), np.int64), np.random.default_rng(0))
        made = figures.located(windows.network.decode(codes, one_hot))
        real = figures.located(windows.normalised(batch.frames))
    assert ours["mmd"]["value"] == pytest.approx(mmd(made, real).value, rel=1e-3)


def test_it_is_compared_with_its_generators_own_prior(generator: Run, prior: Run) -> None:
    found = compare_figures([generator.folder, prior.folder], metric="mmd")
    assert [one and one.n for one in found.figures["mmd"]] == [found.figures["mmd/floor"][0].n] * 2  # type: ignore[union-attr]
    assert found.remarks == []


def test_a_name_that_a_generator_is_not_made_for_is_refused_with_those_that_it_is(generator: Run) -> None:
    with pytest.raises(ValueError, match=r"label=tall is none of its 3; they are high, low, middle$"):
        load(generator.folder).generator().sample(1, label="tall")


def test_it_is_evaluated_again_to_the_same_figures_and_has_a_report(generator: Run, prior: Run) -> None:
    before = prior.metrics["test"]
    run, split = evaluate(prior.folder)
    for name, one in before.items():
        again = run.metrics[split][name]
        assert [again[key] for key in ("value", "n")] == pytest.approx([one["value"], one["n"]], rel=1e-4, abs=1e-6)
    page = write_report(prior.folder).read_text()
    for said in ("speech generation", "Windows", "Codes that the density draws, decoded"):
        assert said in page, said
    said_at_the_end = [text for _, _, text in lines(read(prior.folder), None)]
    assert any(f"phonaut generate {generator.folder} prior={prior.folder}" in text for text in said_at_the_end)


def test_an_epoch_of_one_density_has_no_accuracy(prior: Run) -> None:
    for line in prior.history:
        assert not {name for name in line if name.endswith(("/accuracy", "/recall", "/f1"))}
        assert np.isfinite(line["validation/loss"])


def test_the_generator_draws_from_it_windows_and_utterances(
    generator: Run, prior: Run, chain: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = load(generator.folder).generator()
    assert [one.frames.shape for one in made.sample(2, prior=prior.folder, label="low")] == [(T, D)] * 2
    seconds = 0.25
    (one,) = made.sample(1, prior=chain.folder, label="low", seconds=seconds)
    assert one.frames.shape == (25, D)
    run: Any = load(chain.folder)
    rng = np.random.default_rng(0)
    rng.choice(1, 1, p=[1.0])  # of the one class
    codes = torch.from_numpy(run.model.network.sample(0, 4, rng).astype(np.float32))  # begin at 0, 6, 12, 18
    with torch.inference_mode():
        windows = made.model.restored(made.model.network.decode(codes, made.conditions(4, "low"))).numpy()
    np.testing.assert_allclose(one.frames[0], windows[0, 0], atol=1e-3)  # no other window holds it
    weight = 1 - abs(np.arange(T) - (T - 1) / 2) / ((T + 1) / 2)
    joined = (weight[24 - 18] * windows[3, 24 - 18] + weight[0] * 0) / weight[24 - 18]
    np.testing.assert_allclose(one.frames[24], joined, atol=1e-3)
    density = prior_of(made, chain.folder)
    assert density.begins(T).tolist() == density.begins(1).tolist() == [0]
    assert density.windows is not None
    for gap in ({"windows": "segments"}, {"shift_frames": T + 1}):
        density.windows = {"windows": "sliding", "shift_frames": SHIFT, **gap}
        with pytest.raises(ValueError, match="seconds= needs windows that follow one another"):
            density.begins(50)
    out = f"output={tmp_path / 'out'}"
    given = ["generate", str(generator.folder), f"prior={chain.folder}", "n=2", out]
    assert main(given) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"samples.npz", "samples.png", "samples.wav"}


def test_windows_target_and_corpus_are_those_of_the_generator(generator: Run, tones: Path) -> None:
    config = compose(words_of(generator))
    task: Any = build(config)[0]
    assert isinstance(task, PriorGeneration)
    assert (task.window_frames, task.shift_frames, task.windows) == (T, SHIFT, "sliding")
    assert task.conditions == ["label high", "label low", "label middle"]
    assert config.dataset["data_folder"] == str(tones)
    assert config.protocol["test_speakers"] == ["s4"]
    assert config.normalizer is None
    other = compose([*words_of(generator), "dataset=fsdd"])
    assert other.choices["dataset"] == "fsdd"


@pytest.mark.parametrize("model", ["gmm", "gmmhmm", "flow"])
def test_a_density_of_codes_has_no_normaliser_until_one_is_typed(model: str, generator: Run, tones: Path) -> None:
    for more in ([], corpus(tones), [*corpus(tones), "normalizer=null"]):
        assert compose([*words_of(generator, model), *more]).normalizer is None
    by_class = compose([*corpus(tones), f"model={model}", f"encoder.run={generator.folder}"])
    assert by_class.normalizer is None
    assert by_class.choices["task"] == "classification"


REFUSED = {
    "model=gmm generates from the codes of a generator: type encoder.run=RUN": ["task=generation", "model=gmm"],
    "normalizer=cmvn: what it takes from the codes of a recording could not be given back": ["GEN", "normalizer=cmvn"],
    "task.window_frames=8 has no effect": ["GEN", "task.window_frames=8"],
    "model.priors=uniform has no effect": ["GEN", "model.priors=uniform"],
    "target=speaker has no effect: this run has target=keyword": ["GEN", "target=speaker"],
    "dataset=synthetic has no effect: this run has dataset=folder": ["GEN", "dataset=synthetic"],
    "checkpoint.monitor=validation/accuracy: of one density there is none": [
        "GEN", "checkpoint.monitor=validation/accuracy"],
    "task=prior is a density of the codes of a generator: type model=gmm": ["task=prior", "model=gmm"],
    "is no pre-trained encoder, but model=gmm": ["model=gmm", "encoder.run=PRIOR"],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_have_no_effect_or_no_sense_is_refused(message: str, generator: Run, prior: Run) -> None:
    given = [word.replace("PRIOR", str(prior.folder)) for word in REFUSED[message]]
    words = [other for word in given for other in (words_of(generator) if word == "GEN" else [word])]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        compose(words)


def test_it_draws_of_no_class_and_reads_no_recordings(generator: Run, prior: Run, tmp_path: Path) -> None:
    plain = load(generator.folder).generator()
    plain.model.labels = []  # as of a generator that is made for none
    with pytest.raises(ValueError, match="is one density of all codes"):
        plain.sample(1, prior=prior.folder, label="low")
    with pytest.raises(ValueError, match=r"is a density of codes: phonaut generate GENERATOR prior="):
        load(prior.folder).predict(np.zeros(8000))


def test_a_judge_hears_the_frames_that_the_generator_makes(generator: Run, prior: Run) -> None:
    task: Any = load(prior.folder).task
    judged, theirs = task.judged(prior.config), generator.config
    assert judged.encoder.run is None
    assert (judged.features, judged.normalizer) == (theirs.features, theirs.normalizer)
    assert prior.config.encoder.run is not None
