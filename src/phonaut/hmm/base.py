"""What all hidden Markov models share: EM over sequences, decoding, sampling, saving; with hmmlearn's conventions."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phonaut.densities.gmm import ObjectiveFellWarning
from phonaut.densities.processes import of_first, summed
from phonaut.hmm import inference
from phonaut.hmm.chains import Array, Chains, Index
from phonaut.hmm.em import Back, Expected, Monitor, Random, dirichlet, generator_of, normalized, sequences
from phonaut.hmm.saving import Saved, fingerprint

log = logging.getLogger(__name__)

PART_CELLS = 2**20  # frames times states that are worked on at once, at least one sequence of them


class HMM(Saved):
    """A hidden Markov model; sub-classes say what a state emits.

    Sequences are concatenated frames `X (N, D)` with `lengths`, or a list of arrays. A parameter that `params` does not
    name is not trained; one that `init_params` does not name, and that is set, is where training starts.

    Attributes:
        startprob_: `p(s_1 = i)`, `(S,)`.
        transmat_: `p(s_t+1 = j | s_t = i)`, `(S, S)`; what is 0 stays 0.
        monitor_: how the last fit went.
        n_features: D.
    """

    codes: ClassVar[dict[str, str]] = {"s": "startprob_", "t": "transmat_"}

    n_components: int
    startprob_prior: Any
    transmat_prior: Any
    algorithm: str
    random_state: Random
    n_iter: int
    tol: float
    verbose: bool
    params: str
    init_params: str
    n_restarts: int
    device: str
    n_features: int
    startprob_: Array
    transmat_: Array

    # --- what a sub-class says of its emissions

    def _frame_log_prob(self, x: Tensor) -> Tensor:
        """`log p(x_t | s)` of frames `(N, D)`: `(N, S)`."""
        raise NotImplementedError

    def _emission_statistics(self, x: Tensor, posteriors: Tensor, origin: Tensor) -> Any:
        """What the M-step needs, given `p(s_t = i | x)`, `(N, S)`."""
        raise NotImplementedError

    def _maximize_emissions(self, found: Any) -> None:
        """The M-step of the emissions."""
        raise NotImplementedError

    def _reseed(self) -> bool:
        """Move components that lost their frames, if there are any; whether there were."""
        return False

    def _emission_log_prior(self) -> float:
        """Log-density of the emission parameters, up to a constant."""
        return 0.0

    def _init_emissions(self, X: Array, rng: np.random.Generator, states: Index | None) -> None:
        """Parameters to start from; frames are of the `states (N,)` that are given."""
        raise NotImplementedError

    def _check_emissions(self) -> None:
        """Raise ValueError for parameters that make no sense; set `n_features`."""
        raise NotImplementedError

    def _sample_frames(self, path: Index, rng: np.random.Generator) -> Array:
        """A frame of each state of a path, `(T, D)`."""
        raise NotImplementedError

    def _n_emission_parameters(self) -> int:
        raise NotImplementedError

    # --- fitting

    def fit(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Self:
        """Fit by EM to frames `(N, D)` of sequences of `lengths`, or to a list of arrays.

        Raises:
            ValueError: for frames, lengths or settings that make no sense.
        """
        frames, n = sequences(X, lengths, getattr(self, "n_features", None) if self._is_set() else None)
        rng = generator_of(self.random_state)
        if self.checkpoint:
            if self.n_restarts > 1:
                raise ValueError(f"a checkpoint is of one start; n_restarts must be 1, got {self.n_restarts}")
            if not self._go_on(frames):
                self._init(frames, n, rng)
                self.monitor_ = self._new_monitor()
            self._em(frames, n)
            return self
        best: dict[str, Any] | None = None
        given = {name: value for name, value in vars(self).items() if name.endswith("_")}
        for _ in range(max(1, self.n_restarts)):
            vars(self).update(given)
            self._init(frames, n, rng)
            self.monitor_ = self._new_monitor()
            self._em(frames, n)
            if best is None or self.monitor_.last > best["monitor_"].last:
                best = {name: value for name, value in vars(self).items() if name.endswith("_")}
        assert best is not None
        vars(self).update(best)
        return self

    def partial_fit(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Self:
        """One step of stepwise EM, for data that come in parts: `s <- (1 - eta) s + eta s_new` with `eta = k^-0.7` for
        the k-th part, where s are the sufficient statistics of a frame; then an M-step as if s were those of all frames
        so far. The first call starts the parameters if they are not all set.

        Source: Cappe and Moulines 2009, "On-line expectation-maximization algorithm for latent data models".
        """
        started = hasattr(self, "_memory")
        known = all(hasattr(self, name) for name in self.codes.values())
        frames, n = sequences(X, lengths, getattr(self, "n_features", None) if known else None)
        if not started:
            if not known:
                self._init(frames, n, generator_of(self.random_state))
            self.monitor_ = self._new_monitor()
            self._origin, self._n_seen = self._middle(frames), 0.0
        self._check()
        found = self._expect(frames, n, self._origin).summed()
        self.monitor_.report(found.log_prob, found.log_prob + self._log_prior())
        eta = self.monitor_.iter**-0.7
        new = found.scaled(eta / found.n_frames)
        self._memory: Expected = self._memory.scaled(1 - eta) + new if started else new
        self._n_seen += found.n_frames
        self._maximize(self._memory.scaled(self._n_seen))
        return self

    def _new_monitor(self) -> Monitor:
        return Monitor(self.tol, self.n_iter, verbose=self.verbose)

    def _is_set(self) -> bool:
        """Whether the parameters of the emissions are there and none of them is to be started anew."""
        trained = {code: name for code, name in self.codes.items() if code != "_"}
        return all(hasattr(self, name) and code not in self.init_params for code, name in trained.items())

    def _middle(self, frames: NDArray[Any]) -> Tensor:
        """The mean of all frames, `(D,)`, which statistics are taken about."""
        sums = np.append(frames.sum(axis=0, dtype=np.float64), len(frames))
        total = summed(torch.from_numpy(sums))
        return (total[:-1] / total[-1]).to(self.device)

    def _spread(self, frames: NDArray[Any]) -> Array:
        """The variance of all frames, `(D,)`."""
        away = np.square(frames - self._middle(frames).cpu().numpy()).sum(axis=0)
        total = summed(torch.from_numpy(np.append(away, len(frames))))
        variance: Array = (total[:-1] / total[-1]).numpy()
        return variance

    def _expect(self, frames: NDArray[Any], lengths: Index, origin: Tensor) -> Expected:
        """The E-step: sufficient statistics of sequences under the parameters of now."""
        parts = (self._expect_part(frames[rows], n, origin) for rows, n in self._parts(lengths))
        return reduce(operator.add, parts)

    def _expect_part(self, frames: NDArray[Any], lengths: Index, origin: Tensor) -> Expected:
        x = torch.from_numpy(frames).to(self.device)
        found = inference.forward_backward(self._frame_log_prob(x).double().cpu().numpy(), self.chains, lengths)
        posteriors = torch.from_numpy(found.state).to(x.device, x.dtype)
        emissions = self._emission_statistics(x, posteriors, origin)
        log_prob = float(found.log_likelihood.sum())
        return Expected(log_prob, len(frames), found.start[0], found.transitions[0], emissions)

    def _maximize(self, found: Expected) -> None:
        """The M-step."""
        self._maximize_chain(found.start, found.transitions)
        self._maximize_emissions(found.emissions)

    def _em(self, frames: NDArray[Any], lengths: Index) -> None:
        """EM steps until `tol` or `n_iter`."""
        self._check()
        origin = self._middle(frames)
        self._back = self._back if self.monitor_.iter else Back()
        while not self.monitor_.converged and not self.monitor_.fell:
            self._em_step(frames, lengths, origin)
            if self.checkpoint and not self.monitor_.fell:
                self._write(Path(self.checkpoint), self._back, frames=fingerprint(frames))

    def _em_step(self, frames: NDArray[Any], lengths: Index, origin: Tensor) -> None:
        """One EM step, unless the one before made the objective fall: then it is taken back."""
        back, last = self._back, self.monitor_.last
        found = self._expect(frames, lengths, origin).summed()
        objective = found.log_prob + self._log_prior()
        fell = not objective >= last - 1e-7 * max(1.0, abs(last)) - 1e-9 * found.n_frames
        if fell and back.plain:  # what was seeded anew made it worse: without that
            vars(self).update(back.plain)
            back.plain = {}
            self._em_step(frames, lengths, origin)
            return
        if fell:
            warnings.warn(
                f"the objective fell from {last:.9g} to {objective:.9g} in step {self.monitor_.iter} of EM; the "
                "parameters before that step are kept",
                ObjectiveFellWarning,
                stacklevel=4,
            )
            vars(self).update(back.before)
            self.monitor_.fell = True
            return
        back.before = self._parameters()
        self._maximize(found)
        plain = self._parameters()
        back.plain = plain if back.n_seeded < 2 * self.n_components and self._reseed() else {}
        back.n_seeded += bool(back.plain)
        self.monitor_.report(found.log_prob, objective)

    def _maximize_chain(self, start: Array, transitions: Array) -> None:
        """Start and transition probabilities; a state that was never left keeps its row."""
        if "s" in self.params:
            self.startprob_ = normalized(start, self.startprob_prior, self.startprob_)
        if "t" in self.params:
            self.transmat_ = normalized(transitions, self.transmat_prior, self.transmat_)

    def _log_prior(self) -> float:
        """Log-density of all parameters, up to a constant: Dirichlet for start and transitions."""
        total = self._emission_log_prior()
        if "s" in self.params:
            total += dirichlet(self.startprob_prior, self.startprob_)
        if "t" in self.params:
            total += dirichlet(self.transmat_prior, self.transmat_)
        return total

    def _init(
        self, X: ArrayLike, lengths: Any = None, rng: np.random.Generator | None = None, *, quietly: bool = False
    ) -> None:
        """Parameters to start from: those that `init_params` names, and those that are not set."""
        frames = np.asarray(X, dtype=np.float64)
        rng = generator_of(self.random_state) if rng is None else rng
        n = self.n_components
        self.n_features = frames.shape[1]
        if self._needs_init("s"):
            self.startprob_ = rng.dirichlet(np.full(n, float(n)))
        if self._needs_init("t"):
            self.transmat_ = rng.dirichlet(np.full(n, float(n)), size=n)
        self._init_emissions(frames, rng, self._apportioned(frames, lengths))
        for name, value in self._parameters().items():
            setattr(self, name, of_first(torch.from_numpy(np.ascontiguousarray(value))).numpy())
        if frames.size < self.n_parameters and "f" not in self.codes and not quietly:  # networks always have more
            log.warning(
                "Fitting a model with %d free scalar parameters with only %d data points will result in a degenerate "
                "solution.",
                self.n_parameters,
                frames.size,
            )

    def _apportioned(self, frames: Array, lengths: Any) -> Index | None:
        """The states of all frames where a chain only goes forward from its first: equal shares of each sequence.

        Clusters of frames would not be in the order of the states, and EM does not reorder them.
        """
        forward = self.startprob_[0] == 1 and not np.tril(self.transmat_, -1).any()
        if not forward or self.n_components == 1:
            return None
        n = np.array([len(frames)] if lengths is None else lengths)
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        shares: Index = within * self.n_components // np.repeat(n, n)
        return shares

    def _needs_init(self, code: str) -> bool:
        """Whether a parameter has to be started; says so where that overwrites what was set."""
        name = self.codes[code]
        if code in self.init_params and hasattr(self, name) and not hasattr(self, "monitor_"):
            log.warning(
                "%s is set, but it will be overwritten during initialization, because init_params contains %r",
                name,
                code,
            )
        return code in self.init_params or not hasattr(self, name)

    def _check(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            ValueError: says which, and how they should be.
        """
        for code, shape in (("s", (self.n_components,)), ("t", (self.n_components,) * 2)):
            name = self.codes[code]
            value = np.asarray(getattr(self, name, None), dtype=np.float64)
            if value.shape != shape:
                raise ValueError(f"{name} must be {shape}; got {value.shape}")
            if not np.allclose(value.sum(axis=-1), 1.0) or not (value >= 0).all():
                raise ValueError(f"{name} must sum to 1, and must not be negative (got sums {value.sum(axis=-1)})")
            setattr(self, name, value)
        self._check_emissions()

    # --- a fitted model

    @property
    def chains(self) -> Chains:
        """The hidden chain, as `phonaut.hmm.inference` takes it."""
        return Chains(self.startprob_, self.transmat_)

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
        self._check()
        frames, n = sequences(X, lengths, self.n_features)
        for rows, part in self._parts(n):
            x = torch.from_numpy(frames[rows]).to(self.device)
            yield self._frame_log_prob(x).double().cpu().numpy(), part

    def score(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Log-likelihood of all sequences together."""
        parts = self._logs(X, lengths)
        return float(sum(inference.log_likelihood(logs, self.chains, n).sum() for logs, n in parts))

    def score_samples(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Log-likelihood of all sequences together, and `p(s_t = i | x)` of every frame, `(N, S)`."""
        parts = [inference.forward_backward(logs, self.chains, n) for logs, n in self._logs(X, lengths)]
        return float(sum(part.log_likelihood.sum() for part in parts)), np.concatenate([part.state for part in parts])

    def predict_proba(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x)` of every frame, `(N, S)`."""
        return self.score_samples(X, lengths)[1]

    def filter(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x_1 ... x_t)` of every frame, `(N, S)`: nothing later is looked at."""
        parts = self._logs(X, lengths)
        return np.concatenate([inference.filtered(logs, self.chains, n)[0] for logs, n in parts])

    def decode(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, algorithm: str | None = None
    ) -> tuple[float, Index]:
        """States of all frames `(N,)`, with a log-probability before them.

        Args:
            X: frames.
            lengths: of the sequences.
            algorithm: `viterbi`: the most probable path and its log-probability; `map`: the most probable state of each
                frame, and the sum of their posteriors. By default what the model was made with.
        """
        chosen = algorithm or self.algorithm
        if chosen not in ("viterbi", "map"):
            raise ValueError(f"algorithm is viterbi or map, got {chosen}")
        if chosen == "viterbi":
            found = [inference.viterbi(logs, self.chains, n) for logs, n in self._logs(X, lengths)]
            return float(sum(score.sum() for _, score in found)), np.concatenate([path for path, _ in found])
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
        self._check()
        rng = generator_of(self.random_state if random_state is None else random_state)
        start = self.startprob_ if currstate is None else np.eye(self.n_components)[currstate]
        path = inference.sample(Chains(start, self.transmat_), n_samples, rng)
        return self._sample_frames(path, rng), path

    def get_stationary_distribution(self) -> Array:
        """The distribution of states that transitions do not change, `(S,)`."""
        values, vectors = np.linalg.eig(self.transmat_.T)
        vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        return vector / vector.sum()  # type: ignore[no-any-return]

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        n = self.n_components
        return n - 1 + n * (n - 1) + self._n_emission_parameters()

    def aic(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Akaike information criterion `-2 log p(X) + 2 n_parameters`: lower is better."""
        return -2 * self.score(X, lengths) + 2 * self.n_parameters

    def bic(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Bayesian information criterion `-2 log p(X) + n_parameters log N`: lower is better."""
        n_frames = len(sequences(X, lengths)[0])
        return -2 * self.score(X, lengths) + self.n_parameters * float(np.log(n_frames))
