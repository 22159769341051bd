"""The protocol of a task: the one object that knows what is trained, how it is evaluated and what a report shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.config.schema import Config

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from phonaut.models import SpeechModel
    from phonaut.tasks.frame_source import Frames
    from phonaut.tasks.noise_test import NoiseTest
    from phonaut.training.loop import TrainingLoop

Metrics = dict[str, dict[str, dict[str, float]]]  # split -> metric -> value, low, high, n


@dataclass
class Trained:
    """A trained run as its task sees it.

    Attributes:
        folder: of the run; files of predictions lie in it.
        config: of the run; a task that changes it changes a copy.
        about: `model.json`: classes, sizes.
        corpus: `corpus.json`: name and summary of the corpus.
        history: a line an epoch.
        model: in evaluation mode.
    """

    folder: Path
    config: Config
    about: dict[str, Any]
    corpus: dict[str, Any]
    history: list[dict[str, float]]
    model: SpeechModel

    @property
    def clip_s(self) -> float | None:
        """Length that the recordings of its corpus were fitted to, seconds; None: each has its own."""
        return (self.corpus.get("summary") or {}).get("clip_s")


@dataclass(frozen=True)
class Request:
    """Request to evaluate a trained run.

    Attributes:
        split: of the run's own corpus.
        data_folder: recordings of the user's own in its place, all of them tested.
        overrides: words of a configuration for other data: `dataset.key=value`, or a whole corpus.
        batch_size: None: that of the run; it changes the time, not the figures.
        noise: conditions under which to score as well.
        epoch: whose weights are scored, from 1; None: the epoch that was kept.
        trials: a list of verification trials, in place of those of the split.
        enrolment: the recordings of the models of that list, where it names models.
        judge: of generated windows: a trained classifier.
        convert: what it also hears windows converted to, `gender:f`; None: nothing.
        strength: of that conversion.
        progress: called with a line of text.
    """

    split: str = "test"
    data_folder: Path | None = None
    overrides: tuple[str, ...] = ()
    batch_size: int | None = None
    noise: NoiseTest | None = None
    epoch: int | None = None
    trials: Path | None = None
    enrolment: Path | None = None
    judge: Trained | None = None
    convert: str | None = None
    strength: float = 1.0
    progress: Callable[[str], None] = field(default=lambda text: None)


class Task(ABC):
    """A task, from its configuration to its report; a sub-class states what is its own.

    A task is chosen by `task=NAME`, which is `conf/task/NAME.yaml` with its `_target_`; models choose theirs by
    `override /task@_global_.task: NAME` in their defaults.

    Attributes:
        targets: values of `target=` beside keyword, phone, speaker and gender.
        has_encoder: the model is an encoder, which can stand in front of others.
        takes_judge: what it makes can be heard by a classifier.
        optional_weights: prefix of weights that a trained model may lack: an encoder of another tool has no head.
        unused: keys of a configuration that have no effect on it, with spaces between.
        metrics: names of its metrics (`conf/metric/`); none: every one that the predictions allow.
        report: sections of its report in their order: names of modules in `reports/sections`, or functions from a
            record to a section.
    """

    targets: tuple[str, ...] = ()
    has_encoder = False
    takes_judge = False
    optional_weights = ""
    unused = ""
    metrics: tuple[str, ...] = ()
    report: tuple[str | Callable[[Any], Any], ...] = ("headline", "evaluations", "training", "setup")

    # --- configuration

    def name(self, config: Config) -> str:
        """The part of a run's default id that says what it was trained for."""
        return config.target

    def finish(self, config: Config) -> None:
        """Carry out what the task implies for other keys, before the configuration is checked.

        Raises:
            ValueError: it cannot be.
        """
        return

    def check(self, config: Config) -> list[str]:
        """All problems of a configuration for this task."""
        return []

    def can_encode(self, config: Config) -> bool:
        """Whether a run of this task can stand in front of other models."""
        return self.has_encoder

    def sizes_of_model(self, folder: Path) -> dict[str, Any] | None:
        """Sizes of a trained run's model that follow from its task and data, where it stands in front of another.

        Raises:
            ValueError: the model encodes nothing.
        """
        return None

    # --- training

    @abstractmethod
    def data(self, config: Config) -> Any:
        """The Lightning data module of a run.

        Raises:
            ValueError: the corpus cannot be used.
        """

    @abstractmethod
    def model(self, config: Config, classes: list[str]) -> SpeechModel:
        """A model with fresh weights drawn from `config.seed`; `classes` are names, in the order of the scores."""

    @abstractmethod
    def loop(self, config: Config, model: Any, data: Any) -> TrainingLoop:
        """The training loop of `config.module` around a model."""

    def begin(self, config: Config, folder: Path, model: Any, data: Any) -> None:
        """Prepare a fresh model for training, and write down or print what is known before it."""
        return

    def callbacks(self, config: Config, folder: Path) -> list[Callback]:
        """Callbacks of the Trainer beside those of every run."""
        return []

    # --- evaluation

    @abstractmethod
    def conclude(self, config: Config, folder: Path, loop: Any, data: Any) -> tuple[Metrics, dict[str, Any]]:
        """Evaluate the chosen weights: the metrics of each split, and entries of `model.json`."""

    @abstractmethod
    def evaluate(self, run: Trained, request: Request) -> tuple[str, dict[str, dict[str, float]] | None]:
        """Score a trained run again.

        Returns:
            The name under which the metrics are kept, and the metrics; None where they are kept elsewhere.

        Raises:
            ValueError: the task cannot score what is asked for.
        """

    @abstractmethod
    def predict(self, run: Trained, recordings: list[Path]) -> list[Any]:
        """The model's answer for each recording."""

    # --- what else a trained model is good for

    def frames(self, run: Trained, layer: str | int | None) -> Frames:
        """The frames that the network is given, or makes.

        Raises:
            ValueError: there is no such layer.
        """
        from phonaut.models.encoded import EncodedFrontEnd
        from phonaut.tasks.frame_source import Frames

        model = run.model
        layer_of_run = model.front_end.layer if isinstance(model.front_end, EncodedFrontEnd) else None
        if layer is not None and layer != layer_of_run:
            has = f"gives layer={layer_of_run}" if layer_of_run is not None else "has no encoder"
            raise ValueError(f"layer={layer}: {run.folder} {has}; leave layer= out")
        return Frames(model.frames, model, model.front_end)
