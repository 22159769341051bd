"""Embedded re-estimation: models of units, such as phones, trained on sentences that are composed of them.

Where a unit begins and ends in a sentence need not be known. The sentence is a chain composed of its units, with every
way to say it (`phonaut.hmm.topology`); forward and backward recursions over that chain say how probable each state is
at each frame, and these posteriors are summed over all places where the same state of the same unit occurs.

A state i is left with probability `1 - stay_i`, for those states that the structure of the sentence puts behind it:

    A = diag(stay) + diag(1 - stay) J        J[i, j]: p(j is next | i is left)

so that a sentence is composed once, and its chain follows from the parameters of the moment.

Source: Young et al. 2006, "The HTK book", section 8.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.densities.gaussian import Statistics
from phonaut.hmm import inference
from phonaut.hmm.chains import Array, Chains, Index
from phonaut.hmm.em import Monitor
from phonaut.hmm.gmmhmm import GMMHMM
from phonaut.hmm.topology import Topology

BATCH_CELLS = 2**22  # transitions, and frames times states, that are worked on at once: 32 MB each
PRIOR_FRAMES = 5.0  # what the prior of a variance is worth
PRIOR_VARIANCE = 0.3  # of that of all frames: about what is left within a state
APART = 0.2  # standard deviations that halves of a component move
LEAST_FRAMES = 20.0  # of a component that is divided

Frames = NDArray[np.floating[Any]]


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


class Found(NamedTuple):
    """What an E-step finds.

    Attributes:
        log_prob: log-likelihood of all sentences.
        stays: how often each state is expected to follow itself, `(P,)`.
        visits: in how many frames it is expected, `(P,)`.
        emissions: sums over frames.
    """

    log_prob: float
    stays: Array
    visits: Array
    emissions: Statistics


class Batch(NamedTuple):
    """Sentences that are worked on at once.

    Attributes:
        which: their numbers, `(B,)`.
        frames: theirs, one after another, `(M, D)`.
        lengths: `(B,)`.
        emission: state of the units for each frame and state of its sentence, `(M, S)`; P: there is none.
        chains: one for each.
    """

    which: Index
    frames: torch.Tensor
    lengths: Index
    emission: torch.Tensor
    chains: Chains


class UnitHMM:
    """Left-to-right models of units, each state with a Gaussian mixture of diagonal covariances.

    Args:
        n_states: of each unit, `(U,)`.

    Attributes:
        first: number of the first state of each unit, `(U,)`.
        stay: probability that a state follows itself, `(P,)`, P states of all units.
        emissions: the mixtures of all states.
    """

    def __init__(self, n_states: Sequence[int]) -> None:
        self.first = np.concatenate([[0], np.cumsum(n_states)[:-1]]).astype(np.int64)
        self.n_distinct = int(np.sum(n_states))
        self.stay = np.full(self.n_distinct, 0.5)
        self.emissions = GMMHMM(self.n_distinct)

    # --- a start

    def start(self, frames: Frames, label: Index) -> None:
        """Begin with one Gaussian a state.

        Args:
            frames: of all sentences, one after another, `(N, D)`.
            label: the state of the units that each frame is given to, `(N,)`; -1: none. What no frame is given to
                begins as all frames are.
        """
        wide = np.asarray(frames, np.float64)
        mean, variance = wide.mean(axis=0), np.maximum(wide.var(axis=0), 1e-10)
        alpha, beta = (PRIOR_FRAMES - 1) / 2 - 1, PRIOR_FRAMES * PRIOR_VARIANCE * variance / 2
        bank = GMMHMM(self.n_distinct, covars_prior=alpha, covars_weight=beta)
        shape = (self.n_distinct, 1)
        bank.weights_ = np.ones(shape)
        bank.means_, bank.covars_ = (np.tile(value, (*shape, 1)) for value in (mean, variance))
        bank._check_emissions()
        origin, total = torch.from_numpy(mean), None
        for begin in range(0, len(wide), BATCH_CELLS // self.n_distinct):
            part = slice(begin, begin + BATCH_CELLS // self.n_distinct)
            own = (label[part, None] == np.arange(self.n_distinct)).astype(np.float64)
            found = bank._emission_statistics(torch.from_numpy(wide[part]), torch.from_numpy(own), origin)
            total = found if total is None else total + found
        assert total is not None
        bank._maximize_emissions(total)
        unseen = np.bincount(label[label >= 0], minlength=self.n_distinct) == 0
        bank.means_[unseen], bank.covars_[unseen] = mean, variance
        again = label[1:][(label[1:] == label[:-1]) & (label[1:] >= 0)]
        visits = np.bincount(label[label >= 0], minlength=self.n_distinct)
        self.emissions, self.stay = bank, stay_of(np.bincount(again, minlength=self.n_distinct), visits)

    def divide(self) -> None:
        """Make two of each component, a little apart; one with too few frames stays alone, beside an empty one."""
        old = self.emissions
        bank = GMMHMM(self.n_distinct, 2 * old.n_mix, covars_prior=old.covars_prior, covars_weight=old.covars_weight)
        two = old._counts[..., None] >= LEAST_FRAMES
        away = APART * np.sqrt(old.covars_) * two
        half = np.where(two[..., 0], 0.5, 1.0)
        bank.weights_ = np.concatenate([old.weights_ * half, old.weights_ * (1 - half)], axis=1)
        bank.means_ = np.concatenate([old.means_ - away, old.means_ + away], axis=1)
        bank.covars_ = np.concatenate([old.covars_, old.covars_], axis=1)
        bank._check_emissions()
        self.emissions = bank

    # --- expectation and maximisation

    def fit(
        self,
        frames: Frames,
        lengths: Index,
        sentences: Sequence[Sentence],
        *,
        n_iter: int,
        tol: float = 0.0,
        report: Callable[[float], None] | None = None,
    ) -> Monitor:
        """EM steps, until one gains less than `tol` a frame.

        Args:
            frames: of all sentences, one after another, `(N, D)`.
            lengths: `(B,)`.
            sentences: each at least as long as its shortest path.
            n_iter: the most steps.
            tol: nats.
            report: is told the log-likelihood per frame at each step.

        Raises:
            ValueError: a sentence has no path, or the objective (log-likelihood and priors) fell.
        """
        n_frames = int(lengths.sum())
        monitor = Monitor(tol * n_frames, n_iter)
        origin = torch.from_numpy(np.asarray(frames).mean(axis=0, dtype=np.float64))
        while not monitor.converged:
            found = self.expect(frames, lengths, sentences, origin)
            objective, last = found.log_prob + self.log_prior(), monitor.last
            if not objective >= last - 1e-7 * max(1.0, abs(last)) - 1e-9 * n_frames:
                raise ValueError(f"the objective fell from {last:.9g} to {objective:.9g} in step {monitor.iter} of EM")
            monitor.report(found.log_prob, objective)
            if report is not None:
                report(found.log_prob / n_frames)
            self.maximize(found)
        return monitor

    def expect(
        self, frames: Frames, lengths: Index, sentences: Sequence[Sentence], origin: torch.Tensor
    ) -> Found:
        """The E-step; sums are taken about `origin (D,)`.

        Raises:
            ValueError: a sentence has no path.
        """
        total: Found | None = None
        for batch in self.batches(frames, lengths, sentences):
            rows = self.rows(batch)
            found = inference.forward_backward(rows, batch.chains, batch.lengths, chain=np.arange(len(batch.which)))
            wrong = np.flatnonzero(~np.isfinite(found.log_likelihood))
            if len(wrong):
                raise ValueError(f"sentence {batch.which[wrong[0]]} has no path through its frames")
            state = torch.zeros(len(rows), self.n_distinct + 1, dtype=torch.float64)
            state = state.scatter_add_(1, batch.emission, torch.from_numpy(found.state))[:, :-1].contiguous()
            again = np.diagonal(found.transitions, axis1=1, axis2=2)
            own = padded([sentences[b].emission for b in batch.which], self.n_distinct)
            stays = np.bincount(own.ravel(), again.ravel(), self.n_distinct + 1)[:-1]
            sums = self.emissions._emission_statistics(batch.frames, state, origin)
            part = Found(float(found.log_likelihood.sum()), stays, state.sum(dim=0).numpy(), sums)
            total = part if total is None else Found(*(a + b for a, b in zip(total, part, strict=True)))
        assert total is not None
        return total

    def maximize(self, found: Found) -> None:
        """The M-step."""
        self.stay = stay_of(found.stays, found.visits)
        self.emissions._maximize_emissions(found.emissions)

    def log_prior(self) -> float:
        """Log-density of all parameters, up to a constant."""
        return self.emissions._emission_log_prior() + float(np.log(self.stay).sum() + np.log1p(-self.stay).sum())

    # --- the best path

    def decode(
        self, frames: Frames, lengths: Index, sentences: Sequence[Sentence]
    ) -> tuple[list[Index], Array]:
        """The most probable state of its sentence for each frame, -1 where there is no path; and log-probabilities."""
        paths: list[Index] = [np.empty(0, np.int64)] * len(sentences)
        scores = np.full(len(sentences), -np.inf)
        for batch in self.batches(frames, lengths, sentences):
            path, score = inference.viterbi(
                self.rows(batch), batch.chains, batch.lengths, chain=np.arange(len(batch.which))
            )
            for b, own in zip(batch.which, np.split(path, np.cumsum(batch.lengths)[:-1]), strict=True):
                paths[b] = own
            scores[batch.which] = score
        return paths, scores

    def log_likelihood(self, frames: Frames, lengths: Index, sentences: Sequence[Sentence]) -> Array:
        """`log p(x)` of each sentence, over all its paths, `(B,)`."""
        result = np.empty(len(sentences))
        for batch in self.batches(frames, lengths, sentences):
            result[batch.which] = inference.log_likelihood(
                self.rows(batch), batch.chains, batch.lengths, chain=np.arange(len(batch.which))
            )
        return result

    # --- batches

    def rows(self, batch: Batch) -> Array:
        """Log-likelihoods of the frames in the states of their sentences, `(M, S)`."""
        logs = self.emissions._frame_log_prob(batch.frames)
        logs = torch.cat([logs, logs.new_full((len(logs), 1), -torch.inf)], dim=1)
        return np.asarray(logs.gather(1, batch.emission).numpy())

    def batches(self, frames: Frames, lengths: Index, sentences: Sequence[Sentence]) -> Iterator[Batch]:
        """Sentences of about as many states together."""
        begin = np.cumsum(lengths) - lengths
        for which in groups(np.array([one.n_states for one in sentences]), lengths):
            own = [sentences[b] for b in which]
            parts = [np.asarray(frames[begin[b] : begin[b] + lengths[b]], np.float64) for b in which]
            emission = padded([one.emission for one in own], self.n_distinct)
            spread = torch.from_numpy(np.repeat(emission, lengths[which], axis=0))
            x = torch.from_numpy(np.concatenate(parts))
            yield Batch(which, x, lengths[which], spread, chains_of(own, self.stay))


def stay_of(stays: Array | Index, visits: Array | Index) -> Array:
    """Most probable `stay` under the prior Beta(2, 2), which keeps it from 0 and 1."""
    result: Array = (stays + 1.0) / (visits + 2.0)
    return result


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
