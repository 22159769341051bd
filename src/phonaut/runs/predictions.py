"""What a model said of every span of a split: the file that evaluation writes and reports and comparisons read."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.files import write_bytes


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

    def __len__(self) -> int:
        return len(self.label)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the greatest score, `(N,)`."""
        best: NDArray[np.int64] = self.scores.argmax(axis=1)
        return best

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the scores, `(N, C)`."""
        shifted = self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        posterior: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return posterior

    def save(self, path: Path) -> None:
        """Write all columns to an `.npz` file, atomically."""
        buffer = io.BytesIO()
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(buffer, **columns)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            ValueError: the file is damaged or is not one of ours.
        """
        try:
            with np.load(path, allow_pickle=False) as columns:
                return cls(**{field.name: columns[field.name] for field in fields(cls)})
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a file of predictions: {error}") from error
