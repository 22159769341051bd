"""Embedded re-estimation: models of units, such as phones, trained on sentences that are composed of them.

Where a unit begins and ends in a sentence need not be known. The sentence is a chain composed of its units, with every
way to say it (`phonaut.hmm.sentences`); forward and backward recursions over that chain say how probable each state is
at each frame, and these posteriors are summed over all places where the same state of the same unit occurs.

Source: Young et al. 2006, "The HTK book", section 8.5.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from phonaut.densities.gaussian import Statistics, features, from_features
from phonaut.hmm import inference
from phonaut.hmm.chains import Array, Chains, Index
from phonaut.hmm.em import Monitor
from phonaut.hmm.gmmhmm import GMMHMM
from phonaut.hmm.sentences import BATCH_CELLS, Sentence, chains_of, groups, padded

PRIOR_FRAMES = 5.0  # what the prior of a variance is worth
PRIOR_VARIANCE = 0.3  # of that of all frames: about what is left within a state
APART = 0.2  # standard deviations that halves of a component move
LEAST_FRAMES = 20.0  # of a component that is divided
NEGLIGIBLE = 1e-10  # probability of a state at a frame

Frames = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Found:
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

    def __add__(self, other: Any) -> Found:
        """That of both sets of sentences."""
        return Found(
            self.log_prob + other.log_prob,
            self.stays + other.stays,
            self.visits + other.visits,
            self.emissions + other.emissions,
        )


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
        report: Callable[[int, float], None] | None = None,
    ) -> Monitor:
        """EM steps, until one gains less than `tol` a frame.

        Args:
            frames: of all sentences, one after another, `(N, D)`.
            lengths: `(B,)`.
            sentences: each at least as long as its shortest path.
            n_iter: the most steps.
            tol: nats.
            report: is told the number of each step, and the log-likelihood per frame before it.

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
                report(monitor.iter, found.log_prob / n_frames)
            self.maximize(found)
        return monitor

    def expect(self, frames: Frames, lengths: Index, sentences: Sequence[Sentence], origin: torch.Tensor) -> Found:
        """The E-step; sums are taken about `origin (D,)`.

        Raises:
            ValueError: a sentence has no path.
        """
        parts = [self.expect_batch(batch, origin) for batch in self.batches(frames, lengths, sentences)]
        return reduce(operator.add, parts)

    def expect_batch(self, batch: Batch, origin: torch.Tensor) -> Found:
        """The E-step of some sentences."""
        joint = self.joint(batch.frames)
        rows = self.rows(batch, joint)
        found = inference.forward_backward(rows, batch.chains, batch.lengths, chain=np.arange(len(batch.which)))
        wrong = np.flatnonzero(~np.isfinite(found.log_likelihood))
        if len(wrong):
            raise ValueError(f"sentence {batch.which[wrong[0]]} has no path through its frames")
        state = torch.zeros(len(rows), self.n_distinct + 1, dtype=torch.float64)
        state = state.scatter_add_(1, batch.emission, torch.from_numpy(found.state))[:, :-1]
        again = np.diagonal(found.transitions, axis1=1, axis2=2)
        own = batch.emission.numpy()[np.cumsum(batch.lengths) - batch.lengths]
        stays = np.bincount(own.ravel(), again.ravel(), self.n_distinct + 1)[:-1].astype(np.float64)
        sums = self.statistics(batch.frames, joint, state, origin)
        return Found(float(found.log_likelihood.sum()), stays, state.sum(dim=0).numpy(), sums)

    def statistics(self, x: torch.Tensor, joint: torch.Tensor, state: torch.Tensor, origin: torch.Tensor) -> Statistics:
        """Sums over frames, of the few states that each is likely to be in."""
        frame, of = (state > NEGLIGIBLE).nonzero(as_tuple=True)
        r = torch.softmax(joint[frame, of], dim=1).mul_(state[frame, of, None])  # (pairs, M)
        n_mix = joint.shape[2]
        component = of[:, None] * n_mix + torch.arange(n_mix)
        where = (component.flatten().numpy(), frame.repeat_interleave(n_mix).numpy())
        weights = csr_array((r.flatten().numpy(), where), shape=(self.n_distinct * n_mix, len(x)))
        sums = torch.from_numpy(weights @ features(x - origin, full=False).numpy())
        return from_features(sums, origin, x.shape[1], full=False)

    def maximize(self, found: Found) -> None:
        """The M-step."""
        self.stay = stay_of(found.stays, found.visits)
        self.emissions._maximize_emissions(found.emissions)

    def log_prior(self) -> float:
        """Log-density of all parameters, up to a constant."""
        return self.emissions._emission_log_prior() + float(np.log(self.stay).sum() + np.log1p(-self.stay).sum())

    # --- the best path

    def decode(self, frames: Frames, lengths: Index, sentences: Sequence[Sentence]) -> tuple[list[Index], Array]:
        """The most probable state of its sentence for each frame, -1 where there is no path; and log-probabilities."""
        paths: list[Index] = [np.empty(0, np.int64)] * len(sentences)
        scores = np.full(len(sentences), -np.inf)
        for batch in self.batches(frames, lengths, sentences):
            path, score = inference.viterbi(
                self.rows(batch, self.joint(batch.frames)),
                batch.chains,
                batch.lengths,
                chain=np.arange(len(batch.which)),
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
                self.rows(batch, self.joint(batch.frames)),
                batch.chains,
                batch.lengths,
                chain=np.arange(len(batch.which)),
            )
        return result

    # --- batches

    def joint(self, x: torch.Tensor) -> torch.Tensor:
        """`log w_m N(x_t; state, m)` of frames in all components of all states, `(N, P, M)`."""
        return self.emissions._joint(x, self.emissions._gaussians())

    def rows(self, batch: Batch, joint: torch.Tensor) -> Array:
        """Log-likelihoods of the frames in the states of their sentences, `(M, S)`."""
        logs = joint.logsumexp(dim=2)
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
