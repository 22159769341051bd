"""Generative classifier: a hidden Markov model for each class, and a decision by Bayes' rule."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import Rule, fits, within
from phonaut.hmm import HMM, inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.em import Monitor, RollbackState, em, em_step
from phonaut.hmm.emissions import Emissions, MixtureEmissions
from phonaut.hmm.topology import STARTS, TRANSITIONS, start_probabilities, transition_probabilities
from phonaut.models.decision import BayesDecision
from phonaut.models.em_classifier import EMClassifier, Segments

SCORED_CELLS = 2**22  # frames times states of all classes that are scored at once
ADAPTIVE = (3, 5)  # states of a class, by its mean length
LONGEST = 20  # frames that a state is shown for
DURATIONS = ("durations:mean", "durations:scale")  # of log T in each class

Density = str | Callable[..., Emissions]


def are_numbers(value: Any) -> bool:
    """True for a finite number, and for nested lists of such."""
    return all(map(are_numbers, value)) if isinstance(value, Sequence) and not isinstance(value, str) else fits(
        value, float)  # fmt: skip


def is_square(rows: Any) -> bool:
    """True for as many rows as columns of numbers that are not negative."""
    return all(
        isinstance(row, Sequence) and len(row) == len(rows) > 1 and all(fits(x, float) and x >= 0 for x in row)
        for row in rows
    )


class GenerativeClassifier(EMClassifier):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    `score_c = k log p(x | c) + log p(T | c) + log p(c)`. A chain without an end says nothing of the number of frames T:
    `duration_model` adds a log-normal density of it, which is else left out. Frames that overlap are not as many as
    they seem; an acoustic scale k below 1 makes up for that, as in speech recognition.

    Each class has a hidden Markov model; a mixture or a flow is one of a single state. Parameters are named
    `<class>:<parameter>`.

    Args:
        n_features: D.
        n_classes: C.
        density: what states emit: a sub-class of `phonaut.hmm.emissions.Emissions`, or its dotted path.
        n_states: of each class; `auto`: half the mean length of its segments, from 3 to 5.
        topology: which state may follow which: `left_to_right`, `triangular`, `ergodic`, `uniform` or `random`.
        start: where a segment may begin: `first`, `uniform` or `random`.
        skips: states that may be passed over, for `left_to_right`.
        tol: a class is done when its log-likelihood per frame rises by less; negative: never.
        gmm_init_steps: EM steps of a GMM-HMM that flows start from; 0: they start from k-means.
        priors: of classes: `training`: their shares of the training split; `uniform`.
        costs: of taking class i for class j, `costs[i][j]`; the decision is the one of least expected cost. None: every
            mistake costs the same.
        calibration: calibrate the log-likelihoods by logistic regression on the validation split.
        duration_model: count `log p(T | c)`; without it all lengths are taken to be as likely.
        acoustic_scale: k.
        **settings: of the density.

    Raises:
        ValueError: there is no such density or setting, or a value is out of range.
    """

    is_density: ClassVar[bool] = True
    RULES: ClassVar = {  # of a density too
        "n_states": Rule("must be auto, or from 1 to 1000", lambda n: n == "auto" or 1 <= n <= 1000),
        **dict.fromkeys(("n_mix", "n_couplings", "n_hidden", "n_passes", "early_size"), within(1, 10_000)),
        **dict.fromkeys(("skips", "gmm_init_steps", "early_every"), within(0, 10_000)),
        "batch_size": within(0, 1e9),
        **dict.fromkeys(("min_covar", "bound"), within(0, 1e6, beyond=True)),
        **dict.fromkeys(("flow_prior", "means_weight", "covars_weight"), within(0, 1e6)),
        "covars_prior": Rule("must be a number, or rows of numbers", are_numbers),
        "gamma_prior": within(0, 1e6, beyond=True),
        "weights_prior": within(0, 1e6, beyond=True),
        "learning_rate": within(0, 100, beyond=True),
        "acoustic_scale": within(0, 1000, beyond=True),
        "tol": within(-1e6, 1e6),
        "topology": Rule(f"must be one of {', '.join(TRANSITIONS)}", lambda name: name in TRANSITIONS),
        "start": Rule(f"must be one of {', '.join(STARTS)}", lambda name: name in STARTS),
        "costs": Rule("must be rows of numbers, finite and not negative, one row and one column a class", is_square),
    }

    @classmethod
    def problems(cls, *, density: Density, **options: Any) -> list[str]:
        """Problems of the options, of those of the density too."""
        kind = density_of(density)
        if options.get("gmm_init_steps") and not hasattr(kind, "take_gaussians"):
            return ["gmm_init_steps is for models with flows: a GMM-HMM needs no other to start from"]
        return []

    @classmethod
    def n_parameters(cls, n_features: int, **options: Any) -> int:
        """The least number of parameters of a class with these options, before anything is made."""
        n_states = ADAPTIVE[0] if options.get("n_states", "auto") == "auto" else options["n_states"]
        is_full = options.get("covariance_type") == "full"
        n_numbers = n_states * options.get("n_mix", 1) * n_features * (n_features if is_full else 2)
        width = options.get("n_hidden", 0)
        return int(n_numbers + options.get("n_couplings", 0) * width * (width + n_features))

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        density: Density = MixtureEmissions,
        n_states: int | Literal["auto"] = "auto",
        topology: str = "left_to_right",
        start: str = "first",
        skips: int = 0,
        tol: float = 1e-3,
        gmm_init_steps: int = 0,
        priors: Literal["training", "uniform"] = "training",
        costs: Sequence[Sequence[float]] | None = None,
        calibration: bool = False,
        duration_model: bool = False,
        acoustic_scale: float = 1.0,
        **settings: Any,
    ) -> None:
        decision = BayesDecision(n_classes, priors=priors, costs=costs, calibration=calibration)
        super().__init__(n_features, n_classes, decision)
        self.density = density_of(density)
        if n_states != "auto" and (not isinstance(n_states, int) or n_states < 1):
            raise ValueError(f"n_states is auto or at least 1, got {n_states}")
        if not acoustic_scale > 0:
            raise ValueError(f"acoustic_scale must be positive, got {acoustic_scale}")
        self.n_states, self.topology, self.start, self.skips = n_states, topology, start, skips
        self.tol, self.gmm_init_steps = tol, gmm_init_steps
        self.duration_model, self.acoustic_scale = duration_model, acoustic_scale
        start_probabilities(start, 1)
        transition_probabilities(topology, 1, skips=skips)
        self.settings = settings
        self.models = [self._model(1) for _ in range(n_classes)]
        if gmm_init_steps and not hasattr(self.models[0].emissions, "take_gaussians"):
            raise ValueError("gmm_init_steps is for models with flows: a GMM-HMM needs no other to start from")
        self._durations: dict[str, Array] = {}

    def _model(self, n_states: int, emissions: Emissions | None = None) -> HMM:
        """A model of a class, whose chain is set from outside."""
        try:
            emissions = self.density(n_states, **self.settings) if emissions is None else emissions
        except TypeError as error:
            raise ValueError(f"density {getattr(self.density, '__name__', self.density)}: {error}") from error
        model = HMM(emissions, n_iter=2**31)
        model.init_params = "".join(letter for letter in model.init_params if letter not in "st")
        return model

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Parameters of all classes' models, and of their durations."""
        arrays = {f"{c}:{k}": v for c, model in enumerate(self.models) for k, v in model.state_dict().items()}
        return {name: torch.from_numpy(np.array(value)) for name, value in (arrays | self._durations).items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them.

        Raises:
            ValueError: some are missing, or make no sense.
        """
        arrays = {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}
        missing = [key for key in DURATIONS if self.duration_model and key not in arrays]
        if missing:
            raise ValueError(f"there is no {', '.join(missing)}")
        self._durations = {key: arrays[key] for key in DURATIONS if key in arrays}
        for c, model in enumerate(self.models):
            names = model.parameter_names()
            missing = [name for name in names if f"{c}:{name}" not in arrays]
            if missing:
                raise ValueError(f"class {c} has no {', '.join(missing)}")
            model.load_state_dict({name: arrays[f"{c}:{name}"] for name in names})
            model.n_components = len(model.startprob_)
            model.check()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Parameters stay in float64 on the CPU, where EM needs their digits; frames go to the device."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for model in self.models:
            model.emissions.device = str(self.placeholder.device)
        return self

    # --- training, by `phonaut.training.em`

    def initialize(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Start every class from its segments: number of states, topology, and emissions by k-means.

        Every process has all segments, and begins alike; what sums over processes is done on a share.

        Raises:
            ValueError: a class has no segment.
        """
        super().initialize(segments, seed, rank, world_size)
        if self.duration_model:
            self._fit_durations(segments)
        for c in range(self.n_classes):
            of_class = segments.select(np.flatnonzero(segments.labels == c))
            n_states, device = self.n_states_for(of_class.lengths), self.models[c].emissions.device
            model = self.models[c] = self._model(n_states)
            model.emissions.device = device
            rng = np.random.default_rng((seed, c))
            model.startprob_ = start_probabilities(self.start, n_states, rng)
            model.transmat_ = transition_probabilities(self.topology, n_states, skips=self.skips, rng=rng)
            frames = of_class.frames.astype(np.float64)
            # Flows of all classes draw the same permutations; k-means draws from what is left of the generator.
            model.initialize(frames, of_class.lengths, np.random.default_rng(seed), quietly=True)
            if self.gmm_init_steps:
                self._start_from_gaussians(model, of_class, of_class.select(np.arange(len(of_class))[rank::world_size]),
                                           seed)  # fmt: skip
            model.monitor_, model.rollback = Monitor(self.tol * len(frames), model.n_iter), RollbackState()

    def n_states_for(self, lengths: Index) -> int:
        """States of a class whose segments have these lengths."""
        if self.n_states != "auto":
            return self.n_states
        return int(np.clip(lengths.mean() // 2, *ADAPTIVE))

    def _start_from_gaussians(self, model: HMM, of_class: Segments, share: Segments, seed: int) -> None:
        """Fit a GMM-HMM to this process's share and put its components into the latents."""
        flows: Any = model.emissions
        mixtures = MixtureEmissions(model.n_components, flows.n_mix)
        gaussian = self._model(model.n_components, mixtures)
        gaussian.startprob_, gaussian.transmat_ = model.startprob_, model.transmat_
        rng = np.random.default_rng(seed)
        gaussian.initialize(of_class.frames.astype(np.float64), of_class.lengths, rng, quietly=True)
        gaussian.monitor_ = Monitor(-1.0, self.gmm_init_steps)
        e_step = gaussian.reduced_e_step(share.frames.astype(np.float64), share.lengths)
        em(gaussian, e_step, gaussian.monitor_, most_seedings=gaussian.most_seedings)
        model.startprob_, model.transmat_ = gaussian.startprob_, gaussian.transmat_
        flows.take_gaussians(mixtures)

    def em_step(self, parts: Sequence[Segments]) -> list[float]:
        """One EM step of every class that is not done; its log-likelihood before it.

        Args:
            parts: the segments of each class, of this process.
        """
        for model, part in zip(self.models, parts, strict=True):
            if not model.monitor_.done:
                e_step = model.reduced_e_step(part.frames, part.lengths)
                em_step(model, e_step, model.monitor_, model.rollback, most_seedings=model.most_seedings)
        return [model.monitor_.history[-1] for model in self.models]

    @property
    def done(self) -> bool:
        """Every class converged, or was stopped by a fall."""
        return all(model.monitor_.done for model in self.models)

    def em_state(self) -> dict[str, Any]:
        """Course of EM and the parameters that it may go back to, of all classes."""
        state = {}
        for c, model in enumerate(self.models):
            monitor, rollback = model.monitor_, model.rollback
            state[str(c)] = {
                "history": list(monitor.history),
                "objective": list(monitor.objective),
                "fell": monitor.fell,
                "n_seeded": rollback.n_seeded,
                "before": {name: torch.from_numpy(np.array(value)) for name, value in rollback.before.items()},
                "plain": {name: torch.from_numpy(np.array(value)) for name, value in rollback.unseeded.items()},
            }
        return state

    def load_em_state(self, state: dict[str, Any]) -> None:
        """Go on from an `em_state`."""
        for c, model in enumerate(self.models):
            saved, monitor = state[str(c)], model.monitor_
            monitor.history, monitor.objective = list(saved["history"]), list(saved["objective"])
            monitor.fell = saved["fell"]
            before, unseeded = ({k: v.numpy() for k, v in saved[name].items()} for name in ("before", "plain"))
            model.rollback = RollbackState(before, unseeded, saved["n_seeded"])

    # --- scores

    def _fit_durations(self, segments: Segments) -> None:
        """Mean and standard deviation of log T in each class; the variance as if one more segment had that of all."""
        known = segments.labels >= 0
        labels, logs = segments.labels[known], np.log(segments.lengths[known])
        n = np.bincount(labels, minlength=self.n_classes)
        means = np.bincount(labels, logs, minlength=self.n_classes) / n
        away = np.square(logs - means[labels])
        variances = (np.bincount(labels, away, minlength=self.n_classes) + max(away.mean(), 1e-4)) / (n + 1)
        self._durations = dict(zip(DURATIONS, (means, np.sqrt(variances)), strict=True))

    def class_log_likelihoods(self, log_likelihoods: Array, lengths: Index) -> Array:
        """`k log p(x | c) + log p(T | c)`, `(B, C)`, from log-likelihoods and numbers of frames `(B,)`."""
        scaled: Array = self.acoustic_scale * log_likelihoods
        if self.duration_model:
            mean, scale = (self._durations[key] for key in DURATIONS)
            logs = np.log(lengths)[:, None]
            scaled = scaled - 0.5 * np.square((logs - mean) / scale) - np.log(scale * np.sqrt(2 * np.pi)) - logs
        return scaled

    @property
    def most_states(self) -> int:
        """States of the class that has most of them."""
        return max(model.n_components for model in self.models)

    def chains(self) -> MarkovChains:
        """The hidden chains of all classes; states that a class does not have are never entered."""
        n = self.most_states
        start, transition = np.zeros((self.n_classes, n)), np.tile(np.eye(n), (self.n_classes, 1, 1))
        for c, model in enumerate(self.models):
            s = model.n_components
            start[c, :s], transition[c, :s, :s] = model.startprob_, model.transmat_
        return MarkovChains(start, transition)

    def frame_log_prob(self, x: Tensor) -> Array:
        """`log p(x_t | c, s)` of frames `(N, D)`, `(N, C, S)`; -inf for states that a class does not have."""
        frames, emissions = x.double().cpu().numpy(), [model.emissions for model in self.models]
        logs = np.full((len(frames), self.n_classes, self.most_states), -np.inf)
        sizes = [one.n_states for one in emissions]
        whole = type(emissions[0]).joined(emissions)  # all classes in one product
        if whole is None:
            parts = [one.log_prob(frames) for one in emissions]
        else:
            parts = np.split(whole.log_prob(frames), np.cumsum(sizes)[:-1], axis=1)
        for c, part in enumerate(parts):
            logs[:, c, : sizes[c]] = part
        return logs

    def log_likelihoods(self, x: Tensor, lengths: Index) -> Array:
        """`log p(x_b | c)` of sequences one after another `(N, D)` under every class, `(B, C)`."""
        chains, n_classes, result = self.chains(), self.n_classes, np.empty((len(lengths), self.n_classes))
        most = max(1, SCORED_CELLS // (n_classes * chains.n_states))
        ends, first, begin = np.cumsum(lengths), 0, 0
        while first < len(lengths):
            last = max(first + 1, int(np.searchsorted(ends, begin + most, side="right")))
            rows = self.frame_log_prob(x[begin : int(ends[last - 1])])
            n = lengths[first:last]
            # The sequences come once for each class, those of a class one after another.
            by_class = rows.transpose(1, 0, 2).reshape(-1, chains.n_states)
            which = np.repeat(np.arange(n_classes), len(n))
            totals = inference.log_likelihood(by_class, chains, np.tile(n, n_classes), chain=which)
            result[first:last] = np.asarray(totals).reshape(n_classes, -1).T
            first, begin = last, int(ends[last - 1])
        return result

    def size(self, n_frames: int) -> tuple[int, int]:
        """Free parameters, and multiplications with additions to score a segment of `n_frames` under all classes.

        The emissions count their own; the recursion takes S^2 a frame.
        """
        parameters = 2 * self.n_classes * self.duration_model + sum(model.n_parameters for model in self.models)
        macs = sum(model.emissions.macs() + model.n_components**2 for model in self.models)
        return parameters, macs * n_frames

    # --- generation

    def in_turn(self, c: int, n_frames: int) -> Index:
        """The states of class c in turn, each for as long as it is expected to last: `1 / (1 - a_ss)` frames.

        A state that is never left has what is left of `n_frames`.
        """
        self_loop = np.diag(self.models[c].transmat_)
        leaves = self_loop < 1 - 1e-9
        lasts = np.maximum(np.rint(1 / np.where(leaves, 1 - self_loop, 1.0)), 1).clip(max=LONGEST).astype(np.int64)
        lasts[~leaves] = max(1, n_frames - int(lasts[leaves].sum()))
        return np.repeat(np.arange(len(self_loop)), lasts)

    def sample(self, c: int, n_frames: int, rng: np.random.Generator, states: Index | None = None) -> Array:
        """Frames `(T, D)` of class c: of a path drawn from its chain, or of the states that are given, `(T,)`."""
        model = self.models[c]
        if states is None:
            return model.sample(n_frames, random_state=rng)[0]
        return model.emissions.sample(np.asarray(states, dtype=np.int64), rng)


def density_of(density: Density) -> Callable[..., Emissions]:
    """The class of emissions that a dotted path names, or what makes them.

    Raises:
        ValueError: there is no such class.
    """
    if not isinstance(density, str):
        return density
    try:
        found: Any = pkgutil.resolve_name(density)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"density={density} is not the path of a class of emissions: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Emissions)):
        raise ValueError(f"density={density} is not a sub-class of phonaut.hmm.emissions.Emissions")
    return found
