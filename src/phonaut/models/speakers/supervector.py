"""Supervectors of phrases: what a speaker's sounds are like in each state of the phrase, compared by cosines.

A left-to-right model of the phrase says which frames are of which of its S states, so that what is compared is sounds
of the same kind. Of a recording with `N_s` frames `x_t` in state s, about the state's mean `m_s` over speakers,

    v_s = sum_t (x_t - m_s) / (N_s + r)         w = L^-1 (v - mean of the phrase),  L L' = W         score = cos(w, w')

with W the covariance within takes of the same phrase by the same speaker, shrunk towards its diagonal. The alignment is
made of frames that are normalised, the statistics of frames that keep their level.

Source: Reynolds, Quatieri and Dunn 2000, equation 13 (MAP of means); Hatch, Kajarekar and Stolcke 2006, "Within-class
covariance normalization for SVM-based speaker recognition".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.densities.dtw import distances
from phonaut.densities.gaussian_log_prob import Gaussians
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.embedded import PhoneModels
from phonaut.hmm.topology import bakis
from phonaut.hmm.utterance_graph import utterance_graph
from phonaut.models.speakers.dtw import static_features
from phonaut.models.speakers.streams import STREAMS, stream
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.utterances import Utterances

LEAK = 1e-8  # probability of passing over states, so that recordings shorter than S frames have a path too
LEAST_VARIANCE = 1e-6  # of a dimension of supervectors, relative to the mean over all
ROUNDING = 9  # digits of distances that the choice of a medoid looks at

# What a model of a phrase has: parameters of Gaussians and of its chain, means of the other stream, and their offset.
OF_PHRASE = ("means", "variances", "self_loop", "centres", "offset")


class Supervector(VerificationSystem):
    """Cosines of supervectors (`speaker`), and how much better the phrase fits than all others (`phrase`), in nats a
    frame.

    Phrases that `min_speakers` of the background say are trained on its takes. The states of any other come out of its
    enrolment recordings, divided by their medoid; what an average speaker sounds like in them is then the mean of the
    background's states that sound the same.

    Args:
        n_features: of a frame, deltas included.
        n_states: S.
        n_iter: EM steps of the phrases' models.
        relevance_factor: r, in frames.
        shrinkage: share of W's diagonal in it.
        min_speakers: background speakers who say a phrase that is trained.
        speaker_stream: frames of the statistics: `as_is`, `cmvn`, `static` or `static_cmvn`.
        phrase_stream: frames that are aligned, likewise.
        n_static: features that are no deltas; None: a third of all.

    Raises:
        ValueError: there is no such stream, or more features are static than there are.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER, PHRASE)
    RULES: ClassVar = {
        "n_states": within(1, 1000),
        **dict.fromkeys(("n_iter", "min_speakers", "n_static"), within(1, 1e6)),
        "relevance_factor": within(0, 1e6, beyond=True),
        "shrinkage": within(0, 1),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_states: int = 10,
        n_iter: int = 10,
        relevance_factor: float = 3.0,
        shrinkage: float = 0.1,
        min_speakers: int = 3,
        speaker_stream: str = "static",
        phrase_stream: str = "cmvn",
        n_static: int | None = None,
    ) -> None:
        super().__init__(n_features)
        self.n_states, self.n_iter, self.relevance_factor = n_states, n_iter, relevance_factor
        self.shrinkage, self.min_speakers = shrinkage, min_speakers
        self.streams, self.n_static = (speaker_stream, phrase_stream), static_features(n_features, n_static)
        for name in self.streams:
            if name not in STREAMS:
                raise ValueError(f"stream must be one of {', '.join(STREAMS)}, got {name}")
        self.width = self.n_static if speaker_stream.startswith("static") else n_features
        self.names: list[str] = []
        self.phrases: dict[str, Array] = {}
        self.factor: Array = np.empty((0, 0))
        self.takes: list[Utterances] = []
        self.iteration = 0

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Divide the takes of each phrase evenly into states.

        Raises:
            ValueError: no phrase is said by enough speakers, or nobody says one twice.
        """
        both = self.side_by_side(background.select(background.lengths >= self.n_states))
        phrase, speaker = both["phrase"], both["speaker"]
        said = np.unique(np.stack([phrase, speaker]), axis=1)
        names, n_speakers = np.unique(said[0], return_counts=True)
        self.names = [str(name) for name in names[(n_speakers >= self.min_speakers) & (names != "")]]
        if not self.names:
            raise ValueError(
                f"supervectors are of phrases, of which none is said by min_speakers={self.min_speakers} of the "
                f"background's {len(np.unique(speaker))} speakers; without phrases, use gmm_ubm or ivector"
            )
        self.takes = [both.select(phrase == name) for name in self.names]
        if all(len(np.unique(takes["speaker"])) == len(takes) for takes in self.takes):
            raise ValueError("a speaker of the background must say a phrase twice, to tell what takes of it differ by")
        self.set_phrases([self.started(takes) for takes in self.takes])
        self.iteration = 0
        p, v = len(self.names), self.n_states * self.width
        self.phrases |= {"centres": np.zeros((p, self.n_states, self.width)), "offset": np.zeros((p, v))}
        self.factor = np.eye(v)

    def started(self, takes: Utterances) -> PhoneModels:
        """The model of a phrase that takes, evenly divided, make."""
        model = PhoneModels([self.n_states])
        model.initialize(self.aligned_frames(takes), evenly(takes.lengths, self.n_states))
        return model

    def set_phrases(self, models: list[PhoneModels]) -> None:
        """Take the parameters of trained models."""
        self.phrases["means"] = np.stack([model.emissions.means_[:, 0] for model in models])
        self.phrases["variances"] = np.stack([model.emissions.covars_[:, 0] for model in models])
        self.phrases["self_loop"] = np.stack([model.self_loop for model in models])

    def step(self) -> dict[str, float]:
        """An EM step of each phrase's model; after the last one, what supervectors are relative to."""
        graph = utterance_graph(bakis(self.n_states, self_loop=0.0), [0], np.zeros(1, np.int64))
        models, log_prob, n_frames = [], 0.0, 0.0
        for p, takes in enumerate(self.takes):
            model = self.started(takes)
            model.emissions.means_ = self.phrases["means"][p][:, None].copy()
            model.emissions.covars_ = self.phrases["variances"][p][:, None].copy()
            model.self_loop = self.phrases["self_loop"][p]
            frames = self.aligned_frames(takes)
            sums = model.e_step(frames, takes.lengths, [graph] * len(takes), np.zeros(frames.shape[1]))
            model.m_step(sums)
            models.append(model)
            log_prob, n_frames = log_prob + sums.log_prob, n_frames + sums.n_frames
        self.set_phrases(models)
        self.iteration += 1
        if self.done:
            self.conclude()
        return {"log_likelihood": log_prob / n_frames}

    def conclude(self) -> None:
        """Set the states' means over speakers, the phrases' mean supervectors, and the covariance within takes."""
        vectors, classes = [], []
        for p, takes in enumerate(self.takes):
            states, _ = self.align(takes, self.of_phrase(p))
            zero = np.zeros((self.n_states, self.width))
            n, first = statistics(takes.frames[:, : self.width], takes.lengths, states, zero)
            total = n.sum(axis=0)[:, None]
            mean = first.sum(axis=(0, 1)) / total.sum()
            # A state that no frame is aligned to has the mean of all.
            self.phrases["centres"][p] = np.where(total > 0, first.sum(axis=0) / np.maximum(total, 1.0), mean)
            raw = self.raw_supervectors(takes, states, self.phrases["centres"][p])
            self.phrases["offset"][p] = raw.mean(axis=0)
            vectors.append(raw - self.phrases["offset"][p])
            classes += [(p, speaker) for speaker in takes["speaker"]]
        numbers = np.unique(np.array(classes), axis=0, return_inverse=True)[1]
        covariance = within_class_covariance(np.concatenate(vectors), numbers)
        self.factor = np.asarray(np.linalg.cholesky(shrunk(covariance, self.shrinkage)), np.float64)

    @property
    def done(self) -> bool:
        """All steps are made."""
        return self.iteration >= self.n_iter

    def training_state(self) -> dict[str, Any]:
        """The number of steps."""
        return {"iteration": self.iteration}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on after so many steps."""
        self.iteration = int(state["iteration"])

    # --- scoring

    def represent(self, utterances: Utterances) -> Utterances:
        """Frames of both streams side by side, and in a column the log-likelihood a frame of each phrase, `(B, P)`."""
        both = self.side_by_side(utterances)
        logs = [self.align(both, self.of_phrase(p))[1] for p in range(len(self.names))]
        return both.replaced(phrase_log_likelihood=np.stack(logs, axis=1))

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """The mean supervector of each model, and the model of its phrase.

        Raises:
            ValueError: a model has no phrase, or several.
        """
        numbers = np.unique(model)
        columns: dict[str, list[Any]] = {name: [] for name in ("known", "supervector", *OF_PHRASE)}
        for number in numbers:
            takes = represented.select(model == number)
            names = np.unique(takes["phrase"])
            if len(names) != 1 or not names[0]:
                raise ValueError(f"supervectors need one phrase a model; model {number} has {list(map(str, names))}")
            known = self.names.index(names[0]) if names[0] in self.names else -1
            phrase = self.of_phrase(known) if known >= 0 else self.of_takes(takes)
            vectors, _ = self.supervectors(takes, phrase)
            columns["known"].append(known)
            columns["supervector"].append(vectors.mean(axis=0))
            for name in OF_PHRASE:
                columns[name].append(phrase[name])
        return Utterances(
            np.empty((0, represented.frames.shape[1]), np.float32),
            np.zeros(len(numbers), np.int64),
            {"model": numbers, **{name: np.stack(column) for name, column in columns.items()}},
        )

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Cosines, and log-likelihood ratios a frame of the claimed phrase against the best other one, `(N,)`."""
        row = np.searchsorted(references["model"], model)
        known = references["known"]
        # Recordings are aligned once for all models of a phrase.
        group = np.where(known >= 0, known, len(self.names) + np.arange(len(references)))[row]
        speaker, phrase = np.empty(len(row)), np.empty(len(row))
        claimed = length_normalised(references["supervector"])
        for number in np.unique(group):
            trials = np.flatnonzero(group == number)
            rows, place = np.unique(recording[trials], return_inverse=True)
            of = row[trials[0]]
            some = tested.select(rows)
            vectors, log_likelihood = self.supervectors(some, {name: references[name][of] for name in OF_PHRASE})
            others = some["phrase_log_likelihood"][:, np.arange(len(self.names)) != known[of]]
            best = others.max(axis=1) if others.shape[1] else 0.0
            phrase[trials] = (log_likelihood - best)[place]
            speaker[trials] = np.einsum("nv,nv->n", claimed[row[trials]], vectors[place])
        return {SPEAKER: speaker, PHRASE: phrase}

    def supervectors(self, utterances: Utterances, phrase: Mapping[str, Array]) -> tuple[Array, Array]:
        """Normalised supervectors `(B, S D)` as recordings of a phrase, and its log-likelihoods a frame `(B,)`."""
        states, log_likelihood = self.align(utterances, phrase)
        raw = self.raw_supervectors(utterances, states, phrase["centres"]) - phrase["offset"]
        return length_normalised(solve_triangular(self.factor, raw.T, lower=True).T), log_likelihood

    def raw_supervectors(self, utterances: Utterances, states: Index, centres: Array) -> Array:
        """Supervectors `(B, S D)` about the states' means, nothing else."""
        n, first = statistics(utterances.frames[:, : self.width], utterances.lengths, states, centres)
        raw: Array = (first / (n + self.relevance_factor)[:, :, None]).reshape(len(utterances), -1)
        return raw

    def side_by_side(self, utterances: Utterances) -> Utterances:
        """Frames of both streams: those of the statistics, then those that are aligned."""
        both = [stream(utterances, name, self.n_static).frames for name in self.streams]
        return utterances.replaced(np.concatenate(both, axis=1, dtype=np.float32))

    def aligned_frames(self, utterances: Utterances) -> Array:
        """Frames that are aligned, `(N, D)`."""
        return utterances.frames[:, self.width :].astype(np.float64)

    def align(self, utterances: Utterances, phrase: Mapping[str, Array]) -> tuple[Index, Array]:
        """The state of each frame, `(N,)`, on the most probable path, and its log-probability a frame, `(B,)`."""
        logs = log_probs(self.aligned_frames(utterances), phrase["means"], phrase["variances"])
        states, scores = inference.viterbi(logs, left_to_right(phrase["self_loop"]), utterances.lengths)
        return states, scores / np.maximum(utterances.lengths, 1)

    # --- models of phrases

    def of_phrase(self, p: int) -> dict[str, Array]:
        """The model of a phrase of the background."""
        return {name: self.phrases[name][p] for name in OF_PHRASE}

    def of_takes(self, takes: Utterances) -> dict[str, Array]:
        """A model of a phrase that the background does not have: states from the medoid of takes, then their means.

        What speakers on average sound like in a state is told by the background's states, in proportion to how well
        they explain its frames.
        """
        frames = self.aligned_frames(takes)
        medoid = medoid_of(frames, takes.lengths)
        own = frames[takes.starts[medoid] : takes.starts[medoid] + takes.lengths[medoid]]
        n = max(len(own), self.n_states)
        stretched, many = own[np.arange(n) * len(own) // n], np.array([n])
        zero = np.zeros((self.n_states, frames.shape[1]))
        count, first = statistics(stretched, many, evenly(many, self.n_states), zero)
        phrase = {name: self.phrases[name].mean(axis=0) for name in ("variances", "self_loop")}
        phrase["means"] = first[0] / count[0][:, None]
        phrase["variances"] = np.broadcast_to(phrase["variances"].mean(axis=0), zero.shape)
        states, _ = self.align(takes, phrase)
        count, first = (sums.sum(axis=0) for sums in statistics(frames, takes.lengths, states, phrase["means"]))
        phrase["means"] = phrase["means"] + first / np.maximum(count, 1.0)[:, None]
        flat = [self.phrases[name].reshape(-1, self.phrases[name].shape[2]) for name in ("means", "variances")]
        share = torch.from_numpy(log_probs(frames, *flat)).softmax(dim=1).numpy()
        centres = self.phrases["centres"].reshape(-1, self.width)
        count, first = (
            sums.sum(axis=0)
            for sums in statistics(share @ centres, takes.lengths, states, np.zeros((self.n_states, self.width)))
        )
        phrase["centres"] = np.where(
            count[:, None] > 0, first / np.maximum(count, 1.0)[:, None], (share @ centres).mean(axis=0)
        )
        phrase["offset"] = np.zeros(self.n_states * self.width)
        return phrase

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Names of phrases in UTF-8, filled up with zeros, their models, and the factor L of W."""
        if not self.names:
            return {}
        names = np.array([name.encode() for name in self.names])
        letters = names.view(np.uint8).reshape(len(names), -1).copy()
        return {
            "phrases:names": torch.from_numpy(letters),
            **{f"phrases:{name}": torch.from_numpy(self.phrases[name].copy()) for name in OF_PHRASE},
            "within:factor": torch.from_numpy(self.factor.copy()),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set what `tensors` gives.

        Raises:
            ValueError: some are missing.
        """
        wanted = ("phrases:names", *(f"phrases:{name}" for name in OF_PHRASE), "within:factor")
        if missing := [name for name in wanted if name not in tensors]:
            raise ValueError(f"a supervector system has {', '.join(wanted)}; missing: {', '.join(missing)}")
        self.names = [bytes(row.tolist()).rstrip(b"\0").decode() for row in tensors["phrases:names"]]
        self.phrases = {name: tensors[f"phrases:{name}"].double().cpu().numpy().copy() for name in OF_PHRASE}
        self.factor = tensors["within:factor"].double().cpu().numpy().copy()

    def size(self, n_frames: int) -> tuple[int, int]:
        """Numbers of the models, and multiplications to align one recording and to compare it."""
        n = sum(tensor.numel() for name, tensor in self.tensors().items() if name != "phrases:names")
        v = self.n_states * self.width
        return n, 2 * n_frames * self.n_states * self.n_features + v * v + v


# --- functions


def evenly(lengths: Index, n_states: int) -> Index:
    """States of frames of recordings `(B,)`, each divided into S parts of about the same length, `(N,)`."""
    within_each = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    states: Index = within_each * n_states // np.repeat(lengths, lengths)
    return states


def log_probs(frames: Array, means: Array, variances: Array) -> Array:
    """`log N(x_t; m_s, v_s)`, `(N, S)`."""
    gaussians = Gaussians(torch.tensor(means), torch.tensor(variances), "diag")
    logs: Array = gaussians.log_prob(torch.from_numpy(frames)).numpy()
    return logs


def left_to_right(self_loop: Array) -> MarkovChains:
    """A chain that begins in the first state and ends in the last, from each to the next; others cost `LEAK`."""
    n, left = len(self_loop), 1.0 - self_loop
    later = np.triu(np.full((n, n), LEAK), 2)
    transition = later + np.diag(self_loop) + np.diag(left[:-1], 1)
    start, end = np.full(n, LEAK), np.full(n, LEAK)
    start[0], end[-1] = 1.0, left[-1]
    return MarkovChains(start, transition, end)


def statistics(frames: NDArray[Any], lengths: Index, states: Index, centres: Array) -> tuple[Array, Array]:
    """Frames of each recording in each state `(B, S)`, and the sums of `x_t - m_s` over them, `(B, S, D)`.

    Args:
        frames: of all recordings, `(N, D)`.
        lengths: `(B,)`.
        states: of the frames, `(N,)`, which never fall within a recording.
        centres: m, `(S, D)`.
    """
    b, s = len(lengths), len(centres)
    cells, first, count = np.unique(
        np.repeat(np.arange(b), lengths) * s + states, return_index=True, return_counts=True
    )
    n, sums = np.zeros(b * s), np.zeros((b * s, centres.shape[1]))
    n[cells] = count
    if len(cells):
        sums[cells] = np.add.reduceat(frames.astype(np.float64) - centres[states], first, axis=0)
    return n.reshape(b, s), sums.reshape(b, s, -1)


def within_class_covariance(vectors: Array, classes: Index) -> Array:
    """`sum (v - mean of its class)(v - mean of its class)' / (N - C)`, `(V, V)`, of N vectors of C classes.

    Args:
        vectors: `(N, V)`.
        classes: numbers from 0, `(N,)`; one class at least has two vectors.
    """
    order, count = np.argsort(classes, kind="stable"), np.bincount(classes)
    means = np.add.reduceat(vectors[order], np.cumsum(count) - count, axis=0) / count[:, None]
    away = vectors - means[classes]
    covariance: Array = away.T @ away / (len(vectors) - len(count))
    return covariance


def shrunk(covariance: Array, share: float) -> Array:
    """`(1 - a) W + a diag(W)`, with no variance below `LEAST_VARIANCE` of their mean; `(V, V)`."""
    diagonal = np.diagonal(covariance)
    floor = max(LEAST_VARIANCE * float(diagonal.mean()), np.finfo(np.float64).tiny ** 0.5)
    return (1 - share) * covariance + np.diag(share * diagonal + np.maximum(floor - diagonal, 0.0))


def length_normalised(vectors: Array) -> Array:
    """Vectors `(N, V)` of length 1; those of length 0 stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: Array = vectors / np.where(norms > 0, norms, 1.0)
    return normalised


def medoid_of(frames: Array, lengths: Index) -> int:
    """The recording whose warped distances from all others are least in sum; of two, and of equals, the longer."""
    away = distances(frames, lengths, frames, lengths, distance="cosine")
    np.fill_diagonal(away, 0.0)  # but for rounding, it is
    total = np.round((away + away.T).sum(axis=1), ROUNDING)
    first = np.add.reduceat(frames.sum(axis=1), np.cumsum(lengths) - lengths)  # breaks ties in no order of rows
    return int(np.lexsort((first, -lengths, total))[0])
