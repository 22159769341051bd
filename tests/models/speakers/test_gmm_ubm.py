"""GMM-UBM against loops over frames, scikit-learn's densities and itself in other orders."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from phonaut.models.speakers import Utterances
from phonaut.models.speakers.gmm_ubm import GMMUBM, best_other

D, K = 3, 6
SPEAKERS, WORDS = ("anna", "bert", "carl", "dora"), ("no", "yes")


def utterances(seed: int = 0, words: tuple[str, ...] = WORDS, takes: int = 2) -> Utterances:
    """Recordings of every speaker and word, whose frames lie about means of both."""
    rng = np.random.default_rng(seed)
    rows = [(speaker, word) for speaker in SPEAKERS for word in words for _ in range(takes)]
    lengths = rng.integers(15, 40, len(rows))
    centres = {name: np.random.default_rng(len(name) + ord(name[0])).standard_normal((2, D)) * 1.5
               for name in (*SPEAKERS, *words)}  # fmt: skip
    frames = np.concatenate([
        (centres[speaker] * 0.5 + centres[word])[rng.integers(0, 2, n)] + rng.standard_normal((n, D))
        for (speaker, word), n in zip(rows, lengths, strict=True)
    ])  # fmt: skip
    speaker, phrase = (np.array(column) for column in zip(*rows, strict=True))
    return Utterances(frames.astype(np.float32), lengths, {"speaker": speaker, "phrase": phrase})


def trained(**options: Any) -> GMMUBM:
    system = GMMUBM(n_features=D, **{"n_components": K, "em_steps": 4, "phrase_stream": "as_is", **options})
    system.begin(utterances(), seed=1)
    while not system.done:
        system.step()
    return system


@pytest.fixture(scope="module")
def system() -> Callable[..., GMMUBM]:
    """Systems by their options, each trained once; who changes one trains its own."""
    return cache(trained)


def enrolled(system: GMMUBM, data: Utterances | None = None) -> tuple[Utterances, Utterances, np.ndarray]:
    """References of a model a speaker and word, the recordings they are tested on, and owners of enrolment takes."""
    takes = utterances(5) if data is None else data
    owner = np.arange(len(takes)) // 2
    return system.enrol(system.represent(takes), owner), takes, owner


def all_trials(system: GMMUBM, references: Utterances, tested: Utterances) -> dict[str, np.ndarray]:
    m, b = len(references), len(tested)
    trials = np.repeat(np.arange(m), b), np.tile(np.arange(b), m)
    return {
        name: value.reshape(m, b) for name, value in system.score(references, system.represent(tested), *trials).items()
    }


def covariances(system: GMMUBM) -> np.ndarray:
    found = system.ubms["speaker"].emissions.covars_[0]
    return found if found.ndim == 3 else found[:, :, None] * np.eye(D)


def joint(x: np.ndarray, weights: np.ndarray, means: np.ndarray, covars: np.ndarray) -> np.ndarray:
    """`log w_k N(x_t; k)` by scipy, `(T, K)`."""
    return np.stack(
        [np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in zip(weights, means, covars, strict=True)],
        axis=1,
    )


def map_means(x: np.ndarray, weights: np.ndarray, means: np.ndarray, covars: np.ndarray, r: float) -> np.ndarray:
    """`(r mu + sum_t gamma_t x_t) / (r + n)` by loops over frames and components."""
    logs = joint(x, weights, means, covars)
    adapted = np.empty_like(means)
    for k in range(len(means)):
        n, total = 0.0, np.zeros(D)
        for t in range(len(x)):
            gamma = np.exp(logs[t, k] - logsumexp(logs[t]))
            n += gamma
            total += gamma * x[t]
        adapted[k] = (r * means[k] + total) / (r + n)
    return adapted


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full"])
def test_chain_from_background_to_phrase_to_model_is_map_by_loops(system: Any, kind: str) -> None:
    made = system(covariance_type=kind)
    ubm = made.ubms["speaker"].emissions
    weights, means, covars = ubm.weights_[0], ubm.means_[0], covariances(made)
    background = utterances()
    for p, word in enumerate(WORDS):
        x = np.concatenate([background.of(row) for row in np.flatnonzero(background["phrase"] == word)])
        np.testing.assert_allclose(
            means + made.phrase_offsets["speaker"][p],
            map_means(x.astype(float), weights, means, covars, 10.0),
            atol=1e-6,
        )
    references, takes, owner = enrolled(made)
    for m in (0, 3):
        base = means + made.phrase_offsets["speaker"][WORDS.index(references["phrase"][m])]
        x = np.concatenate([takes.of(row) for row in np.flatnonzero(owner == m)]).astype(float)
        np.testing.assert_allclose(
            means + references["offsets"][m], map_means(x, weights, base, covars, 3.0), atol=1e-6
        )


@pytest.mark.parametrize(("adapt_to", "key"), [("speaker", "speaker"), ("sentence", "phrase")])
def test_models_are_adapted_to_all_recordings_of_speaker_or_sentence(system: Any, adapt_to: str, key: str) -> None:
    made = system(adapt_to=adapt_to, phrase_models=False)
    references, takes, _ = enrolled(made)
    ubm = made.ubms["speaker"].emissions
    rows = np.flatnonzero(takes[key] == references[key][2])
    x = np.concatenate([takes.of(row) for row in rows]).astype(float)
    expected = map_means(x, ubm.weights_[0], ubm.means_[0], covariances(made), 3.0)
    np.testing.assert_allclose(ubm.means_[0] + references["offsets"][2], expected, atol=1e-6)
    same = np.flatnonzero(references[key] == references[key][2])
    assert len(same) > 1
    assert (references["offsets"][same] == references["offsets"][2]).all()


def test_components_without_frames_keep_their_means() -> None:
    made = trained(phrase_models=False, adapt="mwc")
    emissions = made.ubms["speaker"].emissions
    emissions.means_ = emissions.means_.copy()
    emissions.means_[0, 2] += 1e4
    takes = utterances(5)
    empty = Utterances(np.empty((0, D), np.float32), np.zeros(1, np.int64))
    references = made.enrol(made.represent(takes), np.zeros(len(takes), np.int64))
    assert (references["offsets"][0, 2] == 0).all()
    assert (references["offsets"][0, :2] != 0).any()
    np.testing.assert_allclose(references["covariances"][0, 2], emissions.covars_[0, 2], rtol=1e-6)
    assert np.isfinite(all_trials(made, references, takes)["speaker"]).all()
    silent = made.enrol(made.represent(empty), np.zeros(1, np.int64))
    assert (silent["offsets"] == 0).all()
    assert np.abs(all_trials(made, silent, takes)["speaker"]).max() < 1e-6
    assert (all_trials(made, references, empty)["speaker"] == 0).all()


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["diag", "full"])
@pytest.mark.parametrize("adapt", ["m", "mw", "mc", "mwc"])
def test_exact_ratios_are_differences_of_scikit_learns_log_likelihoods(system: Any, kind: str, adapt: str) -> None:
    from sklearn.mixture import GaussianMixture
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    def peer(weights: np.ndarray, means: np.ndarray, covars: np.ndarray) -> GaussianMixture:
        made = GaussianMixture(K, covariance_type=kind)
        made.weights_, made.means_, made.covariances_ = weights / weights.sum(), means, covars
        made.precisions_cholesky_ = _compute_precision_cholesky(covars, kind)
        return made

    made = system(covariance_type=kind, adapt=adapt, top_c=None, phrase_models=False)
    ubm = made.ubms["speaker"].emissions
    references, _, _ = enrolled(made)
    tested = utterances(8, takes=1)
    scores = all_trials(made, references, tested)
    assert list(scores) == ["speaker"]
    background = peer(ubm.weights_[0], ubm.means_[0], ubm.covars_[0])
    for m in range(len(references)):
        model = peer(
            references.columns.get("weights", ubm.weights_)[m if "w" in adapt else 0].astype(float),
            ubm.means_[0] + references["offsets"][m],
            references.columns.get("covariances", ubm.covars_)[m if "c" in adapt else 0].astype(float),
        )
        for b in range(len(tested)):
            x = tested.of(b).astype(float)
            expected = (model.score_samples(x) - background.score_samples(x)).mean()
            assert scores["speaker"][m, b] == pytest.approx(expected, abs=3e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full"])
def test_best_components_are_those_of_the_background_in_both_densities(system: Any, kind: str) -> None:
    made = system(covariance_type=kind, top_c=2, phrase_models=False)
    ubm, covars = made.ubms["speaker"].emissions, covariances(made)
    references, _, _ = enrolled(made)
    tested = utterances(8, takes=1)
    scores = all_trials(made, references, tested)["speaker"]
    for m in (0, 5):
        for b in (0, 3):
            x = tested.of(b).astype(float)
            of_ubm = joint(x, ubm.weights_[0], ubm.means_[0], covars)
            of_model = joint(x, ubm.weights_[0], ubm.means_[0] + references["offsets"][m], covars)
            ratios = []
            for t in range(len(x)):
                best = np.argsort(of_ubm[t])[-2:]
                ratios.append(logsumexp(of_model[t, best]) - logsumexp(of_ubm[t, best]))
            assert scores[m, b] == pytest.approx(np.mean(ratios), abs=3e-6)


def test_as_many_best_components_as_there_are_is_exact(system: Any) -> None:
    all_of_them, exact = system(top_c=K), system(top_c=None)
    tested = utterances(8)
    found = [all_trials(made, enrolled(made)[0], tested) for made in (all_of_them, exact)]
    for name in ("speaker", "phrase"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-6)


@pytest.mark.oracle
def test_both_scores_are_ratios_of_the_chain_s_densities(system: Any) -> None:
    made = system(top_c=None)
    ubm, covars = made.ubms["speaker"].emissions, covariances(made)
    references, takes, owner = enrolled(made, utterances(5, words=("no", "unheard")))
    tested = utterances(8, takes=1)
    scores = all_trials(made, references, tested)

    def mean_log(x: np.ndarray, offset: Any) -> float:
        return float(logsumexp(joint(x, ubm.weights_[0], ubm.means_[0] + offset, covars), axis=1).mean())

    of_phrases = made.phrase_offsets["speaker"]
    for b in (0, 1):
        x = tested.of(b).astype(float)
        no, yes = (mean_log(x, offset) for offset in of_phrases)
        model = mean_log(x, references["offsets"][0])
        assert scores["speaker"][0, b] == pytest.approx(model - no, abs=3e-6)
        assert scores["phrase"][0, b] == pytest.approx(no - yes, abs=3e-6)
        # Model 1 is of a phrase that the background does not have.
        own = np.concatenate([takes.of(row) for row in np.flatnonzero(owner == 1)]).astype(float)
        means = map_means(own, ubm.weights_[0], ubm.means_[0], covars, 10.0)
        unheard = mean_log(x, means - ubm.means_[0])
        model = mean_log(x, references["offsets"][1])
        assert scores["speaker"][1, b] == pytest.approx(model - mean_log(x, 0.0), abs=3e-6)
        assert scores["phrase"][1, b] == pytest.approx(unheard - max(no, yes), abs=3e-6)
    against_best = system(top_c=None, against="best")
    assert all_trials(against_best, references, tested)["speaker"][0, 1] == pytest.approx(
        mean_log(x, references["offsets"][0]) - max(no, yes), abs=3e-6
    )


def test_speakers_and_phrases_are_told_apart_without_ties_at_zero(system: Any) -> None:
    made = system(phrase_stream="cmvn")
    assert set(made.ubms) == {"speaker", "phrase"}
    references, _, _ = enrolled(made)
    tested = utterances(8)
    scores = all_trials(made, references, tested)
    same = {key: references[key][:, None] == tested[key] for key in ("speaker", "phrase")}
    right = same["speaker"] & same["phrase"]
    assert scores["speaker"][right].mean() > scores["speaker"][~same["speaker"] & same["phrase"]].mean() + 0.1
    assert scores["phrase"][same["phrase"]].mean() > scores["phrase"][~same["phrase"]].mean() + 0.1
    assert (scores["speaker"] < 0).any()
    assert len(np.unique(scores["speaker"])) == scores["speaker"].size


def test_texts_that_nobody_names_have_no_phrase_score(system: Any) -> None:
    made = system()
    takes = utterances(5).replaced(phrase=np.full(16, ""))
    assert list(all_trials(made, enrolled(made, takes)[0], utterances(8))) == ["speaker"]


def test_other_best_phrase_is_the_background_where_there_is_one_alone() -> None:
    np.testing.assert_array_equal(best_other(np.array([[1.0, 3.0, 2.0]])), [[3.0, 2.0, 3.0, 3.0]])
    np.testing.assert_array_equal(best_other(np.array([[1.0]])), [[0.0, 1.0]])
    np.testing.assert_array_equal(best_other(np.empty((1, 0))), [[0.0]])


@pytest.mark.parametrize("top_c", [2, None])
def test_scores_do_not_depend_on_batch_order_or_blocks(system: Any, top_c: Any, monkeypatch: Any) -> None:
    made = system(top_c=top_c, phrase_stream="cmvn")
    references, _, _ = enrolled(made)
    tested = utterances(8)
    whole = all_trials(made, references, tested)
    rng = np.random.default_rng(2)
    monkeypatch.setattr("phonaut.models.speakers.gmm_ubm.MODEL_CELLS", 3 * K * D)
    monkeypatch.setattr("phonaut.models.speakers.gmm_ubm.ALIGNED_CELLS", 60 * K)
    model, recording = rng.permutation(len(references)), rng.permutation(len(tested))[: len(references)]
    represented = Utterances.joined([made.represent(tested.select([row])) for row in range(len(tested))])
    some = made.score(references, represented, model, recording)
    for name in ("speaker", "phrase"):
        np.testing.assert_allclose(some[name], whole[name][model, recording], rtol=1e-12, atol=1e-14)
    backwards = np.arange(len(tested))[::-1]
    again = made.score(references, made.represent(tested.select(backwards)), model, len(tested) - 1 - recording)
    np.testing.assert_allclose(again["speaker"], some["speaker"], rtol=1e-12, atol=1e-14)


def test_models_do_not_depend_on_those_enrolled_beside_them(system: Any) -> None:
    made, takes = system(), utterances(5)
    represented = made.represent(takes)
    whole = made.enrol(represented, np.arange(16) // 2)
    alone = made.enrol(represented.select([6, 7]), np.full(2, 9))
    np.testing.assert_array_equal(alone["offsets"][0], whole["offsets"][3])
    assert alone["model"].tolist() == [9]
    order = np.array([7, *range(6), 6, *range(8, 16)])
    other = made.enrol(represented.select(order), order // 2)
    np.testing.assert_allclose(other["offsets"], whole["offsets"], atol=1e-6)
    assert (other["model"] == whole["model"]).all()


def test_resuming_after_any_step_gives_the_same_tensors() -> None:
    options: dict[str, Any] = {"n_features": D, "n_components": K, "em_steps": 3}
    whole = GMMUBM(**options)
    whole.begin(utterances(), seed=1)
    saved, steps = [], []
    while not whole.done:
        steps.append(dict(whole.step()))
        saved.append(({k: v.clone() for k, v in whole.tensors().items()}, whole.training_state()))
    assert len(steps) == 3
    assert set(steps[0]) == {"log_likelihood", "phrase_log_likelihood"}
    for tensors, state in saved[:-1]:
        again = GMMUBM(**options)
        again.begin(utterances(), seed=1)
        again.load_tensors(tensors)
        again.load_training_state(state)
        while not again.done:
            again.step()
        for name, value in whole.tensors().items():
            assert (again.tensors()[name] == value).all(), name
        assert again.tensors().keys() == whole.tensors().keys()


def test_loaded_parameters_give_the_same_scores(system: Any) -> None:
    made = system(phrase_stream="cmvn")
    again = GMMUBM(n_features=D, n_components=K)
    again.adopt({f"x.{k}": v for k, v in made.state_dict().items()}, "x.")
    assert all(":" in name for name in made.state_dict() if name != "placeholder")
    tested = utterances(8)
    for name, value in all_trials(made, enrolled(made)[0], tested).items():
        np.testing.assert_array_equal(all_trials(again, enrolled(again)[0], tested)[name], value)
    with pytest.raises(ValueError, match="has no means_"):
        again.load_tensors({"ubm:weights_": made.tensors()["ubm:weights_"]})


def test_streams_of_unlike_widths_are_kept_apart() -> None:
    made = trained(speaker_stream="static", phrase_stream="cmvn", n_static=2)
    scores = all_trials(made, enrolled(made)[0], utterances(8))
    alone = trained(speaker_stream="static", phrase_stream="static", n_static=2)
    np.testing.assert_array_equal(scores["speaker"], all_trials(alone, enrolled(alone)[0], utterances(8))["speaker"])


@pytest.mark.oracle
def test_training_in_blocks_and_in_float32_first_is_em_on_all_frames(monkeypatch: Any) -> None:
    monkeypatch.setattr("phonaut.models.speakers.ubm.WIDE_FRAMES", 50)
    made = trained(em_steps=30, tol=-1.0)
    x = utterances().frames.astype(np.float64)
    expected = made.ubms["speaker"].emissions.copy()
    assert not made.ubms["speaker"].coarse
    before = made.ubms["speaker"].monitor.history
    assert (np.diff(before) > -1e-3).all()
    expected.m_step(expected.statistics(x, None))
    mine = made.ubms["speaker"].emissions
    made.ubms["speaker"].step()
    np.testing.assert_allclose(mine.means_, expected.means_, atol=1e-9)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="6 components needs as many frames, got 5"):
        GMMUBM(n_features=D, n_components=K).begin(Utterances(np.zeros((5, D), np.float32), np.array([5])), 0)
    with pytest.raises(ValueError, match="adapt must be one of m, mw, mc, mwc, got w"):
        GMMUBM(n_features=D, adapt="w")  # type: ignore[arg-type]
