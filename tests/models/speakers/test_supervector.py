"""Supervectors against plain loops and numpy.cov, and against what was planted in synthetic takes."""

from typing import Any

import numpy as np
import pytest
import torch

from helpers.spoken_phrases import N_FEATURES, N_STATIC, all_against_all, separation, takes
from phonaut.models.speakers import Utterances
from phonaut.models.speakers.supervector import (
    Supervector,
    left_to_right,
    medoid_of,
    shrunk,
    statistics,
    within_class_covariance,
)

BACKGROUND = takes(range(10, 18), range(3), 3)


def trained(background: Utterances = BACKGROUND, **options: Any) -> Supervector:
    system = Supervector(n_features=N_FEATURES, n_states=6, n_iter=3, **options)
    system.begin(background, 0)
    while not system.done:
        system.step()
    return system


@pytest.fixture(scope="module")
def system() -> Supervector:
    return trained()


def tried(
    system: Supervector, phrases: range, order: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores of all recordings against all models of 4 new speakers, and which of the trials are what."""
    enrol, test = takes(range(4), phrases, 3), takes(range(4), phrases, 3, seed=1)
    names, model = np.unique(np.char.add(enrol["speaker"], enrol["phrase"]), return_inverse=True)
    rows = np.arange(len(enrol)) if order is None else order
    references = system.enrol(system.represent(enrol.select(rows)), model[rows])
    m, r = all_against_all(len(names), len(test))
    voice = np.array([name[:2] for name in names])[m] == test["speaker"][r]
    phrase = np.array([name[2:] for name in names])[m] == test["phrase"][r]
    found = system.score(references, system.represent(test), m, r)
    return found, {"own": voice & phrase, "impostor": phrase & ~voice, "wrong": voice & ~phrase}


@pytest.mark.oracle
def test_statistics_and_map_supervectors_are_those_of_loops(system: Supervector) -> None:
    some = system.side_by_side(BACKGROUND.select([0, 5, 40]))
    phrase = system.of_phrase(1)
    states, _ = system.align(some, phrase)
    found = system.raw_supervectors(some, states, phrase["centres"])
    for b in range(3):
        frames = some.of(b)[:, :N_STATIC].astype(np.float64)
        path = states[some.starts[b] : some.starts[b] + some.lengths[b]]
        for s in range(6):
            n, total = 0, np.zeros(N_STATIC)
            for x, state in zip(frames, path, strict=True):
                if state == s:
                    n, total = n + 1, total + x - phrase["centres"][s]
            np.testing.assert_allclose(found[b].reshape(6, -1)[s], total / (n + 3.0), rtol=1e-9, atol=1e-12)


@pytest.mark.oracle
def test_states_without_frames_stay_at_the_mean() -> None:
    n, first = statistics(np.ones((3, 2)), np.array([1, 0, 2]), np.array([2, 0, 0]), np.zeros((4, 2)))
    assert n.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert first[..., 0].tolist() == n.tolist()


@pytest.mark.oracle
def test_the_covariance_within_classes_is_numpys_class_by_class() -> None:
    rng = np.random.default_rng(0)
    vectors, classes = rng.standard_normal((30, 4)), np.append(rng.integers(0, 5, 29), 5)
    total, n = np.zeros((4, 4)), 0
    for c in range(6):
        of = vectors[classes == c]
        if len(of) > 1:
            total += np.cov(of, rowvar=False, bias=False) * (len(of) - 1)
            n += len(of) - 1
    found = within_class_covariance(vectors, classes)
    np.testing.assert_allclose(found, total / n, rtol=1e-12)
    less = shrunk(found, 0.1)
    np.testing.assert_allclose(np.diagonal(less), np.diagonal(found), rtol=1e-12)
    np.testing.assert_allclose(less[0, 1], 0.9 * found[0, 1], rtol=1e-12)


@pytest.mark.oracle
def test_supervectors_of_the_background_are_white_within_speakers() -> None:
    system = trained(shrinkage=0.0, background=takes(range(10, 24), range(3), 5))
    whitened, classes = [], []
    for p, some in enumerate(system.takes):
        phrase = system.of_phrase(p)
        raw = system.raw_supervectors(some, system.align(some, phrase)[0], phrase["centres"]) - phrase["offset"]
        np.testing.assert_allclose(raw.mean(axis=0), 0.0, atol=1e-12)
        whitened.append(np.linalg.solve(system.factor, raw.T).T)
        classes.append(np.char.add(some["speaker"], some["phrase"]))
    vectors, names = np.concatenate(whitened), np.concatenate(classes)
    away = np.concatenate([vectors[names == name] - vectors[names == name].mean(axis=0) for name in np.unique(names)])
    covariance = away.T @ away / (len(away) - len(np.unique(names)))
    np.testing.assert_allclose(covariance, np.eye(len(covariance)), atol=1e-9)


@pytest.mark.oracle
def test_planted_voices_and_phrases_are_found(system: Supervector) -> None:
    found, trial = tried(system, range(3))
    assert separation(found["speaker"][trial["own"]], found["speaker"][trial["impostor"]]) > 0.95
    assert separation(found["phrase"][trial["own"]], found["phrase"][trial["wrong"]]) == 1.0
    assert (found["phrase"][trial["own"]] > 0).all()


@pytest.mark.oracle
def test_they_are_found_in_phrases_that_the_background_has_not(system: Supervector) -> None:
    found, trial = tried(system, range(7, 10))
    assert separation(found["speaker"][trial["own"]], found["speaker"][trial["impostor"]]) > 0.9
    assert separation(found["phrase"][trial["own"]], found["phrase"][trial["wrong"]]) == 1.0


@pytest.mark.oracle
def test_states_of_a_phrase_are_its_sounds(system: Supervector) -> None:
    course = np.random.default_rng((2, 1)).standard_normal((6, N_FEATURES))[:, :N_STATIC]
    centres = system.of_phrase(1)["centres"]
    nearest = np.square(centres[:, None] - course).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, np.arange(6))


@pytest.mark.parametrize("phrases", [range(3), range(7, 9)])
def test_order_and_batch_change_nothing(system: Supervector, phrases: range) -> None:
    whole, _ = tried(system, phrases)
    turned, _ = tried(system, phrases, np.random.default_rng(0).permutation(12 * len(phrases)))
    test = takes(range(2), phrases, 2, seed=1)
    enrol = system.represent(takes(range(2), phrases, 2))
    references = system.enrol(enrol, np.unique(enrol["phrase"], return_inverse=True)[1])
    m, r = all_against_all(len(phrases), len(test))
    together = system.score(references, system.represent(test), m, r)
    for name in system.scores:
        np.testing.assert_allclose(turned[name], whole[name], rtol=1e-7, atol=1e-9)
        for trial in (0, 3, 5):
            one = system.represent(test.select([r[trial]]))
            alone = system.score(references, one, m[[trial]], np.array([0]))[name]
            np.testing.assert_allclose(alone, together[name][[trial]], rtol=1e-7, atol=1e-9)


def test_a_recording_shorter_than_the_phrase_has_states_is_scored(system: Supervector) -> None:
    test = takes(range(1), range(2), 1, seed=1)
    short = Utterances(test.frames[:2], np.array([2, 0]), {})
    for phrases in (range(1), range(8, 9)):
        enrol = system.represent(takes(range(1), phrases, 1))
        references = system.enrol(enrol, np.array([0]))
        found = system.score(references, system.represent(short), np.array([0, 0]), np.array([0, 1]))
        assert all(np.isfinite(values).all() for values in found.values())
    tiny = Utterances(test.frames[:3], np.array([3]), {"phrase": np.array(["new"]), "speaker": np.array(["s"])})
    references = system.enrol(system.represent(tiny), np.array([0]))
    found = system.score(references, system.represent(test), np.array([0, 0]), np.array([0, 1]))
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_stored_model_scores_alike(system: Supervector) -> None:
    other = Supervector(n_features=N_FEATURES, n_states=6, n_iter=3)
    other.load_state_dict(system.state_dict())
    assert other.names == system.names
    for phrases in (range(3), range(7, 9)):
        (found, _), (again, _) = tried(system, phrases), tried(other, phrases)
        for name in system.scores:
            np.testing.assert_array_equal(again[name], found[name])


def test_training_that_was_stopped_ends_alike(system: Supervector) -> None:
    first = Supervector(n_features=N_FEATURES, n_states=6, n_iter=3)
    first.begin(BACKGROUND, 0)
    gained = [first.step()["log_likelihood"]]
    second = Supervector(n_features=N_FEATURES, n_states=6, n_iter=3)
    second.begin(BACKGROUND, 0)
    second.load_state_dict(first.state_dict())
    second.load_training_state(first.training_state())
    while not second.done:
        gained.append(second.step()["log_likelihood"])
    assert gained == sorted(gained)
    assert len(gained) == 3
    for name, value in system.tensors().items():
        assert torch.equal(second.tensors()[name], value)


def test_the_medoid_is_the_take_amid_the_others_whatever_their_order() -> None:
    sounds, lengths = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([4, 6, 5])
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        assert order[medoid_of(np.repeat(sounds[order], lengths[order], axis=0), lengths[order])] == 1
    for order in ([0, 1], [1, 0]):  # of two, the longer
        assert order[medoid_of(np.repeat(sounds[order], lengths[order], axis=0), lengths[order])] == 1


def test_the_chain_of_a_phrase_goes_from_left_to_right() -> None:
    chains = left_to_right(np.array([0.5, 0.6, 0.7]))
    assert not np.tril(chains.transition[0], -1).any()
    np.testing.assert_allclose(np.diagonal(chains.transition[0], 1), [0.5, 0.4])
    assert chains.exit_probabilities[0, 2] == pytest.approx(0.3)


def test_without_phrases_it_says_what_to_use() -> None:
    silent = BACKGROUND.replaced(phrase=np.full(len(BACKGROUND), ""))
    with pytest.raises(ValueError, match="without phrases, use gmm_ubm or ivector"):
        trained(silent)
    with pytest.raises(ValueError, match="min_speakers=9 of the background's 8 speakers"):
        trained(min_speakers=9)
    with pytest.raises(ValueError, match="must say a phrase twice"):
        trained(takes(range(10, 14), range(2), 1))


@pytest.mark.parametrize("phrase", [["", ""], ["p1", "p2"]])
def test_a_model_has_one_phrase(system: Supervector, phrase: list[str]) -> None:
    enrol = system.represent(takes(range(1), range(2), 1)).replaced(phrase=np.array(phrase))
    with pytest.raises(ValueError, match="need one phrase a model; model 4 has"):
        system.enrol(enrol, np.array([4, 4]))


def test_parameters_that_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match="missing: phrases:names"):
        Supervector(n_features=3).load_tensors({"within:factor": torch.eye(2)})
