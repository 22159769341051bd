"""GaussianHMM against hmmlearn's, from the same start; and its own promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.densities.priors import COVARIANCE_TYPES
from phonaut.hmm import GaussianHMM

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


def model(kind: Any = "diag", cls: Any = GaussianHMM, **settings: Any) -> Any:
    rng = np.random.default_rng(0)
    made = cls(3, covariance_type=kind, **{"init_params": "", "tol": -np.inf, **settings})
    made.startprob_ = np.array([0.6, 0.3, 0.1])
    made.transmat_ = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
    made.means_ = rng.standard_normal((3, 2)) * 2
    root = rng.standard_normal((3, 2, 2)) + 2 * np.eye(2)
    full = root @ root.transpose(0, 2, 1)
    made.covars_ = {"full": full, "tied": full[0], "diag": full[:, [0, 1], [0, 1]], "spherical": full[:, 0, 0]}[kind]
    made.n_features = 2
    return made


def data(kind: Any = "diag", n: int = 300) -> tuple[np.ndarray, list[int]]:
    x, _ = model(kind).sample(n, random_state=1)
    return x, [n // 3, n // 2, 1, n - n // 3 - n // 2 - 1]


@pytest.mark.peer
@TYPES
@pytest.mark.parametrize(
    "priors",
    [
        {},
        {"startprob_prior": 2.0, "transmat_prior": 3.0, "means_prior": 0.5, "means_weight": 2.0, "covars_weight": 4.0},
    ],
)
def test_em_is_hmmlearns_step_by_step(kind: Any, priors: dict[str, Any]) -> None:
    from hmmlearn import hmm

    x, lengths = data(kind)
    for n_iter in (1, 2, 10):
        prior: Any = 0.1 * np.eye(2) if kind in ("full", "tied") else 0.1  # hmmlearn adds a number to all of a matrix
        settings = {"n_iter": n_iter, "covars_prior": prior if priors else 0.0, **priors}
        theirs = model(kind, hmm.GaussianHMM, **settings).fit(x, lengths)
        ours = model(kind, **settings).fit(x, lengths)
        for name in ("startprob_", "transmat_", "means_"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-8, err_msg=name)
        covars = theirs._covars_[:, 0] if kind == "spherical" else theirs._covars_  # (S, D) after a fit, in hmmlearn
        np.testing.assert_allclose(ours._covars_, covars, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(ours.monitor_.history, list(theirs.monitor_.history), atol=1e-6 * len(x))
        assert ours.score(x, lengths) == pytest.approx(theirs.score(x, lengths), abs=1e-6)
        np.testing.assert_allclose(ours.predict_proba(x, lengths), theirs.predict_proba(x, lengths), atol=1e-6)
        assert ours.decode(x, lengths)[0] == pytest.approx(theirs.decode(x, lengths)[0], abs=1e-6)
        assert (ours.predict(x, lengths) == theirs.predict(x, lengths)).all()
        assert ours.decode(x, lengths, "map")[0] == pytest.approx(theirs.decode(x, lengths, "map")[0], abs=1e-6)
        assert ours.bic(x, lengths) == pytest.approx(theirs.bic(x, lengths), rel=1e-9)
        np.testing.assert_allclose(ours.get_stationary_distribution(), theirs.get_stationary_distribution(), atol=1e-9)


@TYPES
def test_the_penalised_objective_never_falls(kind: Any) -> None:
    x, lengths = data(kind)
    fitted = GaussianHMM(4, kind, n_iter=40, tol=-1, random_state=0, means_weight=1.0, transmat_prior=2.0).fit(
        x, lengths
    )
    assert fitted.monitor_.iter == 40
    assert not fitted.monitor_.fell
    assert (np.diff(fitted.monitor_.objective) > -1e-7).all()


def test_structural_zeros_survive_and_a_state_without_frames_keeps_its_place() -> None:
    x, lengths = data()
    left_to_right = model(n_iter=10)
    left_to_right.startprob_ = np.array([1.0, 0.0, 0.0])
    left_to_right.transmat_ = np.array(
        [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.3, 0.0, 0.7]]
    )  # the third is never entered
    left_to_right.fit(x, lengths)
    assert left_to_right.startprob_.tolist() == [1.0, 0.0, 0.0]
    assert (left_to_right.transmat_[[0, 1, 1, 2], [2, 0, 2, 1]] == 0).all()
    assert left_to_right.transmat_[2].tolist() == [0.3, 0.0, 0.7]
    np.testing.assert_array_equal(left_to_right.means_[2], model().means_[2])
    assert np.isfinite(left_to_right.covars_).all()


def test_nothing_is_trained_where_nothing_is_asked_for() -> None:
    x, lengths = data()
    same = model(n_iter=0).fit(x, lengths)
    np.testing.assert_array_equal(same.means_, model().means_)
    only_means = model(n_iter=3, params="m").fit(x, lengths)
    np.testing.assert_array_equal(only_means.transmat_, model().transmat_)
    np.testing.assert_array_equal(only_means.covars_, model().covars_)
    assert not np.array_equal(only_means.means_, model().means_)


def test_a_list_of_arrays_is_frames_and_lengths() -> None:
    x, lengths = data()
    parts = np.split(x, np.cumsum(lengths)[:-1])
    np.testing.assert_array_equal(model(n_iter=3).fit(x, lengths).means_, model(n_iter=3).fit(parts).means_)
    assert model().score(parts) == model().score(x, lengths)
    assert model().score(np.asfortranarray(x), lengths) == model().score(x, lengths)
    assert model().score(parts) == pytest.approx(sum(model().score(part) for part in parts), abs=1e-9)


def test_sampling_and_fitting_again_recovers_the_parameters() -> None:
    truth = model()
    truth.means_ = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    x, states = truth.sample(20_000, random_state=0)
    fitted = GaussianHMM(3, random_state=0, n_iter=50, tol=1e-3, n_restarts=3).fit(x)
    order = [int(np.square(fitted.means_ - mean).sum(axis=1).argmin()) for mean in truth.means_]
    np.testing.assert_allclose(fitted.means_[order], truth.means_, atol=0.2)
    np.testing.assert_allclose(fitted.transmat_[np.ix_(order, order)], truth.transmat_, atol=0.03)
    assert (np.argsort(order)[fitted.predict(x)] == states).mean() > 0.9
    np.testing.assert_allclose(fitted.filter(x).sum(axis=1), 1.0)


def test_restarts_keep_the_best() -> None:
    x, _ = data(n=200)
    one = GaussianHMM(5, random_state=0, n_iter=5, tol=-1).fit(x)
    best = GaussianHMM(5, random_state=0, n_iter=5, tol=-1, n_restarts=8).fit(x)
    assert best.monitor_.objective[-1] >= one.monitor_.objective[-1]
    assert GaussianHMM(5, random_state=1, n_iter=5, tol=-1).fit(x).score(x) != one.score(x)


@TYPES
def test_saved_and_loaded_it_is_the_same(kind: Any, tmp_path: Path) -> None:
    x, lengths = data(kind)
    fitted = GaussianHMM(3, kind, random_state=0).fit(x, lengths)
    fitted.save(tmp_path / "model.safetensors")
    again = GaussianHMM.load(tmp_path / "model.safetensors")
    assert again.score(x, lengths) == fitted.score(x, lengths)
    assert again.get_params() == fitted.get_params()
    again.n_iter = fitted.n_iter = 2
    again.init_params = fitted.init_params = ""
    np.testing.assert_array_equal(again.fit(x, lengths).means_, fitted.fit(x, lengths).means_)


@TYPES
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_degenerate_frames_have_an_answer(kind: Any, scale: float) -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal((6, 2)), 5, axis=0) * scale
    x[:, 1] = 5.0 * scale
    fitted = GaussianHMM(8, kind, random_state=0, n_iter=20).fit(x, [10, 1, 19])
    for name in ("startprob_", "transmat_", "means_", "covars_"):
        assert np.isfinite(getattr(fitted, name)).all(), name
    assert np.isfinite(fitted.score(x))
    assert GaussianHMM(2, kind, random_state=0).fit(x[:1]).predict(x[:1]).shape == (1,)


@pytest.mark.parametrize(
    ("x", "lengths", "why"),
    [
        (np.zeros((3, 2)) * np.nan, None, "got nan in frame 0"),
        (np.array([[1.0, np.inf]]), None, "got inf in frame 0, feature 1"),
        (np.zeros((0, 2)), None, "there are no frames"),
        (np.zeros((3, 2)), [2], "add up to 3 frames; they add up to 2"),
        (np.zeros((3, 2)), [3, 0], "numbers from 1 on"),
        (np.zeros((3, 4)), None, "X has 4 features, but GaussianHMM is expecting 2"),
        (np.zeros(3), None, r"write x.reshape\(-1, 1\)"),
    ],
)
def test_frames_that_make_no_sense_are_refused(x: np.ndarray, lengths: Any, why: str) -> None:
    for method in ("fit", "score", "decode"):
        with pytest.raises(ValueError, match=why):
            getattr(model(), method)(x, lengths)


def test_parameters_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    broken = model()
    broken.startprob_ = np.array([0.5, 0.1, 0.1])
    with pytest.raises(ValueError, match="startprob_ must sum to 1"):
        broken.score(data()[0])
    with pytest.raises(ValueError, match="covars_ of type diag must be positive"):
        model().covars_ = np.zeros((3, 2))
    with pytest.raises(ValueError, match="has no setting n_states"):
        model().set_params(n_states=2)
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(Exception):  # noqa: B017, PT011
        GaussianHMM.load(tmp_path / "x")
