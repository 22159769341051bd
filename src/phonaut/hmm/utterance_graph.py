"""Utterance graphs: chains composed of the phones of an utterance, whose self-loops follow from the phone models.

A state i is left with probability `1 - self_loop_i`, for the states that may follow it in the utterance:

    A = diag(self_loop) + diag(1 - self_loop) J        J[i, j]: p(j is next | i is left)

so that an utterance is composed once (`phonaut.hmm.topology`), and its chain follows from `self_loop`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phonaut.arrays import Array, Index
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.topology import Topology

BATCH_CELLS = 2**21  # transitions, and frames times states, that are worked on at once: 16 MB each


@dataclass(frozen=True, eq=False)
class UtteranceGraph:
    """A composed chain whose states are states of phones; self-loops are not in it.

    Attributes:
        start: `p(s_1 = i)`, `(S,)`.
        end: `p(the utterance ends | i is left)`, `(S,)`.
        origin: of each pair of states that may follow each other, the first, `(A,)`.
        target: the second.
        probability: `p(target is next | origin is left)`, `(A,)`.
        emission: state of the phone models that each state is, `(S,)`.
        node: number of the phone in the utterance, `(S,)`.
    """

    start: Array
    end: Array
    origin: Index
    target: Index
    probability: Array
    emission: Index
    node: Index

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.start)


def utterance_graph(topology: Topology, phone: Sequence[int], first: Index) -> UtteranceGraph:
    """The graph of a composition of phones without self-loops (`bakis(n, self_loop=0)`).

    Args:
        topology: the composition.
        phone: number of the phone of each node.
        first: number of the first state of each phone.

    Raises:
        ValueError: a state may follow itself.
    """
    if np.diagonal(topology.transition).any():
        raise ValueError("phones of an utterance are composed with self_loop=0, and no state may follow itself")
    origin, target = topology.transition.nonzero()
    emission = first[np.asarray(phone)[topology.node]] + topology.state
    probability = topology.transition[origin, target]
    return UtteranceGraph(topology.start, topology.end, origin, target, probability, emission, topology.node)


def groups(n_states: Index, lengths: Index, width: int = 0) -> Iterator[Index]:
    """Numbers of utterances, sorted by states, as many at a time as `BATCH_CELLS` allows, one at least.

    `width` numbers are held of each frame, or as many as its utterance has states.
    """
    batch: list[int] = []
    n_frames = 0
    for b in np.argsort(n_states, kind="stable"):
        n_frames += int(lengths[b])
        cells = max((len(batch) + 1) * int(n_states[b]) ** 2, n_frames * max(width, int(n_states[b])))
        if batch and cells > BATCH_CELLS:
            yield np.array(batch)
            batch, n_frames = [], int(lengths[b])
        batch.append(int(b))
    if batch:
        yield np.array(batch)


def padded(parts: Sequence[Index], fill: int) -> Index:
    """Rows of one matrix, `(B, S)`."""
    result = np.full((len(parts), max(map(len, parts))), fill, dtype=np.int64)
    for row, part in zip(result, parts, strict=True):
        row[: len(part)] = part
    return result


def chains_of(utterances: Sequence[UtteranceGraph], self_loop: Array) -> MarkovChains:
    """A chain for each utterance, of as many states as the largest has; what is beyond its own is never reached."""
    n, s = len(utterances), max(one.n_states for one in utterances)
    start, end, transition = np.zeros((n, s)), np.zeros((n, s)), np.zeros((n, s, s))
    for b, one in enumerate(utterances):
        left = 1.0 - self_loop[one.emission]
        states = np.arange(one.n_states)
        start[b, states], end[b, states] = one.start, one.end * left
        transition[b, states, states] = 1.0 - left
        transition[b, one.origin, one.target] = one.probability * left[one.origin]
    return MarkovChains(start, transition, end)
