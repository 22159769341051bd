"""What all hidden Markov models share: EM over sequences, decoding, sampling, saving; with hmmlearn's conventions."""

from __future__ import annotations

import inspect
import json
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import safe_open
from safetensors.numpy import save
from torch import Tensor

from phonaut.densities.gmm import ObjectiveFellWarning, checked_frames
from phonaut.hmm import inference
from phonaut.hmm.inference import Array, Chains, Index

log = logging.getLogger(__name__)

Random = int | np.random.Generator | np.random.RandomState | None


def generator_of(random_state: Random) -> np.random.Generator:
    """A generator from a seed, from one that is drawn from, or from the system."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31)))
    return np.random.default_rng(random_state)


class Monitor:
    """How EM went.

    Attributes:
        history: the log-likelihood of the data before each M-step.
        objective: the same and the log-density of the priors, which is what EM raises.
        iter: EM steps.
        fell: the objective fell, and the parameters before were taken back.
    """

    def __init__(self, tol: float, n_iter: int, *, verbose: bool = False) -> None:
        self.tol, self.n_iter, self.verbose = tol, n_iter, verbose
        self.history: list[float] = []
        self.objective: list[float] = []
        self.iter, self.fell = 0, False

    def report(self, log_prob: float, objective: float) -> None:
        """Note a step; print it if `verbose`."""
        if self.verbose:
            rise = objective - self.objective[-1] if self.objective else float("nan")
            print(f"{self.iter + 1:>6d} {log_prob:>18.6f} {rise:>+16.6f}", file=sys.stderr)
        self.history.append(log_prob)
        self.objective.append(objective)
        self.iter += 1

    @property
    def converged(self) -> bool:
        """The last step gained less than `tol`, or it was the last that was allowed."""
        gained = len(self.history) >= 2 and self.history[-1] - self.history[-2] < self.tol
        return self.iter == self.n_iter or (gained and self.tol >= 0)


class HMM:
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
    monitor_: Monitor
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

    def _emission_log_prior(self) -> float:
        """Log-density of the emission parameters, up to a constant."""
        return 0.0

    def _init_emissions(self, X: Array, rng: np.random.Generator) -> None:
        """Parameters to start from."""
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
        best: dict[str, Any] | None = None
        rng = generator_of(self.random_state)
        given = {name: value for name, value in vars(self).items() if name.endswith("_")}
        for _ in range(max(1, self.n_restarts)):
            vars(self).update(given)
            self._init(frames, n, rng)
            self._em(frames, n)
            if best is None or self._last_objective() > best["monitor_"].objective[-1]:
                best = {name: value for name, value in vars(self).items() if name.endswith("_")}
        assert best is not None
        vars(self).update(best)
        return self

    def _last_objective(self) -> float:
        return self.monitor_.objective[-1] if self.monitor_.objective else -np.inf

    def _is_set(self) -> bool:
        """Whether the parameters of the emissions are there and none of them is to be started anew."""
        return all(hasattr(self, name) and code not in self.init_params for code, name in self.codes.items())

    def _em(self, frames: NDArray[Any], lengths: Index) -> None:
        """EM steps until `tol` or `n_iter`."""
        x = torch.from_numpy(frames).to(self.device)
        origin = x.mean(dim=0, dtype=torch.float64)
        self._check()
        self.monitor_ = Monitor(self.tol, self.n_iter, verbose=self.verbose)
        before: dict[str, Any] = {}
        for _ in range(self.n_iter):
            logs = self._frame_log_prob(x)
            found = inference.forward_backward(logs.double().cpu().numpy(), self.chains, lengths)
            log_prob = float(found.log_likelihood.sum())
            objective = log_prob + self._log_prior()
            last = self._last_objective()
            if not objective >= last - 1e-7 * max(1.0, abs(last)) - 1e-9 * len(frames):
                warnings.warn(
                    f"the objective fell from {last:.9g} to {objective:.9g} in step {self.monitor_.iter} of EM; the "
                    "parameters before that step are kept",
                    ObjectiveFellWarning,
                    stacklevel=3,
                )
                vars(self).update(before)
                self.monitor_.fell = True
                return
            before = {name: getattr(self, name) for name in self._parameters()}
            posteriors = torch.from_numpy(found.state).to(x.device, x.dtype)
            self._maximize_chain(found.start[0], found.transitions[0])
            self._maximize_emissions(self._emission_statistics(x, posteriors, origin))
            self.monitor_.report(log_prob, objective)
            if self.monitor_.converged:
                return

    def _maximize_chain(self, start: Array, transitions: Array) -> None:
        """Start and transition probabilities; a state that was never left keeps its row."""
        if "s" in self.params:
            self.startprob_ = normalized(start, self.startprob_prior, self.startprob_)
        if "t" in self.params:
            self.transmat_ = normalized(transitions, self.transmat_prior, self.transmat_)

    def _log_prior(self) -> float:
        """Log-density of all parameters, up to a constant: Dirichlet for start and transitions."""
        total = self._emission_log_prior()
        for code, prior, value in (
            ("s", self.startprob_prior, self.startprob_), ("t", self.transmat_prior, self.transmat_)
        ):  # fmt: skip
            weight = np.broadcast_to(np.asarray(prior, dtype=np.float64) - 1, value.shape)
            counts = (weight != 0) & (value > 0)
            if code in self.params and counts.any():
                total += float((weight[counts] * np.log(value[counts])).sum())
        return total

    def _init(self, X: ArrayLike, lengths: Any = None, rng: np.random.Generator | None = None) -> None:
        """Parameters to start from: those that `init_params` names, and those that are not set."""
        frames = np.asarray(X, dtype=np.float64)
        rng = generator_of(self.random_state) if rng is None else rng
        n = self.n_components
        self.n_features = frames.shape[1]
        if self._needs_init("s"):
            self.startprob_ = rng.dirichlet(np.full(n, float(n)))
        if self._needs_init("t"):
            self.transmat_ = rng.dirichlet(np.full(n, float(n)), size=n)
        self._init_emissions(frames, rng)
        if frames.size < self.n_parameters:
            log.warning(
                "Fitting a model with %d free scalar parameters with only %d data points will result in a degenerate "
                "solution.",
                self.n_parameters,
                frames.size,
            )

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

    def _logs(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None) -> tuple[Array, Index]:
        """Log-likelihoods `(N, S)` and lengths of checked sequences."""
        self._check()
        frames, n = sequences(X, lengths, self.n_features)
        return self._frame_log_prob(torch.from_numpy(frames).to(self.device)).double().cpu().numpy(), n

    def score(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> float:
        """Log-likelihood of all sequences together."""
        logs, n = self._logs(X, lengths)
        return float(inference.log_likelihood(logs, self.chains, n).sum())

    def score_samples(
        self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Log-likelihood of all sequences together, and `p(s_t = i | x)` of every frame, `(N, S)`."""
        logs, n = self._logs(X, lengths)
        found = inference.forward_backward(logs, self.chains, n)
        return float(found.log_likelihood.sum()), found.state

    def predict_proba(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x)` of every frame, `(N, S)`."""
        return self.score_samples(X, lengths)[1]

    def filter(self, X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None) -> Array:
        """`p(s_t = i | x_1 ... x_t)` of every frame, `(N, S)`: nothing later is looked at."""
        logs, n = self._logs(X, lengths)
        return inference.filtered(logs, self.chains, n)[0]

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
        logs, n = self._logs(X, lengths)
        if chosen == "viterbi":
            path, score = inference.viterbi(logs, self.chains, n)
            return float(score.sum()), path
        state = inference.forward_backward(logs, self.chains, n).state
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

    # --- settings, saving

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn's tools ask for them."""
        return {
            name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"
        }

    def set_params(self, **params: Any) -> Self:
        """Change settings.

        Raises:
            ValueError: there is no such setting.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no setting {name}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def _parameters(self) -> dict[str, Array]:
        """What is trained, by name."""
        names = ("startprob_", "transmat_", *(name for code, name in self.codes.items() if code not in "st"))
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def save(self, path: str | Path) -> None:
        """Write settings and parameters to a safetensors file (settings as JSON in its header), atomically."""
        from phonaut.files import write_bytes

        settings = {name: as_json(value) for name, value in self.get_params().items()}
        arrays = {name: np.ascontiguousarray(value) for name, value in self._parameters().items()}
        kind = json.dumps({"model": type(self).__name__, "settings": settings})
        write_bytes(Path(path), save(arrays, metadata={"phonaut": kind}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model.

        Raises:
            ValueError: the file holds another kind of model, or none.
        """
        with safe_open(str(path), framework="np") as file:
            kind = json.loads((file.metadata() or {}).get("phonaut", "{}"))
            if kind.get("model") != cls.__name__:
                raise ValueError(f"{path} holds {kind.get('model') or 'no model of Phonaut'}, not a {cls.__name__}")
            model = cls(**kind["settings"])
            for name in file.keys():  # noqa: SIM118  # not a dict
                setattr(model, name, file.get_tensor(name))
        model._check()
        return model


def as_json(value: Any) -> Any:
    """A setting as JSON keeps it; a generator cannot be kept."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return None if isinstance(value, np.random.Generator | np.random.RandomState) else value


def normalized(counts: Array, prior: ArrayLike, before: Array) -> Array:
    """Probabilities from counts with a Dirichlet prior, `(counts + prior - 1)` over its sum along the last axis.

    What was 0 stays 0; a row without any count keeps what it was.
    """
    weights = np.maximum(counts + np.asarray(prior, dtype=np.float64) - 1.0, 0.0) * (before > 0)
    total = weights.sum(axis=-1, keepdims=True)
    result: Array = np.where(total > 0, weights / np.where(total > 0, total, 1.0), before)
    return result


def sequences(
    X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, n_features: int | None = None
) -> tuple[NDArray[Any], Index]:
    """Frames `(N, D)`, checked, and the lengths of the sequences, `(B,)`.

    Raises:
        ValueError: for frames that make no sense, or lengths that do not add up to them.
    """
    if isinstance(X, list | tuple) and lengths is None and len(X) and np.ndim(X[0]) == 2:
        parts = [np.asarray(part) for part in X]
        widths = {part.shape[1] if part.ndim == 2 else None for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"sequences must be (T, D) with one D; got {sorted(map(str, {p.shape for p in parts}))[:5]}"
            )
        frames = checked_frames(np.concatenate(parts), n_features)
        return frames, np.array([len(part) for part in parts], dtype=np.int64)
    frames = checked_frames(X, n_features)  # type: ignore[arg-type]
    if lengths is None:
        return frames, np.array([len(frames)], dtype=np.int64)
    n = np.atleast_1d(np.asarray(lengths))
    if n.ndim != 1 or n.dtype.kind not in "iu" or (n < 1).any() or n.sum() != len(frames):
        raise ValueError(
            f"lengths must be numbers from 1 on that add up to {len(frames)} frames; they add up to {n.sum()}"
        )
    return frames, n.astype(np.int64)
