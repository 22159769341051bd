"""Words by their nearest prototype: means of a few takes, in the frames of an encoder that heard other words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import Rule, refuse, within
from phonaut.models.decision import BayesDecision
from phonaut.models.em_classifier import EMClassifier, Segments

UNKNOWN = "_unknown_"
LEAST_SQUARE = 1e-24  # of a length
MOST_SCALE = 1000.0
LEAST_OWN = 20  # recordings of other words by the user, to take the centre from them alone
WORDS_OF_BACKGROUND = 3.0  # as so many words the mean of the background counts, where it is the centre with theirs
LEAST_SHRINKAGE = 1e-9
LEAST_GAP = 1e-6  # of a threshold above all cosines
TENSORS = ("centre", "whitening", "prototypes", "threshold")
SHARE = Rule("must be between 0 and 1, without either", lambda share: 0 < share < 1)


class Prototypes(EMClassifier):
    """Cosines between a segment and the mean of each word's takes, against a threshold for what is none of them.

    A segment `(T, D)` is cut into `n_parts` stretches of equal length, whose mean frames one after another are its
    vector. With W W^T the inverse of the covariance of the background's vectors within words, and m a centre,

        x = (v - m) W / |(v - m) W|,   p_c = the mean of x over the takes of word c, of length 1

    and the score of word c is `scale x p_c` (Snell et al. 2017, "Prototypical Networks", equations 1 and 2, with
    cosines; Hatch et al. 2006, "Within-class covariance normalization"). That of the last class, what is none of the
    words, is `scale t`: t is reached by the best cosine of the share `false_accepts` of the background's words that
    are none of the user's. So a word is decided where its cosine is both the greatest and above t.

    m is the mean of the segments of the last class, where there are 20 or more: other words, heard by the same
    microphone. Else it is the mean of the means of the words and of that of the background, which counts as three.

    Args:
        n_features: D.
        n_classes: C, with what is none of the words as the last.
        n_parts: stretches of a segment.
        shrinkage: of the covariance within words towards a multiple of the identity.
        false_accepts: share of other words that are taken for one of the user's.
        scale: of the scores; how sure the softmax of them is.

    Attributes:
        background: segments of words by other people, for W and m: other words, where there are some.
        others: likewise, for t; of speakers that the encoder in front never heard, where there are some.
        origin: of `others`, in words.

    Raises:
        ValueError: a number is out of range.
    """

    rejects: ClassVar[bool] = True
    RULES: ClassVar = {
        "n_parts": within(1, 100),
        "shrinkage": within(0, 1),
        "false_accepts": SHARE,
        "scale": within(0, MOST_SCALE, beyond=True),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        n_parts: int = 2,
        shrinkage: float = 0.1,
        false_accepts: float = 0.01,
        scale: float = 20.0,
    ) -> None:
        super().__init__(n_features, n_classes, BayesDecision(n_classes, priors="uniform"))
        given = {"n_parts": n_parts, "shrinkage": shrinkage, "false_accepts": false_accepts, "scale": scale}
        refuse(
            [f"{key} {rule.text}, got {given[key]}" for key, rule in self.RULES.items() if not rule.holds(given[key])]
        )
        self.n_parts, self.shrinkage, self.false_accepts, self.scale = n_parts, shrinkage, false_accepts, scale
        self.background: Segments | None = None
        self.others: Segments | None = None
        self.origin = ""
        self.centre, self.whitening = np.empty(0), np.empty((0, 0))
        self.prototypes, self.threshold = np.empty((0, 0)), 1.0

    # --- training

    def initialize(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Whiten by the background, take the means of the words, choose the threshold.

        Segments of the last class, if there are any, are other words too.

        Raises:
            ValueError: a word has no segment, there is no background, or nothing is known that is none of the words.
        """
        if self.background is None or self.others is None:
            raise ValueError("model=prototypes compares in the frames of an encoder: type encoder.run=RUN")
        n_words = self.n_classes - 1
        counts = np.bincount(segments.labels[segments.labels >= 0], minlength=self.n_classes)[:n_words]
        if (counts == 0).any():
            raise ValueError(f"class {int(np.flatnonzero(counts == 0)[0])} has no segment to start from")
        words, own = (segments.labels >= 0) & (segments.labels < n_words), segments.labels == n_words
        if not len(self.others) and own.sum() < LEAST_OWN:
            raise ValueError(
                f"{self.origin} has no other words than yours, so there is nothing to tell them from: put {LEAST_OWN} "
                f"recordings of other words or more into a folder {UNKNOWN} beside them ({own.sum()} are there)"
            )
        heard = self.vectors(self.background.frames, self.background.lengths)
        self.whitening = whitening(heard, self.background.labels, self.shrinkage)
        v = self.vectors(segments.frames, segments.lengths)
        of_words, _ = class_means(v[words], segments.labels[words], n_words)
        if own.sum() >= LEAST_OWN:
            self.centre = v[own].mean(axis=0)
        else:
            total = of_words.sum(axis=0) + WORDS_OF_BACKGROUND * heard.mean(axis=0)
            self.centre = total / (n_words + WORDS_OF_BACKGROUND)
        x = unit((v - self.centre) @ self.whitening)
        self.prototypes = unit(class_means(x[words], segments.labels[words], n_words)[0])
        others = np.concatenate([self.directions(self.others.frames, self.others.lengths), x[own]])
        self.threshold = threshold_of((others @ self.prototypes.T).max(axis=1), self.false_accepts)

    def leave_one_out(self, segments: Segments) -> Tensor:
        """Scores `(B, C)` of the takes themselves, each by the means of the other takes.

        A word with one take only is not recognised then: its cosine counts as -1.
        """
        x, n_words = self.directions(segments.frames, segments.lengths), self.n_classes - 1
        cosine = x @ self.prototypes.T
        words = np.flatnonzero((segments.labels >= 0) & (segments.labels < n_words))
        label = segments.labels[words]
        mean, n = class_means(x[words], label, n_words)
        rest = (mean * n[:, None])[label] - x[words]
        alone = n[label] == 1
        cosine[words, label] = np.where(alone, -1.0, (unit(rest) * x[words]).sum(axis=1))
        return self.scores(self.with_threshold(cosine), segments.lengths)

    # --- scores

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Scaled cosines, and the threshold in the last column, `(B, C)`."""
        return self.with_threshold(self.directions(x.cpu().numpy(), lengths) @ self.prototypes.T)

    def with_threshold(self, cosine: Array) -> Array:
        """Cosines `(B, C - 1)` as log-likelihoods `(B, C)`."""
        column = np.full((len(cosine), 1), self.threshold)
        return self.scale * np.concatenate([cosine, column], axis=1)

    def vectors(self, frames: NDArray[Any], lengths: Index) -> Array:
        """The mean frame of each stretch of sequences one after another `(N, D)`, side by side, `(B, n_parts D)`.

        Stretch i of T frames are those from `floor(i T / n)` until before `ceil((i + 1) T / n)`: of fewer frames than
        stretches, some are in several.
        """
        sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, axis=0, dtype=np.float64)])
        begin = (np.cumsum(lengths) - lengths)[:, None]
        part, length = np.arange(self.n_parts), lengths[:, None]
        first, end = part * length // self.n_parts, -(-(part + 1) * length // self.n_parts)
        total = sums[begin + end] - sums[begin + first]
        mean: Array = total / (end - first)[:, :, None]
        return mean.reshape(len(lengths), self.n_parts * frames.shape[1])

    def directions(self, frames: NDArray[Any], lengths: Index) -> Array:
        """Whitened vectors of length 1, `(B, n_parts D)`."""
        return unit((self.vectors(frames, lengths) - self.centre) @ self.whitening)

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Those of the background, the prototypes and the threshold."""
        if not self.prototypes.size:
            return {}
        return {f"words:{name}": torch.as_tensor(getattr(self, name), dtype=torch.float64) for name in TENSORS}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them.

        Raises:
            ValueError: some are missing, or have other shapes.
        """
        if missing := [name for name in TENSORS if f"words:{name}" not in tensors]:
            raise ValueError(f"there is no words:{', words:'.join(missing)}")
        arrays = {name: tensors[f"words:{name}"].detach().cpu().double().numpy().copy() for name in TENSORS}
        size = self.n_parts * self.n_features
        shapes = {
            "centre": (size,),
            "whitening": (size, size),
            "prototypes": (self.n_classes - 1, size),
            "threshold": (),
        }
        wrong = [f"words:{name} must be {shape}" for name, shape in shapes.items() if arrays[name].shape != shape]
        refuse(wrong)
        self.centre, self.whitening, self.prototypes = (arrays[name] for name in TENSORS[:3])
        self.threshold = float(arrays["threshold"])

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and operations of means, whitening and cosines."""
        size = self.whitening.shape[0]
        n = self.centre.size + self.whitening.size + self.prototypes.size + 1
        return n, n_frames * self.n_features + size * size + self.prototypes.size


def whitening(vectors: Array, labels: Index, shrinkage: float) -> Array:
    """W `(R, R)`, with `W W^T` the inverse of the covariance of vectors `(B, R)` within classes.

    The covariance S becomes `(1 - shrinkage) S + shrinkage tr(S) / R I`.

    Raises:
        ValueError: no class has two vectors.
    """
    codes = np.unique(labels, return_inverse=True)[1]
    mean, n = class_means(vectors, codes, int(codes.max(initial=0)) + 1)
    if not (n > 1).any():
        raise ValueError("the recordings of encoder.run have no word twice: what varies within words is not known")
    away = vectors - mean[codes]
    covariance = away.T @ away / (n - 1).sum()
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - shrinkage) * covariance + (shrinkage + LEAST_SHRINKAGE) * level * np.eye(len(covariance))
    inverse: Array = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return inverse


def class_means(x: Array, labels: Index, n: int) -> tuple[Array, Index]:
    """Means `(n, R)` of the vectors `(B, R)` of each class, and their numbers `(n,)`."""
    sums, counts = np.zeros((n, x.shape[1])), np.bincount(labels, minlength=n)
    np.add.at(sums, labels, x)
    return sums / np.maximum(counts, 1)[:, None], counts


def unit(x: Array) -> Array:
    """Rows of length 1; those of 0 stay."""
    length: Array = np.sqrt(np.square(x).sum(axis=-1, keepdims=True) + LEAST_SQUARE)
    return x / length


def threshold_of(scores: Array, share: float) -> float:
    """The threshold that no more than `share` of `scores` reach: halfway between two of them, or above all.

    >>> threshold_of(np.arange(100.0), 0.01)
    98.5
    """
    ascending = np.sort(scores)
    allowed = int(share * len(scores) + 1e-9)
    low = ascending[len(scores) - 1 - allowed]
    above = ascending[len(scores) - allowed :][:1]
    return float((low + above[0]) / 2) if len(above) else float(low) + LEAST_GAP
