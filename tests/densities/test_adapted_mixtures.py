"""Ratios of adapted mixtures to their background: what few pairs take is what many take."""

from typing import Any

import numpy as np
import pytest

from phonaut.densities import adapted_mixtures
from phonaut.densities.adapted_mixtures import Background
from phonaut.hmm.emissions import MixtureEmissions

D, K, M = 3, 6, 5


@pytest.mark.parametrize("kind", ["diag", "full"])
@pytest.mark.parametrize("adapted", ["m", "mw", "mwc"])
@pytest.mark.parametrize("n_best", [2, K])
def test_few_pairs_and_many_have_the_same_ratios(kind: Any, adapted: str, n_best: int, monkeypatch: Any) -> None:
    rng = np.random.default_rng(3)
    emissions = MixtureEmissions(1, K, covariance_type=kind)
    emissions.initialize(rng.standard_normal((200, D)) * 2 + 30, rng)
    background = Background(emissions.gaussians(), emissions.weights_[0])
    lengths = np.array([40, 0, 17, 1, 8])
    x = (rng.standard_normal((lengths.sum(), D)) * 2 + 30).astype(np.float32)
    weights = rng.dirichlet(np.ones(K), M) if "w" in adapted else None
    covariances = emissions.covars_[0] * rng.uniform(0.5, 2, (M, K, *[1] * (emissions.covars_.ndim - 2)))
    changes = background.changes(rng.standard_normal((M, K, D)), weights, covariances if "c" in adapted else None)
    model, recording = np.array([4, 0, 4, 2, 0, 0, 2]), np.array([0, 4, 2, 1, 3, 0, 4])
    pairs = x, lengths, background.best(x, n_best), changes, model, recording
    few = background.mean_log_ratios(*pairs)
    monkeypatch.setattr(adapted_mixtures, "FEW_PRODUCTS", 0)
    many = background.mean_log_ratios(*pairs)
    assert (few != many).any()
    assert few[3] == 0
    np.testing.assert_allclose(few, many, rtol=1e-5, atol=1e-5)


def test_no_pair_has_no_ratio() -> None:
    emissions, nothing = MixtureEmissions(1, K, covariance_type="diag"), np.empty(0, np.int64)
    rng = np.random.default_rng(3)
    emissions.initialize(rng.standard_normal((200, D)), rng)
    background, x = Background(emissions.gaussians(), emissions.weights_[0]), np.empty((0, D), np.float32)
    changes = background.changes(np.zeros((M, K, D)))
    none = background.mean_log_ratios(x, np.zeros(1, np.int64), background.best(x, 2), changes, nothing, nothing)
    assert none.shape == (0,)
