"""A trained density of a generator's codes in place of its own prior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.models.code_density import CodeDensity
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.names import did_you_mean

if TYPE_CHECKING:
    from phonaut.runs.generation import Generating


class CodePrior:
    """A density that was trained on the codes of a generator, one of each class or one of all.

    Args:
        generating: the generator.
        prior: the run of the density.

    Raises:
        ValueError: the run is no density of codes of this generator.
    """

    def __init__(self, generating: Generating, prior: str | Path) -> None:
        from phonaut.runs.load import load

        self.run, self.model = load(prior), generating.model
        encoder, network = self.run.model.front_end, self.run.model.network
        if not (isinstance(encoder, EncodedWindows) and isinstance(network, GenerativeClassifier)):
            raise ValueError(f"prior={prior} is no density of codes: train one, phonaut train task=generation "
                             f"model=gmm encoder.run={generating.run.folder}")  # fmt: skip
        ours, theirs = self.model.network.state_dict(), encoder.windows.network.state_dict()
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[key], theirs[key]) for key in ours):
            raise ValueError(f"prior={prior} is of the codes of another generator than {generating.run.folder}")
        if self.run.model.normalizer is not None:
            raise ValueError(f"prior={prior} normalises codes by recording, which draws cannot undo: train it with "
                             "normalizer=null")  # fmt: skip
        self.density = CodeDensity(encoder, network, self.run.about.get("median_frames"))

    @property
    def is_of_windows(self) -> bool:
        """It is one of the codes of the generator's windows; else of those of every frame of a class."""
        return self.run.config.choices["task"] == "generation"

    def chosen(self, n: int, label: str | None, rng: np.random.Generator) -> Index:
        """The classes of `n` draws, `(n,)`: that of `label`, or as they are in training.

        Raises:
            ValueError: there is no such class.
        """
        names = list(self.run.about["classes"])
        if label is not None and self.is_of_windows:
            raise ValueError(f"label={label}: prior={self.run.folder} is one density of all codes; one of each class "
                             "is trained without task=generation")  # fmt: skip
        if label is not None and label not in names:
            raise ValueError(f"label={label} is no class of prior={self.run.folder}{did_you_mean(label, names)}")
        return self.density.classes(n, rng) if label is None else np.full(n, names.index(label))

    @torch.inference_mode()
    def windows(self, classes: Index, condition: Tensor, rng: np.random.Generator) -> list[NDArray[np.float32]]:
        """A window `(T, D)` of each of `classes (n,)`, decoded for one condition `(K,)`."""
        codes = self.density.codes(classes, rng)
        decoded = self.model.network.decode(codes, condition.expand(len(codes), -1))
        return list(self.model.restored(decoded).numpy())

    def utterances(
        self, classes: Index, n_frames: int, condition: Tensor, rng: np.random.Generator
    ) -> list[NDArray[np.float32]]:
        """An utterance `(n_frames, D)` of each of `classes (n,)`: codes that follow one another, windows overlapping.

        A code is that of the window around each frame, or as far from the next as windows of training were.

        Raises:
            ValueError: windows of training did not touch.
        """
        t = self.model.network.window_frames
        if self.is_of_windows:
            task = self.run.config.task
            shift_frames = int(task["shift_frames"])
            if task["windows"] == "segments" or shift_frames > t:
                raise ValueError(f"seconds= needs windows that follow one another, and those of "
                                 f"prior={self.run.folder} have gaps")  # fmt: skip
            begins = torch.arange(0, max(1, n_frames - t + shift_frames), shift_frames)
        else:
            begins = torch.arange(n_frames) - t // 2
        codes = self.density.sequences(classes, len(begins), rng)
        return [self.model.overlapped(one, begins, n_frames, condition).numpy() for one in codes]
