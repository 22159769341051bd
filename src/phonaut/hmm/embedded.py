"""Embedded training: phone models, trained on utterances of which only the phones are known, not their times.

An utterance is a chain composed of its phones, with every pronunciation (`phonaut.hmm.utterance_graph`); forward and
backward recursions over that chain give posteriors of states, which are summed over all places where the same state of
the same phone occurs.

Source: Young et al. 2006, "The HTK book", section 8.5.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.em import Monitor, em
from phonaut.hmm.emissions.mixture import MixtureEmissions
from phonaut.hmm.utterance_graph import BATCH_CELLS, UtteranceGraph, chains_of, groups, padded

PRIOR_FRAMES = 5.0  # weight of the prior of a variance
PRIOR_VARIANCE = 0.3  # of the global variance: about what is left within a state
LEAST_FRAMES = 20.0  # of a component that is split

Frames = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class EmbeddedStatistics:
    """Result of an E-step; those of two sets of utterances add up.

    Attributes:
        log_prob: log-likelihood of all utterances.
        n_frames: how many.
        self_loops: expected self-transitions of each state, `(P,)`.
        occupancies: expected frames in each state, `(P,)`.
        emissions: statistics of the emissions.
    """

    log_prob: float
    n_frames: float
    self_loops: Array
    occupancies: Array
    emissions: GaussianStatistics

    def __add__(self, other: EmbeddedStatistics) -> EmbeddedStatistics:
        return EmbeddedStatistics(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


class Batch(NamedTuple):
    """Utterances that are worked on at once.

    Attributes:
        which: their numbers, `(B,)`.
        frames: theirs, one after another, `(M, D)`.
        lengths: `(B,)`.
        emission: state of the phone models for each frame and state of its utterance, `(M, S)`; P: there is none.
        chains: one for each.
    """

    which: Index
    frames: Array
    lengths: Index
    emission: torch.Tensor
    chains: MarkovChains


class Occupation(NamedTuple):
    """Where utterances are in the phone models, frame by frame.

    Attributes:
        log_prob: log-likelihood of each utterance, of its best path alone where that is what counts, `(B,)`.
        gamma: posteriors of the states of the phone models, `(M, P)`; zeros where no path is possible.
        self_loops: expected self-transitions of each, `(P,)`.
    """

    log_prob: Array
    gamma: Array
    self_loops: Array


class PhoneModels:
    """Left-to-right models of phones, each state with a Gaussian mixture of diagonal covariances.

    Args:
        n_states: of each phone, `(U,)`.
        tied: number of the self-loop that each state has, `(P,)`, for states that share one; None: none do.

    Attributes:
        first: number of the first state of each phone, `(U,)`.
        self_loop: probability that a state follows itself, `(P,)`, P states of all phones.
        emissions: the mixtures of all states.
    """

    def __init__(self, n_states: Sequence[int], tied: Index | None = None) -> None:
        self.first = np.concatenate([[0], np.cumsum(n_states)[:-1]]).astype(np.int64)
        self.n_distinct = int(np.sum(n_states))
        self.tied = np.arange(self.n_distinct) if tied is None else tied
        self.self_loop = np.full(self.n_distinct, 0.5)
        self.emissions = MixtureEmissions(self.n_distinct)

    def initialize(self, frames: Frames, label: Index) -> None:
        """Begin with one Gaussian a state.

        Args:
            frames: of all utterances, one after another, `(N, D)`.
            label: state that each frame is assigned to, `(N,)`; -1: none. A state without frames begins with global
                mean and variance.
        """
        wide = np.asarray(frames, np.float64)
        mean, variance = wide.mean(axis=0), np.maximum(wide.var(axis=0), 1e-10)
        emissions = MixtureEmissions(self.n_distinct, **variance_prior(variance))
        shape = (self.n_distinct, 1)
        emissions.weights_ = np.ones(shape)
        emissions.means_, emissions.covars_ = (np.tile(value, (*shape, 1)) for value in (mean, variance))
        emissions.check()
        size = BATCH_CELLS // self.n_distinct
        parts = (slice(begin, begin + size) for begin in range(0, len(wide), size))
        assigned = (
            (wide[part], (label[part, None] == np.arange(self.n_distinct)).astype(np.float64)) for part in parts
        )
        emissions.m_step(reduce(operator.add, (emissions.statistics(x, gamma, mean) for x, gamma in assigned)))
        occupancies = np.bincount(label[label >= 0], minlength=self.n_distinct)
        emissions.means_[occupancies == 0], emissions.covars_[occupancies == 0] = mean, variance
        repeated = label[1:][(label[1:] == label[:-1]) & (label[1:] >= 0)]
        self.emissions = emissions
        self.self_loop = self.self_loop_m_step(np.bincount(repeated, minlength=self.n_distinct), occupancies)

    def split_mixtures(self, most: Index | None = None) -> None:
        """Make two of each component; one with too few frames stays alone, beside an empty one.

        Args:
            most: components that a state may have, `(P,)`: the heaviest are split as long as there may be more. What
                no state needs is left out then. None: any number.
        """
        if most is None:
            self.emissions = self.emissions.split(min_frames=LEAST_FRAMES)
            return
        before = self.emissions
        rank = np.argsort(np.argsort(-before.occupancies, axis=1, kind="stable"), axis=1)
        more = most - (before.weights_ > 0).sum(axis=1)
        emissions = before.split(min_frames=np.where(rank < more[:, None], LEAST_FRAMES, np.inf))
        there = emissions.weights_ > 0
        order = np.argsort(~there, axis=1, kind="stable")[:, : int(there.sum(axis=1).max())]
        emissions.n_mix = order.shape[1]
        for name in ("weights_", "means_", "covars_"):
            value = getattr(emissions, name)
            setattr(
                emissions, name, np.take_along_axis(value, order.reshape(*order.shape, *(1,) * (value.ndim - 2)), 1)
            )
        self.emissions = emissions

    # --- EM

    def fit(
        self,
        frames: Frames,
        lengths: Index,
        utterances: Sequence[UtteranceGraph],
        *,
        n_iter: int,
        tol: float = 0.0,
        report: Callable[[int, float], None] | None = None,
    ) -> Monitor:
        """EM steps, until one gains less than `tol` a frame; one after which the objective fell is undone.

        Args:
            frames: of all utterances, one after another, `(N, D)`.
            lengths: `(B,)`.
            utterances: each at least as long as its shortest path.
            n_iter: the most steps.
            tol: nats.
            report: called with the number of each step and the log-likelihood per frame before it.

        Raises:
            ValueError: an utterance has no path.
        """
        n_frames = int(lengths.sum())
        monitor = Monitor(tol * n_frames, n_iter)
        origin = np.asarray(frames).mean(axis=0, dtype=np.float64)

        def after_step() -> None:
            if report is not None:
                report(monitor.iter, monitor.history[-1] / n_frames)

        em(self, lambda: self.e_step(frames, lengths, utterances, origin), monitor, after_step=after_step)
        return monitor

    def e_step(
        self,
        frames: Frames,
        lengths: Index,
        utterances: Sequence[UtteranceGraph],
        origin: Array,
        *,
        best_path: bool = False,
    ) -> EmbeddedStatistics:
        """Statistics of utterances about `origin (D,)`; `best_path`: along the most probable path alone.

        Raises:
            ValueError: an utterance has no path.
        """
        batches = self.batches(frames, lengths, utterances)
        return reduce(operator.add, [self.e_step_of_batch(batch, origin, best_path) for batch in batches])

    def e_step_of_batch(self, batch: Batch, origin: Array, best_path: bool = False) -> EmbeddedStatistics:
        """Statistics of some utterances."""
        joint = self.emissions.component_log_prob(batch.frames)
        found = self.occupation(batch, self.rows(batch, joint), best_path)
        wrong = np.flatnonzero(~np.isfinite(found.log_prob))
        if len(wrong):
            raise ValueError(f"utterance {batch.which[wrong[0]]} has no path through its frames")
        sums = self.emissions.sparse_statistics(batch.frames, joint, found.gamma, origin)
        log_prob = float(found.log_prob.sum())
        return EmbeddedStatistics(log_prob, len(batch.frames), found.self_loops, found.gamma.sum(axis=0), sums)

    def occupation(self, batch: Batch, rows: Array, best_path: bool = False) -> Occupation:
        """Posteriors of states by forward and backward recursions, or 1 along the best path, from `rows (M, S)`."""
        chain = np.arange(len(batch.which))
        first = np.cumsum(batch.lengths) - batch.lengths
        if best_path:
            path, log_prob = inference.viterbi(rows, batch.chains, batch.lengths, chain=chain)
            stays = np.append(path[1:] == path[:-1], False) & (path >= 0)
            stays[first + batch.lengths - 1] = False
            state = np.zeros_like(rows)
            state[np.arange(len(path)), np.maximum(path, 0)] = path >= 0
            repeated = np.add.reduceat(state * stays[:, None], first, axis=0)
        else:
            found = inference.forward_backward(rows, batch.chains, batch.lengths, chain=chain)
            log_prob, state = found.log_likelihood, found.state
            repeated = np.diagonal(found.transitions, axis1=1, axis2=2)
        # Posteriors of the states of each utterance are added up by the state of the phone models that they are.
        gamma = torch.zeros(len(rows), self.n_distinct + 1, dtype=torch.float64)
        gamma = gamma.scatter_add_(1, batch.emission, torch.from_numpy(state))[:, :-1]
        emission = batch.emission.numpy()[first]
        self_loops = np.bincount(emission.ravel(), repeated.ravel(), self.n_distinct + 1)[:-1].astype(np.float64)
        return Occupation(log_prob, gamma.numpy(), self_loops)

    def m_step(self, statistics: EmbeddedStatistics) -> None:
        """The M-step of self-loops and emissions."""
        self.self_loop = self.self_loop_m_step(statistics.self_loops, statistics.occupancies)
        self.emissions.m_step(statistics.emissions)

    def self_loop_m_step(self, self_loops: Array | Index, occupancies: Array | Index) -> Array:
        """Most probable self-loops under the prior Beta(2, 2), which keeps them from 0 and 1."""
        stays, visits = (np.bincount(self.tied, value)[self.tied] for value in (self_loops, occupancies))
        result: Array = (stays + 1.0) / (visits + 2.0)
        return result

    def log_prior(self) -> float:
        """Log-density of all parameters, up to a constant."""
        loops = self.self_loop[np.unique(self.tied, return_index=True)[1]]
        return self.emissions.log_prior() + float(np.log(loops).sum() + np.log1p(-loops).sum())

    def reseed(self) -> bool:
        """Move nothing: a component without frames is left behind by splitting, on purpose."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Parameters by name."""
        return {"self_loop": self.self_loop, **self.emissions.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set parameters."""
        self.self_loop = state["self_loop"]
        self.emissions.load_state_dict({name: value for name, value in state.items() if name != "self_loop"})

    # --- the best path

    def decode(self, frames: Frames, lengths: Index, utterances: Sequence[UtteranceGraph]) -> tuple[list[Index], Array]:
        """The most probable state of its utterance for each frame, -1 where there is no path; and log-probabilities."""
        paths: list[Index] = [np.empty(0, np.int64)] * len(utterances)
        scores = np.full(len(utterances), -np.inf)
        for batch in self.batches(frames, lengths, utterances):
            rows, chain = self.rows(batch), np.arange(len(batch.which))
            path, scores[batch.which] = inference.viterbi(rows, batch.chains, batch.lengths, chain=chain)
            for b, part in zip(batch.which, np.split(path, np.cumsum(batch.lengths)[:-1]), strict=True):
                paths[b] = part
        return paths, scores

    # --- batches

    def rows(self, batch: Batch, joint: Array | None = None) -> Array:
        """Log-likelihoods of the frames in the states of their utterances, `(M, S)`."""
        joint = self.emissions.component_log_prob(batch.frames) if joint is None else joint
        return self.rows_of_states(batch, torch.from_numpy(joint).logsumexp(dim=2))

    def rows_of_states(self, batch: Batch, logs: torch.Tensor) -> Array:
        """The same from the log-likelihoods of all states of the phone models, `(M, P)`."""
        logs = torch.cat([logs, logs.new_full((len(logs), 1), -torch.inf)], dim=1)
        return np.asarray(logs.gather(1, batch.emission).numpy())

    def batches(self, frames: Frames, lengths: Index, utterances: Sequence[UtteranceGraph]) -> Iterator[Batch]:
        """Utterances of about as many states together."""
        begin = np.cumsum(lengths) - lengths
        for which in groups(np.array([one.n_states for one in utterances]), lengths, self.emissions.weights_.size):
            graphs = [utterances[b] for b in which]
            x = np.concatenate([np.asarray(frames[begin[b] : begin[b] + lengths[b]], np.float64) for b in which])
            yield self.batch(which, x, lengths[which], graphs)

    def batch(self, which: Index, frames: Array, lengths: Index, graphs: Sequence[UtteranceGraph]) -> Batch:
        """Utterances numbered `which`, with their frames `(M, D)`, lengths and graphs."""
        emission = padded([one.emission for one in graphs], self.n_distinct)
        by_frame = torch.from_numpy(np.repeat(emission, lengths, axis=0))
        return Batch(which, frames, lengths, by_frame, chains_of(graphs, self.self_loop))


def variance_prior(variance: Array) -> dict[str, Any]:
    """The prior of a state's variances, settings of `MixtureEmissions`, from the variances of all frames `(D,)`."""
    return {
        "covars_prior": (PRIOR_FRAMES - 1) / 2 - 1,
        "covars_weight": PRIOR_FRAMES * PRIOR_VARIANCE * variance / 2,
    }
