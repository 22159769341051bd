"""What densities of classes make: segments, drawn from a Gaussian mixture, a hidden Markov model or a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.names import did_you_mean
from phonaut.runs.generation import Made, Maker, frames_in, numbered

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun


class Drawing(Maker):
    """A trained density of each class, to draw segments from.

    >>> # run = phonaut.load("trained_models/ID"); run.generator().sample(8, label="yes")[0].frames

    Args:
        run: that is trained.

    Raises:
        ValueError: it is no density, or one of the codes of a generator, which that decodes.
    """

    def __init__(self, run: LoadedRun) -> None:
        super().__init__(run)
        if not isinstance(self.model.network, GenerativeClassifier):
            raise ValueError(f"{run.folder} generates nothing: train a generator, such as model=cvae, or a density, "
                             "such as model=gmmhmm")  # fmt: skip
        if isinstance(self.model.front_end, EncodedWindows):
            raise ValueError(f"{run.folder} draws codes of a generator, which makes windows of them: phonaut generate "
                             f"GENERATOR prior={run.folder}")  # fmt: skip
        self.network = self.model.network

    def sample(
        self, n: int = 16, *, label: str | None = None, seed: int = 0, seconds: float | None = None
    ) -> list[Made]:
        """Segments of a class, or of each class in turn.

        A hidden Markov model draws its path of states first; the last state of one from left to right is never left.

        Args:
            n: segments.
            label: the class; None: each in turn.
            seed: of the draws.
            seconds: of a segment; None: as long as one of median length of its class in training.

        Raises:
            ValueError: there is no such class, seconds are out of range, or the run keeps no lengths.
        """
        names = list(self.run.about["classes"])
        if label is not None and label not in names:
            raise ValueError(f"label={label} is none of its {len(names)} classes{did_you_mean(label, names)}")
        classes = [names.index(label) if label is not None else i % len(names) for i in range(n)]
        lengths: list[int] | None = self.run.about.get("median_frames")
        if seconds is not None:
            lengths = [frames_in(seconds, self.model.front_end.frame_shift_s)] * len(names)
        if lengths is None:
            raise ValueError(f"{self.run.folder} is of an earlier version, and keeps no lengths of its classes: say "
                             "seconds=0.5")  # fmt: skip
        rng = np.random.default_rng(seed)
        frames = [self.network.sample(c, lengths[c], rng).astype(np.float32) for c in classes]
        return numbered("sample", frames, [names[c] for c in classes])
