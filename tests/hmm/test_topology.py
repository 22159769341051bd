"""Composed chains against walks through the graph that they were composed of."""

import itertools
from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
import pytest

from phonaut.hmm import inference
from phonaut.hmm.topology import (
    STARTS,
    TRANSITIONS,
    Arc,
    Topology,
    alternatives,
    bakis,
    graph,
    optional,
    sentence,
    sequence,
    start_probabilities,
    transition_probabilities,
)

RNG = np.random.default_rng


def part(n_states: int, seed: int, skip: float = 0.0) -> Topology:
    """Any chain: every state may come first, last, and after any other."""
    rng = RNG(seed)
    rows = rng.dirichlet(np.ones(n_states + 1), n_states)
    return Topology((1 - skip) * rng.dirichlet(np.ones(n_states)), rows[:, :-1], rows[:, -1], skip)


def walks(nodes: Sequence[Topology], arcs: Sequence[Arc], emitted: Sequence[tuple[int, int]], moves: int) -> float:
    """Probability that a walk from source to sink emits these (node, state), over at most so many moves between two."""
    edges: dict[Any, list[tuple[Any, float]]] = {}
    for origin, target, p in arcs:
        edges.setdefault(("out", origin), []).append((("in", target), p))
    for j, node in enumerate(nodes):
        edges[("in", j)] = [((j, a), p) for a, p in enumerate(node.start)] + [(("out", j), node.skip)]
        for a in range(node.n_states):
            edges[(j, a)] = [((j, b), p) for b, p in enumerate(node.transition[a])] + [(("out", j), node.end[a])]

    def onward(place: Any, rest: Sequence[tuple[int, int]], fuel: int) -> float:
        if place == ("in", None):
            return float(not rest)
        total = 0.0
        for target, p in edges[place]:
            if p == 0.0:
                continue
            if target[0] in ("in", "out"):
                total += p * onward(target, rest, fuel - 1) if fuel else 0.0
            elif rest and target == rest[0]:
                total += p * onward(target, rest[1:], moves)
        return total

    return onward(("out", None), emitted, moves)


def along(chain: Topology, states: Sequence[int]) -> float:
    p = chain.start[states[0]] * chain.end[states[-1]]
    for a, b in itertools.pairwise(states):
        p *= chain.transition[a, b]
    return float(p)


SKIPPED = [part(2, 0), part(1, 1, skip=0.3), part(2, 2, skip=0.4)]
GRAPHS: list[Any] = [
    pytest.param(SKIPPED, [(None, 0, 1.0), (0, 1, 1.0), (1, 2, 1.0), (2, None, 1.0)], 8, id="in a row"),
    pytest.param(
        SKIPPED, [(None, 0, 0.5), (None, 1, 0.5), (0, 2, 0.3), (0, None, 0.7), (1, 2, 1.0), (2, None, 1.0)],
        8, id="branches",
    ),
    pytest.param(SKIPPED, [(None, 1, 1.0), (1, 1, 0.2), (1, 0, 0.8), (0, 1, 0.4), (0, None, 0.6), (2, None, 1.0)],
                 24, id="loops over what is skipped"),
    pytest.param(SKIPPED, [(None, 1, 0.6), (None, None, 0.4), (1, None, 0.5), (1, 2, 0.25), (1, 2, 0.25),
                           (2, None, 1.0), (0, None, 1.0)], 8, id="nothing at all, and arcs that come twice"),
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(("nodes", "arcs", "moves"), GRAPHS)
def test_a_graph_is_the_sum_over_walks_through_it(nodes: list[Topology], arcs: list[Arc], moves: int) -> None:
    chain = graph(nodes, arcs)
    places = list(zip(chain.node.tolist(), chain.state.tolist(), strict=True))
    assert places == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    assert chain.skip == pytest.approx(walks(nodes, arcs, [], moves), abs=1e-12)
    for n in (1, 2, 3):
        for states in itertools.product(range(len(places)), repeat=n):
            expected = walks(nodes, arcs, [places[s] for s in states], moves)
            assert along(chain, states) == pytest.approx(expected, abs=1e-12)
            assert (along(chain, states) > 0) == (expected > 0)  # what cannot be is exactly 0


@pytest.mark.oracle
def test_parts_of_parts_keep_their_numbers() -> None:
    inner = sequence(part(1, 3), part(2, 4))
    outer = sequence(inner, part(2, 5), inner)
    assert outer.node.tolist() == [0, 1, 1, 2, 2, 3, 4, 4]
    assert outer.state.tolist() == [0, 0, 1, 0, 1, 0, 0, 1]
    assert (inner.n_states, inner.n_nodes, outer.n_nodes) == (3, 2, 5)
    flat = sequence(part(1, 3), part(2, 4), part(2, 5), part(1, 3), part(2, 4))
    for name in ("start", "transition", "end", "skip", "node", "state"):
        np.testing.assert_allclose(getattr(outer, name), getattr(flat, name), atol=1e-15)


def durations(chain: Topology, n_frames: int) -> np.ndarray:
    """`p(t frames)` of t = 0 .. n_frames."""
    state, p = chain.start, [chain.skip]
    for _ in range(n_frames):
        p.append(float(state @ chain.end))
        state = state @ chain.transition
    return np.array(p)


@pytest.mark.oracle
@pytest.mark.parametrize("n_states", [1, 3])
def test_without_skips_a_left_to_right_model_lasts_as_the_negative_binomial_says(n_states: int) -> None:
    stay = 0.7
    expected = [
        comb(t - 1, n_states - 1) * stay ** (t - n_states) * (1 - stay) ** n_states if t >= n_states else 0.0
        for t in range(1, 21)
    ]
    np.testing.assert_allclose(durations(bakis(n_states, self_loop=stay), 20)[1:], expected, atol=1e-15)


def test_with_skips_it_is_left_from_as_many_states_before_the_last() -> None:
    chain = bakis(4, skips=1, self_loop=0.4)
    expected = [[0.4, 0.3, 0.3, 0], [0, 0.4, 0.3, 0.3], [0, 0, 0.4, 0.3], [0, 0, 0, 0.4]]
    np.testing.assert_allclose(chain.transition, expected, atol=1e-15)
    np.testing.assert_allclose(chain.end, [0, 0, 0.3, 0.6], atol=1e-15)
    assert chain.start.tolist() == [1, 0, 0, 0]


@pytest.mark.oracle
def test_branches_come_by_their_weights_and_what_is_optional_may_be_skipped() -> None:
    one = bakis(1, self_loop=0.0)  # exactly one frame
    two = sequence(one, one)
    np.testing.assert_allclose(durations(alternatives([one, two], [3, 1]), 3), [0, 0.75, 0.25, 0], atol=1e-15)
    np.testing.assert_allclose(durations(alternatives([one, two]), 3), [0, 0.5, 0.5, 0], atol=1e-15)
    np.testing.assert_allclose(durations(optional(two, 0.2), 3), [0.8, 0, 0.2, 0], atol=1e-15)


@pytest.mark.oracle
def test_a_sentence_is_the_sum_over_all_choices_of_silence() -> None:
    words = [[part(2, 0), part(1, 1)], [part(2, 2)]]
    silence, p = part(2, 3), 0.3
    whole = sentence(words, silence, p)
    assert whole.node.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5]
    rows = RNG(0).standard_normal((9, 7)) * 3  # of the distinct states: silence, then those of the phones
    first = {0: 0, 1: 2, 2: 4, 3: 0, 4: 5, 5: 0}  # where the emissions of each node begin: silence is shared
    total = []
    for choice in itertools.product((False, True), repeat=3):
        parts: list[tuple[Topology, int]] = []
        for place, chosen in enumerate(choice):
            parts += [(silence, 0)] if chosen else []
            parts += [[(words[0][0], 2), (words[0][1], 4)], [(words[1][0], 5)], []][place]
        chain = sequence(*(unit for unit, _ in parts))
        emission = np.array([parts[n][1] for n in chain.node]) + chain.state
        log_p = np.log([p if chosen else 1 - p for chosen in choice]).sum()
        total.append(log_p + inference.log_likelihood(rows[:, emission], chain.chains)[0])
    emission = np.array([first[n] for n in whole.node.tolist()]) + whole.state
    got = inference.log_likelihood(rows[:, emission], whole.chains)[0]
    assert got == pytest.approx(np.logaddexp.reduce(total), abs=1e-9)
    plain = sentence(words)
    assert plain.node.tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("kind", TRANSITIONS)
@pytest.mark.parametrize("n_states", [1, 2, 5])
def test_rows_sum_to_one(kind: str, n_states: int) -> None:
    rows = transition_probabilities(kind, n_states, rng=RNG(0))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-12)
    allowed = {
        "left_to_right": np.eye(n_states) + np.eye(n_states, k=1) > 0,
        "triangular": np.triu(np.ones((n_states, n_states))) > 0,
    }.get(kind, np.ones((n_states, n_states), bool))
    assert ((rows > 0) == allowed).all()


def test_left_to_right_goes_over_as_many_states_as_are_skipped() -> None:
    rows = transition_probabilities("left_to_right", 4, skips=1, self_loop=0.5)
    expected = [[0.5, 0.25, 0.25, 0], [0, 0.5, 0.25, 0.25], [0, 0, 0.5, 0.5], [0, 0, 0, 1]]
    np.testing.assert_allclose(rows, expected)


@pytest.mark.parametrize("kind", STARTS)
def test_starts_sum_to_one(kind: str) -> None:
    start = start_probabilities(kind, 4, RNG(0))
    assert start.sum() == pytest.approx(1.0, abs=1e-12)
    assert (start > 0).tolist() == ([True, False, False, False] if kind == "first" else [True] * 4)
    assert (len(set(start.tolist())) == 4) == (kind == "random")


def test_what_is_random_follows_its_generator() -> None:
    for made in (start_probabilities, transition_probabilities):
        assert (made("random", 3, rng=RNG(1)) == made("random", 3, rng=RNG(1))).all()
        assert (made("random", 3) != made("random", 3)).any()


ONE = bakis(1)
WRONG: list[Any] = [
    (lambda: transition_probabilities("bakis", 3), "kind is one of left_to_right, .*; got bakis"),
    (lambda: transition_probabilities("ergodic", 0), "n_states must be at least 1; got 0"),
    (lambda: transition_probabilities("left_to_right", 2, skips=-1), "skips must not be negative"),
    (lambda: transition_probabilities("ergodic", 2, self_loop=1.5), "self_loop must be from 0 to 1; got 1.5"),
    (lambda: start_probabilities("last", 2), "kind is one of first"),
    (lambda: bakis(0), "n_states must be at least 1"),
    (lambda: bakis(2, self_loop=1), "self_loop must be less than 1"),
    (lambda: Topology(np.empty(0), np.empty((0, 0)), np.empty(0)), "at least 1 state"),
    (lambda: Topology([1.0], [[0.5]], [0.4]), "each row of transition, with end, must sum to 1"),
    (lambda: Topology([0.9], [[0.5]], [0.5]), "start and skip must sum to 1; got 0.9"),
    (lambda: Topology([1.0], [[np.nan]], [0.5]), "transition must be finite and not negative"),
    (lambda: Topology([1.0], [[0.5]], [0.25, 0.25]), r"end must be \(1,\); got \(2,\)"),
    (lambda: Topology([1.0], [[0.5]], [0.5], node=np.array([0.5])), "node must be 1 whole numbers"),
    (lambda: graph([], []), "at least 1 node"),
    (lambda: graph([ONE], [(None, 0, 1.0), (0, 1, 1.0)]), r"arcs join nodes 0 to 0, or None; got \(0, 1\)"),
    (lambda: graph([ONE], [(None, 0, 1.0), (0, None, 0.5)]), "arcs out of each node"),
    (lambda: graph([ONE], [(None, 0, 1.0), (0, None, 2.0)]), "0 -> None must be from 0 to 1; got 2.0"),
    (lambda: graph([optional(ONE, 0.0)], [(None, 0, 1.0), (0, 0, 1.0)]), "must lead to others at last"),
    (lambda: alternatives([]), "at least 1 branch"),
    (lambda: alternatives([ONE, ONE], [1, -1]), "weights must be 2 numbers"),
    (lambda: optional(ONE, 1.1), "probability must be from 0 to 1"),
    (lambda: sentence([]), "there must be words"),
    (lambda: sentence([[ONE], []]), "phones in each of them"),
    (lambda: sentence([[ONE]], ONE, -0.1), "silence_probability must be from 0 to 1"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_breaks_a_rule_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
