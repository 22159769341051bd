"""Scores of every span of a split: the file that evaluation writes and reports and comparisons read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.data.utterance import SILENCE
from phonaut.files import read_arrays, write_arrays, write_text
from phonaut.metrics import Scored

OLD_COLUMNS = {"word": "label_name", "n_right": "n_correct_frames"}  # names in files of earlier versions


@dataclass(frozen=True)
class Predictions:
    """One row per span, in the order of the corpus.

    Attributes:
        cut: utterance ids, `(N,)`.
        recording: recording ids, `(N,)`.
        speaker: speaker ids, `(N,)`.
        label: true classes as indices into `classes`, -1 where the model does not know the class, `(N,)`.
        label_name: the true labels as text, whether known to the model or not, `(N,)`.
        scores: class scores, larger is more likely, `(N, C)`.
        start_s: start of the span within its utterance, seconds, `(N,)`.
        end_s: end of the span, `(N,)`.
        classes: names of the classes, `(C,)`.
        columns: further arrays `(N, ...)`: `n_frames`, frames of the span; of densities `log_likelihood`, of the span
            under its true class, NaN where that is unknown; of models that classify frames `n_correct_frames`.
    """

    cut: NDArray[np.str_]
    recording: NDArray[np.str_]
    speaker: NDArray[np.str_]
    label: NDArray[np.int64]
    label_name: NDArray[np.str_]
    scores: NDArray[np.float32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the greatest score, `(N,)`."""
        best: NDArray[np.int64] = self.scores.argmax(axis=1)
        return best

    def n_speakers(self, counted: NDArray[np.bool_]) -> int:
        """How many people spoke the spans of a mask `(N,)`: what stands for the speaker of `_silence_` is a room."""
        return len(np.unique(self.speaker[counted & (self.label_name != SILENCE)]))

    def take(self, rows: NDArray[np.int64]) -> Predictions:
        """Some of the spans, or all of them in another order."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS}, columns=columns)

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the scores, `(N, C)`."""
        shifted = self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        posterior: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return posterior

    def log_likelihood_per_frame(self) -> float | None:
        """Mean over all frames, under their true classes; None where the model is no density."""
        known = self.label >= 0
        if "log_likelihood" not in self.columns or not known.any():
            return None
        return float(self.columns["log_likelihood"][known].sum() / self.columns["n_frames"][known].sum())

    def scored(self) -> Scored:
        """The arrays that metrics are computed from."""
        if not len(self.classes):  # of a task without classes, which has columns alone
            return Scored(self.speaker, columns=self.columns)
        return Scored(self.speaker, self.label, self.predicted, len(self.classes), self.scores, self.columns)

    def save(self, path: Path) -> None:
        """Write all columns to an `.npz` file, and the decisions to a `.csv` beside it, each atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, {name: getattr(self, name) for name in (*COLUMNS, "classes")} | dict(self.columns))
        if len(self.classes) and self.scores.shape[1] == len(self.classes):
            write_text(path.with_name(f"{path.stem}.csv"), self.as_csv())

    def as_csv(self) -> str:
        """A line for each span: where it is, its label, the decision and the runner-up with their probabilities."""
        posterior = self.probabilities()
        ranked = np.argsort(-self.scores, axis=1, kind="stable")[:, :2]
        columns: list[Any] = [self.recording, *(np.round(one, 3) for one in (self.start_s, self.end_s)), self.speaker]
        columns.append(self.label_name)
        for nth in ranked.T:
            columns += [
                self.classes[nth],
                [f"{one:.4f}" for one in np.take_along_axis(posterior, nth[:, None], 1)[:, 0]],
            ]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS[: len(columns)])
        writer.writerows(zip(*(one if isinstance(one, list) else one.tolist() for one in columns), strict=True))
        return text.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            ValueError: the file is damaged or is not one of ours.
        """
        arrays = {OLD_COLUMNS.get(name, name): array for name, array in read_arrays(path).items()}
        wrong = [f"{name} is missing" for name in KINDS if name not in arrays]
        n, n_classes = (arrays[name].size if name in arrays else 0 for name in ("label", "classes"))
        for name, array in arrays.items():
            shape = (n_classes,) if name == "classes" else (n,)
            kinds = KINDS.get(name, "biufU") if array.size else "biufU"  # of what is empty, any
            if array.dtype.kind not in kinds or array.shape[: len(shape)] != shape:
                wrong.append(f"{name!a} is {array.dtype} {array.shape}")
            elif name in KINDS and array.ndim != len(shape) + (name == "scores"):
                wrong.append(f"{name!a} has the shape {array.shape}")
        if not wrong and arrays["scores"].shape[1] not in (1, n_classes):  # one: a number is answered, no class
            wrong.append(f"'scores' has the shape {arrays['scores'].shape}, and there are {n_classes} classes")
        if not wrong and n and not -1 <= arrays["label"].min() <= arrays["label"].max() < max(n_classes, 1):
            wrong.append("label is none of the classes")
        if wrong:
            raise ValueError(f"{path} is not a file of predictions: {'; '.join(wrong)}")
        ours = {name: arrays.pop(name) for name in KINDS}
        return cls(**ours, columns=arrays)


CSV_COLUMNS = ("recording", "start_s", "end_s", "speaker", "label", "predicted", "probability", "second",
               "second_probability")  # fmt: skip
# Columns that every file has -> kinds of their types.
KINDS = {"cut": "U", "recording": "U", "speaker": "U", "label": "iu", "label_name": "U", "scores": "f", "start_s": "f",
         "end_s": "f", "classes": "U"}  # fmt: skip
COLUMNS = tuple(one.name for one in fields(Predictions) if one.name not in ("classes", "columns"))
