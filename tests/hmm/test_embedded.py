"""Embedded re-estimation against sums over every path of every way to say a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from phonaut.hmm import ObjectiveFellWarning, embedded, utterance_graph
from phonaut.hmm.embedded import PhoneModels
from phonaut.hmm.topology import Topology, alternatives, bakis, sentence, sequence
from phonaut.hmm.utterance_graph import UtteranceGraph

RNG = np.random.default_rng
SIL = 0  # the unit of silence
N_STATES = (1, 2, 1, 2)  # of silence and three phones
FIRST = np.array([0, 1, 3, 4])
WORDS = ([[1, 2], [3]], [[2]])  # two pronunciations of the first word, one of the second


def composed(words: Sequence[Sequence[Sequence[int]]] = WORDS, silence: float = 0.3) -> UtteranceGraph:
    """A sentence of words with variants, each a list of units."""
    model = [bakis(n, self_loop=0.0) for n in N_STATES]
    parts = [[alternatives([sequence(*(model[u] for u in said)) for said in variants])] for variants in words]
    nodes = [SIL]
    for variants in words:
        nodes += [unit for said in variants for unit in said] + [SIL]
    return utterance_graph.utterance_graph(sentence(parts, model[SIL], silence), nodes, FIRST)


def model_of(seed: int = 0, n_features: int = 2) -> PhoneModels:
    """Any parameters."""
    rng = RNG(seed)
    model = PhoneModels(N_STATES)
    model.initialize(rng.normal(size=(60, n_features)), np.arange(60) % 6)
    model.emissions.means_ = 3 * rng.normal(size=(6, 1, n_features))
    model.self_loop = rng.uniform(0.2, 0.8, 6)
    return model


def ways(words: Sequence[Sequence[Sequence[int]]] = WORDS, silence: float = 0.3) -> Iterator[tuple[list[int], float]]:
    """Every sequence of states (without how long they stay) that a sentence may be, and its probability."""
    for chosen in itertools.product(*(range(len(variants)) for variants in words)):
        for paused in itertools.product((False, True), repeat=len(words) + 1):
            units = [SIL] if paused[0] else []
            p = 1.0
            for variants, n, pause in zip(words, chosen, paused[1:], strict=True):
                units += [*variants[n], *([SIL] if pause else [])]
                p /= len(variants)
            for pause in paused:
                p *= silence if pause else 1 - silence
            yield [int(FIRST[unit]) + s for unit in units for s in range(N_STATES[unit])], p


class Path(NamedTuple):
    """A state for each frame, how often each of the six states follows itself, and the probability of both."""

    states: list[int]
    stays: np.ndarray
    p: float


def paths(length: int, model: PhoneModels, **of: Any) -> Iterator[Path]:
    """Every path. A unit that follows itself in the sentence is left and entered again: that is no stay."""
    for states, p in ways(**of):
        for cuts in itertools.combinations(range(1, length), len(states) - 1):
            n = np.diff([0, *cuts, length])
            stays = np.bincount(states, n - 1, 6)
            moves = np.prod(model.self_loop[states] ** (n - 1) * (1 - model.self_loop[states]))
            yield Path(np.repeat(states, n).tolist(), stays, float(p * moves))


def densities(model: PhoneModels, frames: np.ndarray) -> np.ndarray:
    """`p(x_t | state)`, `(T, P)`, by scipy."""
    bank = model.emissions
    return np.stack(
        [
            multivariate_normal(mean[0], np.diag(variance[0])).pdf(frames)
            for mean, variance in zip(bank.means_, bank.covars_, strict=True)
        ],
        axis=1,
    )


@pytest.mark.oracle
def test_the_likelihood_of_a_sentence_is_the_sum_over_its_pronunciations_silences_and_times() -> None:
    model, frames = model_of(), 2 * RNG(1).normal(size=(6, 2))
    p = densities(model, frames)
    total = sum(path.p * np.prod(p[range(6), path.states]) for path in paths(6, model))
    found = model.e_step(frames, np.array([6]), [composed()], np.zeros(2))
    assert found.log_prob == pytest.approx(np.log(total), rel=1e-10)


@pytest.mark.oracle
def test_an_em_step_gives_what_all_paths_weighted_by_their_probability_give() -> None:
    model, lengths = model_of(), np.array([6, 5])
    frames = 2 * RNG(1).normal(size=(11, 2))
    of = [{}, {"words": ([[3], [1]],), "silence": 0.6}]
    visits, stays, firsts, total = np.zeros(6), np.zeros(6), np.zeros((6, 2)), 0.0
    for x, settings in zip((frames[:6], frames[6:]), of, strict=True):
        p = densities(model, x)
        every = [(path, path.p * np.prod(p[range(len(x)), path.states])) for path in paths(len(x), model, **settings)]
        whole = sum(weight for _, weight in every)
        total += np.log(whole)
        for path, weight in every:
            stays += weight / whole * path.stays
            for t, state in enumerate(path.states):
                visits[state] += weight / whole
                firsts[state] += weight / whole * x[t]
    means = firsts / visits[:, None]
    monitor = model.fit(frames, lengths, [composed(), composed([[[3], [1]]], 0.6)], n_iter=1)
    assert monitor.history == [pytest.approx(total, rel=1e-10)]
    np.testing.assert_allclose(model.self_loop, (stays + 1) / (visits + 2), rtol=1e-8)
    np.testing.assert_allclose(model.emissions.means_[:, 0], means, rtol=1e-6)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[UtteranceGraph], list[np.ndarray]]:
    """Sentences of drawn words, frames and the state of every frame; each state emits around a place of its own."""
    rng = RNG(seed)
    places = 4 * RNG(100).normal(size=(6, 3))
    frames, lengths, made, states = [], [], [], []
    for _ in range(n):
        words = [[[int(u) for u in rng.permutation([1, 2, 3])[: rng.integers(1, 4)]]] for _ in range(3)]
        units = [SIL, *(unit for word in words for unit in word[0]), SIL]
        path = [
            int(FIRST[unit]) + s for unit in units for s in range(N_STATES[unit]) for _ in range(rng.integers(2, 7))
        ]
        frames.append(places[path] + rng.normal(size=(len(path), 3)))
        lengths.append(len(path))
        made.append(composed(words))
        states.append(np.array(path))
    return np.concatenate(frames), np.array(lengths), made, states


def test_from_an_even_division_em_raises_the_likelihood_and_the_best_path_finds_the_known_boundaries() -> None:
    frames, lengths, made, states = drawn(30, 0)
    label = np.concatenate([even(path) for path in states])
    model, values = PhoneModels(N_STATES), []
    model.initialize(frames, label)
    model.fit(frames, lengths, made, n_iter=20, report=lambda _, value: values.append(value))
    assert (np.diff(values) > -1e-6).all()  # the prior has a say
    assert values[-1] > values[0] + 1
    found, scores = model.decode(frames, lengths, made)
    assert np.isfinite(scores).all()
    wrong = [one.emission[path] != true for one, path, true in zip(made, found, states, strict=True)]
    assert np.concatenate(wrong).mean() < 0.02
    model.split_mixtures()
    monitor = model.fit(frames, lengths, made, n_iter=10, tol=-1.0)
    assert len(monitor.objective) == 10
    assert (np.diff(monitor.objective) > 0).all()


def even(path: np.ndarray) -> np.ndarray:
    """The states of a path in their order, all of the same length."""
    states = path[np.flatnonzero(np.diff(path, prepend=-1))]
    return states[np.arange(len(path)) * len(states) // len(path)]


def test_how_many_sentences_are_worked_on_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, lengths, made, states = drawn(8, 3)
    results = []
    for cells in (1, 2000, 10**7):
        monkeypatch.setattr(utterance_graph, "BATCH_CELLS", cells)
        model = PhoneModels(N_STATES)
        model.initialize(frames, np.concatenate(states))
        model.fit(frames, lengths, made, n_iter=3)
        model.split_mixtures()
        monitor = model.fit(frames, lengths, made, n_iter=3)
        found, _ = model.decode(frames, lengths, made)
        emitted = [one.emission[path] for one, path in zip(made, found, strict=True)]  # of the same unit twice, ties
        results.append((monitor.history, np.concatenate(emitted)))
    assert len(list(utterance_graph.groups(np.array([one.n_states for one in made]), lengths))) == 1
    for history, path in results[1:]:
        np.testing.assert_allclose(history, results[0][0], rtol=1e-10)
        np.testing.assert_array_equal(path, results[0][1])


def test_a_step_that_makes_it_worse_is_undone_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, lengths, made, states = drawn(5, 4)
    model = PhoneModels(N_STATES)
    model.initialize(frames, np.concatenate(states))
    before = model.self_loop

    def worse(self: PhoneModels, statistics: Any) -> None:
        self.self_loop = self.self_loop * 0.1

    monkeypatch.setattr(PhoneModels, "m_step", worse)
    with pytest.warns(ObjectiveFellWarning, match=r"the objective fell from .* to .* in step 1 of EM"):
        monitor = model.fit(frames, lengths, made, n_iter=3)
    assert monitor.fell
    np.testing.assert_array_equal(model.self_loop, before)
    assert np.isfinite(model.decode(frames, lengths, made)[1]).all()


def test_a_sentence_longer_than_its_frames_is_named() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="utterance 1 has no path"):
        model.fit(np.zeros((5, 2)), np.array([4, 1]), [composed(), composed()], n_iter=1)


def test_a_component_with_few_frames_is_not_divided_and_a_state_without_frames_begins_as_all_are() -> None:
    rng = RNG(0)
    frames, label = rng.normal(size=(200, 2)), np.repeat([0, 1], [195, 5])
    model = PhoneModels((1, 1, 1))
    model.initialize(frames, label)
    np.testing.assert_allclose(model.emissions.means_[2, 0], frames.mean(axis=0))
    np.testing.assert_allclose(model.emissions.covars_[2, 0], frames.var(axis=0))
    assert embedded.LEAST_FRAMES > 5
    model.split_mixtures()
    np.testing.assert_allclose(model.emissions.weights_, [[0.5, 0.5], [1, 0], [1, 0]])
    away = model.emissions.means_[:, 1] - model.emissions.means_[:, 0]
    assert (away[0] > 0).all()
    assert (away[1:] == 0).all()


def test_a_state_that_may_follow_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="no state may follow itself"):
        utterance_graph.utterance_graph(Topology(np.ones(1), np.full((1, 1), 0.5), np.full(1, 0.5)), [0], FIRST)
