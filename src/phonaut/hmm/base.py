"""Hidden Markov models of any emissions: EM over sequences, decoding, sampling, saving; with hmmlearn's conventions."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.checks import below, refuse
from phonaut.densities.processes import all_reduce, broadcast
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.em import FollowedMonitor, Monitor, RollbackState, dirichlet_log_density, dirichlet_m_step, em
from phonaut.hmm.emissions.base import Emissions
from phonaut.hmm.inputs import Random, generator_of, is_number, not_fitted, sequences, uniform_segmentation
from phonaut.hmm.saving import Saved, fingerprint

log = logging.getLogger(__name__)

PART_CELLS = 2**20  # frames times states that are worked on at once, at least one sequence of them


@dataclass
class BaumWelchStatistics:
    """Result of an E-step; those of two sets of sequences add up.

    Attributes:
        log_prob: log-likelihood of the sequences.
        n_frames: how many.
        start: expected first states, `(S,)`.
        transitions: expected transitions, `(S, S)`.
        emissions: statistics of the emissions.
    """

    log_prob: float
    n_frames: float
    start: Array
    transitions: Array
    emissions: Any

    def __add__(self, other: BaumWelchStatistics) -> BaumWelchStatistics:
        return BaumWelchStatistics(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def scaled(self, factor: float) -> BaumWelchStatistics:
        """Those of sequences that count `factor` times each."""
        numbers = {name: value * factor for name, value in vars(self).items() if name != "emissions"}
        return BaumWelchStatistics(**numbers, emissions=self.emissions.scaled(factor))

    def reduced(self) -> BaumWelchStatistics:
        """Those of all processes."""
        n = len(self.start)
        sums = all_reduce(np.concatenate([[self.log_prob, self.n_frames], self.start, self.transitions.ravel()]))
        start, transitions = sums[2 : 2 + n], sums[2 + n :].reshape(n, n)
        return BaumWelchStatistics(float(sums[0]), float(sums[1]), start, transitions, self.emissions.reduced())


class HMM(Saved):
    """A hidden Markov model: a chain, and the emissions of its states.

    Sequences are concatenated frames `X (N, D)` with `lengths`, or a list of arrays. A parameter that `params` does not
    name is not trained; one that `init_params` does not name, and that is set, is where training starts.

    Args:
        emissions: densities of the states.
        startprob_prior: Dirichlet parameters, `(S,)` or one number.
        transmat_prior: Dirichlet parameters, `(S, S)` or one number.
        algorithm: of `decode`: `viterbi` or `map`.
        random_state: a seed or a generator.
        n_iter: EM steps; 0: nothing is trained.
        tol: EM stops when the log-likelihood rises by less; negative: never.
        verbose: print each step.
        params: what is trained: s(tart), t(ransitions) and letters of the emissions; None: all.
        init_params: what is started anew by `fit`, even if it is set; None: all.
        implementation: `scaling`: recursions of scaled probabilities, of logarithms only where digits would be lost;
            `log`: of logarithms, which is slower.
        n_restarts: starts; the best is kept.
        checkpoint: file that `fit` writes after each step, and goes on from if it is there.

    Attributes:
        startprob_: `p(s_1 = i)`, `(S,)`.
        transmat_: `p(s_t+1 = j | s_t = i)`, `(S, S)`; what is 0 stays 0.
        monitor_: course of the last fit. Set before `fit`, it is kept, and says when EM has converged: a `Monitor`, or
            whatever has `report(log_prob)`, `converged` and `_reset()`, as hmmlearn's.
    """

    startprob_: Array
    transmat_: Array

    def __init__(
        self,
        emissions: Emissions,
        *,
        startprob_prior: ArrayLike = 1.0,
        transmat_prior: ArrayLike = 1.0,
        algorithm: str = "viterbi",
        random_state: Random = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str | None = None,
        init_params: str | None = None,
        implementation: str = "scaling",
        n_restarts: int = 1,
        checkpoint: str | None = None,
    ) -> None:
        every = "st" + default_params(emissions)
        self.emissions = emissions
        self.startprob_prior, self.transmat_prior = startprob_prior, transmat_prior
        self.algorithm, self.random_state = algorithm, random_state
        self.n_iter, self.tol, self.verbose = n_iter, tol, verbose
        self.params = every if params is None else params
        self.init_params = every if init_params is None else init_params
        self.implementation, self.n_restarts, self.checkpoint = implementation, n_restarts, checkpoint

    @property
    def n_components(self) -> int:
        """States, S."""
        return self.emissions.n_states

    @n_components.setter
    def n_components(self, n: int) -> None:
        self.emissions.n_states = n

    @property
    def n_features_in_(self) -> int:
        """Features of a frame, D, once there are parameters."""
        return self.emissions.n_features

    @property
    def monitor_(self) -> Any:
        """The course of the last fit, or of the one to come."""
        own = vars(self).get("_own_monitor")
        return own if own is not None else vars(self).get("_monitor") or self._new_monitor()

    @monitor_.setter
    def monitor_(self, monitor: Any) -> None:
        self._own_monitor = monitor
        if isinstance(monitor, Monitor):
            self._monitor = monitor

    # --- fitting

    def fit(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Self:
        """Fit by EM to frames `(N, D)` of sequences of `lengths`, or to a list of arrays.

        Raises:
            ValueError: for frames, lengths or settings that make no sense.
        """
        self._check_settings()
        frames, n = self._sequences(X, lengths, started=self._starts_none())
        rng = generator_of(self.random_state)
        if self.checkpoint:
            if self.n_restarts > 1:
                raise ValueError(f"a checkpoint is of one start; n_restarts must be 1, got {self.n_restarts}")
            if not self._resume(frames):
                self.initialize(frames, n, rng)
                self._monitor = self._new_monitor()
            self._em(frames, n)
            return self
        best: tuple[float, dict[str, Any], Monitor] | None = None
        given = self.state_dict()
        for _ in range(self.n_restarts):
            self.load_state_dict(given)
            self.initialize(frames, n, rng)
            self._monitor = self._new_monitor()
            self._em(frames, n)
            if best is None or self._monitor.last > best[0]:
                best = self._monitor.last, self.state_dict(), self._monitor
        assert best is not None
        self.load_state_dict(best[1])
        self._monitor = best[2]
        return self

    def _problems(self) -> list[str]:
        """Settings that make no sense."""
        problems = below(1, n_components=self.n_components, n_restarts=self.n_restarts) + below(0, n_iter=self.n_iter)
        if not is_number(self.tol):
            problems.append(f"tol must be a number (negative: EM never stops early), got {self.tol}")
        if self.algorithm not in ("viterbi", "map"):
            problems.append(f"algorithm is viterbi or map, got {self.algorithm}")
        if self.implementation not in ("scaling", "log"):
            problems.append(f"implementation is scaling or log, got {self.implementation}")
        for name in ("params", "init_params"):
            if not isinstance(getattr(self, name), str):
                problems.append(f"{name} must be letters, got {getattr(self, name)}")
        return problems + self.emissions.setting_problems()

    def _check_settings(self) -> None:
        """Refuse settings that make no sense, all at once."""
        refuse(self._problems(), f"{type(self).__name__}: ")

    def _sequences(self, X: Any, lengths: Any, *, started: bool = True) -> tuple[Array, Index]:
        """Checked frames and lengths; frames are of the model's width once its parameters have `started`."""
        n_features = getattr(self.emissions, "n_features", None) if started else None
        return sequences(X, lengths, n_features, type(self).__name__)

    def partial_fit(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Self:
        """One step of stepwise EM, for data that come in parts: `s <- (1 - eta) s + eta s_new` with `eta = k^-0.7` for
        the k-th part, where s are the sufficient statistics of a frame; then an M-step as if s were those of all frames
        so far. The first call starts the parameters if they are not all set.

        Source: Cappe and Moulines 2009, "On-line expectation-maximization algorithm for latent data models".
        """
        self._check_settings()
        started = hasattr(self, "_memory")
        known = set(self.parameter_names()) <= self.state_dict().keys()
        frames, n = self._sequences(X, lengths, started=known)
        if not started:
            if not known:
                self.initialize(frames, n, generator_of(self.random_state))
            self._monitor = self._new_monitor()
            self._origin, self._n_seen = global_mean(frames), 0.0
        self._check_start(frames)
        statistics = self.e_step(frames, n, self._origin).reduced()
        self._monitor.report(statistics.log_prob, statistics.log_prob + self.log_prior())
        eta = self._monitor.iter**-0.7
        new = statistics.scaled(eta / statistics.n_frames)
        self._n_seen += statistics.n_frames
        total = (self._memory.scaled(1 - eta) + new if started else new).scaled(self._n_seen)
        self.m_step(total)
        self._memory: BaumWelchStatistics = total.scaled(1 / self._n_seen)  # of flows the M-step adds the moments
        return self

    def statistics(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, origin: ArrayLike | None = None
    ) -> BaumWelchStatistics:
        """Baum-Welch statistics of any sequences, such as those of one speaker, under the parameters of now.

        Those of the components of Gaussian emissions are of zeroth, first and second order, about `origin (D,)` (by
        default the mean of the components' means, so that those of all subsets add up); `about` moves them.
        """
        self.check()
        frames, n = self._sequences(X, lengths)
        return self.e_step(frames, n, None if origin is None else np.asarray(origin, dtype=np.float64))

    def e_step(self, frames: NDArray[Any], lengths: Index, origin: Array | None = None) -> BaumWelchStatistics:
        """The E-step on checked frames `(N, D)`, some sequences at a time."""
        parts = (self._e_step_of_part(frames[rows], n, origin) for rows, n in self._parts(lengths))
        return reduce(operator.add, parts)

    def reduced_e_step(self, frames: NDArray[Any], lengths: Index) -> Callable[[], BaumWelchStatistics]:
        """The E-step that `em` calls, over the frames of all processes, about their mean."""
        origin = global_mean(frames)
        return lambda: self.e_step(frames, lengths, origin).reduced()

    def _e_step_of_part(self, frames: NDArray[Any], lengths: Index, origin: Array | None) -> BaumWelchStatistics:
        inferred: list[Any] = []

        def posteriors(logs: Array) -> Array:
            inferred.append(inference.forward_backward(logs, self.chain, lengths, scaled=self._is_scaled))
            gamma: Array = inferred[0].state
            return gamma

        emissions = self.emissions.e_step(frames, posteriors, origin)
        (result,) = inferred
        log_prob = float(result.log_likelihood.sum())
        return BaumWelchStatistics(log_prob, len(frames), result.start[0], result.transitions[0], emissions)

    def m_step(self, statistics: BaumWelchStatistics) -> None:
        """The M-step; a state that was never left keeps its row of transitions."""
        if "s" in self.params:
            self.startprob_ = dirichlet_m_step(statistics.start, self.startprob_prior, self.startprob_)
        if "t" in self.params:
            self.transmat_ = dirichlet_m_step(statistics.transitions, self.transmat_prior, self.transmat_)
        step = self._monitor.iter if "_monitor" in vars(self) else 0
        self.emissions.m_step(statistics.emissions, self.params, step)

    def reseed(self) -> bool:
        """Move components that lost their frames, if all that emissions have is trained."""
        return set(default_params(self.emissions)) <= set(self.params) and self.emissions.reseed()

    def log_prior(self) -> float:
        """Log-density of all parameters, up to a constant: Dirichlet for start and transitions."""
        total = self.emissions.log_prior(self.params)
        if "s" in self.params:
            total += dirichlet_log_density(self.startprob_prior, self.startprob_)
        if "t" in self.params:
            total += dirichlet_log_density(self.transmat_prior, self.transmat_)
        return total

    def _usual(self, setting: str, default: Any) -> Any:
        every = setting in ("params", "init_params") and default is None
        return "st" + default_params(self.emissions) if every else default

    def _new_monitor(self) -> Monitor:
        own = vars(self).get("_own_monitor")
        if isinstance(own, Monitor):
            own._reset()
            return own
        if own is not None:
            return FollowedMonitor(own, self.n_iter)
        return Monitor(self.tol, self.n_iter, self.verbose)

    @property
    def most_seedings(self) -> int:
        """Number of times that EM may seed components anew."""
        return 2 * self.n_components

    def _em(self, frames: NDArray[Any], lengths: Index) -> None:
        """EM steps until `tol` or `n_iter`."""
        self._check_start(frames)
        self.rollback = self.rollback if self._monitor.iter else RollbackState()

        def checkpoint() -> None:
            if self.checkpoint:
                self._write(Path(self.checkpoint), self.rollback, frames=fingerprint(frames))

        e_step = self.reduced_e_step(frames, lengths)
        em(self, e_step, self._monitor, self.rollback, most_seedings=self.most_seedings, after_step=checkpoint)

    def _check_start(self, frames: NDArray[Any]) -> None:
        """Refuse parameters that make no sense, or that do not fit the frames or the priors."""
        self.check()
        if self.emissions.n_features != frames.shape[1]:
            raise ValueError(f"parameters are of {self.emissions.n_features} features, frames of {frames.shape[1]}")
        try:
            density = self.log_prior()
        except (TypeError, ValueError) as error:
            raise ValueError(f"a prior has not the shape of what it is of: {error}") from error
        if not np.isfinite(density):
            raise ValueError(f"priors must be finite numbers: under them, the parameters' log-density is {density}")

    # --- parameters

    def parameter_names(self) -> list[str]:
        """Names of all parameters."""
        return ["startprob_", "transmat_", *self.emissions.letters.values(), *self.emissions.constants]

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Parameters by name, as far as they are set."""
        chain = {name: vars(self)[name] for name in ("startprob_", "transmat_") if name in vars(self)}
        return chain | self.emissions.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set parameters.

        Raises:
            ValueError: there is no such parameter.
        """
        chain = {name: value for name, value in state.items() if name in ("startprob_", "transmat_")}
        vars(self).update(chain)
        self.emissions.load_state_dict({name: value for name, value in state.items() if name not in chain})

    def _starts_none(self) -> bool:
        """Tell whether the parameters are there and none of them is to be started anew."""
        letters = {"s", "t", *self.emissions.letters}
        return set(self.parameter_names()) <= self.state_dict().keys() and not letters & set(self.init_params)

    def initialize(
        self, X: ArrayLike, lengths: Any = None, rng: np.random.Generator | None = None, *, quietly: bool = False
    ) -> None:
        """Set the parameters to start from: those that `init_params` names, and those that are not set."""
        frames = np.asarray(X, dtype=np.float64)
        rng = generator_of(self.random_state) if rng is None else rng
        n = self.n_components
        names = {"s": "startprob_", "t": "transmat_", **self.emissions.letters}
        for letter in [] if "_monitor" in vars(self) else self.init_params:
            if names.get(letter) in self.state_dict():
                log.warning(
                    "%s is set, but it will be overwritten during initialization, because init_params contains %r",
                    names[letter], letter,
                )  # fmt: skip
        if "s" in self.init_params or "startprob_" not in vars(self):
            self.startprob_ = rng.dirichlet(np.full(n, float(n)))
        if "t" in self.init_params or "transmat_" not in vars(self):
            self.transmat_ = rng.dirichlet(np.full(n, float(n)), size=n)
        states = None
        # Where a chain only goes forward from its first state, clusters of frames would not be in the order of the
        # states, and EM does not reorder them.
        if n > 1 and self.startprob_[0] == 1 and not np.tril(self.transmat_, -1).any():
            states = uniform_segmentation(np.array([len(frames)] if lengths is None else lengths), n)
        for letter, name in self.emissions.letters.items():
            kept = None if letter in self.init_params else self.state_dict().get(name)
            if kept is not None and name.endswith("means_") and np.shape(kept)[-1:] != frames.shape[1:]:
                raise ValueError(f"{name} is {np.shape(kept)}, but frames have {frames.shape[1]} features")
        self.emissions.initialize(frames, rng, states, self.init_params)
        self.load_state_dict({name: broadcast(np.array(value)) for name, value in self.state_dict().items()})
        if frames.size < self.n_parameters and "f" not in self.emissions.letters and not quietly:
            log.warning(  # flows always have more
                "Fitting a model with %d free scalar parameters with only %d data points will result in a degenerate "
                "solution.",
                self.n_parameters,
                frames.size,
            )

    def check(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            ValueError: says which, and how they should be.
        """
        if self.implementation not in ("scaling", "log"):
            raise ValueError(f"implementation is scaling or log, got {self.implementation}")
        missing = [name for name in ("startprob_", "transmat_") if name not in vars(self)]
        if missing:
            raise not_fitted(
                f"this {type(self).__name__} is not fitted: call fit first, or set {' and '.join(missing)}"
            )
        for name, shape in (("startprob_", (self.n_components,)), ("transmat_", (self.n_components,) * 2)):
            value = np.asarray(vars(self)[name], dtype=np.float64)
            if value.shape != shape:
                raise ValueError(f"{name} must be {shape}; got {value.shape}")
            if not np.allclose(value.sum(axis=-1), 1.0) or not (value >= 0).all():
                raise ValueError(f"{name} must sum to 1, and must not be negative (got sums {value.sum(axis=-1)})")
            setattr(self, name, value)
        self.emissions.check()

    # --- a fitted model

    @property
    def chain(self) -> MarkovChains:
        """The hidden chain, as `phonaut.hmm.inference` takes it."""
        return MarkovChains(self.startprob_, self.transmat_)

    @property
    def _is_scaled(self) -> bool:
        return self.implementation != "log"

    def _parts(self, lengths: Index) -> Iterator[tuple[slice, Index]]:
        """Rows and lengths of some sequences at a time, so that memory is bounded and stays in use."""
        ends, first, begin = np.cumsum(lengths), 0, 0
        while first < len(lengths):
            fitting = np.searchsorted(ends, begin + PART_CELLS // self.n_components, side="right")
            last = max(first + 1, int(fitting))
            yield slice(begin, int(ends[last - 1])), lengths[first:last]
            first, begin = last, int(ends[last - 1])

    def _logs(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None) -> Iterator[tuple[Array, Index]]:
        """Log-likelihoods `(M, S)` and lengths of some checked sequences at a time."""
        self.check()
        frames, n = self._sequences(X, lengths)
        for rows, part in self._parts(n):
            yield self.emissions.log_prob(frames[rows]), part

    def score(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Log-likelihood of all sequences together."""
        parts = self._logs(X, lengths)
        scaled = self._is_scaled
        return float(sum(inference.log_likelihood(logs, self.chain, n, scaled=scaled).sum() for logs, n in parts))

    def score_samples(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Log-likelihood of all sequences together, and `p(s_t = i | x)` of every frame, `(N, S)`."""
        parts = [
            inference.forward_backward(logs, self.chain, n, scaled=self._is_scaled)
            for logs, n in self._logs(X, lengths)
        ]
        return float(sum(part.log_likelihood.sum() for part in parts)), np.concatenate([part.state for part in parts])

    def predict_proba(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x)` of every frame, `(N, S)`."""
        return self.score_samples(X, lengths)[1]

    def filter(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x_1 ... x_t)` of every frame, `(N, S)`: nothing later is looked at."""
        parts = self._logs(X, lengths)
        scaled = self._is_scaled
        return np.concatenate([inference.filtered(logs, self.chain, n, scaled=scaled)[0] for logs, n in parts])

    def decode(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, algorithm: str | None = None
    ) -> tuple[float, Index]:
        """States of all frames `(N,)`, with a log-probability before them.

        Args:
            X: frames.
            lengths: of the sequences.
            algorithm: `viterbi`: the most probable path and its log-probability; `map`: the most probable state of each
                frame, and the sum of their posteriors. By default that of the model.
        """
        algorithm = algorithm or self.algorithm
        if algorithm not in ("viterbi", "map"):
            raise ValueError(f"algorithm is viterbi or map, got {algorithm}")
        if algorithm == "viterbi":
            parts = [inference.viterbi(logs, self.chain, n) for logs, n in self._logs(X, lengths)]
            return float(sum(score.sum() for _, score in parts)), np.concatenate([path for path, _ in parts])
        state = self.predict_proba(X, lengths)
        return float(state.max(axis=1).sum()), state.argmax(axis=1)

    def predict(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Index:
        """States of all frames `(N,)`, by `decode`."""
        return self.decode(X, lengths)[1]

    def sample(
        self, n_samples: int = 1, random_state: Random = None, currstate: int | None = None
    ) -> tuple[Array, Index]:
        """A sequence of frames `(T, D)` and its states `(T,)`.

        Args:
            n_samples: T.
            random_state: a seed or a generator; by default that of the model.
            currstate: the state to begin in.
        """
        self.check()
        rng = generator_of(self.random_state if random_state is None else random_state)
        start = self.startprob_ if currstate is None else np.eye(self.n_components)[currstate]
        path = inference.sample(MarkovChains(start, self.transmat_), n_samples, rng)
        return self.emissions.sample(path, rng), path

    def get_stationary_distribution(self) -> Array:
        """The distribution of states that transitions do not change, `(S,)`."""
        if "transmat_" not in vars(self):
            raise not_fitted(f"this {type(self).__name__} is not fitted: call fit first, or set transmat_")
        values, vectors = np.linalg.eig(self.transmat_.T)
        vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        return vector / vector.sum()  # type: ignore[no-any-return]

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        n = self.n_components
        return n - 1 + n * (n - 1) + self.emissions.n_parameters

    def aic(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Akaike information criterion `-2 log p(X) + 2 n_parameters`: lower is better."""
        return -2 * self.score(X, lengths) + 2 * self.n_parameters

    def bic(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Bayesian information criterion `-2 log p(X) + n_parameters log N`: lower is better."""
        score = self.score(X, lengths)
        return -2 * score + self.n_parameters * float(np.log(len(self._sequences(X, lengths)[0])))


def default_params(emissions: Emissions) -> str:
    """Letters of all that is trained of emissions."""
    return emissions.default_params or "".join(emissions.letters)


def global_mean(frames: NDArray[Any]) -> Array:
    """Mean of the frames of all processes, `(D,)`, which statistics are taken about."""
    sums = all_reduce(np.append(frames.sum(axis=0, dtype=np.float64), len(frames)))
    mean: Array = sums[:-1] / sums[-1]
    return mean
