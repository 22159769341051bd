"""Frames, lengths, settings and initial values of every estimator: the right result, or one sentence that says why."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from phonaut.hmm import GMM, GMMHMM, GSHMM, GaussianHMM, GenHMM, LatHMM
from phonaut.hmm.em import Monitor
from phonaut.hmm.emissions import gaussian, mixture
from phonaut.hmm.inputs import checked_frames

SMALL_FLOWS = {"n_couplings": 1, "n_hidden": 2, "n_passes": 1, "n_iter": 2}
SETTINGS: dict[Any, dict[str, Any]] = {
    GMM: {"tol": 1e-2}, GaussianHMM: {}, GMMHMM: {"n_mix": 2}, **dict.fromkeys((GenHMM, LatHMM, GSHMM), SMALL_FLOWS)
}  # fmt: skip
HMMS = pytest.mark.parametrize("cls", [cls for cls in SETTINGS if cls is not GMM], ids=lambda cls: cls.__name__)
EVERY = pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 3))


def make(cls: Any, **changes: Any) -> Any:
    return cls(**{"n_components": 2, "random_state": 0, **SETTINGS[cls], **changes})


def read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


class ArrayLike:
    """As a DataFrame, or a column of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return X


SAME: dict[str, Any] = {
    "in Fortran's order": np.asfortranarray(X),
    "read only": read_only(X),
    "every other row": np.repeat(X, 2, axis=0)[::2],
    "some columns": np.hstack([X, X])[:, :3],
    "backwards twice": X[::-1][::-1],
    "of the other byte order": X.astype(">f8"),
    "of objects": X.astype(object),
    "lists": X.tolist(),
    "array-like": ArrayLike(),
    "masked, with nothing masked": np.ma.array(X),
    "a tensor": torch.from_numpy(X),
    "a tensor with a gradient": torch.from_numpy(X).requires_grad_(),
}


@EVERY
def test_frames_of_every_make_are_the_same_frames(cls: Any) -> None:
    fitted = make(cls).fit(X)
    for name, frames in SAME.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = make(cls).fit(frames)
        assert again.score(frames) == fitted.score(X), name
        np.testing.assert_array_equal(again.predict(frames), fitted.predict(X), err_msg=name)


def with_value(value: Any) -> np.ndarray:
    frames = X.copy()
    frames[26, 1] = value
    return frames


NONE: list[tuple[str, Any, str]] = [
    ("NaN", with_value(np.nan), "must not be NaN or infinite; got nan in frame 26, feature 1"),
    ("infinite", with_value(-np.inf), "must not be NaN or infinite; got -inf in frame 26, feature 1"),
    ("beyond size", with_value(1e200), r"at most 1e\+140 in size, for sums of their squares; got 1e\+200"),
    ("masked", np.ma.array(X, mask=X > 2), "must not be masked"),
    ("complex", X + 1j, "Complex data not supported"),
    ("dates", np.zeros((5, 3), "M8[s]"), "nor other types than numbers: frames are datetime64"),
    ("sparse", sparse.csr_matrix(X), "must be dense, not a sparse matrix"),
    ("one axis", X[:, 0], r"must be \(N, D\); got \(30,\). Reshape your data"),
    ("three axes", X[None], r"must be \(N, D\); got \(1, 30, 3\)"),
    ("nothing", None, r"must be \(N, D\); got \(\)"),
    ("no frames", X[:0], "there are no frames"),
    ("no features", X[:, :0], r"0 feature\(s\)"),
    ("words", [["a", "b", "c"]], "could not convert string to float"),
]


def test_frames_that_may_not_be_written_to_are_copied_and_others_are_not() -> None:
    """Such arrays make torch warn, though only once in a process."""
    for frames in (read_only(X), np.broadcast_to(X[:1], X.shape)):
        assert checked_frames(frames).flags.writeable
    assert checked_frames(X) is X


@EVERY
def test_frames_that_are_none_are_refused_and_cost_nothing(cls: Any) -> None:
    fitted = make(cls).fit(X)
    kept = {name: value.copy() for name, value in fitted.state_dict().items()}
    for name, frames, why in NONE:
        for method in (fitted.fit, fitted.score, fitted.predict, fitted.predict_proba):
            with pytest.raises(ValueError, match=why) as refusal:
                method(frames)
            assert "\n" not in str(refusal.value), name
    for name, value in fitted.state_dict().items():
        np.testing.assert_array_equal(value, kept[name], err_msg=name)


LENGTHS: list[Any] = [
    [10, 10],
    [30, 0],
    [-5, 35],
    [10.0, 20.0],
    [[10, 20]],
    [],
    "abc",
    [None],
    [np.nan, 30],
    [True] * 30,
]


@HMMS
def test_lengths_that_are_none_are_refused(cls: Any) -> None:
    model = make(cls, n_iter=0).fit(X)
    for lengths in LENGTHS:
        for method in (model.fit, model.score, model.decode, model.partial_fit):
            with pytest.raises(ValueError, match="lengths must be whole numbers from 1 on that add up to 30 frames"):
                method(X, lengths)
    for parts, why in (([X, X[:0]], "numbers from 1 on"), ([X, X[:, :2]], "with one D"), ([X, X[0]], "with one D")):
        with pytest.raises(ValueError, match=why):
            model.fit(parts)


def test_lengths_of_every_make_are_the_same_lengths() -> None:
    expected = make(GaussianHMM).fit(X, [10, 20]).score(X, [10, 20])
    of_frames = (np.array([10, 20], np.uint8), (10, 20), torch.tensor([10, 20]))
    for lengths in of_frames:
        assert make(GaussianHMM).fit(X, lengths).score(X, lengths) == expected
    for parts in (
        [X[:10], X[10:]],
        (X[:10], X[10:]),
        [X[:10].tolist(), X[10:].tolist()],
        list(torch.split(torch.tensor(X), [10, 20])),
    ):
        assert make(GaussianHMM).fit(parts).score(parts) == expected


FOR_ALL: list[tuple[dict[str, Any], str]] = [
    *(({"n_components": n}, f"n_components must be >= 1, got {n}") for n in (0, -1, 2.5, "two", None)),
    *(({"n_iter": n}, f"n_iter must be >= 0, got {n}") for n in (-1, 2.5, np.nan)),
    *(({"tol": tol}, f"tol must be a number .*, got {tol}") for tol in (np.nan, "small", None)),
    ({"n_restarts": 0}, "n_restarts must be >= 1, got 0"),
    ({"algorithm": "foo"}, "algorithm is viterbi or map, got foo"),
    ({"implementation": "foo"}, "implementation is scaling or log, got foo"),
    *(
        ({"device": one}, rf"device is one that PyTorch has here \(cpu.*\), got {one}")
        for one in ("tpu", "meta", "cuda:99")
    ),
    ({"params": 3}, "params must be letters, got 3"),
    ({"startprob_prior": [1.0, 2.0, 3.0]}, "a prior has not the shape of what it is of"),
    ({"transmat_prior": np.nan}, "priors must be finite numbers"),
    (
        {"n_components": 0, "n_iter": -1},
        "n_components must be >= 1, got 0; n_restarts|n_components .*; n_iter must be >= 0",
    ),
]
OF_GAUSSIANS: list[tuple[dict[str, Any], str]] = [
    *(
        ({"covariance_type": kind}, "covariance_type is one of full, diag, tied, spherical, got")
        for kind in ("foo", None, ["diag"])
    ),
    *(({"min_covar": one}, f"min_covar must be a number >= 0, got {one}") for one in (-1.0, np.nan, np.inf, "small")),
    ({"means_weight": -1}, "means_weight must be a number >= 0, got -1"),
    ({"means_prior": np.zeros(5)}, "a prior has not the shape of what it is of"),
    ({"means_weight": 1.0, "means_prior": np.nan}, "priors must be finite numbers"),
]
OF_MIXTURES = [({"n_mix": n}, f"n_mix must be >= 1, got {n}") for n in (0, -1, 1.5, "2")]
OF_FLOWS: list[tuple[dict[str, Any], str]] = [
    *(({"n_couplings": n}, f"n_couplings must be >= 0, got {n}") for n in (-1, 1.5)),
    *(({"n_hidden": n}, f"n_hidden must be >= 1, got {n}") for n in (0, 2.5)),
    *(
        ({"learning_rate": rate}, f"learning_rate must be a number > 0, got {rate}")
        for rate in (0, -1.0, np.nan, np.inf)
    ),
    ({"n_passes": -1}, "n_passes must be >= 0, got -1"),
    ({"batch_size": 0.5}, "batch_size must be >= 0, got 0.5"),
    ({"dtype": "float16"}, "dtype is float32 or float64, got float16"),
    *(({"gamma_prior": one}, "gamma_prior must be two numbers >= 0") for one in (1.0, (1.0,), (np.nan, 1.0), "ab")),
    ({"mask": "foo"}, "mask is cross or chunk, got foo"),
    ({"permutation": "foo"}, "permutation is none, random, reverse or conv1x1, got foo"),
    ({"bound": 5.0}, "bound is above 0 and at most 4, got 5.0"),
]
CASES = [(cls, *case) for cls in SETTINGS if cls is not GMM for case in FOR_ALL]
CASES += [(cls, *case) for cls in (GaussianHMM, GMMHMM) for case in OF_GAUSSIANS]
CASES += [(cls, *case) for cls in (GMMHMM, GenHMM) for case in OF_MIXTURES]
CASES += [(GenHMM, *case) for case in OF_FLOWS]


@pytest.mark.parametrize(("cls", "setting", "why"), CASES)
def test_settings_that_make_no_sense_are_taken_and_refused_by_fit(cls: Any, setting: dict[str, Any], why: str) -> None:
    model = make(cls, **setting)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=why):
            method(X)


def test_a_gmm_refuses_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"GMM: device is one that PyTorch has here \(cpu.*\), got tpu"):
        GMM(device="tpu").fit(X)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert make(GMMHMM, n_components=np.int64(2), n_mix=np.int32(1), n_iter=np.uint8(3)).fit(X).monitor_.iter == 3


# --- initial values


def set_up(cls: Any, kind: str = "diag") -> Any:
    """A model of two states with all parameters set, and nothing to start anew."""
    made = cls(2, covariance_type=kind, init_params="", n_iter=1, **({} if cls is GaussianHMM else {"n_mix": 2}))
    shape = (2,) if cls is GaussianHMM else (2, 2)
    made.startprob_, made.transmat_ = np.full(2, 0.5), np.full((2, 2), 0.5)
    made.means_ = RNG.standard_normal((*shape, 3))
    own = shape[:1] if cls is GMMHMM else ()
    made.covars_ = {
        "full": np.tile(np.eye(3), (*shape, 1, 1)), "tied": np.tile(np.eye(3), (*own, 1, 1)),
        "diag": np.ones((*shape, 3)), "spherical": np.ones(shape),
    }[kind]  # fmt: skip
    if cls is GMMHMM:
        made.weights_ = np.full((2, 2), 0.5)
    return made


def spoilt(value: np.ndarray, by: float) -> np.ndarray:
    value = value.copy()
    value.flat[0] = by
    return value


VALUES: list[tuple[str, Any, str]] = [
    *(("startprob_", value, "startprob_ must sum to 1") for value in ([0.9, 0.9], [1.5, -0.5], [np.nan, 1.0])),
    ("startprob_", [1.0, 0.0, 0.0], r"startprob_ must be \(2,\); got \(3,\)"),
    *(("transmat_", [[0.5, 0.5], row], "transmat_ must sum to 1") for row in ([0.9, 0.9], [1.5, -0.5], [np.nan, 1.0])),
    ("transmat_", np.full((3, 3), 1 / 3), r"transmat_ must be \(2, 2\); got \(3, 3\)"),
    ("means_", "NaN", "means_ must be finite; got nan"),
    ("means_", "infinite", "means_ must be finite; got inf"),
    ("means_", "wide", "means_ is .*, but frames have 3 features"),
    ("means_", "many", r"means_ must be \(2, (2, )?D\); got \(3, "),
    ("covars_", "NaN", "covars_ of type .* must be finite and positive; got nan"),
    ("covars_", "infinite", "covars_ of type .* must be finite and positive; got inf"),
    ("covars_", "negative", "covars_ of type .* must be (positive|symmetric and positive definite)"),
    ("covars_", "many", "covars_ of type .* must be"),
]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("cls", [GaussianHMM, GMMHMM])
@pytest.mark.parametrize(("name", "value", "why"), VALUES)
def test_initial_values_that_are_none_are_refused(cls: Any, kind: str, name: str, value: Any, why: str) -> None:
    model = set_up(cls, kind)
    before = np.asarray(
        model.emissions.covars_
        if name == "covars_" and cls is GMMHMM
        else getattr(model, "_covars_" if name == "covars_" else name)
    )
    if isinstance(value, str):
        changes: dict[str, Any] = {
            "NaN": lambda: spoilt(before, np.nan), "infinite": lambda: spoilt(before, np.inf),
            "negative": lambda: spoilt(before, -1.0), "wide": lambda: np.concatenate([before, before], axis=-1),
            "many": lambda: np.concatenate([before, before[:1]]),
        }  # fmt: skip
        value = changes[value]()

    def fit() -> None:
        setattr(model, name, value)
        model.fit(X)

    with pytest.raises(ValueError, match=why):
        fit()


def test_initial_weights_that_are_none_are_refused() -> None:
    for value in ([[0.9, 0.9]] * 2, [[1.5, -0.5]] * 2, [[np.nan, 1.0]] * 2, [[1.0]] * 2):
        model = set_up(GMMHMM)
        model.weights_ = np.array(value)
        with pytest.raises(ValueError, match=r"weights_ must be \(2, 2\), not negative, with rows that sum to 1"):
            model.fit(X)


# --- covariances from one model into another


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("cls", [GaussianHMM, GMMHMM])
def test_covariances_are_set_from_what_is_got(cls: Any, kind: str, theirs: bool) -> None:
    from hmmlearn import hmm

    source = (getattr(hmm, cls.__name__) if theirs else cls)(2, covariance_type=kind, random_state=0).fit(X)
    copy = cls(2, covariance_type=kind)
    names = ["startprob_", "transmat_", "means_", "covars_", *(["weights_"] if cls is GMMHMM else [])]
    for name in names:
        setattr(copy, name, getattr(source, name))
    assert copy.score(X) == pytest.approx(source.score(X), abs=1e-9)
    assert copy.set_params(init_params="", n_iter=2).fit(X).monitor_.iter == 2
    before = make(cls, covariance_type=kind)
    before.covars_ = getattr(source, "covars_")  # noqa: B009  # before there are means


def test_covariances_of_another_type_are_refused() -> None:
    full = np.array([[[1.0, 0.5], [0.5, 1.0]], [[2.0, 0.0], [0.0, 1.0]]])
    for kind, value, why in (
        ("diag", full, "covars_ of type diag must be 0 off the diagonal"),
        ("tied", full, "covars_ of type tied must be the same in all states"),
        ("spherical", full, "covars_ of type spherical must be 0 off the diagonal"),
        ("spherical", np.array([[1.0, 2.0], [1.0, 1.0]]), "must be one number a state"),
        ("full", np.ones((2, 2)), r"covars_ of type full must be \(2, 2, 2\)"),
    ):
        with pytest.raises(ValueError, match=why):
            GaussianHMM(2, kind).covars_ = value


# --- what is started, and how far EM goes


def test_a_start_computes_what_init_params_asks_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clusterings: list[int] = []

    def counted(*arguments: Any, **named: Any) -> Any:
        clusterings.append(1)
        return nested(*arguments, **named)

    nested = mixture.nested
    for module in (gaussian, mixture):
        monkeypatch.setattr(module, "nested", counted)
    for cls in (GaussianHMM, GMMHMM):
        for letters in ("", "st", "stw"):
            model = set_up(cls)
            means, covars = model.means_.copy(), model.covars_.copy()
            model.set_params(init_params=letters, n_iter=0).fit(X)
            np.testing.assert_array_equal(model.means_, means)
            np.testing.assert_array_equal(model.covars_, covars)
        assert not clusterings, cls
        set_up(cls).set_params(init_params="m").fit(X)
        assert len(clusterings) == 1, cls
        clusterings.clear()


class Threshold:
    """As in the documentation of hmmlearn: training stops when the log-likelihood is high enough."""

    def __init__(self, tol: float) -> None:
        self.tol, self.history = tol, [np.nan]

    def _reset(self) -> None:
        self.history.clear()

    def report(self, log_prob: float) -> None:
        self.history.append(log_prob)

    @property
    def converged(self) -> bool:
        return self.history[-1] >= self.tol


class Patient(Monitor):
    """Ours, changed: three steps, whatever they gain."""

    @property
    def converged(self) -> bool:
        return self.iter >= 3


@HMMS
def test_a_monitor_of_ones_own_is_kept_and_says_when_em_has_converged(cls: Any) -> None:
    plain = make(cls, n_iter=5, tol=-1).fit(X)
    course = plain.monitor_.history
    own = make(cls, n_iter=5)
    assert (own.monitor_.tol, own.monitor_.n_iter, own.monitor_.verbose) == (1e-2, 5, False)
    monitor = own.monitor_ = Threshold(course[2])
    own.fit(X)
    assert own.monitor_ is monitor
    assert monitor.history == course[:3]
    assert own.fit(X).monitor_ is monitor
    assert monitor.history == course[:3], "the course of another fit begins anew"
    monitor.tol = np.inf
    assert len(own.fit(X).monitor_.history) == 5, "n_iter holds as well"
    patient = make(cls, n_iter=5)
    patient.monitor_ = Patient(patient.tol, patient.n_iter)
    assert patient.fit(X).monitor_.history == course[:3]
    assert type(patient.monitor_) is Patient


def test_a_long_recording_takes_memory_in_proportion() -> None:
    import tracemalloc

    x = np.random.default_rng(0).standard_normal((300_000, 2))
    for cls in (GaussianHMM, GMMHMM):
        model = make(cls, n_iter=1).fit(x[:1000])
        model.init_params = ""
        tracemalloc.start()
        model.fit(x)
        model.predict(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * x.nbytes, (cls, peak / x.nbytes)


@EVERY
def test_one_frame_or_fewer_than_components_have_an_answer_or_a_sentence(cls: Any) -> None:
    if cls is GMM:
        with pytest.raises(ValueError, match="4 components need as many frames, got 3"):
            GMM(4).fit(X[:3])
        assert np.isfinite(GMM(1).fit(X[:1]).score(X[:1]))
        return
    for n in (1, 3):
        fitted = make(cls, n_components=4).fit(X[:n])
        assert np.isfinite(fitted.score(X[:n]))
        assert len(fitted.predict(X[:n])) == n


def test_a_refusal_is_one_sentence() -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        GaussianHMM(0, covariance_type="foo", tol=np.nan).fit(X)
    assert re.fullmatch(r"GaussianHMM: [^\n]+", str(refusal.value))
