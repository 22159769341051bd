"""Protocol of a system of speaker verification: how it is trained, what it keeps of a recording, how it scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from phonaut.arrays import Array, Index
from phonaut.models.shaped_by_data import ShapedByData
from phonaut.models.speakers.utterances import Utterances

SPEAKER, PHRASE = "speaker", "phrase"  # names of scores


class VerificationSystem(ShapedByData):
    """Scores of trials: how well a recording fits the model of a speaker, or of a speaker's phrase.

    To add a system, write a sub-class: the constructor takes `n_features` and its own options by name. `tensors` gives
    its parameters, and loading sets them.

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
