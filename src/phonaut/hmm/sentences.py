"""Sentences that are composed of units, such as phones, as chains that follow from what the units are at the moment.

A state i is left with probability `1 - stay_i`, for those states that the structure of the sentence puts behind it:

    A = diag(stay) + diag(1 - stay) J        J[i, j]: p(j is next | i is left)

so that a sentence is composed once (`phonaut.hmm.topology`), and its chain follows from `stay`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phonaut.hmm.chains import Array, Chains, Index
from phonaut.hmm.topology import Topology

BATCH_CELLS = 2**21  # transitions, and frames times states, that are worked on at once: 16 MB each


@dataclass(frozen=True, eq=False)
class Sentence:
    """A composed chain whose states are states of units; `stay` is not in it.

    Attributes:
        start: `p(s_1 = i)`, `(S,)`.
        end: `p(the sentence ends | i is left)`, `(S,)`.
        origin: of each pair of states that may follow each other, the first, `(A,)`.
        target: the second.
        probability: `p(target is next | origin is left)`, `(A,)`.
        emission: which state of the units each state is, `(S,)`.
        node: which of the sentence's units, `(S,)`.
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


def sentence_of(topology: Topology, unit: Sequence[int], first: Index) -> Sentence:
    """A sentence from what is composed of units that do not stay in a state (`bakis(n, stay=0)`).

    Args:
        topology: the composition.
        unit: of each of its nodes.
        first: number of the first state of each unit.

    Raises:
        ValueError: a state may follow itself.
    """
    if np.diagonal(topology.transition).any():
        raise ValueError("units of a sentence are composed with stay=0, and no state may follow itself")
    origin, target = topology.transition.nonzero()
    emission = first[np.asarray(unit)[topology.node]] + topology.state
    probability = topology.transition[origin, target]
    return Sentence(topology.start, topology.end, origin, target, probability, emission, topology.node)


def groups(n_states: Index, lengths: Index) -> Iterator[Index]:
    """Numbers of sentences, sorted by states, as many at a time as `BATCH_CELLS` allows, one at least."""
    chosen: list[int] = []
    n_frames = 0
    for b in np.argsort(n_states, kind="stable"):
        n_frames += int(lengths[b])
        cells = max((len(chosen) + 1) * int(n_states[b]) ** 2, n_frames * int(n_states[b]))
        if chosen and cells > BATCH_CELLS:
            yield np.array(chosen)
            chosen, n_frames = [], int(lengths[b])
        chosen.append(int(b))
    if chosen:
        yield np.array(chosen)


def padded(parts: Sequence[Index], fill: int) -> Index:
    """Rows of one matrix, `(B, S)`."""
    result = np.full((len(parts), max(map(len, parts))), fill, dtype=np.int64)
    for row, part in zip(result, parts, strict=True):
        row[: len(part)] = part
    return result


def chains_of(sentences: Sequence[Sentence], stay: Array) -> Chains:
    """A chain for each sentence, of as many states as the largest has; what is beyond its own is never reached."""
    n, s = len(sentences), max(one.n_states for one in sentences)
    start, end, transition = np.zeros((n, s)), np.zeros((n, s)), np.zeros((n, s, s))
    for b, one in enumerate(sentences):
        left = 1.0 - stay[one.emission]
        own = np.arange(one.n_states)
        start[b, own], end[b, own] = one.start, one.end * left
        transition[b, own, own] = 1.0 - left
        transition[b, one.origin, one.target] = one.probability * left[one.origin]
    return Chains(start, transition, end)
