"""Emissions: statistics of subsets, MAP adaptation, mixture splitting, files; what verification is built on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from phonaut.densities.priors import COVARIANCE_TYPES
from phonaut.hmm import GMM, GMMHMM, HMM, ObjectiveFellWarning
from phonaut.hmm.em import Monitor, em
from phonaut.hmm.emissions import GaussianEmissions, MixtureEmissions

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


def frames(n: int = 200, d: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) + 3 * rng.integers(0, 3, n)[:, None]


def mixture(kind: Any = "diag", k: int = 3) -> GMM:
    return GMM(k, covariance_type=kind, random_state=0, tol=-1, max_iter=5).fit(frames())


def matrices(gmm: GMM) -> np.ndarray:
    """Covariances of every type, `(K, D, D)`."""
    k, eye, c = gmm.n_components, np.eye(gmm.means_.shape[1]), gmm.covariances_
    shapes = {"full": lambda: c, "tied": lambda: np.tile(c, (k, 1, 1)), "diag": lambda: c[:, :, None] * eye}
    return np.asarray(shapes.get(gmm.covariance_type, lambda: c[:, None, None] * eye)())


def posteriors(gmm: GMM, x: np.ndarray) -> tuple[np.ndarray, float]:
    """`p(k | x_t)` and the log-likelihood, by scipy."""
    joint = np.stack(
        [w * multivariate_normal(m, c).pdf(x) for w, m, c in zip(gmm.weights_, gmm.means_, matrices(gmm), strict=True)],
        axis=1,
    )
    return joint / joint.sum(axis=1, keepdims=True), float(np.log(joint.sum(axis=1)).sum())


# --- statistics


@pytest.mark.oracle
@TYPES
def test_statistics_of_a_subset_are_sums_over_its_frames(kind: Any) -> None:
    gmm, x = mixture(kind), frames(50, seed=1)
    r, log_likelihood = posteriors(gmm, x)
    found = gmm.statistics(x).about(np.zeros(2))
    np.testing.assert_allclose(found.n, r.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.first, r.T @ x, rtol=1e-8, atol=1e-8)
    second = np.einsum("tk,td,te->kde", r, x, x)
    second = second if kind in ("full", "tied") else np.diagonal(second, axis1=1, axis2=2)
    np.testing.assert_allclose(found.second, second, rtol=1e-8, atol=1e-8)
    assert found.log_prob == pytest.approx(log_likelihood, rel=1e-9)
    parts = [gmm.statistics(part) for part in np.split(x, [20])]
    together = (parts[0] + parts[1]).about(np.zeros(2))
    np.testing.assert_allclose(together.second, found.second, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="about different origins do not add up"):
        parts[0] + parts[1].about(np.ones(2))


@pytest.mark.oracle
def test_baum_welch_statistics_of_a_sequence_weight_components_by_posteriors_of_states() -> None:
    x, lengths = frames(90), [40, 50]
    model = GMMHMM(2, 3, random_state=0, n_iter=3).fit(x, lengths)
    found = model.statistics(x[40:]).emissions.about(np.zeros(2))
    gamma = model.predict_proba(x[40:])
    for s in range(2):
        state = GMM(3, covariance_type="diag")
        state.weights_, state.means_, state.covariances_ = model.weights_[s], model.means_[s], model.covars_[s]
        r = posteriors(state, x[40:])[0] * gamma[:, s, None]
        part = slice(3 * s, 3 * s + 3)
        np.testing.assert_allclose(found.n[part], r.sum(axis=0), rtol=1e-8)
        np.testing.assert_allclose(found.first[part], r.T @ x[40:], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(found.second[part], r.T @ x[40:] ** 2, rtol=1e-8)
    both = model.statistics(x[:40]) + model.statistics(x[40:])
    whole = model.statistics(x, lengths)
    np.testing.assert_allclose(both.transitions, whole.transitions, rtol=1e-9)
    np.testing.assert_allclose(both.emissions.n, whole.emissions.n, rtol=1e-9)


# --- MAP adaptation


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full", "spherical"])
def test_map_adaptation_is_the_formula_of_reynolds(kind: Any) -> None:
    gmm, x, r = mixture(kind), frames(40, seed=2) + 0.5, 7.0
    gamma, _ = posteriors(gmm, x)
    n = gamma.sum(axis=0)
    alpha = n / (n + r)
    mean = gamma.T @ x / n[:, None]
    second = np.einsum("tk,td,te->kde", gamma, x, x) / n[:, None, None]
    means = alpha[:, None] * mean + (1 - alpha[:, None]) * gmm.means_
    outer = np.einsum("kd,ke->kde", gmm.means_, gmm.means_)
    a = alpha[:, None, None]
    covars = a * second + (1 - a) * (matrices(gmm) + outer) - np.einsum("kd,ke->kde", means, means)
    weights = alpha * n / len(x) + (1 - alpha) * gmm.weights_
    adapted = gmm.map_adapt(gmm.statistics(x), relevance_factor=r, params="wmc")
    np.testing.assert_allclose(adapted.means_, means, rtol=1e-8)
    np.testing.assert_allclose(adapted.weights_, weights / weights.sum(), rtol=1e-8)
    expected = {"full": covars, "diag": np.diagonal(covars, axis1=1, axis2=2)}
    variances = np.diagonal(covars, axis1=1, axis2=2).mean(axis=1)
    np.testing.assert_allclose(adapted.covariances_, expected.get(kind, variances), rtol=1e-7, atol=1e-9)


def test_map_adaptation_moves_means_alone_by_default_and_leaves_the_background_model_as_it_was() -> None:
    gmm = mixture()
    before = gmm.means_.copy()
    far = gmm.map_adapt(gmm.statistics(frames(500, seed=3) + 1), relevance_factor=1e-6)
    near = gmm.map_adapt(gmm.statistics(frames(500, seed=3) + 1), relevance_factor=1e9)
    np.testing.assert_array_equal(gmm.means_, before)
    np.testing.assert_allclose(near.means_, before, atol=1e-4)
    assert (np.abs(far.means_ - before).max(axis=1) > 0.05).all()
    np.testing.assert_array_equal(far.covariances_, gmm.covariances_)
    np.testing.assert_array_equal(far.weights_, gmm.weights_)
    unseen = gmm.statistics(frames(1)).scaled(0.0)
    np.testing.assert_array_equal(gmm.map_adapt(unseen, params="wmc").means_, before)
    with pytest.raises(ValueError, match="relevance_factor must be > 0, got 0"):
        gmm.map_adapt(unseen, relevance_factor=0)
    with pytest.raises(ValueError, match="tied covariances"):
        mixture("tied").map_adapt(mixture("tied").statistics(frames()), params="c")


# --- splitting


@pytest.mark.oracle
@TYPES
def test_splitting_makes_two_halves_a_little_apart_whose_mean_is_that_of_before(kind: Any) -> None:
    emissions = mixture(kind).emissions
    split = emissions.split(distance=0.2)
    split.check()
    assert split.n_mix == 6
    np.testing.assert_allclose((split.means_[:, :3] + split.means_[:, 3:]) / 2, emissions.means_)
    np.testing.assert_allclose(split.weights_, np.tile(emissions.weights_ / 2, (1, 2)))
    away = (split.means_[0, 3:] - split.means_[0, :3]) / 2
    gmm = mixture(kind)
    np.testing.assert_allclose(away, 0.2 * np.sqrt(np.diagonal(matrices(gmm), axis1=1, axis2=2)))
    x = frames()
    before = emissions.log_prob(x).sum()
    monitor = Monitor(-1.0, 20)
    em(split, lambda: split.statistics(x, None), monitor)
    assert monitor.history[-1] > before
    again = emissions.split(min_frames=1e9)
    np.testing.assert_array_equal(again.weights_[:, 3:], 0)


# --- the guard


def test_a_fall_is_undone_and_the_warning_names_the_step() -> None:
    class Worse(GaussianEmissions):
        def m_step(self, statistics: Any, params: str | None = None, step: int = 0) -> None:
            self.means_ = self.means_ + 10.0 * (step == 2)

    model = HMM(Worse(2), n_iter=10, tol=-1.0, random_state=0)
    with pytest.warns(ObjectiveFellWarning, match=r"fell from .* in step 3 of EM"):
        model.fit(frames())
    assert model.monitor_.fell
    assert model.monitor_.iter == 3
    assert np.abs(model.emissions.means_).max() < 9  # type: ignore[attr-defined]


# --- files, and what is imported


@TYPES
def test_a_gmm_saved_and_loaded_is_the_same(kind: Any, tmp_path: Path) -> None:
    gmm, x = mixture(kind), frames(30, seed=5)
    gmm.save(tmp_path / "gmm.safetensors")
    again = GMM.load(tmp_path / "gmm.safetensors")
    assert again.get_params() == gmm.get_params()
    np.testing.assert_array_equal(again.score_samples(x), gmm.score_samples(x))
    np.testing.assert_array_equal(again.predict_proba(x), gmm.predict_proba(x))
    with pytest.raises(ValueError, match="holds GMM, not a GMMHMM"):
        GMMHMM.load(tmp_path / "gmm.safetensors")


def test_parameters_of_a_gmm_are_those_of_its_emissions() -> None:
    gmm = mixture()
    assert isinstance(gmm.emissions, MixtureEmissions)
    np.testing.assert_allclose(gmm.emissions.log_prob(frames())[:, 0], gmm.score_samples(frames()))
    gmm.set_params(reg_covar=0.5)
    assert gmm.emissions.reg_covar == 0.5


def test_logarithms_throughout_give_what_scaled_recursions_give() -> None:
    x = frames(60)
    scaled, logs = (GMMHMM(3, 2, random_state=0, n_iter=4, implementation=name).fit(x) for name in ("scaling", "log"))
    np.testing.assert_allclose(logs.monitor_.history, scaled.monitor_.history, rtol=1e-10)
    np.testing.assert_allclose(logs.filter(x), scaled.filter(x), atol=1e-9)
    with pytest.raises(ValueError, match="implementation is scaling or log, got fast"):
        scaled.set_params(implementation="fast").score(x)


def test_importing_the_estimators_loads_no_torch() -> None:
    program = """
import sys
import phonaut.hmm
from phonaut.hmm import GMM, GMMHMM, GaussianHMM
from phonaut.hmm.inference import forward_backward
from phonaut.hmm.topology import bakis
GaussianHMM(2).set_params(n_iter=3), GMM(2), GMMHMM(2, 2)
assert 'torch' not in sys.modules
from phonaut.hmm import GenHMM
assert 'torch' in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
