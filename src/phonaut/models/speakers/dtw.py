"""Speakers' takes as templates: a recording is compared with each of them by dynamic time warping."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.densities.dtw import LocalDistance, pair_distances
from phonaut.models.speakers.streams import STREAMS, stream
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.utterances import Utterances


class DTW(VerificationSystem):
    """Scores are minus the warped distances from a model's templates, which are its enrolment recordings.

    Nothing is trained. Frames that keep their level give the score of the speaker, normalised ones that of the phrase.

    Args:
        n_features: of a frame, deltas included.
        distance: of frames: `cosine` or `euclidean`.
        band: frames that two recordings may drift apart, or what their lengths differ by where that is more; None:
            any number.
        combine: how the distances of a model's templates become one: their `mean`, `min`, or the mean of the nearest
            `n_nearest` (`mean_nearest`).
        n_nearest: see there.
        speaker_stream: frames that tell the speaker: `as_is`, `cmvn`, `static` or `static_cmvn`.
        phrase_stream: frames that tell the phrase, likewise.
        n_static: features that are no deltas; None: a third of all.

    Raises:
        ValueError: there is no such distance, stream or way to combine, or more features are static than there are.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER, PHRASE)
    RULES: ClassVar = {"band": within(0, 1e6), **dict.fromkeys(("n_nearest", "n_static"), within(1, 1e6))}

    def __init__(
        self,
        *,
        n_features: int,
        distance: LocalDistance = "cosine",
        band: int | None = None,
        combine: Literal["mean", "min", "mean_nearest"] = "mean",
        n_nearest: int = 2,
        speaker_stream: str = "static",
        phrase_stream: str = "cmvn",
        n_static: int | None = None,
    ) -> None:
        super().__init__(n_features)
        if combine not in ("mean", "min", "mean_nearest"):
            raise ValueError(f"combine must be mean, min or mean_nearest, got {combine}")
        if distance not in ("cosine", "euclidean"):
            raise ValueError(f"distance must be cosine or euclidean, got {distance}")
        self.distance, self.band, self.combine, self.n_nearest = distance, band, combine, n_nearest
        self.streams = {SPEAKER: speaker_stream, PHRASE: phrase_stream}
        self.n_static = static_features(n_features, n_static)
        for name in self.streams.values():
            if name not in STREAMS:
                raise ValueError(f"stream must be one of {', '.join(STREAMS)}, got {name}")

    @property
    def widths(self) -> dict[str, int]:
        """Features of the stream of each score."""
        statics = {name: kind.startswith("static") for name, kind in self.streams.items()}
        return {name: self.n_static if static else self.n_features for name, static in statics.items()}

    def represent(self, utterances: Utterances) -> Utterances:
        """Frames of both streams, side by side."""
        both = [stream(utterances, name, self.n_static).frames for name in self.streams.values()]
        return utterances.replaced(np.concatenate(both, axis=1, dtype=np.float32))

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """All recordings, as templates."""
        order = np.argsort(model, kind="stable")
        return represented.select(order).replaced(model=model[order])

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Minus the distances `(N,)` of both streams."""
        first = np.searchsorted(references["model"], model)
        count = np.searchsorted(references["model"], model, side="right") - first
        found, begin = {}, 0
        for name, width in self.widths.items():
            part = slice(begin, begin + width)
            found[name] = -self.away(references, tested, part, first, count, recording)
            begin += width
        return found

    def away(
        self, references: Utterances, tested: Utterances, part: slice, first: Index, count: Index, recording: Index
    ) -> Array:
        """Distances `(N,)` of recordings from the `count` templates from `first` on, in some of the features.

        Templates take turns, so that once a recording has its nearest ones, others are given up as soon as they are
        known to be farther away than all of these, which changes nothing.
        """
        n_kept = {"mean": int(count.max(initial=1)), "min": 1, "mean_nearest": self.n_nearest}[self.combine]
        nearest = np.full((len(recording), n_kept), np.inf)
        x, y = (np.ascontiguousarray(of.frames[:, part]) for of in (tested, references))
        for turn in range(int(count.max(initial=0))):
            rows = np.flatnonzero(count > turn)
            new = pair_distances(
                x, tested.lengths, y, references.lengths, recording[rows], first[rows] + turn,
                distance=self.distance, band=self.band,
                abandon_above=None if self.combine == "mean" else nearest[rows, -1],
            )  # fmt: skip
            nearest[rows] = np.sort(np.column_stack([nearest[rows], new]), axis=1)[:, :n_kept]
        there = np.arange(n_kept) < count[:, None]
        mean: Array = np.where(there, nearest, 0.0).sum(axis=1) / there.sum(axis=1)
        return mean

    def size(self, n_frames: int) -> tuple[int, int]:
        """No parameters; multiplications against one template, which is as long as the recording."""
        return 0, n_frames * n_frames * sum(self.widths.values())


def static_features(n_features: int, n_static: int | None) -> int:
    """How many features are no deltas; None: a third of all.

    Raises:
        ValueError: more than there are.
    """
    n = max(n_features // 3, 1) if n_static is None else n_static
    if not 1 <= n <= n_features:
        raise ValueError(f"n_static must be from 1 to the {n_features} features, got {n}")
    return n
