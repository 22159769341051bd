"""Generation from a density of a generator's codes: trained as densities are, measured as generators are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.config.compose import read_config
from phonaut.config.nodes import class_of, instantiate
from phonaut.config.plugins import node_of_group
from phonaut.config.recipes import default_choices
from phonaut.config.schema import Config
from phonaut.data.datamodule import SpeechData
from phonaut.data.frame_windows import AT_ONCE, WindowData
from phonaut.files import expanded, read_json, run_folder, write_arrays
from phonaut.models.code_density import CodeDensity
from phonaut.models.em_classifier import Segments
from phonaut.models.encoded import Projection
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.generators import Generator
from phonaut.models.speech_model import SpeechModel
from phonaut.models.window_model import WindowModel
from phonaut.tasks import build
from phonaut.tasks.base import Metrics, Trained
from phonaut.tasks.encoders import load_encoder
from phonaut.tasks.generated import drawn, heard
from phonaut.tasks.generation import LABEL, SPEAKER, Generation, conditions_of, examples
from phonaut.training.loop import TrainingLoop

ALL = "all"  # the one class
OF_ONE_CLASS = ("accuracy", "recall", "f1")  # figures of an epoch that are 1


class PriorGeneration(Generation):
    """One density of the codes of all windows that a generator was trained on, which draws in place of its prior.

    `task=generation` becomes this where a density is trained with `encoder.run=` a generator; the windows, the target
    and, where nothing else is said, the corpus are those of that run. The density sees the codes of an utterance as a
    sequence, in the order of its windows.

    Args:
        window_frames: as of the generator, like all that follow.
        windows: likewise.
        shift_frames: likewise.
        normalize: likewise.
        condition: likewise.
        conditions: names of what the generator's windows are conditioned on.
    """

    has_encoder = False
    unused = Generation.unused + (
        " task.window_frames task.windows task.shift_frames task.normalize task.condition"
        " model.priors model.costs model.calibration model.duration_model model.acoustic_scale"
    )
    metrics = ("mmd", "frechet")
    report = ("headline", "generation", "training", "evaluations", "setup")

    def __init__(
        self,
        *,
        window_frames: int = 20,
        windows: str = "auto",
        shift_frames: int = 5,
        normalize: bool = True,
        condition: Sequence[str] = (),
        conditions: Sequence[str] = (),
    ) -> None:
        super().__init__(
            window_frames=window_frames,
            windows=windows,
            shift_frames=shift_frames,
            normalize=normalize,
            condition=condition,
        )
        self.conditions = list(conditions)

    # --- configuration

    def check(self, config: Config) -> list[str]:
        """A normaliser, figures that do not exist, and numbers out of range."""
        names = ("batch_size", "n_workers", "max_recording_s")
        wrong = SpeechData.problems(**{name: getattr(config, name) for name in names})
        encoder = (config.encoder.built or {}).get("model")
        is_density = issubclass(class_of(config.model), GenerativeClassifier)
        if not (encoder and issubclass(class_of(encoder), Generator) and is_density):
            wrong.append("task=prior is a density of the codes of a generator: type model=gmm, or another one, and "
                         "encoder.run=RUN")  # fmt: skip
        if config.normalizer:
            wrong.append(f"normalizer={config.choices['normalizer']}: what it takes from the codes of a recording "
                         "could not be given back to those that are drawn; leave it out")  # fmt: skip
        watched = {"checkpoint.monitor": config.checkpoint.get("monitor")}
        if config.early_stopping.patience is not None:
            watched["early_stopping.monitor"] = config.early_stopping.monitor
        return wrong + [
            f"{key}={figure}: of one density there is none; leave it at validation/loss"
            for key, figure in watched.items()
            if str(figure).partition("/")[2] in OF_ONE_CLASS
        ]

    # --- training

    def data_of(self, config: Config, prepared: Any, classes: Sequence[str] | None = None) -> WindowData:
        """The generator's windows of a corpus, all of one class."""
        data = super().data_of(config, prepared, self.conditions or None)
        data.classes = [ALL]
        return data

    def model(self, config: Config, classes: list[str]) -> SpeechModel:  # type: ignore[override]
        """The generator's encoder and a density."""
        return build.speech_model(config, 1)

    def windows_of(self, model: SpeechModel) -> WindowModel:
        """The generator before the density."""
        assert isinstance(model.front_end, EncodedWindows)
        windows = model.front_end.windows
        windows.labels = conditions_of(self.conditions, LABEL)
        windows.speakers = conditions_of(self.conditions, SPEAKER)
        return windows

    def loop(self, config: Config, model: SpeechModel, data: WindowData) -> TrainingLoop:
        """The loop of densities, on codes that are computed once. Errors are those of `Generation.loop`."""
        self.open(model, data)
        return build.training_loop(config, model, data.classes, segments_of=partial(self.segments, model, data))

    def begin(self, config: Config, folder: Path, model: SpeechModel, data: WindowData) -> None:
        """Load the generator, and fit the projection of its codes."""
        encoder = model.front_end
        assert isinstance(encoder, EncodedWindows)
        assert config.encoder.run is not None
        load_encoder(encoder, config.encoder.run)
        if (projection := encoder.projection) is not None:
            encoder.projection = None
            projection.fit(torch.from_numpy(self.segments(model, data, "train").frames))
            encoder.projection = projection

    @torch.inference_mode()
    def segments(self, model: SpeechModel, data: WindowData, split: str) -> Segments:
        """Codes of the windows of a split; a segment is an utterance that has some."""
        generator, windows = self.windows_of(model), data.windows(split)
        projection: Projection | None = model.front_end.projection  # type: ignore[assignment]
        order = np.argsort(windows.row, kind="stable")  # of an utterance one after another
        parts = [np.empty((0, model.front_end.n_features), np.float32)]
        for batch in windows.batches(order):
            given = generator.windows(batch.to(generator.mean.device))
            codes = generator.network.encode(given.frames, given.condition)
            parts.append((codes if projection is None else projection(codes)).cpu().numpy())
        rows, lengths = np.unique(windows.row, return_counts=True)
        table = data.prepared.utterances(split)
        speakers = np.array([table.speaker_name(row) for row in rows.tolist()], np.str_)
        return Segments(np.concatenate(parts), lengths, np.zeros(len(rows), np.int64), speakers)

    # --- evaluation

    def draws(self, model: SpeechModel, about: dict[str, Any]) -> Callable[[Tensor], Tensor]:
        """Windows `(n, T, D)` of codes that the density draws, for conditions `(n, K)`."""
        generator = self.windows_of(model).network
        assert isinstance(model.front_end, EncodedWindows)
        assert isinstance(model.network, GenerativeClassifier)
        density = CodeDensity(model.front_end, model.network, about["median_frames"])

        def draw(condition: Tensor) -> Tensor:
            codes = density.codes(np.zeros(len(condition), np.int64), np.random.default_rng(0))
            parts = zip(torch.split(codes, AT_ONCE), torch.split(condition, AT_ONCE), strict=True)
            with torch.inference_mode():
                return torch.cat([generator.decode(*part) for part in parts])

        return draw

    def conclude(
        self, config: Config, folder: Path, loop: TrainingLoop, data: WindowData
    ) -> tuple[Metrics, dict[str, Any]]:
        """Figures of what the density draws beside validation and test windows, and windows for the report."""
        model: SpeechModel = loop.model.cpu().eval()
        generator = self.windows_of(model)
        about = {"classes": data.classes, "labels": data.labels, **loop.conclude(data)}
        splits = [split for split in ("train", "validation", "test") if len(data.windows(split))]
        draw = self.draws(model, about)
        metrics = self.figures(model, data, [split for split in splits if split != "train"], draw=draw)
        shown = dict[str, NDArray[Any]]()
        for split in splits:
            shown |= {f"{split}/{name}": array for name, array in examples(generator, data.windows(split)).items()}
        shown |= drawn(generator, config.seed, draw)
        shown |= heard(generator, data, None, shown["sampled"])
        write_arrays(folder / "samples.npz", shown)
        return metrics, about

    def judged(self, config: Config) -> Config:
        """The generator's front end and normaliser, without an encoder: a judge hears what is decoded."""
        assert config.encoder.built is not None
        encoder = dataclasses.replace(config.encoder, run=None, built=None)
        return dataclasses.replace(config, normalizer=config.encoder.built["normalizer"], encoder=encoder)

    def predict(self, run: Trained, recordings: list[Path]) -> list[Any]:
        """No answer: it draws codes for a generator."""
        raise ValueError(
            f"{run.folder} is a density of codes: phonaut generate GENERATOR prior={run.folder} draws of it"
        )


def take_windows(config: Config) -> None:
    """Make the task that of a density of the codes of `encoder.run`, with windows, target and corpus of that run.

    Another run than that of a generator is left alone, which is said where the configuration is checked.
    """
    path = expanded(str(config.encoder.run))
    if path.is_file():
        return
    folder = run_folder(path)
    run = read_config(folder)
    if not issubclass(class_of(run.model), Generator):
        return
    conditions = read_json(folder / "model.json", dict[str, Any]()).get("classes", [])
    config.task = {
        **run.task,
        "_target_": f"{__name__}.{PriorGeneration.__name__}",
        "windows": instantiate(run.task).kind_of(run),
        "conditions": conditions,
    }
    config.choices["task"] = "generation"
    config.target = run.target
    name = default_choices()["dataset"]
    if config.choices["dataset"] == name and config.dataset == node_of_group("dataset", name, {}, config.to_dict()):
        config.dataset, config.choices["dataset"] = dict(run.dataset), run.choices["dataset"]
        config.protocol, config.choices["protocol"] = dict(run.protocol), run.choices["protocol"]
