"""One density for each class, and a decision by Bayes' rule: what makes a classifier of any hidden Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from phonaut.hmm import GMMHMM, GSHMM, GenHMM, LatHMM, inference
from phonaut.hmm.base import HMM
from phonaut.hmm.chains import Array, Chains, Index
from phonaut.hmm.em import Back, Monitor
from phonaut.hmm.flows import FlowHMM
from phonaut.hmm.topology import start_probabilities, transition_probabilities
from phonaut.models.decision import Decision
from phonaut.models.fitted import Fitted, Segments

KINDS: dict[str, type[HMM]] = {"gmmhmm": GMMHMM, "genhmm": GenHMM, "lathmm": LatHMM, "gshmm": GSHMM}
SCORED_CELLS = 2**22  # frames times states of all classes that are scored at once
ADAPTIVE = (3, 5)  # states of a class, by its mean length
LONGEST = 20  # frames that a state is shown for
MONITORED = ("history", "objective")
DURATIONS = ("durations:mean", "durations:scale")  # of log T in each class


class ClassDensities(Fitted):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    `score_c = k log p(x | c) + log p(T | c) + log p(c)`. A chain without an end says nothing of the number of frames T:
    `durations` adds a log-normal density of it, which is else left out. Frames that overlap are not as many as they
    seem; an acoustic scale k below 1 makes up for that, as in speech recognition.

    Each class has a hidden Markov model of its own; a mixture or a flow is one of a single state. Parameters are kept
    in float64 as they are in the estimators of `phonaut.hmm`, by the names `<class>:<parameter>`.

    Args:
        n_features: D.
        n_classes: C.
        density: `gmmhmm`, `genhmm`, `lathmm` or `gshmm`.
        n_states: of each class; `auto`: half the mean length of its segments, from 3 to 5.
        topology: which state may follow which: `left_to_right`, `triangular`, `ergodic`, `uniform` or `random`.
        start: where a segment may begin: `first`, `uniform` or `random`.
        skips: states that may be passed over, for `left_to_right`.
        tol: a class is done when its log-likelihood per frame rises by less; negative: never.
        first_fit: a generative model starts from a GMM-HMM that had so many EM steps; 0: from k-means.
        priors: of classes: `training`: their shares of the training split; `uniform`.
        costs: of taking class i for class j, `costs[i][j]`; the decision is the one of least expected cost. None: every
            mistake costs the same.
        linear: a linear layer on the log-likelihoods, fitted to the validation split.
        durations: whether `log p(T | c)` counts; without it all lengths are taken to be as likely.
        acoustic_scale: k.
        **settings: of the estimator.

    Raises:
        ValueError: there is no such density or setting, or a value is out of range.
    """

    is_density = True

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        density: str = "gmmhmm",
        n_states: int | Literal["auto"] = "auto",
        topology: str = "left_to_right",
        start: str = "first",
        skips: int = 0,
        tol: float = 1e-3,
        first_fit: int = 0,
        priors: Literal["training", "uniform"] = "training",
        costs: Sequence[Sequence[float]] | None = None,
        linear: bool = False,
        durations: bool = False,
        acoustic_scale: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(n_features, n_classes, Decision(n_classes, priors=priors, costs=costs, linear=linear))
        if density not in KINDS:
            raise ValueError(f"density is one of {', '.join(KINDS)}, got {density}")
        if n_states != "auto" and (not isinstance(n_states, int) or n_states < 1):
            raise ValueError(f"n_states is auto or at least 1, got {n_states}")
        if first_fit and density == "gmmhmm":
            raise ValueError("first_fit is for models with flows: a GMM-HMM needs no other to start from")
        if not acoustic_scale > 0:
            raise ValueError(f"acoustic_scale must be positive, got {acoustic_scale}")
        self.kind, self.n_states, self.topology, self.start, self.skips = density, n_states, topology, start, skips
        self.tol, self.first_fit = tol, first_fit
        self.durations, self.acoustic_scale = durations, acoustic_scale
        start_probabilities(start, 1)
        transition_probabilities(topology, 1, skips=skips)
        self.settings = {key: tuple(v) if key == "gamma_prior" else v for key, v in settings.items()}
        self.models = [self._made(1) for _ in range(n_classes)]

    def _made(self, n_states: int, kind: str | None = None, **settings: Any) -> HMM:
        cls: Any = KINDS[kind or self.kind]
        settings = settings or self.settings
        template = cls(n_states)
        template.set_params(**settings, n_iter=2**31, init_params="".join(set(template.init_params) - set("st")))
        made: HMM = template
        return made

    # --- parameters as tensors, so that whatever keeps a network keeps these

    def _publish(self) -> None:
        """Put the estimators' parameters where a network's are."""
        for c, model in enumerate(self.models):
            for name, value in model._parameters().items():
                self.put(f"{c}:{name}", torch.from_numpy(np.array(value)))

    def read_back(self) -> None:
        """The estimators' parameters, as they are in the tensors."""
        tensors = self.fitted()
        lacking = [key for key in DURATIONS if self.durations and key not in tensors]
        if lacking:
            raise ValueError(f"there is no {', '.join(lacking)}")
        for c, model in enumerate(self.models):
            own = {name: tensors.get(f"{c}:{name}") for name in model.codes.values()}
            missing = [name for name, value in own.items() if value is None]
            if missing:
                raise ValueError(f"class {c} has no {', '.join(missing)}")
            for name, value in own.items():
                assert value is not None
                setattr(model, name, value.detach().cpu().numpy().copy())
            model.n_components = len(model.startprob_)
            model._check()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Parameters stay in float64 on the CPU, where EM needs their digits; frames go to the device."""
        self.decision._apply(fn)  # type: ignore[no-untyped-call]
        probe = fn(torch.zeros(1))
        for model in self.models:
            model.device = str(probe.device)
        return self

    # --- training, by `phonaut.training.em`

    def begin(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Start every class from its segments: number of states, topology, and emissions by k-means.

        Every process has all segments, and begins alike; what sums over processes is done on a share.

        Raises:
            ValueError: a class has no segment.
        """
        super().begin(segments, seed, rank, world_size)
        if self.durations:
            self._fit_durations(segments)
        for c in range(self.n_classes):
            own = segments.chosen(np.flatnonzero(segments.labels == c))
            n_states = self.states_for(own.lengths)
            device = self.models[c].device
            model = self.models[c] = self._made(n_states)
            model.device = device
            rng = np.random.default_rng((seed, c))
            chain = (
                start_probabilities(self.start, n_states, rng),
                transition_probabilities(self.topology, n_states, skips=self.skips, rng=rng),
            )
            model.startprob_, model.transmat_ = chain
            frames = own.frames.astype(np.float64)
            # Flows of all classes draw the same permutations; k-means draws from what is left of the generator.
            model._init(frames, own.lengths, np.random.default_rng(seed), quietly=True)
            if self.first_fit:
                assert isinstance(model, FlowHMM)
                share = own.chosen(np.arange(len(own))[rank::world_size])
                self._start_from_gaussians(model, own, share, seed)
            model.monitor_ = Monitor(self.tol * len(frames), model.n_iter)
            model._back = Back()
        self._publish()

    def states_for(self, lengths: Index) -> int:
        """States of a class whose segments have these lengths."""
        if self.n_states != "auto":
            return self.n_states
        return int(np.clip(lengths.mean() // 2, *ADAPTIVE))

    def _start_from_gaussians(self, model: FlowHMM, own: Segments, share: Segments, seed: int) -> None:
        """Fit a GMM-HMM and put its components into the latents.

        Flows are still linear, `z = A x`: the identity, or rotations. The latents take `A mu` and the diagonal of
        `A diag(sigma^2) A^T`, which for the identity is the GMM-HMM itself.
        """
        made = self._made(model.n_components, "gmmhmm", n_mix=model.n_mix, random_state=seed, tol=-1.0)
        made.startprob_, made.transmat_ = model.startprob_, model.transmat_
        gaussian: Any = made
        gaussian._init(own.frames.astype(np.float64), own.lengths, np.random.default_rng(seed), quietly=True)
        gaussian.monitor_ = Monitor(-1.0, self.first_fit)
        gaussian._em(share.frames.astype(np.float64), share.lengths)
        model.startprob_, model.transmat_, model.weights_ = gaussian.startprob_, gaussian.transmat_, gaussian.weights_
        with torch.no_grad():
            linear = model._flows().double()(torch.eye(self.n_features, dtype=torch.float64))[0].mT.numpy()
        n = model.n_components * model.n_mix
        a = linear[np.arange(n) * model.n_flows // n].reshape(*model.weights_.shape, self.n_features, self.n_features)
        means, variances = (gaussian.means_ - model.shift_) / model.stretch_, gaussian.covars_ / model.stretch_**2
        model.latent_means_ = np.einsum("skij,skj->ski", a, means)
        model.latent_scales_ = np.sqrt(np.einsum("skij,skj->ski", a**2, variances))

    def em_step(self, parts: Sequence[Segments]) -> list[float]:
        """One EM step of every class that is not done; its log-likelihood before it.

        Args:
            parts: the segments of each class, of this process.
        """
        for model, own in zip(self.models, parts, strict=True):
            if not (model.monitor_.converged or model.monitor_.fell):
                model._em_step(own.frames, own.lengths, model._middle(own.frames))
        self._publish()
        return [model.monitor_.history[-1] for model in self.models]

    @property
    def done(self) -> bool:
        """Whether every class converged, or was taken back."""
        return all(model.monitor_.converged or model.monitor_.fell for model in self.models)

    def progress(self) -> dict[str, Any]:
        """What a checkpoint needs besides the parameters, as plain containers and tensors."""
        return {
            str(c): {
                **{name: list(getattr(model.monitor_, name)) for name in MONITORED},
                "fell": model.monitor_.fell,
                "n_seeded": model._back.n_seeded,
                **{
                    name: {key: torch.from_numpy(np.array(value)) for key, value in getattr(model._back, name).items()}
                    for name in ("before", "plain")
                },
            }
            for c, model in enumerate(self.models)
        }

    def take_up(self, progress: dict[str, Any]) -> None:
        """Go on from what `progress` said."""
        for c, model in enumerate(self.models):
            kept = progress[str(c)]
            for name in MONITORED:
                setattr(model.monitor_, name, list(kept[name]))
            model.monitor_.fell = kept["fell"]
            before, plain = ({k: v.numpy() for k, v in kept[name].items()} for name in ("before", "plain"))
            model._back = Back(before, plain, kept["n_seeded"])

    # --- scores

    def _fit_durations(self, segments: Segments) -> None:
        """Mean and standard deviation of log T in each class; the variance as if one more segment had that of all."""
        known = segments.labels >= 0
        labels, logs = segments.labels[known], np.log(segments.lengths[known])
        n = np.bincount(labels, minlength=self.n_classes)
        means = np.bincount(labels, logs, minlength=self.n_classes) / n
        away = np.square(logs - means[labels])
        variances = (np.bincount(labels, away, minlength=self.n_classes) + max(away.mean(), 1e-4)) / (n + 1)
        for key, value in zip(DURATIONS, (means, np.sqrt(variances)), strict=True):
            self.put(key, torch.from_numpy(value))

    def evidence(self, found: Array, lengths: Index) -> Array:
        """`k log p(x | c) + log p(T | c)`, `(B, C)`, from log-likelihoods and numbers of frames `(B,)`."""
        scaled: Array = self.acoustic_scale * found
        if self.durations:
            mean, scale = (self.fitted()[key].detach().cpu().numpy() for key in DURATIONS)
            logs = np.log(lengths)[:, None]
            scaled = scaled - 0.5 * np.square((logs - mean) / scale) - np.log(scale * np.sqrt(2 * np.pi)) - logs
        return scaled

    @property
    def most_states(self) -> int:
        """States of the class that has most of them."""
        return max(model.n_components for model in self.models)

    def chains(self) -> Chains:
        """The hidden chains of all classes; states that a class does not have are never entered."""
        n = self.most_states
        start, transition = np.zeros((self.n_classes, n)), np.tile(np.eye(n), (self.n_classes, 1, 1))
        for c, model in enumerate(self.models):
            s = model.n_components
            start[c, :s], transition[c, :s, :s] = model.startprob_, model.transmat_
        return Chains(start, transition)

    def frame_log_prob(self, x: Tensor) -> Tensor:
        """`log p(x_t | c, s)` of frames `(N, D)`, `(N, C, S)`; -inf for states that a class does not have."""
        logs = x.new_full((len(x), self.n_classes, self.most_states), -torch.inf, dtype=torch.float64)
        sizes = [model.n_components for model in self.models]
        if self.kind == "gmmhmm":  # all classes in one product
            whole: Any = self._made(sum(sizes))
            for name in ("weights_", "means_", "covars_"):
                setattr(whole, name, np.concatenate([getattr(model, name) for model in self.models]))
            whole.device, whole.n_features = str(x.device), self.n_features
            found = whole._frame_log_prob(x).split(sizes, dim=1)
        else:
            found = [model._frame_log_prob(x) for model in self.models]
        for c, part in enumerate(found):
            logs[:, c, : sizes[c]] = part
        return logs

    def log_likelihoods(self, x: Tensor, lengths: Index) -> Array:
        """`log p(x_b | c)` of sequences one after another `(N, D)` under every class, `(B, C)`."""
        chains, n_classes, result = self.chains(), self.n_classes, np.empty((len(lengths), self.n_classes))
        most = max(1, SCORED_CELLS // (n_classes * chains.n_states))
        ends, first, begin = np.cumsum(lengths), 0, 0
        while first < len(lengths):
            last = max(first + 1, int(np.searchsorted(ends, begin + most, side="right")))
            rows = self.frame_log_prob(x[begin : int(ends[last - 1])].double())
            n = lengths[first:last]
            by_class = rows.transpose(0, 1).reshape(-1, chains.n_states).cpu().numpy()
            which = np.repeat(np.arange(n_classes), len(n))
            found = inference.log_likelihood(by_class, chains, np.tile(n, n_classes), chain=which)
            result[first:last] = np.asarray(found).reshape(n_classes, -1).T
            first, begin = last, int(ends[last - 1])
        return result

    def size(self, n_frames: int) -> tuple[int, int]:
        """Free parameters, and multiplications with additions to score a segment of `n_frames` under all classes.

        A diagonal Gaussian takes 2 D of them, a full one D + D (D + 1) / 2; a flow those of its layers; the recursion
        S^2.
        """
        parameters, macs, d = 2 * self.n_classes * self.durations, 0, self.n_features
        for model in self.models:
            parameters += model.n_parameters
            components = model.n_components * getattr(model, "n_mix", 1)
            full = getattr(model, "covariance_type", "diag") in ("full", "tied")
            macs += components * (d + d * (d + 1) // 2 if full else 2 * d) + model.n_components**2
            if isinstance(model, FlowHMM):
                flows = model._flows()
                h, (keep, change, mix) = flows.n_hidden, flows.n_rows.T
                macs += model.n_flows * int((h * keep + h * h + 2 * h * change + change + mix**2).sum())
        return parameters, macs * n_frames

    # --- generation

    def in_turn(self, c: int, n_frames: int) -> Index:
        """The states of class c in turn, each for as long as it is expected to last: `1 / (1 - a_ss)` frames.

        A state that is never left has what is left of `n_frames`.
        """
        stay = np.diag(self.models[c].transmat_)
        leaves = stay < 1 - 1e-9
        lasts = np.maximum(np.rint(1 / np.where(leaves, 1 - stay, 1.0)), 1).clip(max=LONGEST).astype(np.int64)
        lasts[~leaves] = max(1, n_frames - int(lasts[leaves].sum()))
        return np.repeat(np.arange(len(stay)), lasts)

    def sample(self, c: int, n_frames: int, rng: np.random.Generator, states: Index | None = None) -> Array:
        """Frames `(T, D)` of class c: of a path drawn from its chain, or of the states that are given, `(T,)`."""
        model = self.models[c]
        if states is None:
            return model.sample(n_frames, random_state=rng)[0]
        return model._sample_frames(np.asarray(states, dtype=np.int64), rng)
