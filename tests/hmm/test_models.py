"""What every hidden Markov model promises, asked of all of them."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from phonaut.densities.flow_mixture import FlowMixtures
from phonaut.densities.reseeding import reseed
from phonaut.hmm import GMM, GMMHMM, GSHMM, GaussianHMM, GenHMM, LatHMM, ObjectiveFellWarning, base

FLOWS: list[Any] = [GenHMM, LatHMM, GSHMM]
ALL: list[Any] = [GaussianHMM, GMMHMM, *FLOWS]
MODELS = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


def make(cls: Any, n: int = 2, **changes: Any) -> Any:
    """A model of two components a state, and of small flows in float64."""
    small: dict[str, Any] = {"random_state": 0, "n_iter": 4, "tol": -1.0}
    if cls is not GaussianHMM:
        small["n_mix"] = 2
    if cls in FLOWS:
        small |= {"n_couplings": 2, "n_hidden": 4, "dtype": "float64", "n_passes": 2, "batch_size": 0}
    return cls(n, **small | changes)


def data(n: int = 60, d: int = 3) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) + 3 * rng.integers(0, 2, n)[:, None]
    x[:, 1] += 0.3 * x[:, 0] ** 2
    return x, [1, n // 3, n // 4, n - 1 - n // 3 - n // 4]


def same(one: Any, other: Any, tolerance: float = 0.0) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=tolerance, atol=tolerance, err_msg=name)


# --- EM


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, list[int], int]:
    """Frames that models choke on: few, constant, duplicated, tiny, huge; more components than frames."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    d = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    x = rng.standard_normal((sum(lengths), d))
    if draw(st.booleans()):
        x = x[rng.integers(0, max(1, len(x) // 3), len(x))]
    if draw(st.booleans()):
        x[:, 0] = draw(st.sampled_from([0.0, 5.0]))
    if draw(st.booleans()):
        x += 10.0
    return x * draw(st.sampled_from([1e-8, 1.0, 1e8])), lengths, draw(st.integers(1, 5))


def check_rises(fitted: Any, n_frames: int) -> None:
    rises = np.diff(fitted.monitor_.objective)
    slack = 1e-7 * np.abs(fitted.monitor_.objective[:-1]) + 1e-8 * n_frames
    assert (rises >= -slack).all(), fitted.monitor_.objective
    for name, value in fitted.state_dict().items():
        assert np.isfinite(value).all(), name


@MODELS
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems())
def test_the_penalised_objective_never_falls(cls: Any, problem: tuple[np.ndarray, list[int], int]) -> None:
    x, lengths, n = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveFellWarning)  # rounding, at 1e8: the step is taken back
        fitted = make(cls, n, n_iter=6).fit(x, lengths)
    check_rises(fitted, len(x))
    assert np.isfinite(fitted.score(x, lengths))
    assert fitted.predict(x, lengths).shape == (len(x),)


@pytest.mark.parametrize("kind", ["full", "tied", "spherical"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems())
def test_nor_with_other_covariances(kind: str, problem: tuple[np.ndarray, list[int], int]) -> None:
    x, lengths, n = problem
    for cls in (GaussianHMM, GMMHMM):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ObjectiveFellWarning)
            check_rises(make(cls, n, n_iter=6, covariance_type=kind).fit(x, lengths), len(x))


@pytest.mark.parametrize("cls", FLOWS, ids=lambda cls: cls.__name__)
def test_gradient_steps_that_are_far_too_long_are_taken_back(cls: Any) -> None:
    x, lengths = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = make(cls, learning_rate=50.0, n_iter=5).fit(x, lengths)
    check_rises(fitted, len(x))


@pytest.mark.parametrize("cls", FLOWS, ids=lambda cls: cls.__name__)
def test_the_learning_rate_decays_by_the_step(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    plain = FlowMixtures.improve

    def noted(*arguments: Any, **named: Any) -> Any:
        rates.append(named["learning_rate"])
        return plain(*arguments, **named)

    monkeypatch.setattr(FlowMixtures, "improve", noted)
    make(cls, n_iter=3).fit(*data())
    np.testing.assert_allclose(rates, [4e-3, 4e-3 * 0.98, 4e-3 * 0.98**2])
    make(cls, n_iter=1, learning_rate=1e-5).fit(*data())
    assert rates[3] == 1e-4  # the least


def test_a_lost_component_is_seeded_anew_where_that_is_worth_it() -> None:
    """Two components of three far clusters of frames; the third stands where nothing is."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((100, 1)) + at for at in (-50.0, 0.0, 50.0)])
    lost = GMMHMM(1, 3, init_params="", n_iter=60, tol=-1)
    lost.startprob_, lost.transmat_ = np.ones(1), np.ones((1, 1))
    lost.weights_ = np.array([[0.5, 0.5, 0.0]])
    lost.means_, lost.covars_ = np.array([[[-50.0], [25.0], [1e6]]]), np.array([[[4.0], [900.0], [1.0]]])
    lost.fit(x)
    np.testing.assert_allclose(np.sort(lost.means_.ravel()), [-50, 0, 50], atol=1.0)
    np.testing.assert_allclose(lost.weights_, 1 / 3, atol=0.01)
    check_rises(lost, len(x))
    of_mixture = GMM(
        3, weights_init=np.array([0.5, 0.5, 0.0]), means_init=lost.means_[0] * 0 + [[-50.0], [25.0], [1e6]],
        precisions_init=np.array([[[1 / 4]], [[1 / 900]], [[1.0]]]), max_iter=300, tol=0.0,
    )  # fmt: skip
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore")
        of_mixture.fit(x)
    np.testing.assert_allclose(np.sort(of_mixture.means_.ravel()), [-50, 0, 50], atol=1.0)


def test_reseeding_leaves_alone_what_is_not_empty() -> None:
    means = np.zeros((1, 2, 1))
    assert not reseed(np.array([[50.0, 1.0]]), np.full((1, 2), 0.5), means, np.ones((1, 2, 1)), [])
    assert not means.any()


@pytest.mark.parametrize("cls", [GaussianHMM, GMMHMM], ids=lambda cls: cls.__name__)
def test_reseeding_that_made_it_worse_is_as_if_it_had_never_been(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, lengths = data()
    undisturbed = make(cls, n_iter=6).fit(x, lengths)
    tried: list[int] = []

    def away(self: Any) -> bool:
        if len(tried) == 2:
            return False
        tried.append(self.monitor_.iter)
        self.means_ = self.means_ + 1e3
        return True

    monkeypatch.setattr(cls, "reseed", away)
    disturbed = make(cls, n_iter=6).fit(x, lengths)
    assert len(tried) == 2
    assert disturbed.monitor_.objective == undisturbed.monitor_.objective
    same(disturbed, undisturbed)


# --- one way and another


@MODELS
def test_a_fit_cut_in_two_by_a_file_is_the_same_fit(cls: Any, tmp_path: Path) -> None:
    x, lengths = data()
    whole = make(cls, n_iter=5).fit(x, lengths)
    half = make(cls, n_iter=2).fit(x, lengths)
    half.save(tmp_path / "half.safetensors")
    again = cls.load(tmp_path / "half.safetensors")
    assert again.score(x, lengths) == half.score(x, lengths)
    assert again.get_params() == half.get_params()
    assert again.monitor_.history == half.monitor_.history
    if cls not in FLOWS:  # where the learning rate follows from the step, which a new fit counts from 0
        again.set_params(init_params="", n_iter=3).fit(x, lengths)
        same(again, whole)


class Killed(BaseException):
    """What a kill looks like from within."""


@MODELS
@pytest.mark.parametrize("steps", [1, 3])
def test_a_fit_that_was_killed_goes_on_to_the_same_result(
    cls: Any, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, lengths = data()
    whole = make(cls, n_iter=5).fit(x, lengths)
    path, made = str(tmp_path / "fit.safetensors"), make(cls, n_iter=5)
    written, write = [], cls._write

    def kill_later(*arguments: Any, **more: Any) -> None:
        write(*arguments, **more)
        written.append(1)
        if len(written) == steps:
            raise Killed

    made.checkpoint = path
    monkeypatch.setattr(cls, "_write", kill_later)
    with pytest.raises(Killed):
        made.fit(x, lengths)
    monkeypatch.undo()
    resumed = make(cls, n_iter=5, checkpoint=path).fit(x, lengths)
    same(resumed, whole)
    assert resumed.monitor_.objective == whole.monitor_.objective
    finished = make(cls, n_iter=5, checkpoint=path).fit(x, lengths)
    same(finished, whole)
    with pytest.raises(ValueError, match="a fit to other frames"):
        make(cls, checkpoint=path).fit(x + 1, lengths)
    with pytest.raises(ValueError, match="with another n_components"):
        make(cls, 3, checkpoint=path).fit(x, lengths)
    with pytest.raises(ValueError, match="n_restarts must be 1"):
        make(cls, checkpoint=path, n_restarts=2).fit(x, lengths)


def started_mixture() -> GMM:
    return GMM(
        2, means_init=data()[0][:2], weights_init=[0.5, 0.5], precisions_init=[np.eye(3)] * 2, tol=-1.0, max_iter=5
    )


def in_process(rank: int, folder: str) -> None:
    """One of two processes: every second sequence is its own."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    x, lengths = data()
    parts = np.split(x, np.cumsum(lengths)[:-1])[rank::2]
    for cls in ALL:
        start = cls.load(f"{folder}/{cls.__name__}.start")
        start.init_params = ""
        start.fit(parts).save(f"{folder}/{cls.__name__}.{rank}")
    mixture = started_mixture().fit(np.concatenate(parts))
    np.save(f"{folder}/mixture.{rank}.npy", np.append(mixture.means_, mixture.lower_bounds_))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    x, lengths = data()
    parts = np.split(x, np.cumsum(lengths)[:-1])
    for cls in ALL:
        make(cls, n_iter=0).fit(x, lengths).save(tmp_path / f"{cls.__name__}.start")
        start = cls.load(tmp_path / f"{cls.__name__}.start")
        start.set_params(init_params="", n_iter=4).save(tmp_path / f"{cls.__name__}.start")
    torch.multiprocessing.start_processes(in_process, (str(tmp_path),), nprocs=2, start_method="forkserver")
    for cls in ALL:
        one = cls.load(tmp_path / f"{cls.__name__}.start")
        one.init_params = ""
        one.fit(parts[0::2] + parts[1::2])
        two = [cls.load(tmp_path / f"{cls.__name__}.{rank}") for rank in range(2)]
        same(two[0], two[1])
        same(two[0], one, tolerance=1e-6)
    mixture = started_mixture().fit(x)
    for rank in range(2):
        of_two = np.load(tmp_path / f"mixture.{rank}.npy")
        np.testing.assert_allclose(of_two, np.append(mixture.means_, mixture.lower_bounds_), rtol=1e-9)


@MODELS
def test_the_order_of_sequences_changes_nothing(cls: Any) -> None:
    x, lengths = data()
    parts = np.split(x, np.cumsum(lengths)[:-1])
    fitted = make(cls).fit(parts)
    scores = [fitted.score(part) for part in parts]
    assert fitted.score(parts[::-1]) == pytest.approx(sum(scores), abs=1e-9)
    posteriors = np.split(fitted.predict_proba(parts), np.cumsum(lengths)[:-1])
    for part, posterior in zip(parts, posteriors, strict=True):
        np.testing.assert_allclose(fitted.predict_proba(part), posterior, atol=1e-9)
        np.testing.assert_allclose(posterior.sum(axis=1), 1.0)
        np.testing.assert_allclose(fitted.filter(part)[-1], fitted.predict_proba(part)[-1], atol=1e-9)


@MODELS
def test_how_much_is_worked_on_at_once_changes_nothing(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, lengths = data()
    whole = make(cls).fit(x, lengths)
    monkeypatch.setattr(base, "PART_CELLS", 40)  # of frames times states: some sequences at once, and a longer one
    parts = [rows for rows, _ in whole._parts(np.array(lengths))]
    assert len(parts) > 2
    assert (parts[0].start, parts[-1].stop) == (0, len(x))
    same(make(cls).fit(x, lengths), whole, tolerance=1e-9)
    for method in ("score", "predict_proba", "filter", "predict"):
        in_parts = getattr(whole, method)(x, lengths)
        with monkeypatch.context() as patch:
            patch.setattr(base, "PART_CELLS", 2**20)
            np.testing.assert_allclose(in_parts, getattr(whole, method)(x, lengths), atol=1e-9)


@MODELS
def test_seeds_decide(cls: Any) -> None:
    x, lengths = data()
    batches = {"batch_size": 16} if cls in FLOWS else {}
    same(make(cls, **batches).fit(x, lengths), make(cls, **batches).fit(x, lengths))
    one, other = make(cls).fit(x, lengths), make(cls, random_state=1).fit(x, lengths)
    assert one.score(x, lengths) != other.score(x, lengths)
    several = make(cls, n_restarts=3).fit(x, lengths)
    assert several.monitor_.objective[-1] >= one.monitor_.objective[-1]


@MODELS
def test_learning_from_parts_comes_near_to_learning_from_all(cls: Any) -> None:
    x = data(600)[0]
    parts = np.array_split(x, 20)
    learner = make(cls)
    first = make(cls, n_iter=0).fit(x).score(parts)
    for part in parts * 3:
        learner.partial_fit(part)
    assert learner.monitor_.iter == 60
    assert learner.score(parts) > first
    assert learner.score(parts) > make(cls, n_iter=20).fit(parts).score(parts) - 0.3 * len(x)


@MODELS
def test_nothing_is_trained_where_nothing_is_asked_for(cls: Any) -> None:
    x, lengths = data()
    start = make(cls, n_iter=0).fit(x, lengths)
    kept = start.state_dict()
    start.set_params(n_iter=3, params="t", init_params="").fit(x, lengths)
    for name, value in start.state_dict().items():
        assert np.array_equal(value, kept[name]) == (name != "transmat_"), name


@MODELS
@pytest.mark.parametrize("prior", [1.0, 3.0])
def test_structural_zeros_survive(cls: Any, prior: float) -> None:
    x, lengths = data()
    left_to_right = make(cls, 3, init_params="mcwlf", startprob_prior=prior, transmat_prior=prior)
    left_to_right.startprob_ = np.array([1.0, 0.0, 0.0])
    left_to_right.transmat_ = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    left_to_right.fit(x, lengths)
    assert left_to_right.startprob_.tolist() == [1.0, 0.0, 0.0]
    assert left_to_right.transmat_[[0, 1, 2, 2], [2, 0, 0, 1]].tolist() == [0.0] * 4


@MODELS
def test_it_samples_what_it_explains(cls: Any) -> None:
    x, lengths = data(300)
    fitted = make(cls, n_iter=10).fit(x, lengths)
    sampled, states = fitted.sample(4000, random_state=1)
    assert sampled.shape == (4000, 3)
    assert set(states) <= {0, 1}
    np.testing.assert_allclose(sampled.mean(axis=0), x.mean(axis=0), atol=0.5)
    assert fitted.score(sampled) / 4000 == pytest.approx(fitted.score(x, lengths) / 300, abs=0.7)
    np.testing.assert_array_equal(sampled, fitted.sample(4000, random_state=1)[0])
    assert fitted.sample(3, currstate=1)[1][0] == 1


@MODELS
@pytest.mark.parametrize(
    ("x", "lengths", "why"),
    [
        (np.full((5, 3), np.nan), None, "got nan in frame 0"),
        (np.full((5, 3), np.inf), None, "got inf in frame 0"),
        (np.zeros((0, 3)), None, "there are no frames"),
        (np.zeros((5, 2)), None, "X has 2 features, but .* is expecting 3"),
        (np.zeros((5, 3)), [2, 2], "add up to 5 frames; they add up to 4"),
        (np.zeros((5, 3)), [5, 0], "numbers from 1 on"),
        (np.zeros(5), None, r"write x.reshape\(-1, 1\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], None, "with one D"),
    ],
)
def test_frames_that_make_no_sense_are_refused(cls: Any, x: Any, lengths: Any, why: str) -> None:
    fitted = make(cls, n_iter=1).fit(*data())
    kept = fitted.state_dict()
    for method in ("score", "predict", "filter", "partial_fit"):
        with pytest.raises(ValueError, match=why):
            getattr(fitted, method)(x, lengths)
    fitted.init_params = ""
    with pytest.raises(ValueError, match=why):
        fitted.fit(x, lengths)
    for name, value in fitted.state_dict().items():
        assert value is kept[name], "an error lost what was learnt"


@MODELS
def test_one_frame_and_frames_in_any_layout_have_an_answer(cls: Any) -> None:
    x, lengths = data()
    fitted = make(cls).fit(x, lengths)
    assert fitted.predict(x[:1]).shape == (1,)
    assert np.isfinite(fitted.score(x[:1]))
    assert fitted.score(np.asfortranarray(x), lengths) == fitted.score(x, lengths)
    assert fitted.score(x[::-1][::-1], lengths) == fitted.score(x, lengths)
    assert fitted.score(x.astype(np.float32), lengths) == pytest.approx(fitted.score(x, lengths), rel=1e-5)
    assert fitted.score(x.tolist(), lengths) == fitted.score(x, lengths)
    alone = make(cls, n_iter=2).fit(x[:1])
    assert np.isfinite(alone.score(x[:1]))


@MODELS
def test_what_is_not_fitted_says_so(cls: Any) -> None:
    x, _ = data()
    asked: list[tuple[str, tuple[Any, ...]]] = [
        ("score", (x,)), ("predict", (x,)), ("predict_proba", (x,)), ("score_samples", (x,)), ("filter", (x,)),
        ("decode", (x,)), ("sample", (5,)), ("aic", (x,)), ("bic", (x,)), ("statistics", (x,)),
        ("get_stationary_distribution", ()),
    ]  # fmt: skip
    for method, arguments in asked:
        with pytest.raises(NotFittedError, match=f"this {cls.__name__} is not fitted: call fit first"):
            getattr(make(cls), method)(*arguments)
    half = make(cls)
    half.startprob_, half.transmat_ = np.full(2, 0.5), np.full((2, 2), 0.5)
    with pytest.raises(NotFittedError, match="are not fitted: call fit first, or set"):
        half.score(x)


@MODELS
def test_files_of_other_models_are_refused(cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    other = GMMHMM if cls is GaussianHMM else GaussianHMM
    make(other, n_iter=1).fit(*data()).save(path)
    with pytest.raises(ValueError, match=f"holds {other.__name__}, not a {cls.__name__}"):
        cls.load(path)
    fitted = make(cls, n_iter=1).fit(*data())
    monkeypatch.setattr(cls, "state_dict", lambda self: {"fit": np.zeros(1)})
    fitted.save(path)
    with pytest.raises(ValueError, match="holds fit, which a"):
        cls.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no model of Phonaut"):
        cls.load(path)


@MODELS
def test_every_setting_is_explained(cls: Any) -> None:
    """Where its class says: the emissions, or the chain."""
    texts = [one.__doc__ or "" for one in (*cls.__mro__, *cls.emissions_class.__mro__)]
    for name in inspect.signature(cls).parameters:
        assert name == "n_components" or any(f"        {name}: " in text for text in texts), name


@MODELS
@pytest.mark.parametrize("n_frames", [1, 100_000])
def test_sequences_may_be_as_long_as_they_like(cls: Any, n_frames: int) -> None:
    x = np.random.default_rng(0).standard_normal((n_frames, 1))
    fitted = make(cls, n_iter=0).fit(x[:1000])
    assert np.isfinite(fitted.score(x))
    assert fitted.predict(x).shape == (n_frames,)


# --- one model as a case of another


def as_flows(cls: Any, gaussian: Any, weights: np.ndarray, means: np.ndarray, covars: np.ndarray) -> Any:
    """A model without couplings, and a scale and shift, that is the Gaussian one."""
    made = cls(3, means.shape[1], n_couplings=0, dtype="float64", gamma_prior=(1.0, 0.0), init_params="", tol=-np.inf)
    made.startprob_, made.transmat_ = gaussian.startprob_, gaussian.transmat_
    made.shift_, made.stretch_, made.seed_ = np.array([1.0, -2.0]), np.array([0.5, 3.0]), np.array([0])
    made.weights_ = weights
    made.latent_means_ = (means - made.shift_) / made.stretch_
    made.latent_scales_ = np.sqrt(covars) / made.stretch_
    made.flows_ = np.zeros((made.n_flows, 0))
    return made


@pytest.mark.parametrize("cls", FLOWS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("n_mix", [1, 3])
def test_with_flows_that_scale_and_shift_it_is_a_gaussian_mixture(cls: Any, n_mix: int) -> None:
    rng = np.random.default_rng(0)
    plain = GMMHMM(3, n_mix, covars_prior=-1.5, covars_weight=0.0, init_params="", n_iter=5, tol=-np.inf)
    plain.startprob_, plain.transmat_ = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
    plain.weights_ = rng.dirichlet(np.ones(n_mix), 3)
    plain.means_, plain.covars_ = rng.standard_normal((3, n_mix, 2)) * 2, rng.uniform(0.5, 2, (3, n_mix, 2))
    x, _ = plain.sample(400, random_state=1)
    lengths = [100, 1, 299]
    flows = as_flows(cls, plain, plain.weights_, plain.means_, plain.covars_)
    assert flows.score(x, lengths) == pytest.approx(plain.score(x, lengths), abs=1e-8)
    np.testing.assert_allclose(flows.predict_proba(x, lengths), plain.predict_proba(x, lengths), atol=1e-9)
    if n_mix == 1:
        gaussian = GaussianHMM(3, covars_prior=0.0, init_params="", n_iter=5, tol=-np.inf)
        gaussian.startprob_, gaussian.transmat_ = plain.startprob_, plain.transmat_
        gaussian.means_, gaussian.covars_ = plain.means_[:, 0], plain.covars_[:, 0]
        gaussian.fit(x, lengths)
    plain.fit(x, lengths)
    flows.set_params(n_iter=5).fit(x, lengths)
    np.testing.assert_allclose(flows.monitor_.history, plain.monitor_.history, rtol=1e-10)
    np.testing.assert_allclose(flows.latent_means_ * flows.stretch_ + flows.shift_, plain.means_, rtol=1e-7)
    np.testing.assert_allclose(np.square(flows.latent_scales_ * flows.stretch_), plain.covars_, rtol=1e-7)
    if n_mix == 1:
        np.testing.assert_allclose(flows.monitor_.history, gaussian.monitor_.history, rtol=1e-10)


@pytest.mark.parametrize("cls", FLOWS, ids=lambda cls: cls.__name__)
def test_flows_explain_a_bent_distribution_better_than_gaussians_on_frames_they_have_not_seen(cls: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2))
    x[:, 1] = x[:, 0] ** 2 + 0.2 * x[:, 1]
    bent = cls(1, 1, n_couplings=4, random_state=0, n_iter=30, batch_size=256).fit(x[:2000])
    plain = GMMHMM(1, 1, covariance_type="full").fit(x[:2000])
    truth = -0.5 * (x[2000:, 0] ** 2 + ((x[2000:, 1] - x[2000:, 0] ** 2) / 0.2) ** 2) - np.log(2 * np.pi * 0.2)
    assert plain.score(x[2000:]) / 1000 < truth.mean() - 0.8
    assert bent.score(x[2000:]) / 1000 > truth.mean() - 0.15


@pytest.mark.cuda
@MODELS
def test_cuda_is_the_cpu(cls: Any) -> None:
    x, lengths = data()
    on_cpu, on_gpu = make(cls).fit(x, lengths), make(cls, device="cuda").fit(x, lengths)
    np.testing.assert_allclose(on_gpu.monitor_.objective, on_cpu.monitor_.objective, rtol=1e-6)
    np.testing.assert_allclose(on_gpu.predict_proba(x), on_cpu.predict_proba(x), atol=1e-5)


def test_models_print_their_settings_that_were_chosen_and_what_em_came_to() -> None:
    model, x = GaussianHMM(3, n_iter=2), np.random.default_rng(0).normal(size=(60, 2))
    assert repr(model) == "GaussianHMM(n_components=3, n_iter=2)"
    assert repr(GMMHMM(2, params="m")) == "GMMHMM(n_components=2, params='m')"
    fitted = repr(model.fit(x))
    assert fitted.startswith("GaussianHMM(n_components=3, n_iter=2): log-likelihood -")
    assert fitted.endswith("after 2 EM steps, not converged")
    assert repr(GMM(2, random_state=0).fit(x)).startswith("GMM(n_components=2, random_state=0): log-likelihood -")
