"""Topologies: start and transition matrices, and chains composed of smaller ones.

A model of a phone is a `Topology`: a chain that can be left. `graph` joins such chains by arcs into one chain again;
`sequence`, `alternatives`, `optional` and `sentence` are graphs of a certain form. A composed chain says of
each state which of its parts it belongs to (`node`, `state`), so that phones that are the same can share emissions.
With log-likelihoods `(T, P)` of all distinct states, where unit u has those from `first[u]` on:

    emission = first[unit[topology.node]] + topology.state
    forward_backward(log_likelihoods[:, emission], topology.chains)

Source: Rabiner 1989, "A tutorial on hidden Markov models and selected applications in speech recognition", section IV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from phonaut.arrays import Array, Index
from phonaut.hmm.chains import MarkovChains

STARTS = ("first", "uniform", "random")
TRANSITIONS = ("left_to_right", "triangular", "ergodic", "uniform", "random")
TOLERANCE = 1e-6  # of sums that are 1: probabilities may have been kept in float32

Arc = tuple[int | None, int | None, float]


def require(right: object, rule: str, got: object) -> None:
    """Refuse what breaks a rule, with a ValueError."""
    if not right:
        raise ValueError(f"{rule}; got {got}")


def start_probabilities(kind: str, n_states: int, rng: np.random.Generator | None = None) -> Array:
    """`p(s_1 = i)`, `(S,)`.

    Args:
        kind: `first`: always state 0; `uniform`; `random`: drawn from a flat Dirichlet distribution.
        n_states: S.
        rng: draws what is random; None: a new generator, seeded by the system.

    Raises:
        ValueError: there is no such kind, or no state.
    """
    require(kind in STARTS, f"kind is one of {', '.join(STARTS)}", kind)
    require(n_states >= 1, "n_states must be at least 1", n_states)
    if kind == "first":
        return np.asarray(np.eye(n_states)[0])
    if kind == "uniform":
        return np.full(n_states, 1.0 / n_states)
    return np.asarray((rng or np.random.default_rng()).dirichlet(np.ones(n_states)))


def transition_probabilities(
    kind: str, n_states: int, *, skips: int = 0, self_loop: float = 0.5, rng: np.random.Generator | None = None
) -> Array:
    """`p(s_t+1 = j | s_t = i)`, `(S, S)`; rows sum to 1. What is 0 here stays 0 in EM.

    Args:
        kind: `left_to_right` (Bakis): i to i with probability `self_loop`, to i+1 ... i+1+skips with equal shares of
            the rest, as far as these states exist; the last one is never left. `triangular`: i to all j >= i alike.
            `ergodic`: i to i with probability `self_loop`, to all others alike; a single state is never left.
            `uniform`: all alike. `random`: rows drawn from a flat Dirichlet distribution.
        n_states: S.
        skips: how many states may be passed over; for `left_to_right`.
        self_loop: probability of staying; for `left_to_right` and `ergodic`.
        rng: draws what is random; None: a new generator, seeded by the system.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """
    require(kind in TRANSITIONS, f"kind is one of {', '.join(TRANSITIONS)}", kind)
    require(n_states >= 1, "n_states must be at least 1", n_states)
    require(skips >= 0, "skips must not be negative", skips)
    require(0 <= self_loop <= 1, "self_loop must be from 0 to 1", self_loop)
    ones = np.ones((n_states, n_states))
    if kind == "random":
        return np.asarray((rng or np.random.default_rng()).dirichlet(np.ones(n_states), size=n_states))
    if kind in ("uniform", "triangular"):
        allowed = ones if kind == "uniform" else np.triu(ones)
        return np.asarray(allowed / allowed.sum(axis=1, keepdims=True))
    others = ones - np.eye(n_states) if kind == "ergodic" else np.triu(ones, 1) - np.triu(ones, 2 + skips)
    count = others.sum(axis=1, keepdims=True)
    moves = others * (1.0 - self_loop) / np.maximum(count, 1.0)
    return np.asarray(moves + np.diag(np.where(count[:, 0] > 0, self_loop, 1.0)))


@dataclass(frozen=True, eq=False)
class Topology:
    """A chain of S states that is entered, and left again.

    Args:
        start: `p(s_1 = i)`, `(S,)`.
        transition: `p(s_t+1 = j | s_t = i)`, `(S, S)`.
        end: `p(the chain is left | s_t = i)`, `(S,)`: with the row of `transition` it sums to 1.
        skip: probability of passing through without a frame: with `start` it sums to 1.
        node: which part each state belongs to, `(S,)`; by default there is one part, 0.
        state: its number within that part, `(S,)`; by default its number.

    Raises:
        ValueError: shapes do not fit, a value is negative or not finite, or a sum is not 1.
    """

    start: Array
    transition: Array
    end: Array
    skip: float = 0.0
    node: Index = field(default_factory=lambda: np.empty(0, np.int64))
    state: Index = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        n = np.size(self.start)
        require(n >= 1, "there must be at least 1 state", n)
        for name, shape in (("start", (n,)), ("transition", (n, n)), ("end", (n,)), ("skip", ())):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            require(value.shape == shape, f"{name} must be {shape}", value.shape)
            right = np.isfinite(value) & (value >= 0)
            require(right.all(), f"{name} must be finite and not negative", value[~right][:3])
            object.__setattr__(self, name, value if shape else float(value))
        entered, left = self.start.sum() + self.skip, self.transition.sum(axis=1) + self.end
        require(abs(entered - 1) <= TOLERANCE, "start and skip must sum to 1", entered)
        require((abs(left - 1) <= TOLERANCE).all(), "each row of transition, with end, must sum to 1", left)
        for name, default in (("node", np.zeros(n, np.int64)), ("state", np.arange(n))):
            index = np.asarray(getattr(self, name) if np.size(getattr(self, name)) else default)
            whole = index.shape == (n,) and index.dtype.kind in "iu" and index.min() >= 0
            require(whole, f"{name} must be {n} whole numbers, not negative", index)
            object.__setattr__(self, name, index.astype(np.int64))

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.start)

    @property
    def n_nodes(self) -> int:
        """Of how many parts it is composed."""
        return int(self.node.max()) + 1

    @property
    def chains(self) -> MarkovChains:
        """The chain for `phonaut.hmm.inference`: sequences end by leaving it.

        The likelihood of frames is the joint one: with the probability `1 - skip` that there are frames at all. For
        sequences that may be cut off anywhere, use `Chains(start, transition)`.
        """
        return MarkovChains(self.start, self.transition, self.end)


def bakis(n_states: int, *, skips: int = 0, self_loop: float = 0.5) -> Topology:
    """A left-to-right model that is entered in its first state.

    Its exit is where one more state would come in the `left_to_right` matrix: it is reached from the last state, and
    from `skips` states before it. Without skips, the model takes t frames with the negative binomial probability
    `C(t-1, S-1) self_loop^(t-S) (1-self_loop)^S`.

    Raises:
        ValueError: a number is out of range; `self_loop` must be less than 1.
    """
    require(n_states >= 1, "n_states must be at least 1", n_states)
    require(self_loop != 1, "self_loop must be less than 1, for the model to be left", self_loop)
    matrix = transition_probabilities("left_to_right", n_states + 1, skips=skips, self_loop=self_loop)
    return Topology(start_probabilities("first", n_states), matrix[:-1, :-1], matrix[:-1, -1])


def graph(nodes: Sequence[Topology], arcs: Sequence[Arc]) -> Topology:
    """One chain of nodes that arcs join.

    With `A` `(J, J)` the probabilities of arcs between nodes, and `K` the diagonal matrix of the nodes' `skip`, who
    leaves i comes to a node, or to the sink, over any number of nodes that are passed without a frame:

        R = (I - A K)^-1 A           to[i] = (I - A K)^-1 sink

    so that the chain moves from state a of node i to state b of node j with `end_i[a] R[i, j] start_j[b]`, besides the
    transitions of i itself, and ends with `end_i[a] to[i]`. It is entered likewise, from the source.

    Args:
        nodes: the parts, `J`; the same one may come several times. `node` of the result is the place of each part here.
            A part that is composed itself brings its own parts, which are numbered one by one in its place.
        arcs: (from, to, probability); from None: the source, to None: the sink. Of the source and of each node, the
            probabilities of what goes out sum to 1. Arcs between the same two are added up.

    Raises:
        ValueError: there is no such node, probabilities do not sum to 1, or nodes that are never anything but skipped
            lead to each other for ever.
    """
    n = len(nodes)
    require(n >= 1, "there must be at least 1 node", n)
    weight = np.zeros((n + 1, n + 1))  # the last row is the source, the last column the sink
    for origin, target, probability in arcs:
        known = all(i is None or 0 <= i < n for i in (origin, target))
        require(known, f"arcs join nodes 0 to {n - 1}, or None", (origin, target))
        require(0 <= probability <= 1, f"the probability of {origin} -> {target} must be from 0 to 1", probability)
        weight[n if origin is None else origin, n if target is None else target] += probability
    sums = weight.sum(axis=1)
    require((abs(sums - 1) <= TOLERANCE).all(), "arcs out of each node, and of the source last, must sum to 1", sums)
    skip = np.array([node.skip for node in nodes])
    reach = passed(weight, skip)
    own = np.repeat(np.arange(n), [node.n_states for node in nodes])
    start, end = (np.concatenate(parts) for parts in zip(*((x.start, x.end) for x in nodes), strict=True))
    transition = end[:, None] * reach[np.ix_(own, own)] * start
    first = 0
    for node in nodes:
        part = slice(first, first + node.n_states)
        transition[part, part] += node.transition
        first += node.n_states
    numbers = np.cumsum([0] + [node.n_nodes for node in nodes[:-1]])
    return Topology(
        reach[n, own] * start,
        transition,
        end * reach[own, n],
        float(reach[n, n]),
        np.concatenate([node.node + number for node, number in zip(nodes, numbers, strict=True)]),
        np.concatenate([node.state for node in nodes]),
    )


def passed(weight: Array, skip: Array) -> Array:
    """Probabilities of arriving over any number of nodes that are skipped: `W + W K W + W K W K W + ...`, `(J+1, J+1)`.

    Raises:
        ValueError: the sum does not converge.
    """
    n = len(skip)
    inner = weight[:n, :n]
    stops = (weight[:n, n] > 0) | (inner[:, skip < 1] > 0).any(axis=1)
    while ((more := stops | ((inner > 0) @ stops)) != stops).any():
        stops = more
    require(stops.all(), "nodes that are always skipped must lead to others at last", np.flatnonzero(~stops))
    # Transposed, columns of the system are dominated by their diagonal: LU changes no rows and adds numbers of one sign
    # only, so that what cannot be reached gets exactly 0 and nothing gets less.
    onward = np.linalg.solve(np.eye(n) - inner.T * skip, inner.T).T
    last = weight[:n, n] + (onward * skip) @ weight[:n, n]
    onward = np.column_stack([onward, last])
    return np.asarray(np.vstack([onward, weight[n] + (weight[n, :n] * skip) @ onward]))


def sequence(*topologies: Topology) -> Topology:
    """One after another. Errors are those of `graph`."""
    n = len(topologies)
    return graph(topologies, [(i - 1 if i else None, i if i < n else None, 1.0) for i in range(n + 1)])


def alternatives(topologies: Sequence[Topology], weights: ArrayLike | None = None) -> Topology:
    """One of several: variants of a pronunciation, or the phones of a recogniser.

    Args:
        topologies: J branches.
        weights: how probable each is, up to a factor, `(J,)`; None: all alike.

    Raises:
        ValueError: there is no branch, or weights are negative, all 0, or not J.
    """
    n = len(topologies)
    require(n >= 1, "there must be at least 1 branch", n)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    right = w.shape == (n,) and np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0
    require(right, f"weights must be {n} numbers, not negative and not all 0", w)
    arcs: list[Arc] = [(None, i, float(p)) for i, p in enumerate(w / w.sum())]
    return graph(topologies, arcs + [(i, None, 1.0) for i in range(n)])


def optional(topology: Topology, probability: float = 0.5) -> Topology:
    """A chain that is entered with a probability, and skipped otherwise. Errors are those of `graph`."""
    require(0 <= probability <= 1, "probability must be from 0 to 1", probability)
    return graph([topology], [(None, 0, probability), (None, None, 1.0 - probability), (0, None, 1.0)])


def sentence(
    words: Sequence[Sequence[Topology]], silence: Topology | None = None, silence_probability: float = 0.5
) -> Topology:
    """Words one after another, with silence that may or may not be there before, between and after them.

    Nodes are numbered as they come: silence, the phones of the first word, silence, the phones of the second, ...,
    silence. A word with variants is a sequence of one, the `alternatives`.

    Args:
        words: the phones of each word.
        silence: None: there is none.
        silence_probability: of each place, to have silence.

    Raises:
        ValueError: there are no words, a word has no phones, or the probability is none.
    """
    phones = [len(word) for word in words]
    require(phones and min(phones) >= 1, "there must be words, and phones in each of them", phones)
    require(0 <= silence_probability <= 1, "silence_probability must be from 0 to 1", silence_probability)
    pause = [] if silence is None else [optional(silence, silence_probability)]
    return sequence(*pause, *(part for word in words for part in (*word, *pause)))
