"""i-vectors: recordings as points of a total variability space, compared by cosine or PLDA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import refuse, within
from phonaut.models.speakers.aligned_states import StateAlignment
from phonaut.models.speakers.state_models import as_bytes, as_texts
from phonaut.models.speakers.statistics import Alignment, UBMAlignment
from phonaut.models.speakers.streams import stream as stream_of
from phonaut.models.speakers.total_variability import TotalVariability, em_step
from phonaut.models.speakers.ubm import UBM, as_tensors
from phonaut.models.speakers.utterances import Utterances
from phonaut.models.speakers.vectors import VectorSystem, group, numbers_in

STATISTICS_CELLS = 2**24  # numbers in the first-order sums of a block of utterances, in float64: 128 MB
SPREAD = 0.1  # standard deviations of a component, which loadings start with
UBM_PREFIX = "ubm:"
VARIABILITY = ("offsets", "loadings", "covariances")
Statistics = Literal["ubm", "phone_hmm", "sentence_hmm"]
ALIGNER_PREFIX, CLAIMS = "aligner_", "claims:units"


class IVector(VectorSystem):
    """Cosine, or log-likelihood ratio by PLDA, of the i-vectors of a recording and a model.

    Training has three stages: a background model by EM, total variability by EM, and the back end of `VectorSystem`.

    Args:
        n_features: D.
        n_components: of the background model, K.
        covariance_type: `diag` or `full`.
        em_steps: of the background model, at most.
        tol: EM of the background model is done when the log-likelihood of a frame rises by less.
        rank: of total variability, R.
        variability_steps: EM steps of it.
        minimum_divergence: after each, make the prior of i-vectors standard.
        statistics: of what aligns frames: `ubm`, the background model; `phone_hmm` or `sentence_hmm`, the states of
            such a system with its defaults, along what is claimed; the background model is then not trained.
        stream: frames that are used; see `phonaut.models.speakers.streams`.
        n_static: columns of frames that are no deltas, for streams of statics; null: all.
        **backend: options of `VectorSystem`.

    Source: Dehak et al. 2011, "Front-end factor analysis for speaker verification"; classes of speaker and phrase:
    Stafylakis et al. 2013, "Text-dependent speaker recognition using PLDA with uncertainty propagation".
    """

    column: ClassVar[str] = "ivector"
    aligner: Any
    RULES: ClassVar = {
        **VectorSystem.RULES,
        **dict.fromkeys(("n_components", "em_steps", "rank", "variability_steps", "n_static"), within(1, 1e6)),
        "tol": within(-1e6, 1e6),
    }

    @classmethod
    def problems(cls, *, rank: int = 100, statistics: str = "ubm", **options: Any) -> list[str]:
        """Problems of the options."""
        wrong, choices, lda_dim = super().problems(**options), get_args(Statistics), options.get("lda_dim")
        if statistics not in choices:
            wrong.append(f"statistics must be one of {', '.join(choices)}, got {statistics}")
        if lda_dim is not None and lda_dim > rank:
            wrong.append(f"lda_dim={lda_dim} is more than rank={rank}")
        return wrong

    def __init__(
        self,
        *,
        n_features: int,
        n_components: int = 64,
        covariance_type: Literal["diag", "full"] = "diag",
        em_steps: int = 30,
        tol: float = 1e-3,
        rank: int = 100,
        variability_steps: int = 10,
        minimum_divergence: bool = True,
        statistics: Statistics = "ubm",
        stream: Literal["as_is", "cmvn", "static", "static_cmvn"] = "as_is",
        n_static: int | None = None,
        **backend: Any,
    ) -> None:
        refuse(self.problems(rank=rank, statistics=statistics, **backend))
        super().__init__(n_features=n_features, **backend)
        self.rank, self.variability_steps, self.minimum_divergence = rank, variability_steps, minimum_divergence
        self.stream, self.n_static = stream, n_static
        self.ubm = UBM(n_components, covariance_type, em_steps, tol)
        self.alignment: Alignment = UBMAlignment(self.ubm)
        # No part of the module: its tensors are among those of this one, under names of their own.
        self.__dict__["aligner"] = aligner_of(statistics, n_features, stream, n_static)
        self._forget()

    def _forget(self) -> None:
        """Be as before training, but for the background model."""
        self.variability: TotalVariability | None = None
        self._n_variability_steps = 0
        self._kept: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._forget_backend()

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Start the background model from k-means.

        Raises:
            ValueError: there are fewer frames than components, or no class of the back end has two recordings.
        """
        self._forget()
        self._background, self._seed = self._frames_of(background), seed
        self._check_classes()
        if self.aligner is None:
            self.ubm.begin(self._background.frames, seed)
        else:
            self.aligner.begin(background, seed)

    def _frames_of(self, utterances: Utterances) -> Utterances:
        """Frames as they are aligned: of the stream, which phrases' states take by themselves."""
        return stream_of(utterances, self.stream, self.n_static) if self.aligner is None else utterances

    def _align(self, claims: Mapping[str, str]) -> None:
        """Take the states of the trained aligner for components."""
        self.alignment = StateAlignment(self.aligner, claims)

    def step(self) -> Mapping[str, float]:
        """One EM step of the background model, of total variability or of PLDA; with the last but these, the back end.

        Returns:
            Of the stage: `log_likelihood` of a frame; `variability_gain`, what variability adds to it; and
            `plda_log_likelihood` of an i-vector.
        """
        if self.aligner is None and not self.ubm.done:
            return {"log_likelihood": self.ubm.step()}
        if self.aligner is not None and not self.aligner.done:
            found: Mapping[str, float] = self.aligner.step()
            if self.aligner.done:
                self._align(self.aligner.claims_of(self._background))
            return found
        if self._n_variability_steps < self.variability_steps:
            n, f = self._statistics()
            before = self._started() if self.variability is None else self.variability
            self.variability, gain = em_step(before, n, f, minimum_divergence=self.minimum_divergence)
            self._n_variability_steps += 1
            figures = {"variability_gain": gain / float(n.sum(dtype=np.float64))}
            if self._n_variability_steps == self.variability_steps:
                self._fit_projection(self.variability.ivectors(n, f))
                self._kept = None
            return figures
        return self._plda_step()

    @property
    def done(self) -> bool:
        """All stages had their steps."""
        return self._n_variability_steps >= self.variability_steps and self._plda_done

    def training_state(self) -> dict[str, Any]:
        """Course of the background model, and steps of the other stages."""
        aligner = {} if self.aligner is None else {"aligner": self.aligner.training_state()}
        steps = {"variability": self._n_variability_steps, "plda": self._n_plda_steps}
        return {"ubm": self.ubm.state(), "steps": steps, **aligner}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `training_state`."""
        self.ubm.load_state(state["ubm"])
        if self.aligner is not None:
            self.aligner.load_training_state(state["aligner"])
        self._n_variability_steps, self._n_plda_steps = state["steps"]["variability"], state["steps"]["plda"]

    def _blocks(self, utterances: Utterances, claim: str | None) -> Iterator[tuple[Array, Array]]:
        """Statistics of some utterances at a time."""
        size = max(1, STATISTICS_CELLS // self.alignment.means.size)
        for first in range(0, len(utterances), size):
            rows = np.arange(first, min(first + size, len(utterances)))
            yield self.alignment.statistics(utterances.select(rows), claim)

    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Those of the background, kept in float32 as long as variability is trained."""
        if self._kept is None:
            parts = [(n.astype(np.float32), f.astype(np.float32)) for n, f in self._blocks(self._background, None)]
            self._kept = np.concatenate([n for n, _ in parts]), np.concatenate([f for _, f in parts])
        return self._kept

    def _started(self) -> TotalVariability:
        """Total variability before training: small loadings, drawn."""
        means, covariances = self.alignment.means, self.alignment.covariances
        variances = covariances if covariances.ndim == 2 else np.diagonal(covariances, axis1=1, axis2=2)
        drawn = np.random.default_rng((self._seed, self.rank)).standard_normal((*means.shape, self.rank))
        return TotalVariability(np.zeros_like(means), SPREAD * np.sqrt(variances)[:, :, None] * drawn, covariances)

    def _background_vectors(self) -> Array:
        assert self.variability is not None
        ivectors = self.variability.ivectors(*self._statistics())
        self._kept = None
        return ivectors

    # --- scoring

    def represent(self, utterances: Utterances) -> Utterances:
        """i-vectors under every claim of the alignment, `ivector (B, C, R)`."""
        if self.variability is None:
            raise ValueError("this IVector is not trained: its total variability is missing")
        chosen = self._frames_of(utterances)
        vectors = np.empty((len(utterances), len(self.alignment.claims), self.variability.rank), np.float32)
        for column, claim in enumerate(self.alignment.claims):
            parts = [self.variability.ivectors(n, f) for n, f in self._blocks(chosen, claim)]
            vectors[:, column] = np.concatenate([np.empty((0, self.variability.rank)), *parts])
        return utterances.without_frames(ivector=vectors)

    def _claim_of(self, names: NDArray[Any]) -> Index:
        """The claim of the alignment for each phrase; the first one for those that it does not know."""
        claims = np.array(self.alignment.claims)
        order = np.argsort(claims)
        return np.append(order, 0)[numbers_in(claims[order], names, len(claims))]

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and operations of statistics, posterior and projection."""
        n_parameters, r = super().size(n_frames)[0], self.rank
        k, d = self.alignment.means.shape
        of_frames = n_frames * (2 * k * d if self.aligner is not None else self.ubm.emissions.macs() + k * d)
        return n_parameters, of_frames + k * d * r + k * r * (r + 1) // 2 + r**3 // 6 + self.projection.size

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Parameters of the stages that have begun."""
        named = {UBM_PREFIX + name: value for name, value in self.ubm.tensors().items()}
        if self.aligner is not None:
            named = {ALIGNER_PREFIX + name: value for name, value in self.aligner.tensors().items()}
        if isinstance(self.alignment, StateAlignment):
            named[CLAIMS] = as_bytes([word for pair in self.alignment.phrases.items() for word in pair])
        if self.variability is not None:
            named |= as_tensors({f"variability:{name}": getattr(self.variability, name) for name in VARIABILITY})
        named |= super().tensors()
        return named

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them.

        Raises:
            ValueError: some are missing, or make no sense.
        """
        of_ubm = {name.removeprefix(UBM_PREFIX): t for name, t in tensors.items() if name.startswith(UBM_PREFIX)}
        if self.aligner is None:
            self.ubm.load_tensors(of_ubm)
        else:
            own = {
                name.removeprefix(ALIGNER_PREFIX): t for name, t in tensors.items() if name.startswith(ALIGNER_PREFIX)
            }
            self.aligner.load_tensors(own)
        if CLAIMS in tensors and self.aligner is not None:
            words = as_texts(tensors[CLAIMS])
            self._align(dict(zip(words[::2], words[1::2], strict=True)))
        arrays = {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}
        variability = group(arrays, "variability", VARIABILITY)
        self.variability = TotalVariability(*variability) if variability else None
        super().load_tensors(tensors)


def aligner_of(statistics: Statistics, n_features: int, stream: str, n_static: int | None) -> Any:
    """The system whose states are components; None: the background model's are."""
    if statistics == "ubm":
        return None
    from phonaut.models.speakers.phone_hmm import PhoneHMM
    from phonaut.models.speakers.sentence_hmm import SentenceHMM

    system: Any = {"phone_hmm": PhoneHMM, "sentence_hmm": SentenceHMM}[statistics]
    return system(n_features=n_features, score_stream=stream, n_static=n_static)
