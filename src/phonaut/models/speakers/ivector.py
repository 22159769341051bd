"""i-vectors: recordings as points of a total variability space, compared by cosine or PLDA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import refuse, within
from phonaut.models.speakers.aligned_states import StateAlignment
from phonaut.models.speakers.backends import PLDA, class_sums, lda, length_normalised, products, wccn
from phonaut.models.speakers.state_models import as_bytes, as_texts
from phonaut.models.speakers.statistics import Alignment, UBMAlignment
from phonaut.models.speakers.streams import stream as stream_of
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.total_variability import TotalVariability, em_step
from phonaut.models.speakers.ubm import UBM, as_tensors
from phonaut.models.speakers.utterances import Utterances

STATISTICS_CELLS = 2**24  # numbers in the first-order sums of a block of utterances, in float64: 128 MB
SPREAD = 0.1  # standard deviations of a component, which loadings start with
UBM_PREFIX, PHRASES, MEANS, PROJECTION = "ubm:", "backend:phrases", "backend:means", "backend:projection"
VARIABILITY = ("offsets", "loadings", "covariances")
OF_PLDA = ("mean", "between", "within")
Backend = Literal["cosine", "plda"]
Enrolment = Literal["average", "joint"]
Classes = Literal["speaker_phrase", "speaker"]
Statistics = Literal["ubm", "phone_hmm", "sentence_hmm"]
ALIGNER_PREFIX, CLAIMS = "aligner_", "claims:units"


class IVector(VerificationSystem):
    """Cosine, or log-likelihood ratio by PLDA, of the i-vectors of a recording and a model.

    Training has three stages: a background model by EM, total variability by EM, and the back end. There, i-vectors are
    taken relative to the mean of their phrase (of those that the background knows; else to that of all), projected by
    LDA and WCCN, and normalised to length 1. A recording in a trial is relative to the phrase that the model claims.

    Args:
        n_features: D.
        n_components: of the background model, K.
        covariance_type: `diag` or `full`.
        em_steps: of the background model, at most.
        tol: EM of the background model is done when the log-likelihood of a frame rises by less.
        rank: of total variability, R.
        variability_steps: EM steps of it.
        minimum_divergence: after each, make the prior of i-vectors standard.
        backend: `cosine` or `plda`.
        classes: what the back end tells apart: `speaker_phrase`, the phrases of each speaker, or `speaker`.
        phrase_centering: take i-vectors relative to the means of phrases; false: to that of all.
        lda_dim: dimensions that LDA keeps, at most one less than there are classes; null: no LDA.
        wccn: whiten what varies within classes.
        shrinkage: of covariances within classes towards a multiple of the identity.
        plda_steps: EM steps of PLDA.
        enrolment: by PLDA, of several recordings: `average`: their mean counts as one; `joint`: exactly, as n.
        statistics: of what aligns frames: `ubm`, the background model; `phone_hmm` or `sentence_hmm`, the states of
            such a system with its defaults, along what is claimed; the background model is then not trained.
        stream: frames that are used; see `phonaut.models.speakers.streams`.
        n_static: columns of frames that are no deltas, for streams of statics; null: all.

    Source: Dehak et al. 2011, "Front-end factor analysis for speaker verification"; classes of speaker and phrase:
    Stafylakis et al. 2013, "Text-dependent speaker recognition using PLDA with uncertainty propagation".
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER,)
    aligner: Any
    RULES: ClassVar = {
        **dict.fromkeys(("n_components", "em_steps", "rank", "variability_steps", "lda_dim", "plda_steps", "n_static"),
                        within(1, 1e6)),
        "shrinkage": within(0, 1),
        "tol": within(-1e6, 1e6),
    }  # fmt: skip

    @classmethod
    def problems(cls, *, rank: int = 100, lda_dim: int | None = None, **options: Any) -> list[str]:
        """Problems of the options."""
        wrong = [] if lda_dim is None or lda_dim <= rank else [f"lda_dim={lda_dim} is more than rank={rank}"]
        if options.get("enrolment") == "joint" and options.get("backend", "cosine") != "plda":
            wrong.append("enrolment=joint is for backend=plda: a cosine compares with the mean")
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
        backend: Backend = "cosine",
        classes: Classes = "speaker_phrase",
        phrase_centering: bool = True,
        lda_dim: int | None = None,
        wccn: bool = True,
        shrinkage: float = 0.1,
        plda_steps: int = 10,
        enrolment: Enrolment = "average",
        statistics: Statistics = "ubm",
        stream: Literal["as_is", "cmvn", "static", "static_cmvn"] = "as_is",
        n_static: int | None = None,
    ) -> None:
        super().__init__(n_features)
        choices: list[tuple[str, str, Any]] = [("backend", backend, Backend), ("classes", classes, Classes)]
        choices += [("enrolment", enrolment, Enrolment), ("statistics", statistics, Statistics)]
        refuse([f"{name} must be one of {', '.join(get_args(kind))}, got {value}"
                for name, value, kind in choices if value not in get_args(kind)]
               + self.problems(rank=rank, lda_dim=lda_dim, enrolment=enrolment, backend=backend))  # fmt: skip
        self.rank, self.variability_steps, self.minimum_divergence = rank, variability_steps, minimum_divergence
        self.backend, self.classes, self.phrase_centering = backend, classes, phrase_centering
        self.lda_dim, self.wccn, self.shrinkage, self.plda_steps = lda_dim, wccn, shrinkage, plda_steps
        self.enrolment, self.stream, self.n_static = enrolment, stream, n_static
        self.ubm = UBM(n_components, covariance_type, em_steps, tol)
        self.alignment: Alignment = UBMAlignment(self.ubm)
        # No part of the module: its tensors are among those of this one, under names of their own.
        self.__dict__["aligner"] = aligner_of(statistics, n_features, stream, n_static)
        self._forget()

    def _forget(self) -> None:
        """Be as before training, but for the background model."""
        self.variability: TotalVariability | None = None
        self.plda: PLDA | None = None
        self.phrases: NDArray[np.str_] = np.empty(0, np.str_)  # in ascending order
        self.means, self.projection = np.empty((0, 0)), np.empty((0, 0))  # of phrases and of all; (P + 1, R), (R, d)
        self._n_steps = {"variability": 0, "plda": 0}
        self._kept: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._vectors: tuple[Array, Index] | None = None

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Start the background model from k-means.

        Raises:
            ValueError: there are fewer frames than components, or no class of the back end has two recordings.
        """
        self._forget()
        self._background, self._seed = self._frames_of(background), seed
        if len(self._codes().tolist()) == len(np.unique(self._codes())):
            raise ValueError(
                f"some {self.classes.replace('_', ' and ')} of the background must have two recordings or more; got "
                f"{len(background)} recordings, each of another"
            )
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

    def _codes(self) -> Index:
        """The class of each recording of the background, numbered from 0, `(B,)`."""
        names = [self._background[SPEAKER]]
        names += [self._background[PHRASE]] if self.classes == "speaker_phrase" else []
        codes: Index = np.unique(np.stack(names, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        return codes

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
        if self._n_steps["variability"] < self.variability_steps:
            n, f = self._statistics()
            before = self._started() if self.variability is None else self.variability
            self.variability, gain = em_step(before, n, f, minimum_divergence=self.minimum_divergence)
            self._n_steps["variability"] += 1
            figures = {"variability_gain": gain / float(n.sum(dtype=np.float64))}
            if self._n_steps["variability"] == self.variability_steps:
                self._fit_projection(self.variability.ivectors(n, f))
                self._kept = None
            return figures
        x, codes = self._projected()
        plda = PLDA.started(x, codes, self.shrinkage) if self.plda is None else self.plda
        self.plda, likelihood = plda.em_step(x, codes)
        self._n_steps["plda"] += 1
        return {"plda_log_likelihood": likelihood / len(x)}

    @property
    def done(self) -> bool:
        """All stages had their steps."""
        wanted = self.plda_steps if self.backend == "plda" else 0
        return self._n_steps["variability"] >= self.variability_steps and self._n_steps["plda"] >= wanted

    def training_state(self) -> dict[str, Any]:
        """Course of the background model, and steps of the other stages."""
        aligner = {} if self.aligner is None else {"aligner": self.aligner.training_state()}
        return {"ubm": self.ubm.state(), "steps": dict(self._n_steps), **aligner}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `training_state`."""
        self.ubm.load_state(state["ubm"])
        if self.aligner is not None:
            self.aligner.load_training_state(state["aligner"])
        self._n_steps = dict(state["steps"])

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

    # --- back end

    def _fit_projection(self, ivectors: Array) -> None:
        """Means of phrases, LDA and WCCN."""
        names = self._background[PHRASE] if self.phrase_centering else np.full(len(ivectors), "")
        self.phrases = np.unique(names[names != ""]).astype(np.str_)
        row = self._row_of(names)
        sums = np.zeros((len(self.phrases) + 1, ivectors.shape[1]))
        np.add.at(sums, row, ivectors)
        counts = np.bincount(row, minlength=len(sums))
        self.means = sums / np.maximum(counts, 1)[:, None]
        self.means[-1] = ivectors.mean(axis=0)
        x, codes, self.projection = ivectors - self.means[row], self._codes(), np.eye(ivectors.shape[1])
        if self.lda_dim is not None:
            self.projection = lda(x, codes, self.lda_dim, self.shrinkage)
        if self.wccn:
            self.projection = self.projection @ wccn(x @ self.projection, codes, self.shrinkage)

    def _projected(self) -> tuple[Array, Index]:
        """Vectors of the background as PLDA takes them, and their classes."""
        if self._vectors is None:
            assert self.variability is not None
            ivectors = self.variability.ivectors(*self._statistics())
            self._kept = None
            row = self._row_of(self._background[PHRASE])
            self._vectors = length_normalised((ivectors - self.means[row]) @ self.projection), self._codes()
        return self._vectors

    def _row_of(self, names: NDArray[Any]) -> Index:
        """The row of `means` for each phrase; the last one, the mean of all, for those that are not known."""
        return numbers_in(self.phrases, names, len(self.phrases))

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

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """Sums of the normalised vectors of models, `sum (M, d)`, of `n (M,)` recordings.

        A model's `phrase` is that of all its recordings, or empty.
        """
        numbers, first, owner = np.unique(model, return_index=True, return_inverse=True)
        names = represented[PHRASE]
        vectors = represented["ivector"][np.arange(len(names)), self._claim_of(names)]
        n, sums = class_sums(length_normalised((vectors - self.means[self._row_of(names)]) @ self.projection), owner)
        differ = np.bincount(owner, names != names[first][owner]) > 0
        columns = {key: value[first] for key, value in represented.columns.items() if key != "ivector"}
        columns |= {"model": numbers, PHRASE: np.where(differ, "", names[first]), "sum": sums, "n": n}
        return Utterances(np.empty((0, represented.frames.shape[1]), np.float32), np.zeros(len(n), np.int64), columns)

    def _claim_of(self, names: NDArray[Any]) -> Index:
        """The claim of the alignment for each phrase; the first one for those that it does not know."""
        claims = np.array(self.alignment.claims)
        order = np.argsort(claims)
        return np.append(order, 0)[numbers_in(claims[order], names, len(claims))]

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Cosines or log-likelihood ratios of N trials."""
        at = np.searchsorted(references["model"], model)
        row, claim = self._row_of(references[PHRASE])[at], self._claim_of(references[PHRASE])[at]
        vectors, means = tested["ivector"] @ self.projection, self.means @ self.projection
        sums, n = references["sum"], references["n"]
        if self.backend == "cosine" or self.enrolment == "average":
            sums, n = length_normalised(sums), np.ones(len(sums))
        plda = self.plda if self.backend == "plda" else None
        enrolled = sums if plda is None else plda.references(sums, n)

        def test(trials: Index) -> Array:
            x = length_normalised(vectors[recording[trials], claim[trials]] - means[row[trials]])
            return x if plda is None else plda.tests(x)

        return {SPEAKER: products(lambda trials: enrolled[at[trials]], test, len(at), enrolled.shape[1])}

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
        if self.projection.size:
            named |= as_tensors({MEANS: self.means, PROJECTION: self.projection})
            named[PHRASES] = torch.tensor(list("\n".join(self.phrases).encode()), dtype=torch.uint8)
        if self.plda is not None:
            named |= as_tensors({f"plda:{name}": getattr(self.plda, name) for name in OF_PLDA})
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
        backend = group(arrays, "backend", ("phrases", "means", "projection"))
        if backend:
            text, self.means, self.projection = bytes(backend[0]).decode(), *backend[1:]
            self.phrases = np.array(text.split("\n") if text else [], dtype=np.str_)
            if len(self.means) != len(self.phrases) + 1:
                raise ValueError(f"{MEANS} must have {len(self.phrases) + 1} rows, got {len(self.means)}")
        plda = group(arrays, "plda", OF_PLDA)
        self.plda = PLDA(*plda) if plda else None


def aligner_of(statistics: Statistics, n_features: int, stream: str, n_static: int | None) -> Any:
    """The system whose states are components; None: the background model's are."""
    if statistics == "ubm":
        return None
    from phonaut.models.speakers.phone_hmm import PhoneHMM
    from phonaut.models.speakers.sentence_hmm import SentenceHMM

    system: Any = {"phone_hmm": PhoneHMM, "sentence_hmm": SentenceHMM}[statistics]
    return system(n_features=n_features, score_stream=stream, n_static=n_static)


def numbers_in(names: NDArray[Any], wanted: NDArray[Any], otherwise: int) -> Index:
    """The number of each of `wanted (B,)` in ascending names, `otherwise` where it is none of them."""
    if not len(names):
        return np.full(len(wanted), otherwise)
    at = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[at] == wanted, at, otherwise)


def group(arrays: Mapping[str, NDArray[Any]], prefix: str, names: tuple[str, ...]) -> list[NDArray[Any]]:
    """Arrays that belong together, in the order of their names; none of them is there, or all are.

    Raises:
        ValueError: some are missing.
    """
    missing = [f"{prefix}:{name}" for name in names if f"{prefix}:{name}" not in arrays]
    if missing and len(missing) < len(names):
        raise ValueError(f"there is no {', '.join(missing)}")
    return [] if missing else [arrays[f"{prefix}:{name}"] for name in names]
