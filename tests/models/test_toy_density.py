"""A density of somebody else: one file and one configuration file, with no edit to ours."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.cli import main
from phonaut.config.plugins import add_config_dir
from phonaut.models import GenerativeClassifier
from phonaut.models.em_classifier import Segments
from phonaut.training.em import parts_of

LAPLACE = '''
from dataclasses import dataclass

import numpy as np

from phonaut.hmm.emissions import Emissions


@dataclass
class Weighted:
    x: np.ndarray
    gamma: np.ndarray

    def __add__(self, other):
        return Weighted(np.concatenate([self.x, other.x]), np.concatenate([self.gamma, other.gamma]))

    def scaled(self, factor):
        return Weighted(self.x, self.gamma * factor)

    def reduced(self):
        return self


class Laplace(Emissions):
    """State s emits independent Laplace densities; the M-step takes weighted medians and mean distances from them."""

    letters = {"m": "locations_", "c": "scales_"}

    def __init__(self, n_states=1, least_scale=1e-2):
        super().__init__(n_states)
        self.least_scale = least_scale

    def log_prob(self, x):
        away = np.abs(x[:, None] - self.locations_) / self.scales_
        return -(away + np.log(2 * self.scales_)).sum(axis=2)

    def statistics(self, x, gamma, origin=None):
        return Weighted(x, gamma)

    def m_step(self, statistics, params=None, step=0):
        locations, scales = self.locations_.copy(), self.scales_.copy()
        for s, gamma in enumerate(statistics.gamma.T):
            order = np.argsort(statistics.x, axis=0)
            half = np.cumsum(gamma[order], axis=0) >= gamma.sum() / 2
            locations[s] = np.take_along_axis(statistics.x, order, 0)[half.argmax(axis=0), range(statistics.x.shape[1])]
            scales[s] = gamma @ np.abs(statistics.x - locations[s]) / gamma.sum()
        self.locations_, self.scales_ = locations, np.maximum(scales, self.least_scale)

    def initialize(self, x, rng, states=None, init_params=None):
        self.n_features = x.shape[1]
        states = rng.integers(0, self.n_states, len(x)) if states is None else states
        self.locations_ = np.stack([np.median(x[states == s], axis=0) for s in range(self.n_states)])
        self.scales_ = np.tile(x.std(axis=0), (self.n_states, 1))

    def sample(self, states, rng):
        return rng.laplace(self.locations_[states], self.scales_[states])
'''


def write_density(root: Path) -> Path:
    (root / "conf" / "model").mkdir(parents=True)
    (root / "laplace_density.py").write_text(LAPLACE)
    (root / "conf" / "model" / "laplace.yaml").write_text(
        "defaults:\n  - base/generative@_here_\n  - _self_\n\ndensity: laplace_density.Laplace\nleast_scale: 0.05\n"
    )
    return root / "conf"


def test_its_scores_are_its_likelihoods_and_em_raises_them(tmp_path: Path) -> None:
    add_config_dir(write_density(tmp_path))
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    lengths = rng.integers(4, 9, 40)
    x = rng.laplace(2.0 * np.repeat(labels, lengths)[:, None], 1.0, (lengths.sum(), 3)).astype(np.float32)
    segments = Segments(x, lengths, labels, np.array(["s"] * 40))
    made = GenerativeClassifier(n_features=3, n_classes=2, density="laplace_density.Laplace", n_states=1, tol=-1)
    made.initialize(segments, 0)
    steps = np.array([made.em_step(parts_of(segments, 2, 0, 1)) for _ in range(4)])
    assert (np.diff(steps, axis=0) >= -1e-9).all()
    found = made.log_likelihoods(torch.from_numpy(x), lengths)
    emissions = made.models[1].emissions.state_dict()
    density = scipy.stats.laplace(emissions["locations_"], emissions["scales_"])
    rows = density.logpdf(x.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(found[:, 1], np.add.reduceat(rows, np.cumsum(lengths) - lengths), rtol=1e-9)
    other = GenerativeClassifier(n_features=3, n_classes=2, density="laplace_density.Laplace", n_states=1)
    other.adopt(made.state_dict())
    np.testing.assert_array_equal(other.log_likelihoods(torch.from_numpy(x), lengths), found)


@pytest.mark.slow
def test_it_trains_resumes_and_is_evaluated_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = write_density(tmp_path)
    words = [*run_settings(write_tones(tmp_path / "tones", n_takes=1), small=True), "experiment_id=x", "model=laplace"]
    monkeypatch.chdir(tmp_path)
    for more in (["train", *words], ["evaluate", "trained_models/x/laplace"]):
        assert main([*more, "--config-dir", str(conf)]) == 0
    metrics = json.loads((tmp_path / "trained_models" / "x" / "laplace" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"]["value"] > 0.9
