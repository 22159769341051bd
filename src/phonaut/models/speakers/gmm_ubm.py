"""GMM-UBM: a background mixture, phrase models between, and models of speakers, each adapted from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.densities.adapted_mixtures import Background
from phonaut.densities.gaussian_log_prob import statistics
from phonaut.hmm.emissions import MixtureEmissions
from phonaut.models.speakers.streams import stream
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.ubm import UBM
from phonaut.models.speakers.utterances import Utterances

Adapted = Literal["m", "mw", "mc", "mwc"]
AdaptedTo = Literal["both", "speaker", "sentence"]
Stream = Literal["as_is", "cmvn", "static", "static_cmvn"]
Names = NDArray[np.str_]

MODEL_CELLS = 2**26  # numbers of adapted models that are at hand at once: 256 MB
ALIGNED_CELLS = 2**24  # frames times components that are at hand at once
PREFIXES = {SPEAKER: "ubm:", PHRASE: "phrase_ubm:"}
PHRASE_NAMES, PHRASE_OFFSETS = "phrase_names", "phrase_offsets"


class GMMUBM(VerificationSystem):
    """Ratios of a model, adapted by MAP, to its background; each a mean over frames, natural logarithm.

        speaker = log p(x | model) - log p(x | background)
        phrase  = log p(x | phrase of the model) - max over other phrases of log p(x | phrase)

    The background is a mixture of everybody's frames (UBM). With phrase models, the chain is UBM -> phrase -> model:
    the UBM is adapted to all background recordings of a phrase, and that to a model's recordings, so that what is said
    says nothing for the speaker. A phrase that the background does not have is adapted from the UBM to the model's own
    recordings; its models come from the UBM and are compared with it. Where there is one phrase alone, the UBM is the
    other one. Without phrases there is no `phrase`.

    The scores may be of different streams: frames that keep their level carry the speaker, normalised ones the text.
    That takes two UBMs, the second for the phrase score alone.

    Args:
        n_features: D.
        n_components: of the UBM, K.
        covariance_type: `diag` or `full`.
        em_steps: of the UBM, at most.
        tol: EM is done when the mean log-likelihood of a frame rises by less, in nats.
        relevance_factor: of MAP adaptation to a model's recordings, in frames.
        adapt: what is adapted: m(eans), w(eights), c(ovariances).
        adapt_to: the recordings of the model (`both`), all that enrol its speaker, or all that enrol its sentence.
        top_c: components of the UBM, those that are best at a frame, that are scored; null: all, which is exact.
        phrase_models: put phrase models between the UBM and models.
        phrase_relevance: of MAP adaptation to a phrase's recordings.
        against: `claimed`: the speaker ratio is to the model of the claimed phrase; `best`: to the best phrase model.
        speaker_stream: frames of the speaker score; see `phonaut.models.speakers.streams`.
        phrase_stream: frames of the phrase score.
        n_static: columns of frames that are no deltas, for streams of statics; null: all.

    Source: Reynolds, Quatieri and Dunn 2000, "Speaker verification using adapted Gaussian mixture models"; of phrase
    models: arXiv 1611.06423 (pass-phrase background models).
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER, PHRASE)
    RULES: ClassVar = {
        **dict.fromkeys(("n_components", "em_steps", "top_c", "n_static"), within(1, 1e6)),
        **dict.fromkeys(("relevance_factor", "phrase_relevance"), within(0, 1e6, beyond=True)),
        "tol": within(-1e6, 1e6),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_components: int = 64,
        covariance_type: Literal["diag", "full"] = "diag",
        em_steps: int = 50,
        tol: float = 1e-3,
        relevance_factor: float = 3.0,
        adapt: Adapted = "m",
        adapt_to: AdaptedTo = "both",
        top_c: int | None = 5,
        phrase_models: bool = True,
        phrase_relevance: float = 10.0,
        against: Literal["claimed", "best"] = "claimed",
        speaker_stream: Stream = "as_is",
        phrase_stream: Stream = "cmvn",
        n_static: int | None = None,
    ) -> None:
        super().__init__(n_features)
        for name, value, kind in (("adapt", adapt, Adapted), ("adapt_to", adapt_to, AdaptedTo)):
            if value not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {value}")
        self.n_components, self.covariance_type, self.em_steps, self.tol = n_components, covariance_type, em_steps, tol
        self.relevance_factor, self.adapt, self.adapt_to = relevance_factor, adapt, adapt_to
        self.top_c = None if top_c is None else min(top_c, n_components)
        self.phrase_models, self.phrase_relevance, self.against = phrase_models, phrase_relevance, against
        self.streams: dict[str, Stream] = {SPEAKER: speaker_stream}
        if phrase_models and phrase_stream != speaker_stream:
            self.streams[PHRASE] = phrase_stream
        self.n_static = n_static
        self.ubms = {name: UBM(n_components, covariance_type, em_steps, tol) for name in self.streams}
        self.phrases: Names = np.empty(0, dtype=np.str_)
        self.phrase_offsets: dict[str, NDArray[np.float32]] = {}

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Start the UBM of each stream from k-means.

        Raises:
            ValueError: there are fewer frames than components.
        """
        self._background = {name: self._stream(background, name) for name in self.streams}
        for name, ubm in self.ubms.items():
            ubm.begin(self._background[name].frames, seed)

    def step(self) -> Mapping[str, float]:
        """One EM step of every UBM that is not done; after the last one, the phrase models."""
        figures = {}
        for name, ubm in self.ubms.items():
            if not ubm.done:
                figures[f"{'phrase_' * (name == PHRASE)}log_likelihood"] = ubm.step()
        if self.done and self.phrase_models:
            self._adapt_phrases()
        return figures

    def _adapt_phrases(self) -> None:
        """The UBMs adapted to the background recordings of each phrase."""
        for name, ubm in self.ubms.items():
            of = self._background[name]
            names = of[PHRASE]
            self.phrases = np.unique(names[names != ""]).astype(np.str_)
            groups = [np.flatnonzero(names == phrase) for phrase in self.phrases]
            mean = ubm.emissions.means_[0]
            self.phrase_offsets[name] = np.zeros((len(groups), *mean.shape), np.float32)
            for p, adapted in enumerate(map_models(ubm.emissions, of, groups, self.phrase_relevance, "m")):
                self.phrase_offsets[name][p] = adapted.means_[0] - mean

    @property
    def done(self) -> bool:
        """The UBMs are."""
        return all(ubm.done for ubm in self.ubms.values())

    def training_state(self) -> dict[str, Any]:
        """Course of EM of each stream."""
        return {name: ubm.state() for name, ubm in self.ubms.items()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `training_state`."""
        for name, ubm in self.ubms.items():
            ubm.load_state(state[name])

    # --- what is kept of a recording

    def _stream(self, utterances: Utterances, name: str) -> Utterances:
        return stream(utterances, self.streams[name], self.n_static)

    def represent(self, utterances: Utterances) -> Utterances:
        """Its frames in each stream, and beside them, where only the best components are scored, these and their
        shares: `(D, top_c, top_c)` columns a stream."""
        parts = []
        for name, ubm in self.ubms.items():
            of = self._stream(utterances, name)
            parts.append(of.frames.astype(np.float32))
            if self.top_c is not None:
                parts += self._best(ubm.background(), of.frames, of.lengths)
        return utterances.replaced(np.concatenate(parts, axis=1, dtype=np.float32))

    def _best(self, background: Background, x: NDArray[Any], lengths: Index) -> tuple[NDArray[Any], NDArray[Any]]:
        """Components that are scored, and their shares, one recording after another, so that none changes another's."""
        n = self.top_c or self.n_components
        components, shares = np.empty((len(x), n), np.int32), np.empty((len(x), n), np.float32)
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            inside = slice(end - length, end)
            components[inside], shares[inside] = background.best(x[inside], n)
        return components, shares

    def _n_features(self, name: str) -> int:
        """Features of a frame in a stream."""
        is_static = self.n_static is not None and self.streams[name].startswith("static")
        return min(self.n_static, self.n_features) if is_static and self.n_static else self.n_features

    def _columns(self, represented: Utterances, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Frames of a stream, `(N, D)`, and the components and shares beside them, `(N, 2 top_c)`."""
        n, d = 2 * (self.top_c or 0), self._n_features(name)
        first = self._n_features(SPEAKER) + n if name != SPEAKER else 0
        columns = represented.frames[:, first : first + d + n]
        return columns[:, :d], columns[:, d:] if n else None

    # --- enrolment

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """Offsets of the adapted means from those of the UBM, `(K, D)`, and what else is adapted; a row a model.

        Of a phrase that the background does not have, `phrase_offsets` are those of its own phrase model.
        """
        numbers, first, owner = np.unique(model, return_index=True, return_inverse=True)
        represented = represented.replaced(phrase=represented[PHRASE], speaker=represented[SPEAKER])
        columns = {key: column[first] for key, column in represented.columns.items()}
        base = self._base(columns[PHRASE])
        own = [np.flatnonzero(owner == m) for m in range(len(numbers))]
        columns.update(self._models(represented, self._rows(columns, represented, own), base))
        if self.phrase_models:
            name, ubm = self._phrase_ubm
            mean = ubm.emissions.means_[0]
            offsets = np.zeros((len(numbers), *mean.shape), np.float32)
            unknown = np.flatnonzero((base < 0) & (columns[PHRASE] != ""))
            if len(unknown):
                frames = represented.replaced(self._columns(represented, name)[0])
                groups = [own[m] for m in unknown]
                for m, adapted in zip(
                    unknown, map_models(ubm.emissions, frames, groups, self.phrase_relevance, "m"), strict=True
                ):
                    offsets[m] = adapted.means_[0] - mean
            columns[PHRASE_OFFSETS] = offsets
        empty = np.empty((0, represented.frames.shape[1]), np.float32)
        return Utterances(empty, np.zeros(len(numbers), np.int64), {**columns, "model": numbers})

    @property
    def _phrase_ubm(self) -> tuple[str, UBM]:
        """The last stream is that of phrases."""
        return list(self.ubms.items())[-1]

    def _base(self, phrase: Names) -> Index:
        """The phrase model that each model comes from, -1 for the UBM, `(M,)`."""
        if not len(self.phrases):
            return np.full(len(phrase), -1)
        at = np.searchsorted(self.phrases, phrase)
        at = np.minimum(at, len(self.phrases) - 1)
        base: Index = np.where(self.phrases[at] == phrase, at, -1)
        return base

    def _rows(self, columns: Mapping[str, Any], represented: Utterances, own: list[Index]) -> list[Index]:
        """The recordings that each model is adapted to: its own where its speaker or sentence is not known."""
        if self.adapt_to == "both":
            return own
        key = SPEAKER if self.adapt_to == "speaker" else PHRASE
        rows = {name: np.flatnonzero(represented[key] == name) for name in np.unique(columns[key]) if name != ""}
        return [rows.get(name, of) for name, of in zip(columns[key], own, strict=True)]

    def _models(self, represented: Utterances, rows: list[Index], base: Index) -> dict[str, NDArray[Any]]:
        """Columns of models adapted to `rows` from phrase models `base`; those that share both are made once."""
        ubm, frames = self.ubms[SPEAKER].emissions, represented.replaced(self._columns(represented, SPEAKER)[0])
        n, columns = len(rows), {"offsets": np.empty((len(rows), *ubm.means_[0].shape), np.float32)}
        if "w" in self.adapt:
            columns["weights"] = np.empty((n, self.n_components), np.float32)
        if "c" in self.adapt:
            columns["covariances"] = np.empty((n, *ubm.covars_[0].shape), np.float32)
        for phrase in np.unique(base):
            of_phrase = np.flatnonzero(base == phrase)
            shared: dict[bytes, list[int]] = {}
            for m in of_phrase:
                shared.setdefault(rows[m].tobytes(), []).append(int(m))
            offset = None if phrase < 0 else self.phrase_offsets[SPEAKER][phrase]
            start = ubm if offset is None else self.ubms[SPEAKER].shifted(offset)
            groups = [rows[models[0]] for models in shared.values()]
            adapted = map_models(start, frames, groups, self.relevance_factor, self.adapt)
            for models, one in zip(shared.values(), adapted, strict=True):
                columns["offsets"][models] = one.means_[0] - ubm.means_[0]
                if "w" in self.adapt:
                    columns["weights"][models] = one.weights_[0]
                if "c" in self.adapt:
                    columns["covariances"][models] = one.covars_[0]
        return columns

    # --- scores

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """The ratios of N trials."""
        used, at = np.unique(recording, return_inverse=True)
        if len(used) < len(tested):
            tested, recording = tested.select(used), at
        row = np.searchsorted(references["model"], model)
        kept = (references.columns.get(key) for key in ("offsets", "weights", "covariances"))
        offsets, weights, covariances = kept
        assert offsets is not None
        scores = {SPEAKER: self._ratios(SPEAKER, tested, row, recording, offsets, weights, covariances)}
        phrase = references[PHRASE]
        if not self.phrase_models or not (phrase != "").any():
            return scores
        base = self._base(phrase)[row]
        speaker_phrases = self._phrase_ratios(SPEAKER, tested)
        known = base >= 0
        if len(self.phrases) and self.against == "best":
            scores[SPEAKER] -= speaker_phrases.max(axis=1)[recording]
        elif known.any():
            scores[SPEAKER][known] -= speaker_phrases[recording[known], base[known]]
        name, _ = self._phrase_ubm
        phrases = speaker_phrases if name == SPEAKER else self._phrase_ratios(name, tested)
        claimed = np.empty(len(row))
        claimed[known] = phrases[recording[known], base[known]]
        if not known.all():
            claimed[~known] = self._ratios(name, tested, row[~known], recording[~known], references[PHRASE_OFFSETS])
        scores[PHRASE] = claimed - best_other(phrases)[recording, base]
        return scores

    def _phrase_ratios(self, name: str, tested: Utterances) -> Array:
        """Ratios of all phrase models to the UBM, `(B, P)`."""
        b, p = len(tested), len(self.phrases)
        pairs = np.tile(np.arange(p), b), np.repeat(np.arange(b), p)
        return self._ratios(name, tested, *pairs, self.phrase_offsets.get(name, np.empty(0))).reshape(b, p)

    def _ratios(
        self,
        name: str,
        tested: Utterances,
        row: Index,
        recording: Index,
        offsets: NDArray[Any],
        weights: NDArray[Any] | None = None,
        covariances: NDArray[Any] | None = None,
    ) -> Array:
        """Ratios to the UBM of models, by their rows, `(N,)`; some models, and some recordings, at a time."""
        result = np.empty(len(row))
        if not len(row):
            return result
        background, (x, beside) = self.ubms[name].background(), self._columns(tested, name)
        n_best, ends = self.top_c or self.n_components, np.cumsum(tested.lengths)
        d = x.shape[1]
        width = d if covariances is None else covariances[0, 0].size + d
        n_models = max(1, MODEL_CELLS // (self.n_components * width))
        part = ends * n_best // ALIGNED_CELLS  # recordings of a part are aligned at once
        for first in range(0, len(offsets), n_models):
            some = slice(first, first + n_models)
            of_models = (row >= first) & (row < first + n_models)
            others = (None if v is None else v[some] for v in (weights, covariances))
            changes = background.changes(offsets[some], *others)
            for p in np.unique(part[recording[of_models]]):
                inside = np.flatnonzero(part == p)
                trials = np.flatnonzero(of_models & (part[recording] == p))
                lengths = tested.lengths[inside]
                frames = slice(ends[inside[0]] - lengths[0], ends[inside[-1]])
                best = (
                    self._best(background, x[frames], lengths)
                    if beside is None
                    else (beside[frames, :n_best], beside[frames, n_best:])
                )
                result[trials] = background.mean_log_ratios(
                    x[frames], lengths, best, changes, row[trials] - first, recording[trials] - inside[0]
                )
        return result

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and multiplications with additions: all components of the UBM, the best of the model."""
        parameters, d = super().size(n_frames)[0], self._n_features(SPEAKER)
        ubm = self.n_components * (d + d * (d + 1) // 2 if self.covariance_type == "full" else 2 * d)
        best = (self.top_c or self.n_components) * (d + d * (d + 1) // 2)
        return parameters, n_frames * (ubm + best)

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Those of the UBMs, the means of phrases as offsets, and names of phrases as UTF-8, a line each."""
        named = {PREFIXES[name] + key: v for name, ubm in self.ubms.items() for key, v in ubm.tensors().items()}
        for name, offsets in self.phrase_offsets.items():
            named[PREFIXES[name] + PHRASE_OFFSETS] = torch.from_numpy(offsets)
        if self.phrase_offsets:
            text = "\n".join(self.phrases).encode()
            named[PREFIXES[SPEAKER] + PHRASE_NAMES] = torch.from_numpy(np.frombuffer(text, np.uint8).copy())
        return named

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them.

        Raises:
            ValueError: some are missing, or make no sense.
        """
        self.phrases, self.phrase_offsets = np.empty(0, dtype=np.str_), {}
        for name, ubm in self.ubms.items():
            prefix = PREFIXES[name]
            own = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
            names, offsets = own.pop(PHRASE_NAMES, None), own.pop(PHRASE_OFFSETS, None)
            ubm.load_tensors(own)
            if names is not None and names.numel():
                self.phrases = np.array(bytes(names.cpu().numpy()).decode().split("\n"))
            if offsets is not None:
                self.phrase_offsets[name] = offsets.detach().cpu().numpy().astype(np.float32)
        for name, theirs in self.phrase_offsets.items():
            shape = (len(self.phrases), *self.ubms[name].emissions.means_[0].shape)
            if theirs.shape != shape:
                raise ValueError(f"{PREFIXES[name]}{PHRASE_OFFSETS} must be {shape}, got {theirs.shape}")


def map_models(
    emissions: MixtureEmissions, utterances: Utterances, groups: list[Index], relevance_factor: float, adapt: str
) -> Iterator[MixtureEmissions]:
    """A mixture adapted by MAP to each of `groups` of utterances, by their numbers; an empty one stays as it is.

    Statistics are of one recording at a time, so that none changes those of another.

    Args:
        emissions: of one state, with D features.
        utterances: frames `(N, D)`.
        groups: of each mixture.
        relevance_factor: r, in frames.
        adapt: letters of what is adapted: w(eights), m(eans), c(ovariances).
    """
    background = Background(emissions.gaussians(), emissions.weights_[0])
    origin, full = emissions.means_[0].mean(axis=0), emissions.covariance_type == "full" and "c" in adapt
    starts = utterances.starts
    for rows in groups:
        sums = []
        for row in rows:
            x = utterances.frames[starts[row] : starts[row] + utterances.lengths[row]]
            shares = torch.softmax(background.log_joint(x), dim=1)
            sums.append(statistics(torch.from_numpy(x).double(), shares, origin, full=full))
        yield emissions.map_adapt(reduce(add, sums), relevance_factor, adapt) if sums else emissions


def best_other(ratios: Array) -> Array:
    """The largest ratio of another phrase, `(B, P + 1)`: of phrase p in column p, of one that is none of P in the last.

    Where there is no other, it is 0, the ratio of the UBM to itself.
    """
    b, p = ratios.shape
    best = np.zeros((b, p + 1))
    if p:
        best[:] = ratios.max(axis=1, keepdims=True)
        first = ratios.argmax(axis=1)
        rest = ratios.copy()
        rest[np.arange(b), first] = -np.inf
        best[np.arange(b), first] = rest.max(axis=1) if p > 1 else 0.0
    return best
