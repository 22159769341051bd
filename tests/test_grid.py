"""Any front end, any model, any target: cells of the grid from recordings to figures.

Models of one family share all that a front end meets: the loop that trains them, and how frames and figures reach
them; they differ in a cell, a topology or a density. So every front end is met by every family; every model, and every
front end, by every target.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames_of_runs import write_frames
from phonaut.config.compose import ConfigurationError, compose
from phonaut.config.plugins import choices
from phonaut.config.schema import Config
from phonaut.corpora.synthetic.espeak import missing
from phonaut.reports import write_report
from phonaut.runs.load import load
from phonaut.runs.run import Run
from phonaut.runs.training import begin, conclude, fit
from phonaut.tasks.classification import speech_data
from phonaut.tasks.scoring import score

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed"),
]

CPU = torch.device("cpu")
TARGETS = ("keyword", "phone", "speaker")
SMALL_FLOW = ["model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1", "model.gmm_init_steps=1", "model.n_mix=1"]
SMALL = {
    "tc-res8": ["model.channels=[4,4]"],
    "tc-res14": ["model.channels=[4,4]"],
    "branchy-tc-res8": ["model.channels=[4,4,4]", "model.exit_weights=[0.5,0.5]"],
    "gds": ["model.channels=[6,6]", "model.kernel_sizes=[9,9]", "model.strides=[2,1]", "model.groups=[1,2]"],
    "mdtc": ["model.channels=4", "model.n_stacks=2"],
    "ds-tcn": ["model.channels=4"],
    "bc-res1": ["model.width=0.5"],
    "dnnhmm": ["model.hidden_size=8", "module.n_mix=1", "module.em_steps=1"],
    **{name: ["model.hidden_size=4"] for name in ("lstm", "gru", "rnn")},
    **{name: ["model.n_mix=2"] for name in ("gmm", "gmmhmm")},
    **dict.fromkeys(("flow", "genhmm", "lathmm", "gshmm"), SMALL_FLOW),
    "probe": [],
    "majority": [],
    "dtw": ["model.n_templates=2", "model.n_nearest=1"],
}
FEATURES = {
    "mfcc": ["features.n_mels=20", "features.n_mfcc=8"],
    "mfcc_kaldi": ["features.n_mels=20", "features.n_mfcc=8"],
    "melspec": ["features.n_mels=10"],
    "melspec_kaldi": ["features.n_mels=10"],
    "spectrogram": ["features.n_fft=64", "features.win_length=64"],
    "raw": ["features.win_length=80", "features.hop_length=80"],
}
PRETRAINED = {"mockingjay_base", "mockingjay_large", "mockingjay_small"}  # in tests/runs/test_pretraining.py
VERIFY = {"gmm_ubm", "gmm_ubm_diag", "gmm_ubm_full", "ivector", "supervector", "dtw_verification", "phone_hmm",
          "sentence_hmm", "ecapa", "redimnet", "mean_vector"}  # in tests/tasks/test_verification.py  # fmt: skip
OF_OTHER_WIDTH = {"bc-res3", "bc-res8"}  # than bc-res1
# in tests/models/generators and tests/training/test_generation.py
GENERATORS = {"cvae", "gated_vae", "lstm_vae", "fhvae", "wae_gan", "wae_mmd", "wgan_gp", "flow_matching"}
# melspec, spectrogram, melspec_kaldi and mfcc with other numbers
SAME_AS_OTHERS = {"mel", "linear", "fbank", "mfcc39", "mfcc60"}
FAMILIES = (
    ("tc-res8", "tc-res14", "branchy-tc-res8", "gds", "mdtc", "ds-tcn", "bc-res1"),
    ("dnnhmm",),
    ("lstm", "gru", "rnn", "probe"),  # networks that see a frame through one linear map
    ("gmm", "gmmhmm"),
    ("flow", "genhmm", "lathmm", "gshmm"),
    ("majority", "dtw"),  # fitted in one step
)
CELLS = [
    (model, TARGETS[(n + i + j) % len(TARGETS)], features)
    for n, family in enumerate(FAMILIES)
    for i, model in enumerate(family)
    for j, features in enumerate(FEATURES)
    if len(family) == 1 or i % 2 == j // 3  # models of a family share the front ends: three each
]
# One of each family, with targets in turn.
ON_FRAMES = [
    ("gmmhmm", "phone"),
    ("dnnhmm", "phone"),
    ("lstm", "keyword"),
    ("dtw", "keyword"),
    ("tc-res8", "speaker"),
    ("lathmm", "speaker"),
]


WORDS = ["dataset.words=[yes,no]", "dataset.n_takes=1"]
SENTENCES = ["dataset.n_sessions=3", "dataset.n_sentences=1", "dataset.n_phrases=0"]


def overrides(model: str, target: str, features: str) -> list[str]:
    return [
        *of_model(model, target),
        f"features={features}",
        *FEATURES[features],
        "dataset.n_speakers=10",
        *(WORDS if target == "keyword" else SENTENCES),
    ]


def of_model(model: str, target: str) -> list[str]:
    return [
        f"model={model}",
        f"target={target}",
        *SMALL[model],
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "batch_size=100",
    ]


def test_every_model_and_front_end_is_in_the_grid() -> None:
    of_few = {"prototypes"}  # in tests/tasks/test_few_recordings.py
    assert of_few | set(SMALL) | PRETRAINED | VERIFY | GENERATORS | OF_OTHER_WIDTH == set(choices()["model"])
    assert set(FEATURES) | SAME_AS_OTHERS | {"frames", "sinc"} == set(choices()["features"])


def test_every_family_meets_every_front_end_and_both_and_models_every_target() -> None:
    family = {model: members for members in FAMILIES for model in members}
    assert sorted(family) == sorted(SMALL), "every model is of one family"
    assert {(family[model], features) for model, _, features in CELLS} == {*product(FAMILIES, FEATURES)}
    assert {(model, target) for model, target, _ in CELLS} == {*product(SMALL, TARGETS)}
    assert {(target, features) for _, target, features in CELLS} == {*product(TARGETS, FEATURES)}


@pytest.mark.parametrize(("model", "target", "features"), CELLS)
def test_a_cell_trains_and_is_scored(model: str, target: str, features: str, tmp_path: Path) -> None:
    check_cell(compose(overrides(model, target, features)), tmp_path / "run" / model)


def test_what_is_learned_in_front_of_a_network_is_trained_with_it(tmp_path: Path) -> None:
    words = [*of_model("gds", "keyword"), "dataset.n_speakers=10", *WORDS, "normalizer=adaptivefixedpoint"]
    config = compose([*words, "features=sinc", "features.n_filters=6"])
    check_cell(config, tmp_path / "run" / "gds")
    model = load(tmp_path / "run" / "gds").model
    bands = Run(tmp_path / "run" / "gds").model["bands_hz"]
    learned = torch.stack(model.front_end.bands(), dim=1)
    torch.testing.assert_close(learned, torch.tensor(bands["learned"]))
    assert bands["learned"] != bands["began"]
    assert "Learned filters" in write_report(tmp_path / "run" / "gds").read_text()
    assert not torch.equal(model.normalizer.norm.weight, torch.full((6,), 0.25))
    assert model.normalizer.norm.running_var.max() != 1.0


@pytest.fixture(scope="module")
def folders_of_frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("frames")
    return {
        target: write_frames(compose(overrides("majority", target, "mfcc")), root / target)
        for target in sorted({target for _, target in ON_FRAMES})
    }


@pytest.mark.parametrize(("model", "target"), ON_FRAMES)
def test_a_cell_trains_on_frames(model: str, target: str, folders_of_frames: dict[str, Path], tmp_path: Path) -> None:
    place = ["dataset=frames", f"dataset.data_folder={folders_of_frames[target]}", "normalizer=cmvn"]
    check_cell(compose([*place, *of_model(model, target)]), tmp_path / "run" / model)


def check_cell(config: Config, folder: Path) -> None:
    folder.mkdir(parents=True)
    begin(config, folder, ["phonaut", "train"])
    task, loop, data = fit(config, folder)
    conclude(config, folder, task, loop, data)
    run = Run(folder)
    figure = run.metrics["test"]["accuracy"]
    assert figure["n"] == len(run.predictions("test"))
    assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    again, _ = score(load(run.folder).model, data, "test", device=CPU)
    np.testing.assert_allclose(again.scores, run.predictions("test").scores, rtol=1e-4, atol=1e-4)
    assert np.isfinite(run.predictions("test").scores).all()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["model=gmmhmm", "module=speech_classifier"], "module=speech_classifier cannot train model=gmmhmm"),
        (["model=tc-res8", "module=em"], "module=em cannot train model=tc-res8"),
        (["model=lstm", "module=hybrid"], "module=hybrid cannot train model=lstm"),
        (["model=genhmm", "trainer.limit_train_batches=0.5"], "an EM step is one over the whole split"),
        (["model=genhmm", "features=raw"], "model=genhmm couples dimensions: it needs 2 features"),
        (["model=dtw", "features=raw"], "model=dtw compares all pairs of frames"),
        (["model=gmmhmm", "features=sinc"], "features=sinc is learned with the network, and module=em does not"),
        (["model=gmm", "normalizer=adaptivefixedpoint"], "normalizer=adaptivefixedpoint is learned with the network"),
        (["model=gmmhmm", "streaming=true"], "model=gmmhmm cannot be causal"),
    ],
)
def test_what_cannot_be_combined_says_why_before_any_work(words: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        compose(words)


def test_batch_size_and_order_change_no_score(tmp_path: Path) -> None:
    config = compose(overrides("gmmhmm", "phone", "mfcc"))
    _, loop, data = fit(config, tmp_path)
    first, _ = score(loop.model, data, "test", device=CPU)
    config.batch_size = 7
    other = speech_data(config, data.prepared, data.classes)
    second, _ = score(loop.model, other, "test", device=CPU)
    np.testing.assert_allclose(second.scores, first.scores, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(second.start_s), torch.from_numpy(first.start_s))
