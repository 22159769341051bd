"""What a model said of every span of a split: the file that evaluation writes and reports and comparisons read."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.files import write_arrays
from phonaut.metrics import Rate, mean_over


@dataclass(frozen=True)
class Predictions:
    """One row per span, in the order of the corpus.

    Attributes:
        cut: cut ids, `(N,)`.
        recording: recording ids, `(N,)`.
        speaker: speaker ids, `(N,)`.
        label: true classes as indices into `classes`, -1 where the model does not know the class, `(N,)`.
        word: the true labels as text, whether known to the model or not, `(N,)`.
        scores: class scores, larger is more likely, `(N, C)`.
        start_s: start of the span within its cut, seconds, `(N,)`.
        end_s: end of the span, `(N,)`.
        classes: names of the classes, `(C,)`.
        n_frames: frames of the span, `(N,)`; None where nobody asked.
        log_likelihood: of the span under its own class, NaN where that is not known, `(N,)`; None where the model is no
            density.
        n_right: frames of the span that are classified right each on its own, `(N,)`; None where frames are not
            classified.
    """

    cut: NDArray[np.str_]
    recording: NDArray[np.str_]
    speaker: NDArray[np.str_]
    label: NDArray[np.int64]
    word: NDArray[np.str_]
    scores: NDArray[np.float32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    n_frames: NDArray[np.int64] | None = None
    log_likelihood: NDArray[np.float64] | None = None
    n_right: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the greatest score, `(N,)`."""
        best: NDArray[np.int64] = self.scores.argmax(axis=1)
        return best

    def take(self, rows: NDArray[np.int64]) -> Predictions:
        """Some of the spans, or all of them in another order."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        rest = {name: column[rows] for name, column in values.items() if name != "classes" and column is not None}
        return Predictions(**{**values, **rest})

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the scores, `(N, C)`."""
        shifted = self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        posterior: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return posterior

    def log_likelihood_per_frame(self) -> float | None:
        """Of all frames under their own classes; None where the model is no density."""
        if self.log_likelihood is None or self.n_frames is None or not (self.label >= 0).any():
            return None
        known = self.label >= 0
        return float(self.log_likelihood[known].sum() / self.n_frames[known].sum())

    def frames(self) -> NDArray[np.float64] | None:
        """Right frames and all frames of each span whose class is known, `(N, 2)`; None where none are classified."""
        if self.n_right is None or self.n_frames is None:
            return None
        return np.stack([self.n_right, self.n_frames], axis=1)[self.label >= 0].astype(np.float64)

    def frame_accuracy(self) -> Rate | None:
        """Share of the frames that are right, its n being frames; None where frames are not classified."""
        counts = self.frames()
        if counts is None:
            return None
        return mean_over(counts, self.speaker[self.label >= 0])._replace(n=int(counts[:, 1].sum()))

    def save(self, path: Path) -> None:
        """Write all columns to an `.npz` file, atomically."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, {name: value for name, value in values.items() if value is not None})

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            ValueError: the file is damaged or is not one of ours.
        """
        try:
            with np.load(path, allow_pickle=False) as columns:
                wanted = [field.name for field in fields(cls) if field.default is MISSING or field.name in columns]
                return cls(**{name: columns[name] for name in wanted})
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a file of predictions: {error}") from error
