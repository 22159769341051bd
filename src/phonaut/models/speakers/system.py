"""Protocol of a system of speaker verification: how it is trained, what it keeps of a recording, how it scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phonaut.arrays import Array, Index
from phonaut.models.speakers.utterances import Utterances

SPEAKER, PHRASE = "speaker", "phrase"  # names of scores


class VerificationSystem(nn.Module):
    """Scores of trials: how well a recording fits the model of a speaker, or of a speaker's phrase.

    To add a system, write a sub-class: the constructor takes `n_features` and its own options by name. Parameters have
    shapes that follow from the data; `tensors` gives them by names with a colon, which no other part of a network has,
    and loading sets them. The one `nn.Parameter` is what Lightning's optimizer asks for; it is not saved.

    Training is `begin`, then `step` until `done`, each step a function of the parameters, `training_state` and the
    background alone, so that a run which was killed goes on from a checkpoint to the same result.

    Attributes:
        scores: names of what `score` gives: `speaker`, larger where the speaker is the model's, and `phrase`, larger
            where the phrase is.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER,)

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.placeholder = nn.Parameter(torch.zeros(1))

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Take the background, all recordings with their speakers and phrases, and set what training starts from.

        Raises:
            ValueError: it is too small.
        """

    def step(self) -> Mapping[str, float]:
        """One step of training; figures of it by name, such as `log_likelihood` of a frame."""
        return {}

    @property
    def done(self) -> bool:
        """More steps would change nothing."""
        return True

    def training_state(self) -> dict[str, Any]:
        """Course of training, which a checkpoint needs besides the parameters, as plain containers and tensors."""
        return {}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `training_state`, after `begin` and with the parameters of then."""

    # --- scoring

    def represent(self, utterances: Utterances) -> Utterances:
        """What the system keeps of each recording, for enrolment and test alike, computed in batches.

        Row by row: neither the other rows nor their order change any of it. Columns stay.
        """
        return utterances

    @abstractmethod
    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """The references of models, `represented` recordings being of the models numbered `model (B,)` from 0.

        Returns:
            Rows with a column `model`, in ascending order, each model with one row at least.
        """

    @abstractmethod
    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Raw scores of N trials, each name of `scores` -> `(N,)`.

        Args:
            references: of `enrol`.
            tested: of `represent`.
            model: number of the model of each trial, `(N,)`.
            recording: number of its recording in `tested`, `(N,)`.
        """

    def speaker_scores(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> Array:
        """The speaker scores of `score` alone, `(N,)`: what cohorts are scored by."""
        return self.score(references, tested, model, recording)[SPEAKER]

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and multiplications with additions to score a recording of `n_frames` against one model."""
        return sum(tensor.numel() for tensor in self.tensors().values()), 0

    # --- parameters, whose shapes follow from the data

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name, each with a colon; none before training."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set parameters.

        Raises:
            ValueError: some are missing, or make no sense.
        """

    def adopt(self, weights: Mapping[str, Tensor], prefix: str = "") -> None:
        """Take the parameters of a trained model, with their shapes, from its `state_dict`. Errors are those above."""
        names = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        self.load_tensors({name: value for name, value in names.items() if ":" in name and "." not in name})

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination.update({prefix + name: value for name, value in self.tensors().items()})

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        self.adopt(state_dict, prefix)
