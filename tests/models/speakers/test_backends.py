"""Back ends against scipy's Gaussians, scikit-learn's LDA, and data whose parameters are known."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from phonaut.arrays import Array, Index
from phonaut.models.speakers.backends import (
    PLDA,
    class_sums,
    lda,
    length_normalised,
    products,
    scatters,
    wccn,
    whitening,
)

D = 3


def covariance(rng: np.random.Generator, d: int = D) -> Array:
    root = rng.standard_normal((d, d))
    return root @ root.T + 0.3 * np.eye(d)


def drawn(rng: np.random.Generator, n_classes: int, least: int, most: int) -> tuple[PLDA, Array, Index]:
    truth = PLDA(rng.standard_normal(D), covariance(rng), covariance(rng))
    classes = rng.permutation(np.repeat(np.arange(n_classes), rng.integers(least, most + 1, n_classes)))
    y = rng.multivariate_normal(np.zeros(D), truth.between, n_classes)
    return truth, truth.mean + y[classes] + rng.multivariate_normal(np.zeros(D), truth.within, len(classes)), classes


def together(model: PLDA, x: Array) -> float:
    """Log-density of vectors of one class, stacked."""
    n = len(x)
    joint = np.kron(np.ones((n, n)), model.between) + np.kron(np.eye(n), model.within)
    return float(multivariate_normal(np.tile(model.mean, n), joint).logpdf(x.ravel()))


@pytest.mark.oracle
@pytest.mark.parametrize("n", [1, 2, 3])
def test_ratios_are_those_of_stacked_gaussian_vectors(n: int) -> None:
    rng = np.random.default_rng(n)
    model = PLDA(rng.standard_normal(D), covariance(rng), covariance(rng))
    enrolled, tested = 2 * rng.standard_normal((4, n, D)), 2 * rng.standard_normal((5, D))
    found = model.log_likelihood_ratios(enrolled.sum(axis=1), np.full(4, float(n)), tested)
    for m in range(4):
        for b in range(5):
            same = together(model, np.vstack([enrolled[m], tested[b : b + 1]]))
            apart = together(model, enrolled[m]) + together(model, tested[b : b + 1])
            assert found[m, b] == pytest.approx(same - apart, rel=1e-9, abs=1e-9)


@pytest.mark.oracle
def test_the_likelihood_of_plda_is_that_of_stacked_vectors_of_each_class() -> None:
    model, x, classes = drawn(np.random.default_rng(0), 6, 1, 4)
    expected = sum(together(model, x[classes == c]) for c in range(6))
    assert model.em_step(x, classes)[1] == pytest.approx(expected, rel=1e-10)


def test_no_step_of_plda_lowers_the_likelihood() -> None:
    _, x, classes = drawn(np.random.default_rng(1), 20, 1, 5)
    now, history = PLDA(np.ones(D), np.eye(D), np.eye(D)), []
    for _ in range(25):
        now, likelihood = now.em_step(x, classes)
        history.append(likelihood)
    assert (np.diff(history) >= -1e-9 * abs(history[0])).all()
    assert history[-1] > history[0] + 1.0


def test_plda_recovers_what_drew_the_data() -> None:
    truth, x, classes = drawn(np.random.default_rng(2), 4000, 3, 8)
    now = PLDA.started(x, classes)
    for _ in range(20):
        now, _ = now.em_step(x, classes)
    for name, tolerance in (("mean", 0.08), ("between", 0.08), ("within", 0.03)):
        found, true = getattr(now, name), getattr(truth, name)
        scale = np.abs(truth.within if name == "within" else truth.between).max()
        np.testing.assert_allclose(found, true, rtol=0, atol=tolerance * scale, err_msg=name)


def test_classes_without_differences_give_no_evidence() -> None:
    rng = np.random.default_rng(3)
    model = PLDA(np.zeros(D), np.zeros((D, D)), covariance(rng))
    x = rng.standard_normal((4, D))
    np.testing.assert_allclose(model.log_likelihood_ratios(x, np.ones(4), x), 0.0, atol=1e-12)


@pytest.mark.peer
def test_lda_is_scikit_learns_up_to_scale_and_sign() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    _, x, classes = drawn(np.random.default_rng(4), 5, 4, 9)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, classes).scalings_[:, :2]
    ours = lda(x, classes, 2)
    cosines = (length_normalised(ours.T) * length_normalised(theirs.T)).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1.0, rtol=1e-8)


def test_lda_has_no_more_dimensions_than_classes_less_one() -> None:
    _, x, classes = drawn(np.random.default_rng(5), 2, 4, 9)
    assert lda(x, classes, 3).shape == (D, 1)


def test_within_classes_covariances_become_the_identity() -> None:
    _, x, classes = drawn(np.random.default_rng(6), 8, 3, 6)
    for projection in (lda(x, classes, 3), wccn(x, classes, shrinkage=0.0)):
        np.testing.assert_allclose(scatters(x @ projection, classes)[0], np.eye(D), atol=1e-10)
    white = (x - x.mean(axis=0)) @ whitening(x)
    np.testing.assert_allclose(white.T @ white / len(x), np.eye(D), atol=1e-10)


def test_wccn_of_fewer_vectors_than_dimensions_is_finite() -> None:
    rng = np.random.default_rng(7)
    assert np.isfinite(wccn(rng.standard_normal((4, 10)), np.array([0, 0, 1, 1]))).all()


def test_scatters_add_up_and_need_a_class_of_two() -> None:
    _, x, classes = drawn(np.random.default_rng(8), 8, 3, 6)
    within, between = scatters(x, classes)
    np.testing.assert_allclose(within + between, np.cov(x.T, bias=True), atol=1e-12)
    n, sums = class_sums(x, classes)
    np.testing.assert_allclose(sums, [x[classes == c].sum(axis=0) for c in range(8)])
    np.testing.assert_array_equal(n, np.bincount(classes))
    with pytest.raises(ValueError, match="some class must have two vectors or more; got 3 vectors of 3 classes"):
        scatters(x[:3], np.arange(3))


def test_lengths_become_one_and_zero_stays() -> None:
    x = length_normalised(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(x, [[0.6, 0.8], [0.0, 0.0]])


def test_products_of_pairs_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.standard_normal((2, 7, 4))
    whole = products(lambda i: a[i], lambda i: b[i], 7, 4)
    monkeypatch.setattr("phonaut.models.speakers.backends.BLOCK_CELLS", 8)
    np.testing.assert_array_equal(products(lambda i: a[i], lambda i: b[i], 7, 4), whole)
    np.testing.assert_allclose(whole, (a * b).sum(axis=1), rtol=1e-12)
