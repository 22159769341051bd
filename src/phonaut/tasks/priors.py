"""A density of a generator's codes as its prior: draws for each of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.speech_model import SpeechModel
from phonaut.models.window_model import WindowModel
from phonaut.names import did_you_mean


class Prior:
    """Codes drawn from a density that was trained on those of a generator.

    Args:
        named: the run of the density, as it was given.
        model: of that run.
        classes: of that run.
        generator: whose codes they are.
        generator_named: its run.

    Raises:
        ValueError: the run is no density of codes of this generator, or normalises them.
    """

    def __init__(
        self, named: str, model: SpeechModel, classes: Sequence[str], generator: WindowModel, generator_named: str
    ) -> None:
        encoder, network = model.front_end, model.network
        if not (isinstance(encoder, EncodedWindows) and isinstance(network, GenerativeClassifier)):
            raise ValueError(f"prior={named} is no density of codes: train one, phonaut train model=gmm "
                             f"encoder.run={generator_named}")  # fmt: skip
        ours, theirs = generator.network.state_dict(), encoder.windows.network.state_dict()
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[key], theirs[key]) for key in ours):
            raise ValueError(f"prior={named} is of the codes of another generator than {generator_named}")
        if model.normalizer is not None:
            raise ValueError(f"prior={named} normalises codes by recording, which draws cannot undo: train it with "
                             "normalizer=null")  # fmt: skip
        if encoder.layer != "last":
            raise ValueError(f"prior={named} has only a part of each code: train it without encoder.layer=")
        self.named, self.classes, self.network = named, list(classes), network
        self.projection = encoder.projection

    @property
    def has_chain(self) -> bool:
        """Codes of a class follow one another in states."""
        return self.network.most_states > 1

    def codes(self, n: int, n_frames: int, rng: np.random.Generator, label: str | None = None) -> NDArray[np.float32]:
        """`n` times `n_frames` codes `(n, T, Z)` of a class; of None, classes are drawn as they were in training.

        Raises:
            ValueError: there is no such class.
        """
        names = self.classes
        if label is not None and label not in names:
            raise ValueError(f"label={label} is no class of prior={self.named}{did_you_mean(label, names)}")
        share = self.network.decision.log_prior.exp().double().numpy()
        chosen = rng.choice(len(names), n, p=share / share.sum()) if label is None else np.full(n, names.index(label))
        drawn = np.stack([np.asarray(self.network.sample(int(c), n_frames, rng)) for c in chosen]).astype(np.float32)
        if self.projection is not None:
            drawn = drawn @ self.projection.components.numpy() + self.projection.mean.numpy()
        return drawn
