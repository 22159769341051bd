"""Classification: one class, a keyword, a phone or a speaker, for each span of a recording."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from phonaut.config.compose import compose
from phonaut.config.nodes import PLACES, class_of, instantiate
from phonaut.config.plugins import node_of_group
from phonaut.config.schema import Config, Negatives
from phonaut.data.classes import classes_of
from phonaut.data.datamodule import SpeechData
from phonaut.data.prepared import PreparedCorpus
from phonaut.deploy import backends
from phonaut.files import expanded, read_json, write_arrays
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.generative_classifier import density_of
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.mockingjay import Mockingjay
from phonaut.networks.quantized import QuantizedNetwork
from phonaut.tasks import added_data, build, cross_validation, few_recordings, mixes, negatives, rejection, teachers
from phonaut.tasks.base import Metrics, Request, Task, Trained
from phonaut.tasks.encoders import prepare_encoder
from phonaut.tasks.noise_test import NOISE_FILE, about_noise
from phonaut.tasks.recordings import (
    Files,
    Part,
    UnusableError,
    about_folder,
    name_beside_splits,
    prepared_files,
    reasons,
    sample_rate_of,
)
from phonaut.tasks.scoring import figures, noise_of, predict, score, under

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from phonaut.training.loop import TrainingLoop

TEST_HINT = "protocol=by_speaker makes some, or protocol.test_speakers=[...]"


def speech_data(config: Config, prepared: PreparedCorpus, classes: list[str] | None = None) -> SpeechData:
    """Batches of the corpus for `config.target`; `classes` are those of a trained model, where there is one.

    Raises:
        ValueError: `config.classes` asks for what the corpus does not have.
    """
    return SpeechData(
        prepared,
        target=config.target,
        classes=classes if classes is not None else classes_of(prepared, config.target, config.classes),
        limited=config.classes is not None,
        labels_pct=config.labels_pct,
        labels_each=config.labels_each,
        batch_size=config.batch_size,
        seed=config.seed,
        n_workers=config.n_workers,
        max_recording_s=config.max_recording_s,
        context_s=config.context_s,
    )


class Answer(NamedTuple):
    """A classifier's answer for a recording.

    Attributes:
        label: the most probable class.
        probability: of it, the softmax of the scores.
        probabilities: class -> probability.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


class Classification(Task):
    """Scores of spans against their labels; accuracy, macro recall and macro F1 over speakers."""

    unused = "batch_frames"
    report = (
        "headline",
        "evaluations",
        "detection",
        "training",
        "densities",
        "filters",
        "confusions",
        "classes",
        "rejection",
        "mistakes",
        "setup",
    )

    def finish(self, config: Config) -> None:
        """Speakers of several corpora are classes; each is in all splits, unless another protocol was chosen.

        Raises:
            ValueError: a part of the mix is not described as it should be.
        """
        few_recordings.finish(config)
        cross_validation.finish(config)
        if mixes.is_mix(config) and config.target == "speaker":
            if config.choices.get("protocol") == "unlabelled":
                config.protocol, config.choices["protocol"] = node_of_group("protocol", "auto", {}, {}), "auto"
            mixes.finish(config, labelled=True)

    def can_encode(self, config: Config) -> bool:
        """A convolutional network whose front end has no weights, with nothing in front: it has hidden frames."""
        has_weights = getattr(class_of(config.features), "has_weights", False)
        return issubclass(class_of(config.model), ConvolutionalNetwork) and not config.encoder.run and not has_weights

    def sizes_of_model(self, folder: Path) -> dict[str, Any]:
        """The number of classes."""
        return {"n_classes": len(read_json(folder / "model.json", dict[str, Any]()).get("classes", []))}

    def check(self, config: Config) -> list[str]:
        """Keys of pre-training, which would have no effect; and numbers out of range."""
        chosen = config.choices
        if issubclass(class_of(config.model), Mockingjay):
            return [f"model={chosen['model']} is an encoder, which classifies nothing: leave task and module out"]
        if hasattr(class_of(config.model), "enrol"):
            return [f"model={chosen['model']} verifies speakers, and classifies nothing: leave task and module out"]
        problems = [
            f"{group}={chosen.get(group)} is for pre-training: choose model=mockingjay_small, or leave it out"
            for group in ("objective", "target_features")
            if getattr(config, group)
        ]
        is_mix = mixes.is_mix(config)
        if is_mix and config.target != "speaker":
            problems.append(
                f"dataset={chosen['dataset']} has no classes, and model={chosen['model']} needs some: it is for "
                "target=speaker, and for model=mockingjay_small and its like"
            )
        if config.probe:
            problems.append("probe is for pre-training; model=probe is a classifier of its own: leave it out")
        if config.leave_out_speakers and not is_mix:
            problems.append(
                "leave_out_speakers is for pre-training and dataset=mix; a corpus has test speakers of its own: leave "
                "it out"
            )
        if config.module.get("mixup") and (config.target == "phone" or clip_s_of(config) is None):
            problems.append(
                f"module.mixup={config.module['mixup']} mixes pairs of one length, and the spans of this run have "
                "lengths of their own: type dataset.clip_s=1, or leave it out"
            )
        if config.backend is not None:
            name, has_bits = str(config.choices["model"]), bool(config.compress)
            density = config.model.get("density")
            problems += backends.problems(
                config.backend,
                class_of(config.model),
                has_bits=has_bits,
                model=name,
                density=None if density is None else density_of(density),
            )
        names = ("batch_size", "labels_pct", "labels_each", "n_workers", "context_s", "max_recording_s")
        problems += [
            *added_data.problems(config),
            *negatives.problems(config),
            *teachers.problems(config),
            *few_recordings.problems(config),
            *cross_validation.problems(config),
        ]
        return problems + SpeechData.problems(**{name: getattr(config, name) for name in names})

    # --- training

    def data(self, config: Config) -> SpeechData:
        """Spans of the corpus.

        Raises:
            ValueError: there is nothing to test on.
        """
        try:
            prepared = build.prepared_corpus(config)
            classes = few_recordings.classes(config, prepared)
            data = speech_data(config, prepared, classes)
        except ValueError as error:
            if advice := few_recordings.advice(config):
                raise ValueError(f"{error}\n{advice}") from error
            raise
        has_none = few_recordings.has_prototypes(config) or cross_validation.is_few(config)
        if not len(data.dataset("test")) and not has_none:
            raise ValueError(f"{prepared.name} has no test recordings for target={config.target}; {TEST_HINT}")
        return data

    def model(self, config: Config, classes: list[str]) -> SpeechModel:
        """Front end, normaliser and network."""
        return build.speech_model(config, len(classes))

    def begin(self, config: Config, folder: Path, model: SpeechModel, data: SpeechData) -> None:
        """Load the encoder in front, if there is one."""
        if isinstance(model.front_end, EncodedFrontEnd):
            assert config.encoder.run is not None
            augmented = build.augmentation_of(config) is not None or bool(config.module.get("speeds"))
            prepare_encoder(model, data, config.encoder.run, seed=config.seed, augmented=augmented)
        if few_recordings.has_prototypes(config):
            few_recordings.give_background(config, model, data.classes)
        elif advice := few_recordings.advice(config):
            print(advice, flush=True)

    def loop(self, config: Config, model: SpeechModel, data: SpeechData) -> TrainingLoop:
        """The loop around a model, with augmentation, noise and teachers; generated segments go into training.

        Raises:
            ValueError: they cannot be made.
        """
        if config.generated.run:
            data.generated = added_data.add_generated(config, model, data)
        noise = data.prepared.utterances("noise")
        more: dict[str, Any] = {"augmentation": build.augmentation_of(config), "noise": noise if len(noise) else None}
        if config.module.get("loss") == "max_pooling":
            more["window_ms"] = window_ms_of(config)
        if config.teacher.run:
            more["teachers"] = teachers.teachers_of(config, data.classes)
        return build.training_loop(config, model, data.classes, **more)

    def callbacks(self, config: Config, folder: Path) -> list[Callback]:
        """Pictures for TensorBoard, and what leads a network to few bits."""
        from phonaut.training.callbacks.monitoring import TensorBoardPictures

        return [TensorBoardPictures(), *([instantiate(config.compress)] if config.compress else [])]

    # --- evaluation

    def conclude(
        self, config: Config, folder: Path, loop: TrainingLoop, data: SpeechData
    ) -> tuple[Metrics, dict[str, Any]]:
        """Predictions on validation and test, their figures, and what the loop has to say of the model."""
        model: SpeechModel = loop.model.cpu().eval()
        about: dict[str, Any] = {"classes": data.classes}
        if config.compress:
            about |= compressed(config, model, data)
        about |= loop.conclude(data)
        if data.generated:
            about["generated"] = data.generated
        metrics, log_likelihoods = {}, {}
        for stale in (folder / "predictions").glob("*.*"):  # of an earlier, shorter training, in noise for one
            stale.unlink()
        for stale in folder.glob("report.?*.html"):
            stale.unlink()
        device, test_snr = build.device_of(config.trainer), config.dataset.get("test_snr")
        for split in (split for split in ("validation", "test") if len(data.dataset(split))):
            how: dict[str, Any] = {"device": device, "metrics": self.metrics, "test_snr": test_snr}
            predictions, metrics[split] = score(model, data, split, **how)
            predictions.save(folder / "predictions" / f"{split}.npz")
            log_likelihoods[split] = predictions.log_likelihood_per_frame()
            is_chooser = split == "validation" and config.target == "keyword"
            if is_chooser and (chosen := rejection.choose(predictions, split)):
                about["rejection"] = chosen
        if few_recordings.has_prototypes(config):
            about["rejection"] = few_recordings.rejection(model, data)
            if "test" not in metrics:
                predictions = few_recordings.leave_one_out(model, data)
                about["rejection"]["alone"] = few_recordings.alone(predictions)
                predictions.save(folder / "predictions" / "test.npz")
                metrics["test"] = figures(predictions, self.metrics)
        if any(value is not None for value in log_likelihoods.values()):
            about["log_likelihood_per_frame"] = log_likelihoods
        if samples := loop.samples(data):
            write_arrays(folder / "samples.npz", samples)
        return metrics, about

    def evaluate(self, run: Trained, request: Request) -> tuple[str, dict[str, dict[str, float]]]:
        """Score a split of the run's corpus, a folder of recordings, or the test file of a corpus that has such.

        The figures in noise are named `accuracy/white_10_db`, their predictions `test.white_10_db.npz`. Those of
        conditions under which the run's own split was scored before are kept.
        """
        if request.trials is not None or request.enrolment is not None:
            raise ValueError(f"trials= and enrolment= are of verification, and {run.folder} is a classifier")
        config, words = copy.deepcopy(run.config), list(request.overrides)
        other = [word for word in words if not word.startswith(("dataset.", "protocol", negatives.KEY))]
        if other:
            raise ValueError(
                f"{other[0]} goes with a probe, and {run.folder} is no pre-trained encoder: its own classes are scored"
            )
        split, name = request.split, request.split
        if request.data_folder is not None:
            folder = new_folder(config, request.data_folder, words, run.corpus["summary"]["clip_s"])
            config.dataset, config.protocol = folder.dataset, folder.protocol
            config.negatives = Negatives()
            config.classes = None  # labels that the model does not know are reported apart
            split, name = "test", name_beside_splits(request.data_folder.resolve().name, "folder")
        elif words and all(word.startswith("dataset.test=") for word in words):
            file = other_test(config, words)
            config.dataset["test"] = str(file)
            split, name = "test", file.name.split(".gz")[0].removesuffix(".pkl")
        else:
            find_files(config, words)
        config.batch_size = request.batch_size or config.batch_size
        prepared = own_corpus(config, run.folder) if request.data_folder is None else build.prepared_corpus(config)
        if name == request.split and request.data_folder is None:
            otherwise = f"phonaut evaluate {run.folder} FOLDER scores another folder"
            build.check_same_recordings(run.corpus, prepared, otherwise)
        data = speech_data(config, prepared, list(run.about["classes"]))
        name = name if request.epoch is None else f"{name}_epoch_{request.epoch}"
        noise = request.noise
        if noise and data.prepared.frames is not None:
            raise ValueError(f"noise= is added to waveforms, and {data.prepared.name} has frames: leave it out")
        recordings = noise.recordings(data) if noise else None
        device = build.device_of(config.trainer)
        how: dict[str, Any] = {"device": device, "metrics": self.metrics, "test_snr": config.dataset.get("test_snr")}
        predictions, rates = score(run.model, data, split, **how)
        predictions.save(run.folder / "predictions" / f"{name}.npz")
        if request.data_folder is not None:
            trained = None if config.target == "speaker" else str(run.corpus.get("folder", ""))
            about_folder(run.folder, name, prepared, [*prepared.refused, *data.refused], trained)
        for condition, kind, snr_db in noise.conditions if noise else ():
            noisy = predict(run.model, data, split, device=device, change=noise_of(kind, snr_db, recordings))
            noisy.save(run.folder / "predictions" / f"{name}.{condition}.npz")
            rates |= under(condition, figures(noisy, self.metrics))
        if noise:
            add = request.data_folder is None and not words
            about_noise(run.folder / NOISE_FILE, name, noise, recordings, add=add)
        return name, rates

    def predict(self, run: Trained, recordings: list[Path]) -> list[Answer]:
        """The class of each recording, which is one span as a whole."""
        files = Files([Part(path) for path in recordings], run.clip_s)
        return list(self.answers(run, files, strict=True)[0].values())

    def answers(self, run: Trained, files: Files, *, strict: bool = False) -> tuple[dict[int, Answer], list[str]]:
        """The class of each recording by its number, and why others were refused.

        Raises:
            ValueError: a recording is not there; where `strict`, it cannot be used.
        """
        with self.opened(run, files, strict=strict) as (data, refused):
            if data is None:
                return {}, refused
            predictions = predict(run.model, data, "test", device=build.device_of(run.config.trainer))
        names = predictions.classes.tolist()
        answers = {
            number_of(cut): Answer(names[best], float(row[best]), dict(zip(names, row.tolist(), strict=True)))
            for cut, best, row in zip(
                predictions.cut.tolist(), predictions.predicted.tolist(), predictions.probabilities(), strict=True
            )
        }
        return answers, refused

    @contextmanager
    def opened(self, run: Trained, files: Files, *, strict: bool) -> Iterator[tuple[SpeechData | None, list[str]]]:
        """Recordings as the test split of the run's classes, None where none can be used, and why others cannot.

        Raises:
            ValueError: the run was trained on frames; a recording is not there; where `strict`, it cannot be used.
        """
        config = replace(run.config, classes=None, labels_pct=100.0, labels_each=None, context_s=0.0, target="keyword")
        with ExitStack() as stack:
            try:
                prepared = stack.enter_context(prepared_files(files, sample_rate_of(run), strict=strict))
            except UnusableError as error:
                if strict:
                    raise
                yield None, error.reasons
                return
            yield speech_data(config, prepared, list(run.about["classes"])), reasons(prepared.folder)


def number_of(cut: str) -> int:
    """The number of a recording of `Files`, by the name of its cut."""
    return int(cut.partition("-")[0])


def compressed(config: Config, model: SpeechModel, data: SpeechData) -> dict[str, Any]:
    """Finish the compression of a network; its scheme and the bytes of its weights, for `model.json`."""
    assert config.compress is not None
    compression, network = instantiate(config.compress), model.network
    assert isinstance(network, QuantizedNetwork)
    if note := compression.finish(model, data.batches("train")):
        print(note, flush=True)
    return {"compress": str(compression.scheme), "weight_bytes": -(-network.weight_bits // 8)}


def clip_s_of(config: Config) -> float | None:
    """The length of the clips of a corpus, seconds; None where each has its own."""
    clip_s: float | None = instantiate(config.dataset).clip_s
    return clip_s


def window_ms_of(config: Config) -> float:
    """What a score of a stream looks at, ms: as long as the clips of training, else a second, unless it is said."""
    if config.window_ms is not None:
        return config.window_ms
    return 1000 * (clip_s_of(config) or 1.0)


def other_test(config: Config, overrides: list[str]) -> Path:
    """The file to test on in place of the run's own, where its corpus is made of files.

    Raises:
        ValueError: the corpus has no test file, or the file is not there.
    """
    if config.dataset.get("test") is None:
        raise ValueError(f"{' '.join(overrides)}: the run's corpus has no test file")
    file = expanded(overrides[-1].partition("=")[2])
    if not file.is_file():
        raise ValueError(f"dataset.test={file} is not there")
    return file


def find_files(config: Config, words: Sequence[str]) -> None:
    """Set where the recordings of a run lie today, which may have been moved since.

    Args:
        config: of the run; where nothing else is said and its folder has gone, the usual one of its corpus is taken.
        words: such as `dataset.data_folder=FOLDER`.

    Raises:
        ValueError: words that set something else.
    """
    places = [key for key in PLACES if config.dataset.get(key)]
    for word in words:
        if word.startswith(f"{negatives.KEY}=") and config.negatives.folder is not None:
            config.negatives.folder = word.partition("=")[2].strip("'\"")
            continue
        key, _, value = word.removeprefix("dataset.").partition("=")
        if key not in places:
            may = " and ".join(f"dataset.{place}=" for place in places) or "nothing"
            raise ValueError(f"{word}: of the run's own corpus, {may} may be set, to where it lies now; other settings "
                             "go with a folder to score: phonaut evaluate RUN FOLDER")  # fmt: skip
        config.dataset[key] = value.strip("'\"")
    usual = node_of_group("dataset", str(config.choices["dataset"]), {}, config.to_dict()) if places else {}
    for place in places:
        there = expanded(config.dataset[place])
        if not there.exists() and not words and usual.get(place) and expanded(usual[place]).exists():
            config.dataset[place] = usual[place]


def own_corpus(config: Config, run: Path) -> PreparedCorpus:
    """The corpus of a run.

    Raises:
        ValueError: it cannot be used; where its files have gone, with how to say where they are.
    """
    try:
        return build.prepared_corpus(config)
    except ValueError as error:
        gone = [key for key in PLACES if (at := config.dataset.get(key)) and not expanded(at).exists()]
        gone = [f"dataset.{key}" for key in gone]
        if config.negatives.folder is not None and not expanded(config.negatives.folder).exists():
            gone.append(negatives.KEY)
        hint = "".join(f"; phonaut evaluate {run} {key}=... says where it lies now" for key in gone)
        raise ValueError(f"{error}{hint}") from error


def new_folder(config: Config, data_folder: Path, overrides: list[str], clip_s: float | None) -> Config:
    """The configuration of a folder whose recordings, or frames, are all tested."""
    kind = "frames" if config.choices["features"] == "frames" else "folder"
    words = [f"target={config.target}", f"dataset={kind}", f"dataset.data_folder={data_folder}", "protocol=all_test"]
    folder = compose([*words, *overrides])
    if kind == "folder" and folder.dataset["clip_s"] is None:
        folder.dataset["clip_s"] = clip_s  # the model was trained on windows of this length
    return folder
