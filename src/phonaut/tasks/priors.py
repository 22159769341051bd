"""A density of a generator's codes as its prior: draws for each of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.models.code_density import CodeDensity
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.speech_model import SpeechModel
from phonaut.models.window_model import WindowModel
from phonaut.names import did_you_mean


class Prior:
    """Codes drawn from a density that was trained on those of a generator, one of each class or one of all.

    Args:
        named: the run of the density, as it was given.
        model: of that run.
        classes: of that run.
        generator: whose codes they are.
        generator_named: its run.
        median_frames: codes of a training sequence of each class; None: not known.
        windows: of a density of all codes, options of the windows whose codes follow one another; None: there is a code
            for every frame.

    Raises:
        ValueError: the run is no density of codes of this generator, or normalises them.
    """

    def __init__(
        self,
        named: str,
        model: SpeechModel,
        classes: Sequence[str],
        generator: WindowModel,
        generator_named: str,
        *,
        median_frames: Sequence[int] | None = None,
        windows: dict[str, Any] | None = None,
    ) -> None:
        encoder, network = model.front_end, model.network
        if not (isinstance(encoder, EncodedWindows) and isinstance(network, GenerativeClassifier)):
            raise ValueError(f"prior={named} is no density of codes: train one, phonaut train task=generation "
                             f"model=gmm encoder.run={generator_named}")  # fmt: skip
        ours, theirs = generator.network.state_dict(), encoder.windows.network.state_dict()
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[key], theirs[key]) for key in ours):
            raise ValueError(f"prior={named} is of the codes of another generator than {generator_named}")
        if model.normalizer is not None:
            raise ValueError(f"prior={named} normalises codes by recording, which draws cannot undo: train it with "
                             "normalizer=null")  # fmt: skip
        if encoder.layer != "last":
            raise ValueError(f"prior={named} has only a part of each code: train it without encoder.layer=")
        self.named, self.classes, self.windows = named, list(classes), windows
        self.density = CodeDensity(encoder, network, median_frames)
        self.window_frames = generator.network.window_frames

    @property
    def has_chain(self) -> bool:
        """Codes of a class follow one another in states."""
        return self.density.network.most_states > 1

    def chosen(self, n: int, rng: np.random.Generator, label: str | None = None) -> Index:
        """The classes of `n` draws, `(n,)`: that of `label`, or as they are in training.

        Raises:
            ValueError: there is no such class.
        """
        if label is not None and self.windows is not None:
            raise ValueError(f"label={label}: prior={self.named} is one density of all codes; one of each class is "
                             "trained without task=generation")  # fmt: skip
        if label is not None and label not in self.classes:
            raise ValueError(f"label={label} is no class of prior={self.named}{did_you_mean(label, self.classes)}")
        return self.density.classes(n, rng) if label is None else np.full(n, self.classes.index(label))

    def codes(self, n: int, n_frames: int, rng: np.random.Generator, label: str | None = None) -> NDArray[np.float32]:
        """`n` sequences of `n_frames` codes `(n, T, Z)` of a class; None: of classes as they are in training.

        Raises:
            ValueError: there is no such class.
        """
        drawn: NDArray[np.float32] = self.density.sequences(self.chosen(n, rng, label), n_frames, rng).numpy()
        return drawn

    def codes_alone(self, n: int, rng: np.random.Generator, label: str | None = None) -> NDArray[np.float32]:
        """`n` codes of windows by themselves `(n, Z)`, likewise.

        Raises:
            ValueError: there is no such class, or of a chain the lengths of its sequences are not known.
        """
        drawn: NDArray[np.float32] = self.density.codes(self.chosen(n, rng, label), rng).numpy()
        return drawn

    def begins(self, n_frames: int) -> Tensor:
        """The frames at which the windows of an utterance of `n_frames` begin, `(W,)`; the first may lie before 0.

        There is one around each frame, or they are as far from each other as windows of training were.

        Raises:
            ValueError: windows of training did not touch.
        """
        if self.windows is None:
            return torch.arange(n_frames) - self.window_frames // 2
        shift_frames = int(self.windows["shift_frames"])
        if self.windows["windows"] == "segments" or shift_frames > self.window_frames:
            raise ValueError(f"seconds= needs windows that follow one another, and those of prior={self.named} have "
                             "gaps")  # fmt: skip
        return torch.arange(0, max(1, n_frames - self.window_frames + shift_frames), shift_frames)
