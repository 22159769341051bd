"""Generation: a model learns to make windows of frames, and is measured by what it makes and what it rebuilds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import spread
from phonaut.checks import Rule, within
from phonaut.config.nodes import class_of, instantiate
from phonaut.config.schema import Config
from phonaut.data.datamodule import SpeechData
from phonaut.data.frame_windows import FrameWindows, Kind, WindowData
from phonaut.files import read_json, write_arrays
from phonaut.models.frame_cache import FrameCache
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.generators import FHVAE, Generator
from phonaut.models.window_model import WindowModel
from phonaut.tasks import build
from phonaut.tasks.base import Metrics, Request, Task, Trained
from phonaut.tasks.classification import speech_data
from phonaut.tasks.conversion import Conversion
from phonaut.tasks.generated import drawn, heard
from phonaut.tasks.latents import Latents, write_latents

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from phonaut.tasks.judge import Judge
    from phonaut.training.loop import TrainingLoop

KINDS = ("auto", "segments", "sliding")
CONDITIONS = ("label", "speaker")
SILENCES = ("sil", "SIL", "silence", "sp", "spn", "pau", "h#")
QUIETEST = 1e-8  # of power spectra: about the noise of 16 bits
LABEL, SPEAKER = "label ", "speaker "  # before names of conditions in model.json


class Generation(Task):
    """Windows of frames: their likelihood where there is one, how they are reconstructed, and what is drawn at random.

    Args:
        window_frames: T.
        windows: `segments`: around the middle of each segment; `sliding`: over whole recordings; `auto`: of phones the
            first, else the second.
        shift_frames: of sliding windows.
        normalize: each feature with mean 0 and variance 1 over training; the statistics are kept with the weights.
        condition: what windows are made for: `label` (the phone, the word), `speaker`, both or nothing.
    """

    RULES: ClassVar = {
        "window_frames": within(4, 10_000),
        "shift_frames": within(1, 10_000),
        "windows": Rule(f"must be one of {', '.join(KINDS)}", lambda kind: kind in KINDS),
        "condition": Rule(
            f"must be a list of {', '.join(CONDITIONS)}",
            lambda names: all(name in CONDITIONS for name in names) and len(set(names)) == len(names),
        ),
    }
    has_encoder = True
    takes_judge = True
    unused = (
        "backend labels_pct labels_each batch_frames context_s probe leave_out_speakers objective generated negatives"
    )
    metrics: tuple[str, ...] = ("snr_db", "mmd", "frechet", "elbo", "lsd_db")
    report = ("headline", "generation", "training", "evaluations", "setup")

    def __init__(
        self,
        *,
        window_frames: int = 20,
        windows: str = "auto",
        shift_frames: int = 5,
        normalize: bool = True,
        condition: Sequence[str] = (),
    ) -> None:
        self.window_frames, self.windows, self.shift_frames = window_frames, windows, shift_frames
        self.normalize, self.condition = normalize, tuple(condition)

    # --- configuration

    def name(self, config: Config) -> str:
        """The target."""
        return f"generation-{config.target}"

    def finish(self, config: Config) -> None:
        """A density with a generator's encoder in front is one of its codes: see `phonaut.tasks.generation_prior`.

        A floor below each recording's loudest value becomes one that is the same for all recordings: else a window
        would be another one beside a louder sound, and what is cut off differ from window to window; of linear
        spectra, 2 % of the values.
        """
        if config.encoder.run:
            if issubclass(class_of(config.model), GenerativeClassifier):
                from phonaut.tasks.generation_prior import take_windows  # which builds on this file

                take_windows(config)
            return
        features = config.features
        if features.get("top_db") is not None:
            quiet = QUIETEST * float(features["scale"]) ** 2
            features["top_db"] = None
            features["amin"] = max(float(features["amin"]), quiet if features["power"] == 2 else quiet**0.5)

    def check(self, config: Config) -> list[str]:
        """All problems of a configuration of generation."""
        wrong, name = [], config.choices["model"]
        if issubclass(class_of(config.model), GenerativeClassifier):
            wrong.append(f"model={name} generates from the codes of a generator: type encoder.run=RUN, of model=cvae "
                         "or its like, or leave task out for a density of each class")  # fmt: skip
        elif not issubclass(class_of(config.model), Generator):
            wrong.append(f"model={name} generates nothing: use model=cvae, or see phonaut --help")
        names = ("batch_size", "n_workers", "max_recording_s")
        return wrong + SpeechData.problems(**{name: getattr(config, name) for name in names})

    def sizes_of_model(self, folder: Path) -> dict[str, Any] | None:
        """Frames of a window, and values of the condition."""
        classes = read_json(folder / "model.json", dict[str, Any]()).get("classes", [])
        return {"window_frames": self.window_frames, "condition_size": len(classes)}

    # --- training

    def data(self, config: Config) -> WindowData:
        """Windows of the corpus.

        Raises:
            ValueError: there is nothing to learn from.
        """
        return self.data_of(config, build.prepared_corpus(config))

    def data_of(self, config: Config, prepared: Any, classes: Sequence[str] | None = None) -> WindowData:
        """Windows of a corpus; `classes` are those of a trained model."""
        front_end = build.front_end_of(config)
        known = None if classes is None else conditions_of(classes, LABEL)
        speech = speech_data(config, prepared, known or None)
        data = WindowData(
            speech,
            window_frames=self.window_frames,
            kind=self.kind_of(config),
            shift_frames=self.shift_frames,
            left_out=SILENCES if config.target == "phone" else (),
            frame_shift_s=front_end.frame_shift_s,
            frame_offset_s=front_end.frame_offset_s,
        )
        if classes is not None and (names := conditions_of(classes, SPEAKER)):
            data.speakers = names
        data.classes = self.classes_of(data)
        return data

    def kind_of(self, config: Config) -> Kind:
        """Where windows lie."""
        if self.windows == "auto":
            return "segments" if config.target == "phone" else "sliding"
        return self.windows  # type: ignore[return-value]

    def classes_of(self, data: WindowData) -> list[str]:
        """Names of what windows are conditioned on."""
        names = []
        if "label" in self.condition:
            names += [LABEL + name for name in data.labels]
        if "speaker" in self.condition:
            names += [SPEAKER + name for name in data.speakers]
        return names

    def model(self, config: Config, classes: list[str]) -> WindowModel:
        """Front end, normalisation of windows and generator."""
        front_end = build.front_end_of(config)
        torch.manual_seed(config.seed)  # after an encoder, which draws weights too
        network = instantiate(
            config.model,
            n_features=front_end.n_features,
            window_frames=self.window_frames,
            condition_size=len(classes),
        )
        labels = conditions_of(classes, LABEL)
        speakers = conditions_of(classes, SPEAKER)
        normalizer = build.optional(config.normalizer)
        return WindowModel(front_end, network, normalizer, labels=labels, speakers=speakers)

    def loop(self, config: Config, model: WindowModel, data: WindowData) -> TrainingLoop:
        """The loop around a model, on frames that are computed once.

        Raises:
            ValueError: a split has no windows.
        """
        self.open(model, data)
        train = data.windows("train")
        if self.normalize:
            model.fit_normalization(train.frames)
        model.start_at_components(train)
        if isinstance(model.network, FHVAE):
            model.network.set_sequences(train.n_sequences)
        return build.training_loop(config, model)

    def windows_of(self, model: Any) -> WindowModel:
        """The generator of a trained model: that itself."""
        generator: WindowModel = model
        return generator

    def open(self, model: Any, data: WindowData) -> None:
        """Let data have the frames of a model.

        Raises:
            ValueError: a split has no windows.
        """
        data.frames_of = FrameCache(self.windows_of(model), data.speech).frames
        for split in ("train", "validation"):
            if not len(data.windows(split)):
                name, target = data.prepared.name, data.speech.target
                raise ValueError(f"{name} has no windows in its {split} split for target={target}")

    def callbacks(self, config: Config, folder: Path) -> list[Callback]:
        """None."""
        return []

    # --- evaluation

    def conclude(
        self, config: Config, folder: Path, loop: TrainingLoop, data: WindowData
    ) -> tuple[Metrics, dict[str, Any]]:
        """Figures of validation and test windows, and windows for the report."""
        model: WindowModel = loop.model.cpu().eval()
        about = {"classes": data.classes, "labels": data.labels, **loop.conclude(data)}
        shown = dict[str, NDArray[Any]]()
        metrics = self.figures(model, data, [split for split in ("validation", "test") if len(data.windows(split))])
        for split in ("train", "validation", "test"):
            windows = data.windows(split)
            if not len(windows):
                continue
            shown |= {f"{split}/{name}": array for name, array in examples(model, windows).items()}
        latents = None
        if model.network.has_encoder:
            write_latents(folder, model, data)
            latents = Latents(folder)
        shown |= drawn(model, config.seed)
        shown |= heard(model, data, latents, shown["sampled"])
        write_arrays(folder / "samples.npz", shown)
        return metrics, about

    def draws(self, model: Any, about: dict[str, Any]) -> Callable[[Tensor], Tensor] | None:
        """Gives windows `(n, T, D)` for conditions `(n, K)`; None: the generator's own prior does."""
        return None

    def judged(self, config: Config) -> Config:
        """The configuration of the frames that a judge hears."""
        return config

    def figures(
        self,
        model: Any,
        data: WindowData,
        splits: Sequence[str],
        judge: Judge | None = None,
        draw: Callable[[Tensor], Tensor] | None = None,
    ) -> Metrics:
        """Figures of the windows of each split, with intervals over speakers; see `generation_figures.Figures`.

        Where something else draws than the generator, reconstructions are not measured: they are the generator's.
        """
        from phonaut.tasks.generation_figures import Figures  # scikit-learn takes a second to load

        figures, found = Figures(self.windows_of(model), data), Metrics()
        with torch.inference_mode():
            for split in splits:
                samples = figures.samples(split, draw)
                numbers = figures.of_samples(split, samples)
                if draw is None:
                    numbers = figures.of_reconstructions(split) | figures.of_recordings(split) | numbers
                if judge is not None:
                    numbers |= judge.figures(figures, split, samples)
                found[split] = {name: one.as_dict() for name, one in numbers.items()}
        return found

    def evaluate(self, run: Trained, request: Request) -> tuple[str, dict[str, dict[str, float]]]:
        """Figures of a split of the run's own corpus."""
        from phonaut.tasks.classification import find_files, own_corpus

        if request.data_folder is not None or request.trials is not None or request.noise is not None:
            raise ValueError(f"{run.folder} generates windows: name one of its own splits, split=validation")
        find_files(run.config, list(request.overrides))
        data = self.data_of(run.config, own_corpus(run.config, run.folder), list(run.about["classes"]))
        data.frames_of = FrameCache(self.windows_of(run.model), data.speech).frames
        if not len(data.windows(request.split)):
            raise ValueError(f"{data.prepared.name} has no windows in split={request.split}")
        judge, draw = None, self.draws(run.model, run.about)
        if request.judge is not None:
            from phonaut.tasks.judge import Judge

            conversion = None if request.convert is None else Conversion(request.convert, request.strength)
            judge = Judge(request.judge, self.judged(run.config), run.folder, conversion)
        return request.split, self.figures(run.model, data, [request.split], judge, draw)[request.split]

    def predict(self, run: Trained, recordings: list[Path]) -> list[Any]:
        """No answer: `phonaut generate` makes and changes recordings."""
        raise ValueError(f"{run.folder} is a generator: phonaut generate reconstructs, converts and samples")


def conditions_of(classes: Sequence[str], prefix: str) -> list[str]:
    """The names of labels or of speakers among those of all conditions.

    >>> conditions_of(["label yes", "speaker anna", "label no"], LABEL)
    ['yes', 'no']
    """
    return [name.removeprefix(prefix) for name in classes if name.startswith(prefix)]


def examples(model: WindowModel, windows: FrameWindows, n: int = 24) -> dict[str, NDArray[Any]]:
    """Some windows and their reconstructions, as the front end gives frames, `(n, T, D)`."""
    rows = spread(len(windows), n)
    with torch.inference_mode():
        batch = model.windows(windows[rows])
        shown = {"true": model.restored(batch.frames).numpy(), "label": windows.labels[rows]}
        if not model.network.has_encoder:
            return shown
        codes = model.network.encode(batch.frames, batch.condition)
        shown["reconstructed"] = model.restored(model.network.decode(codes, batch.condition)).numpy()
    return shown
