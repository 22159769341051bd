"""Gaussian mixtures against scikit-learn's, from the same start."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from phonaut.densities.gaussian_log_prob import Gaussians, features, statistics
from phonaut.densities.kmeans import kmeans
from phonaut.densities.priors import COVARIANCE_TYPES
from phonaut.hmm import GMM, gmm

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


def clusters(n: int = 600, d: int = 4, k: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((k, d)) * 3
    shapes = rng.standard_normal((k, d, d)) * 0.6 + np.eye(d)
    which = rng.integers(k, size=n)
    return centres[which] + np.einsum("nij,nj->ni", shapes[which], rng.standard_normal((n, d)))  # type: ignore[no-any-return]


def covariances(kind: str, k: int, d: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((k, d, d)) + 2 * np.eye(d)
    full = root @ root.transpose(0, 2, 1)
    return {"full": full, "tied": full[0], "diag": np.diagonal(full, axis1=1, axis2=2), "spherical": full[:, 0, 0]}[
        kind
    ]


@pytest.mark.oracle
@TYPES
def test_a_log_density_is_scipys(kind: Any) -> None:
    x, means, c = clusters(), np.random.default_rng(5).standard_normal((3, 4)), covariances(kind, 3, 4)
    gaussians = Gaussians(torch.from_numpy(means), torch.from_numpy(c.copy()), kind)
    for k in range(3):
        of = {"full": lambda k: c[k], "tied": lambda k: c, "diag": lambda k: np.diag(c[k]), "spherical": lambda k: c[k]}
        matrix = of[kind](k) if kind != "spherical" else c[k] * np.eye(4)
        expected = stats.multivariate_normal(means[k], matrix).logpdf(x)
        np.testing.assert_allclose(gaussians.log_prob(torch.from_numpy(x))[:, k], expected, atol=1e-9)
        np.testing.assert_allclose(gaussians.log_prob_of_differences(torch.from_numpy(x))[:, k], expected, atol=1e-9)


@pytest.mark.oracle
@pytest.mark.parametrize("full", [True, False])
def test_statistics_are_sums_over_frames_and_add_up(full: bool) -> None:
    x, r = clusters(50, 3), np.random.default_rng(0).random((50, 2))
    origin = np.array([1.0, -2.0, 0.5])
    both = statistics(torch.from_numpy(x), torch.from_numpy(r), origin, full=full)
    parts = [
        statistics(torch.from_numpy(x[s]), torch.from_numpy(r[s]), origin, full=full)
        for s in (slice(20), slice(20, 50))
    ]
    together = parts[0] + parts[1]
    means = (r.T @ x) / r.sum(axis=0)[:, None]
    np.testing.assert_allclose(both.means(), means, atol=1e-12)
    np.testing.assert_allclose(together.means(), means, atol=1e-12)
    for k in range(2):
        outer = (r[:, k, None] * (x - means[k])).T @ (x - means[k])
        got = both.scatter(both.means())[k]
        np.testing.assert_allclose(got, outer if full else np.diag(outer), atol=1e-9)
    assert features(torch.from_numpy(x), full=full).shape == (50, 10 if full else 7)


@pytest.mark.peer
@TYPES
def test_em_is_scikit_learns_step_by_step(kind: Any) -> None:
    from sklearn.mixture import GaussianMixture

    x = clusters()
    start = {
        "means_init": x[:3] + 0.1,
        "weights_init": np.array([0.2, 0.3, 0.5]),
        "precisions_init": {
            "full": np.stack([np.eye(4)] * 3),
            "tied": np.eye(4),
            "diag": np.ones((3, 4)),
            "spherical": np.ones(3),
        }[kind],
    }
    for n_iter in (1, 2, 5, 20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings: dict[str, Any] = {"covariance_type": kind, "max_iter": n_iter, "tol": 0.0, "random_state": 0}
            theirs = GaussianMixture(3, **settings, **start).fit(x)
            ours = GMM(3, **settings, **start).fit(x)
        for name in ("weights_", "means_", "covariances_", "precisions_"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-7, err_msg=name)
        assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-6)
        np.testing.assert_allclose(ours.score_samples(x), theirs.score_samples(x), atol=1e-6)
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-6)
        assert (ours.predict(x) == theirs.predict(x)).all()
        assert ours.bic(x) == pytest.approx(theirs.bic(x), rel=1e-9)
        assert ours.aic(x) == pytest.approx(theirs.aic(x), rel=1e-9)


@TYPES
def test_the_likelihood_never_falls(kind: Any) -> None:
    model = GMM(5, covariance_type=kind, tol=-1, max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(clusters(400, 3, 4))
    assert len(model.lower_bounds_) == 30
    assert (np.diff(model.lower_bounds_) > -1e-9).all()


def test_sampling_and_fitting_again_recovers_the_parameters() -> None:
    truth = GMM(2, random_state=3)
    truth.weights_ = np.array([0.3, 0.7])
    truth.means_ = np.array([[0.0, 0.0], [4.0, -3.0]])
    truth.covariances_ = np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.5, 0.0], [0.0, 2.0]]])
    x, components = truth.sample(20_000)
    assert np.bincount(components)[0] / 20_000 == pytest.approx(0.3, abs=0.015)
    got = GMM(2, random_state=0).fit(x)
    order = np.argsort(got.means_[:, 0])
    np.testing.assert_allclose(got.weights_[order], truth.weights_, atol=0.02)
    np.testing.assert_allclose(got.means_[order], truth.means_, atol=0.05)
    np.testing.assert_allclose(got.covariances_[order], truth.covariances_, atol=0.1)


def test_starts_differ_with_the_seed_and_the_best_is_kept() -> None:
    x = clusters(300, 2, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = [GMM(8, random_state=seed, max_iter=3).fit(x).lower_bound_ for seed in range(5)]
        again = GMM(8, random_state=2, max_iter=3).fit(x).lower_bound_
        best = GMM(8, random_state=0, max_iter=3, n_init=10).fit(x).lower_bound_
    assert len(set(ends)) == 5
    assert again == ends[2]
    assert best >= ends[0]


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_leads_somewhere(init: Any) -> None:
    x = clusters(300, 2, 2)
    assert GMM(2, init_params=init, random_state=0, max_iter=300).fit(x).score(x) > -5


@TYPES
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_degenerate_frames_have_an_answer(kind: Any, scale: float) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((10, 3)), 4, axis=0)  # duplicates
    x[:, 1] = 5.0  # a constant dimension
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GMM(6, covariance_type=kind, random_state=0, max_iter=20, reg_covar=1e-6 * scale**2).fit(x * scale)
    for name in ("weights_", "means_", "covariances_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.score_samples(x * scale)).all()


def test_frames_far_from_zero_lose_nothing() -> None:
    x = clusters(300, 2, 2)
    far = GMM(2, random_state=0).fit(x + 1e6)
    near = GMM(2, random_state=0).fit(x)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-6)
    assert far.score(x + 1e6) == pytest.approx(near.score(x), abs=1e-6)


def test_components_far_apart_lose_nothing() -> None:
    x = np.concatenate([clusters(100, 2, 1), clusters(100, 2, 1) + 1e7])
    model = GMM(2, random_state=0).fit(x)
    expected = [
        stats.multivariate_normal(m, c).logpdf(x) for m, c in zip(model.means_, model.covariances_, strict=True)
    ]
    both = np.logaddexp(*(np.log(w) + e for w, e in zip(model.weights_, expected, strict=True)))
    np.testing.assert_allclose(model.score_samples(x), both, rtol=1e-6)


def hardships() -> dict[str, np.ndarray]:
    """Frames that arithmetic of few digits chokes on."""
    x = clusters(300, 3, 2)
    return {
        "none": x,
        "far from zero": x + 1e4,
        "digital silence": np.concatenate([np.full((150, 3), -100.0), 5 * x - 30]),
        "tiny": x * 1e-6,
        "an outlier": np.concatenate([x, np.full((1, 3), 1e5)]),
        "a column twice": np.concatenate([x, x[:, :1]], axis=1),
        "a constant column": np.concatenate([x, np.full((len(x), 1), 7.0)], axis=1),
        "two frames far apart": np.array([[9999.0], [0.0]]),
        "whole numbers": np.round(10 * x),
    }


@TYPES
@pytest.mark.parametrize("hardship", hardships())
@pytest.mark.parametrize("begins_coarse", [False, True])
def test_the_type_of_frames_changes_no_fit(
    kind: Any, hardship: str, begins_coarse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = hardships()[hardship]
    settings: dict[str, Any] = {"covariance_type": kind, "random_state": 0, "reg_covar": 1e-6 * min(1.0, x.var())}
    if begins_coarse:
        monkeypatch.setattr(gmm, "COARSE_CELLS", 1)
    kinds: list[Any] = [np.float32]
    kinds += [np.float16] if hardship in ("none", "digital silence") else []
    kinds += [np.int64, np.int8] if hardship == "whole numbers" else []
    for dtype in kinds:
        narrow = x.astype(dtype)
        of_type, of_float64 = (GMM(2, **settings).fit(frames) for frames in (narrow, narrow.astype(np.float64)))
        assert of_type.converged_
        assert of_float64.converged_
        expected = of_float64.score(narrow.astype(np.float64))
        assert of_type.score(narrow) == pytest.approx(expected, rel=1e-5, abs=1e-4)
        np.testing.assert_allclose(of_type.means_, of_float64.means_, rtol=1e-3, atol=1e-3 * x.std())


def test_many_float32_frames_begin_in_float32_and_end_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clusters(3000, 4, 5).astype(np.float32)
    monkeypatch.setattr(gmm, "COARSE_CELLS", len(x) * 5)
    types: list[Any] = []
    plain = GMM._expect
    monkeypatch.setattr(
        GMM, "_expect", lambda self, frames, origin: types.append(frames.dtype) or plain(self, frames, origin)
    )
    fitted = GMM(5, random_state=0).fit(x)
    assert types[0] == np.float32
    assert types[-2:] == [np.float64] * 2
    assert types == sorted(types, key=lambda kind: kind.itemsize)
    assert fitted.converged_
    assert fitted.n_iter_ == len(fitted.lower_bounds_) == len(types) - 1  # the first of too little gain is done again
    types.clear()
    GMM(5, random_state=0).fit(np.concatenate([x, np.full((1, 4), 1e5, np.float32)]))  # too far for float32
    assert set(types) == {np.dtype(np.float64)}


@pytest.mark.peer
@TYPES
def test_scores_of_float32_frames_are_scikit_learns_of_float64(kind: Any) -> None:
    from sklearn.mixture import GaussianMixture

    x = (clusters(300, 3, 2) * 20 - 60).astype(np.float32)
    ours = GMM(2, covariance_type=kind, random_state=0).fit(x)
    start = {"weights_init": ours.weights_, "means_init": ours.means_, "precisions_init": ours.precisions_}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GaussianMixture(2, covariance_type=kind, max_iter=1, tol=0.0, **start).fit(x.astype(np.float64))
    assert ours.score(x) == pytest.approx(theirs.lower_bound_, abs=1e-4)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("weights_init", [0.9, 0.9], "weights_init must sum to 1"),
        ("weights_init", [1.5, -0.5], "must not be negative"),
        ("weights_init", [np.nan, 1.0], "weights_init must be finite, got nan"),
        ("weights_init", [0.5, 0.25, 0.25], r"weights_init must be \(2,\), got \(3,\)"),
        ("weights_init", [[0.5, 0.5]], r"weights_init must be \(2,\), got \(1, 2\)"),
        ("means_init", np.zeros((2, 4)), r"means_init must be \(2, 3\), got \(2, 4\)"),
        ("means_init", np.full((2, 3), np.inf), "means_init must be finite, got inf"),
        ("precisions_init", "negative", "precisions_init must be (positive|symmetric and positive definite)"),
        ("precisions_init", "nan", "precisions_init must be finite, got nan"),
        ("precisions_init", np.zeros((5, 5, 5, 5)), "precisions_init must be .*, got "),
    ],
)
def test_initial_values_that_are_none_of_a_mixture_are_refused(kind: Any, name: str, value: Any, why: str) -> None:
    if isinstance(value, str):
        shape = {"full": (2, 3, 3), "tied": (3, 3), "diag": (2, 3), "spherical": (2,)}[kind]
        value = np.full(shape, -1.0 if value == "negative" else np.nan)
    model = GMM(2, covariance_type=kind, **{name: value})
    with pytest.raises(ValueError, match=why):
        model.fit(clusters(20, 3))


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_precisions_that_are_not_symmetric_are_refused(kind: Any) -> None:
    matrix = np.array([[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match="symmetric and positive definite"):
        GMM(2, covariance_type=kind, precisions_init=[matrix] * 2 if kind == "full" else matrix).fit(clusters(20, 2))


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        *(({"n_components": n}, f"GMM: n_components must be >= 1, got {n}") for n in (0, -1, 2.5, "2", None, True)),
        *(({"n_init": n}, f"n_init must be >= 1, got {n}") for n in (0, 1.5)),
        *(({"max_iter": n}, f"max_iter must be >= 0, got {n}") for n in (-1, 2.5, "many")),
        *(({"tol": tol}, f"tol must be a number, got {tol}") for tol in (np.nan, "small", None)),
        *(({"reg_covar": one}, f"reg_covar must be a number >= 0, got {one}") for one in (-1e-6, np.nan, np.inf, None)),
        *(({"covariance_type": kind}, "covariance_type is one of") for kind in ("foo", None, ["full"])),
        ({"init_params": "foo"}, "init_params is kmeans, "),
        ({"n_components": 0, "tol": np.nan}, "n_components must be >= 1, got 0; tol must be a number, got nan"),
    ],
)
def test_settings_are_taken_as_they_are_and_refused_by_fit(setting: dict[str, Any], why: str) -> None:
    model = GMM(**setting)
    assert {name: model.get_params()[name] for name in setting} == setting or setting.get("tol") != setting.get("tol")
    with pytest.raises(ValueError, match=why):
        model.fit(clusters(20, 2))


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert (
        GMM(np.int64(2), max_iter=np.int32(30), random_state=np.random.RandomState(0)).fit(clusters(60, 2, 2)).n_iter_
    )


def test_a_warm_start_goes_on_where_the_last_fit_stood() -> None:
    """Step by step, as in one go; scikit-learn's test of its own asks the same."""
    x = clusters(300, 2, 3)
    whole = GMM(3, random_state=0, tol=1e-4).fit(x)
    steps = GMM(3, random_state=0, tol=1e-4, max_iter=1, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(whole.n_iter_):
            assert not hasattr(steps, "converged_") or not steps.converged_
            steps.fit(x)
    assert steps.converged_
    np.testing.assert_allclose(steps.means_, whole.means_, rtol=1e-9)
    assert steps.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-12)
    with pytest.raises(ValueError, match=r"to go on from, has means \(3, 2\), not \(3, 4\)"):
        steps.fit(clusters(30, 4))
    with pytest.raises(ValueError, match=r"to go on from, has means \(3, 2\), not \(2, 2\)"):
        steps.set_params(n_components=2).fit(x)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.zeros(5), r"write x.reshape\(-1, 1\)"),
        (np.zeros((0, 2)), "there are no frames"),
        (np.array([[0.0, np.nan]] * 3), "got nan in frame 0, feature 1"),
        (np.zeros((1, 2)), "2 components need as many frames, got 1"),
    ],
)
def test_frames_that_make_no_sense_are_refused(x: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        GMM(2).fit(x)


def test_what_is_not_fitted_or_is_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        GMM(2).score(np.zeros((3, 2)))
    fitted = GMM(1).fit(clusters(20, 2))
    with pytest.raises(ValueError, match="X has 3 features, but GMM is expecting 2"):
        fitted.score(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="component 1 is not positive"):
        Gaussians(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]), "diag")


def test_kmeans_finds_clusters_whatever_the_units() -> None:
    x = clusters(300, 2, 3)
    _, nearest = kmeans(x, 3, np.random.default_rng(0))
    _, scaled = kmeans(x * [1e6, 1e-6], 3, np.random.default_rng(0))
    assert (nearest == scaled).all()
    centres, few = kmeans(np.repeat(x[:2], 5, axis=0), 4, np.random.default_rng(0))
    assert np.isfinite(centres).all()
    assert len(set(few)) == 2
