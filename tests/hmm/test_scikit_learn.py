"""scikit-learn's tools work on estimators, and its own checks pass but for what is named here."""

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from phonaut.hmm import GMM, GMMHMM, GSHMM, GaussianHMM, GenHMM, LatHMM

SMALL_FLOWS = {"n_couplings": 1, "n_hidden": 2, "n_passes": 1, "n_iter": 1}
ESTIMATORS: list[tuple[Any, dict[str, Any]]] = [
    (GMM, {}),
    (GaussianHMM, {}),
    (GMMHMM, {}),
    *((cls, SMALL_FLOWS) for cls in (GenHMM, LatHMM, GSHMM)),
]
EVERY = pytest.mark.parametrize(("cls", "settings"), ESTIMATORS, ids=[cls.__name__ for cls, _ in ESTIMATORS])

# What cannot hold, and why.
ORDER = "frames of a sequence depend on each other, and score_samples is that of the sequence, as hmmlearn's"
OF_SEQUENCES = {"check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER}


def without_lengths(cls: Any) -> Any:
    """The class with scikit-learn's labels in second place, where models of sequences have `lengths`, as hmmlearn's do.

    The checks hand labels to every estimator; taken as lengths they do not add up, and are refused.
    """

    def fit(self: Any, X: Any, y: Any = None) -> Any:
        return cls.fit(self, X)

    def score(self: Any, X: Any, y: Any = None) -> Any:
        return cls.score(self, X)

    def partial_fit(self: Any, X: Any, y: Any = None) -> Any:
        return cls.partial_fit(self, X)

    name = f"{cls.__name__}WithoutLengths"
    made = type(name, (cls,), {"fit": fit, "score": score, "partial_fit": partial_fit, "__module__": __name__})
    globals()[name] = made  # where pickles look for it
    return made


def frames(n: int = 60, d: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)) + 8 * (np.arange(n) // 5 % 2)[:, None]  # two clusters, in turns


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@EVERY
def test_scikit_learns_own_checks_pass_but_for_those_named(cls: Any, settings: dict[str, Any]) -> None:
    checked, expected = (cls, {}) if cls is GMM else (without_lengths(cls), OF_SEQUENCES)
    results = check_estimator(checked(**settings), expected_failed_checks=expected, on_fail=None, on_skip=None)
    assert len(results) > 35
    failed = [f"{one['check_name']}: {one['exception']!r}" for one in results if one["status"] == "failed"]
    assert not failed
    assert {one["check_name"] for one in results if one["status"] == "xfail"} == set(expected)


@EVERY
def test_a_clone_has_the_settings_and_not_the_parameters(cls: Any, settings: dict[str, Any]) -> None:
    changed = {**settings, "n_components": 2, "random_state": 3, "tol": 0.5}
    fitted = cls(**changed).fit(frames())
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() == cls(**changed).get_params()
    check_is_fitted(fitted)
    for name in ("n_features_in_", "means_", "weights_"):
        assert not hasattr(copy, name)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    with pytest.raises(NotFittedError, match="call fit first"):
        copy.predict(frames())
    np.testing.assert_array_equal(copy.fit(frames()).predict_proba(frames()), fitted.predict_proba(frames()))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(frames()), fitted.predict(frames()))


@EVERY
def test_settings_are_set_all_or_none(cls: Any, settings: dict[str, Any]) -> None:
    model = cls(**settings)
    before = model.get_params()
    with pytest.raises(ValueError, match=f"{cls.__name__} has no setting n_states; it has n_components, "):
        model.set_params(n_components=7, n_states=2)
    assert model.get_params() == before
    assert model.set_params(n_components=7) is model
    assert model.get_params() == {**before, "n_components": 7}


@pytest.mark.filterwarnings("ignore:EM did not converge")
@EVERY
def test_a_grid_search_finds_the_number_of_clusters(cls: Any, settings: dict[str, Any]) -> None:
    x = frames()
    search = GridSearchCV(cls(random_state=0, **settings), {"n_components": np.array([1, 2])}, cv=KFold(2)).fit(x)
    assert search.best_params_ == {"n_components": 2}
    assert search.best_score_ == pytest.approx(search.cv_results_["mean_test_score"].max())
    by_hand = [cls(2, random_state=0, **settings).fit(x[half]).score(x[other]) for half, other in KFold(2).split(x)]
    scores = cross_val_score(cls(2, random_state=0, **settings), x, cv=KFold(2))
    np.testing.assert_allclose(scores, by_hand)
    assert search.best_score_ == pytest.approx(np.mean(by_hand))


@EVERY
def test_in_a_pipeline_it_sees_what_comes_before_it(cls: Any, settings: dict[str, Any]) -> None:
    x, scaler = frames() * 100, StandardScaler()
    pipeline = make_pipeline(StandardScaler(), cls(2, random_state=0, **settings)).fit(x)
    alone = cls(2, random_state=0, **settings).fit(scaler.fit_transform(x))
    assert pipeline.score(x) == alone.score(scaler.transform(x))
    np.testing.assert_array_equal(pipeline.predict(x), alone.predict(scaler.transform(x)))
    search = GridSearchCV(pipeline, {f"{cls.__name__.lower()}__n_components": [1, 2]}, cv=KFold(2)).fit(x)
    assert search.best_params_ == {f"{cls.__name__.lower()}__n_components": 2}


@pytest.mark.parametrize("cls", [cls for cls, _ in ESTIMATORS if cls is not GMM], ids=lambda cls: cls.__name__)
def test_labels_in_the_place_of_lengths_are_refused(cls: Any) -> None:
    with pytest.raises(
        ValueError, match="lengths must be whole numbers from 1 on that add up to 60 frames; they add up to 90"
    ):
        cls(2).fit(frames(), np.full(60, 1) + np.arange(60) % 2)


def test_neither_torch_nor_scikit_learn_is_imported_with_the_estimators() -> None:
    """Nor needed: who has not imported scikit-learn gets an error of the same name and kind."""
    program = (
        "import sys, phonaut.hmm as h\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules), 'too much'\n"
        "try: h.GaussianHMM(2).predict([[0.0]])\n"
        "except ValueError as error: print(type(error).__name__, isinstance(error, AttributeError))\n"
        "assert 'sklearn' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "NotFittedError True\n"
