"""Verification by one vector a recording: centring, LDA, WCCN, and cosine or PLDA; and the mean frame as a vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import refuse, within
from phonaut.models.speakers.backends import PLDA, class_sums, lda, length_normalised, products, wccn
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.ubm import as_tensors
from phonaut.models.speakers.utterances import Utterances

PHRASES, MEANS, PROJECTION = "backend:phrases", "backend:means", "backend:projection"
OF_PLDA = ("mean", "between", "within")
Backend = Literal["cosine", "plda"]
Enrolment = Literal["average", "joint"]
Classes = Literal["speaker_phrase", "speaker"]


class VectorSystem(VerificationSystem):
    """Cosine, or log-likelihood ratio by PLDA, of the vectors of a recording and a model, which a sub-class makes.

    Vectors are taken relative to the mean of their phrase (of those that the background knows; else to that of all),
    projected by LDA and WCCN, and normalised to length 1. A recording in a trial is relative to the phrase that the
    model claims.

    A sub-class sets `_background` when training begins, gives its vectors, and keeps those of recordings in a column.

    Args:
        n_features: D.
        backend: `cosine` or `plda`.
        classes: what the back end tells apart: `speaker_phrase`, the phrases of each speaker, or `speaker`.
        phrase_centering: take vectors relative to the means of phrases; false: to that of all.
        lda_dim: dimensions that LDA keeps, at most one less than there are classes; null: no LDA.
        wccn: whiten what varies within classes.
        shrinkage: of covariances within classes towards a multiple of the identity.
        plda_steps: EM steps of PLDA.
        enrolment: by PLDA, of several recordings: `average`: their mean counts as one; `joint`: exactly, as n.

    Attributes:
        column: of represented utterances, with their vectors `(B, C, R)`, one for each claim.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER,)
    column: ClassVar[str] = "vector"
    RULES: ClassVar = {**dict.fromkeys(("lda_dim", "plda_steps"), within(1, 1e6)), "shrinkage": within(0, 1)}

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """Problems of the options."""
        choices: list[tuple[str, Any]] = [("backend", Backend), ("classes", Classes), ("enrolment", Enrolment)]
        wrong = [
            f"{name} must be one of {', '.join(get_args(kind))}, got {options[name]}"
            for name, kind in choices
            if options.get(name, get_args(kind)[0]) not in get_args(kind)
        ]
        if options.get("enrolment") == "joint" and options.get("backend", "cosine") != "plda":
            wrong.append("enrolment=joint is for backend=plda: a cosine compares with the mean")
        return wrong

    def __init__(
        self,
        *,
        n_features: int,
        backend: Backend = "cosine",
        classes: Classes = "speaker_phrase",
        phrase_centering: bool = True,
        lda_dim: int | None = None,
        wccn: bool = True,
        shrinkage: float = 0.1,
        plda_steps: int = 10,
        enrolment: Enrolment = "average",
    ) -> None:
        super().__init__(n_features)
        refuse(VectorSystem.problems(backend=backend, classes=classes, enrolment=enrolment))
        self.backend, self.classes, self.phrase_centering = backend, classes, phrase_centering
        self.lda_dim, self.wccn, self.shrinkage, self.plda_steps = lda_dim, wccn, shrinkage, plda_steps
        self.enrolment = enrolment
        self._background: Utterances
        self._forget_backend()

    def _forget_backend(self) -> None:
        """Be as before the back end was trained."""
        self.plda: PLDA | None = None
        self.phrases: NDArray[np.str_] = np.empty(0, np.str_)  # in ascending order
        self.means, self.projection = np.empty((0, 0)), np.empty((0, 0))  # of phrases and of all; (P + 1, R), (R, d)
        self._n_plda_steps = 0
        self._vectors: tuple[Array, Index] | None = None

    # --- training

    @abstractmethod
    def _background_vectors(self) -> Array:
        """The vectors of the background, `(B, R)`."""

    def _check_classes(self) -> None:
        """Refuse a background in which nothing varies within classes.

        Raises:
            ValueError: no class of the back end has two recordings.
        """
        if len(self._codes().tolist()) == len(np.unique(self._codes())):
            raise ValueError(
                f"some {self.classes.replace('_', ' and ')} of the background must have two recordings or more; got "
                f"{len(self._background)} recordings, each of another"
            )

    def _codes(self) -> Index:
        """The class of each recording of the background, numbered from 0, `(B,)`."""
        names = [self._background[SPEAKER]]
        names += [self._background[PHRASE]] if self.classes == "speaker_phrase" else []
        codes: Index = np.unique(np.stack(names, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        return codes

    def _fit_projection(self, vectors: Array) -> None:
        """Means of phrases, LDA and WCCN."""
        names = self._background[PHRASE] if self.phrase_centering else np.full(len(vectors), "")
        self.phrases = np.unique(names[names != ""]).astype(np.str_)
        row = self._row_of(names)
        sums = np.zeros((len(self.phrases) + 1, vectors.shape[1]))
        np.add.at(sums, row, vectors)
        counts = np.bincount(row, minlength=len(sums))
        self.means = sums / np.maximum(counts, 1)[:, None]
        self.means[-1] = vectors.mean(axis=0)
        x, codes, self.projection = vectors - self.means[row], self._codes(), np.eye(vectors.shape[1])
        if self.lda_dim is not None:
            self.projection = lda(x, codes, self.lda_dim, self.shrinkage)
        if self.wccn:
            self.projection = self.projection @ wccn(x @ self.projection, codes, self.shrinkage)

    def _projected(self) -> tuple[Array, Index]:
        """Vectors of the background as PLDA takes them, and their classes."""
        if self._vectors is None:
            vectors = self._background_vectors()
            row = self._row_of(self._background[PHRASE])
            self._vectors = length_normalised((vectors - self.means[row]) @ self.projection), self._codes()
        return self._vectors

    def _plda_step(self) -> Mapping[str, float]:
        """One EM step of PLDA; `plda_log_likelihood` of a vector."""
        x, codes = self._projected()
        plda = PLDA.started(x, codes, self.shrinkage) if self.plda is None else self.plda
        self.plda, likelihood = plda.em_step(x, codes)
        self._n_plda_steps += 1
        return {"plda_log_likelihood": likelihood / len(x)}

    @property
    def _plda_done(self) -> bool:
        """PLDA had its steps, if it is asked for."""
        return self.backend != "plda" or self._n_plda_steps >= self.plda_steps

    def _row_of(self, names: NDArray[Any]) -> Index:
        """The row of `means` for each phrase; the last one, the mean of all, for those that are not known."""
        return numbers_in(self.phrases, names, len(self.phrases))

    # --- scoring

    def _claim_of(self, names: NDArray[Any]) -> Index:
        """The number of the claim, of those that a recording has vectors for, of each phrase."""
        return np.zeros(len(names), np.int64)

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """Sums of the normalised vectors of models, `sum (M, d)`, of `n (M,)` recordings.

        A model's `phrase` is that of all its recordings, or empty.
        """
        numbers, first, owner = np.unique(model, return_index=True, return_inverse=True)
        names = represented[PHRASE]
        vectors = represented[self.column][np.arange(len(names)), self._claim_of(names)]
        n, sums = class_sums(length_normalised((vectors - self.means[self._row_of(names)]) @ self.projection), owner)
        differ = np.bincount(owner, names != names[first][owner]) > 0
        columns = {key: value[first] for key, value in represented.columns.items() if key != self.column}
        columns |= {"model": numbers, PHRASE: np.where(differ, "", names[first]), "sum": sums, "n": n}
        return Utterances(np.empty((0, represented.frames.shape[1]), np.float32), np.zeros(len(n), np.int64), columns)

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Cosines or log-likelihood ratios of N trials."""
        at = np.searchsorted(references["model"], model)
        row, claim = self._row_of(references[PHRASE])[at], self._claim_of(references[PHRASE])[at]
        vectors, means = tested[self.column] @ self.projection, self.means @ self.projection
        sums, n = references["sum"], references["n"]
        if self.backend == "cosine" or self.enrolment == "average":
            sums, n = length_normalised(sums), np.ones(len(sums))
        plda = self.plda if self.backend == "plda" else None
        enrolled = sums if plda is None else plda.references(sums, n)

        def test(trials: Index) -> Array:
            x = length_normalised(vectors[recording[trials], claim[trials]] - means[row[trials]])
            return x if plda is None else plda.tests(x)

        return {SPEAKER: products(lambda trials: enrolled[at[trials]], test, len(at), enrolled.shape[1])}

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Those of the back end, as far as it is trained."""
        named: dict[str, Tensor] = {}
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
        arrays = {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}
        backend = group(arrays, "backend", ("phrases", "means", "projection"))
        if backend:
            text, self.means, self.projection = bytes(backend[0]).decode(), *backend[1:]
            self.phrases = np.array(text.split("\n") if text else [], dtype=np.str_)
            if len(self.means) != len(self.phrases) + 1:
                raise ValueError(f"{MEANS} must have {len(self.phrases) + 1} rows, got {len(self.means)}")
        plda = group(arrays, "plda", OF_PLDA)
        self.plda = PLDA(*plda) if plda else None


class MeanVector(VectorSystem):
    """The mean of a recording's frames as its vector: of what an encoder gives, such as the sequence latents of FHVAE.

    Of the posterior means of N windows, `sum_n E z2_n / (N + s2 / s_mu)` is the mode of the vector mu2 of their
    sequence (Hsu, Zhang and Glass 2017): for recordings of some seconds, their mean.

    Arguments are those of `VectorSystem`.
    """

    def begin(self, background: Utterances, seed: int) -> None:
        """Take the vectors of the background.

        Raises:
            ValueError: no class of the back end has two recordings.
        """
        self._forget_backend()
        self._background = background
        self._check_classes()

    def _background_vectors(self) -> Array:
        return mean_frames(self._background)

    def step(self) -> Mapping[str, float]:
        """Fit the projection, then PLDA; `plda_log_likelihood` of a vector."""
        if not self.projection.size:
            self._fit_projection(self._background_vectors())
            return {}
        return self._plda_step()

    @property
    def done(self) -> bool:
        """The projection is there, and PLDA had its steps."""
        return bool(self.projection.size) and self._plda_done

    def training_state(self) -> dict[str, Any]:
        """Steps of PLDA."""
        return {"plda": self._n_plda_steps}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `training_state`."""
        self._n_plda_steps = state["plda"]

    def represent(self, utterances: Utterances) -> Utterances:
        """The mean frame, `vector (B, 1, D)`.

        Raises:
            ValueError: a recording has no frames.
        """
        if len(empty := np.flatnonzero(utterances.lengths < 1)):
            raise ValueError(f"recording {utterances['id'][empty[0]]} has no frames, and needs one for a mean")
        return utterances.without_frames(vector=mean_frames(utterances)[:, None].astype(np.float32))

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and operations of mean and projection."""
        return super().size(n_frames)[0], n_frames * self.n_features + self.projection.size


def mean_frames(utterances: Utterances) -> Array:
    """The mean frame of each utterance, all of which have some, `(B, D)`."""
    if not len(utterances):
        return np.empty((0, utterances.frames.shape[1]))
    sums = np.add.reduceat(utterances.frames.astype(np.float64), utterances.starts, axis=0)
    mean: Array = sums / utterances.lengths[:, None]
    return mean


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
