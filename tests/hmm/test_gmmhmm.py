"""GMMHMM against hmmlearn's score, and against EM by brute force."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from phonaut.densities.priors import COVARIANCE_TYPES
from phonaut.hmm import GMMHMM, GaussianHMM

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


def model(kind: Any = "diag", cls: Any = GMMHMM, n_mix: int = 2, **settings: Any) -> Any:
    """Three states in two dimensions, set, with nothing to start anew."""
    rng = np.random.default_rng(0)
    made = cls(3, n_mix, covariance_type=kind, **{"init_params": "", "tol": -np.inf, **settings})
    made.startprob_ = np.array([0.6, 0.3, 0.1])
    made.transmat_ = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
    made.weights_ = rng.dirichlet(np.full(n_mix, 3.0), size=3)
    made.means_ = rng.standard_normal((3, n_mix, 2)) * 2
    root = rng.standard_normal((3, n_mix, 2, 2)) + 2 * np.eye(2)
    full = root @ root.transpose(0, 1, 3, 2)
    made.covars_ = {"full": full, "tied": full[:, 0], "diag": full[..., [0, 1], [0, 1]], "spherical": full[..., 0, 0]}[
        kind
    ]
    made.n_features = 2
    return made


def matrices(made: Any) -> np.ndarray:
    """Covariances of every type as `(S, M, D, D)`."""
    covars, n_mix = np.asarray(made.covars_), made.n_mix
    return {
        "full": lambda: covars,
        "tied": lambda: np.repeat(covars[:, None], n_mix, axis=1),
        "diag": lambda: covars[..., None] * np.eye(2),
        "spherical": lambda: covars[..., None, None] * np.eye(2),
    }[made.covariance_type]()


def data(kind: Any = "diag", lengths: tuple[int, ...] = (40, 1, 60)) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(1)
    return np.concatenate([model(kind).sample(n, random_state=rng)[0] for n in lengths]), list(lengths)


@pytest.mark.peer
@TYPES
def test_scores_and_decodings_are_hmmlearns(kind: Any) -> None:
    from hmmlearn import hmm

    x, lengths = data(kind)
    ours, theirs = model(kind), model(kind, hmm.GMMHMM)
    assert ours.score(x, lengths) == pytest.approx(theirs.score(x, lengths), abs=1e-8)
    np.testing.assert_allclose(ours.predict_proba(x, lengths), theirs.predict_proba(x, lengths), atol=1e-9)
    assert ours.decode(x, lengths)[0] == pytest.approx(theirs.decode(x, lengths)[0], abs=1e-8)
    assert (ours.predict(x, lengths) == theirs.predict(x, lengths)).all()
    for name in ("weights_", "means_", "covars_"):
        assert getattr(ours, name).shape == np.shape(getattr(theirs, name))


def exact_em_step(made: Any, x: np.ndarray, lengths: list[int]) -> tuple[dict[str, np.ndarray], float]:
    """Maximum-likelihood EM by enumeration of all paths of states and components of short sequences."""
    n, m, d = 3, made.n_mix, 2
    covars = matrices(made)
    logs = np.stack(
        [
            [
                np.log(made.weights_[s, k]) + multivariate_normal.logpdf(x, made.means_[s, k], covars[s, k])
                for k in range(m)
            ]
            for s in range(n)
        ]
    ).reshape(n, m, -1)
    start, pairs, worth, total = np.zeros(n), np.zeros((n, n)), np.zeros((n, m, len(x))), 0.0
    first = 0
    for length in lengths:
        paths = list(itertools.product(itertools.product(range(n), range(m)), repeat=length))
        scores = np.array(
            [
                np.log(made.startprob_[path[0][0]])
                + sum(np.log(made.transmat_[a[0], b[0]]) for a, b in itertools.pairwise(path))
                + sum(logs[s, k, first + t] for t, (s, k) in enumerate(path))
                for path in paths
            ]
        )
        total += logsumexp(scores)
        for path, p in zip(paths, np.exp(scores - logsumexp(scores)), strict=True):
            start[path[0][0]] += p
            for a, b in itertools.pairwise(path):
                pairs[a[0], b[0]] += p
            for t, (s, k) in enumerate(path):
                worth[s, k, first + t] += p
        first += length
    counts = worth.sum(axis=2)
    means = np.einsum("smt,td->smd", worth, x) / counts[..., None]
    away = x - means[:, :, None]
    scatter = np.einsum("smt,smtd,smte->smde", worth, away, away)
    full = scatter / counts[..., None, None]
    diagonal = full[..., range(d), range(d)]
    covars = {
        "full": full,
        "tied": scatter.sum(axis=1) / counts.sum(axis=1)[:, None, None],
        "diag": diagonal,
        "spherical": diagonal.mean(axis=-1),
    }[made.covariance_type]
    return {
        "startprob_": start / start.sum(),
        "transmat_": pairs / pairs.sum(axis=1, keepdims=True),
        "weights_": counts / counts.sum(axis=1, keepdims=True),
        "means_": means,
        "covars_": covars,
    }, total


@pytest.mark.oracle
@TYPES
def test_an_em_step_is_that_of_all_paths_and_components(kind: Any) -> None:
    no_prior = {"covars_prior": {"diag": -1.5, "spherical": -2.0}.get(kind), "covars_weight": 0.0}
    if kind in ("full", "tied"):
        no_prior = {"covars_prior": 0.0, "covars_weight": -4.0 if kind == "full" else -5.0}
    lengths = [4, 1, 4]
    x = data(kind, (9,))[0]
    expected, total = exact_em_step(model(kind), x, lengths)
    ours = model(kind, n_iter=1, **no_prior).fit(x, lengths)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-8, atol=1e-10, err_msg=name)
    assert ours.monitor_.history == [pytest.approx(total, abs=1e-9)]
    assert model(kind).score(x, lengths) == pytest.approx(total, abs=1e-9)


@TYPES
def test_one_component_a_state_is_gaussian_hmm(kind: Any) -> None:
    """Tied means by state here and by model there."""
    x, lengths = data(kind)
    mixture = model(kind, n_mix=1)
    gaussian = GaussianHMM(3, "full" if kind == "tied" else kind, init_params="")
    gaussian.startprob_, gaussian.transmat_, gaussian.means_ = (
        mixture.startprob_,
        mixture.transmat_,
        mixture.means_[:, 0],
    )
    gaussian.covars_ = mixture.covars_ if kind == "tied" else mixture.covars_[:, 0]
    assert mixture.score(x, lengths) == pytest.approx(gaussian.score(x, lengths), abs=1e-9)


@TYPES
def test_float32_frames_score_like_those_of_float64(kind: Any) -> None:
    x, lengths = data(kind)
    assert model(kind).score(x.astype(np.float32), lengths) == pytest.approx(model(kind).score(x, lengths), rel=1e-6)


def test_priors_pull() -> None:
    x, lengths = data()
    pulled = model(n_iter=1, means_prior=3.0, means_weight=1e9, weights_prior=1e9).fit(x, lengths)
    np.testing.assert_allclose(pulled.means_, 3.0, atol=1e-5)
    np.testing.assert_allclose(pulled.weights_, 0.5, atol=1e-5)


def test_sampling_and_fitting_again_recovers_the_parameters() -> None:
    truth = model()
    truth.means_ = np.array([[[0, 0], [3, 0]], [[12, 0], [12, 4]], [[0, 12], [0, 16]]], dtype=float)
    truth.covars_ = np.full((3, 2, 2), 0.5)
    x, states = truth.sample(20_000, random_state=0)
    fitted = GMMHMM(3, 2, random_state=0, n_iter=50, tol=1e-3, n_restarts=3).fit(x)
    order = [
        int(np.square(fitted.means_.mean(axis=1) - mean).sum(axis=1).argmin()) for mean in truth.means_.mean(axis=1)
    ]
    np.testing.assert_allclose(fitted.transmat_[np.ix_(order, order)], truth.transmat_, atol=0.03)
    assert (np.argsort(order)[fitted.predict(x)] == states).mean() > 0.99
    for state, own in enumerate(order):
        swap = np.argsort(fitted.means_[own].sum(axis=1))
        np.testing.assert_allclose(fitted.means_[own][swap], truth.means_[state], atol=0.1)
        np.testing.assert_allclose(fitted.weights_[own][swap], truth.weights_[state], atol=0.05)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("weights_", np.full((3, 2), 0.4), "rows that sum to 1"),
        ("means_", np.zeros((3, 3, 2)), r"means_ must be \(3, 2, D\)"),
        ("covars_", np.zeros((3, 2, 2)), "must be positive"),
        ("covars_", np.ones((3, 2)), r"covars_ of type diag must be \(3, 2, 2\)"),
        ("covariance_type", "round", "covariance_type is one of"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name: str, value: Any, why: str) -> None:
    broken = model()
    setattr(broken, name, value)
    with pytest.raises(ValueError, match=why):
        broken.score(data()[0])


@pytest.mark.oracle
@pytest.mark.parametrize("cls", [GMMHMM, GaussianHMM])
def test_a_chain_that_only_goes_forward_starts_from_equal_shares_of_each_sequence(cls: Any) -> None:
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((18, 2)), np.array([6, 12])
    made = cls(3, init_params="mc")
    made.startprob_, made.transmat_ = np.array([1.0, 0, 0]), np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]])
    made._init(x, lengths)
    first, second = x[:6], x[6:]
    expected = [np.concatenate([first[2 * s : 2 * s + 2], second[4 * s : 4 * s + 4]]).mean(axis=0) for s in range(3)]
    np.testing.assert_allclose(made.means_.reshape(3, 2), expected, atol=1e-12)


def test_states_of_a_chain_that_goes_back_start_from_clusters() -> None:
    x = np.random.default_rng(0).permutation(np.repeat([[0.0], [5.0], [9.0]], 10, axis=0))
    made = GaussianHMM(3, init_params="mc")
    made.startprob_, made.transmat_ = np.array([1.0, 0, 0]), np.array([[0.5, 0.5, 0], [0.1, 0.4, 0.5], [0, 0.5, 0.5]])
    made._init(x, np.array([30]))
    np.testing.assert_allclose(np.sort(made.means_[:, 0]), [0, 5, 9])
