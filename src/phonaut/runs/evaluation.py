"""Scores of a trained model on a split, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from phonaut.checkpoints.state_dict import check_state_dict
from phonaut.config.metrics import registered_metrics
from phonaut.data.augmentation.chain import RECORDED, add_noise
from phonaut.data.batches import Batch
from phonaut.data.datamodule import SpeechData
from phonaut.data.prepared import UtteranceTable
from phonaut.files import write_json
from phonaut.metrics import evaluate_metrics
from phonaut.models import EMClassifier, SpeechModel
from phonaut.runs.noise_test import NoiseTest, about
from phonaut.runs.predictions import Predictions
from phonaut.runs.run import NOISE_FILE, Run, condition, read_weights
from phonaut.tasks.pretraining import pretrains


def device_of(accelerator: str) -> torch.device:
    """The device that evaluation runs on: the first GPU where the run may use one."""
    return torch.device("cuda" if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu")


def predict(
    model: SpeechModel,
    data: SpeechData,
    split: str,
    *,
    device: torch.device | None = None,
    change: Callable[[Batch], Batch] | None = None,
) -> Predictions:
    """Scores of every span of `split`, in the order of the corpus.

    Args:
        model: a trained model; left in evaluation mode.
        data: the corpus; its batch size does not change the scores.
        split: `train`, `validation` or `test`.
        device: where to compute.
        change: applied to each batch before it is scored (noise at a fixed SNR).

    Raises:
        ValueError: the split is empty.
    """
    if not len(data.dataset(split)):
        there = ", ".join(name for name in data.prepared.summary["splits"])
        raise ValueError(f"{data.prepared.name} has nothing to classify in split={split}; it has: {there}")
    device = device or torch.device("cpu")
    model = model.to(device).eval()
    table = data.prepared.utterances(split)
    columns: dict[str, list[Any]] = {name: [] for name in ("row", "start_s", "label", "scores", "n_frames")}
    network = model.network
    if isinstance(network, EMClassifier) and network.is_density:
        columns["log_likelihood"] = []
    if model.frame_level:
        columns["n_correct_frames"] = []
    with torch.inference_mode():
        for batch in data.batches(split):
            batch = batch.to(device)
            frames, lengths = model.segments(change(batch) if change else batch)
            scores = model.classify(frames, lengths)
            columns["n_frames"].append(lengths.cpu().numpy())
            if "log_likelihood" in columns:
                assert isinstance(network, EMClassifier)
                columns["log_likelihood"].append(network.true_class_log_likelihood(batch.labels.cpu().numpy()))
            if model.frame_level:
                logits, segment = network.frame_logits(frames, lengths)  # type: ignore[operator]
                right = logits.argmax(dim=1) == batch.labels[segment]
                columns["n_correct_frames"].append(torch.bincount(segment[right], minlength=len(lengths)).cpu().numpy())
            columns["row"].append(batch.rows[batch.span_recording].cpu().numpy())
            columns["label"].append(batch.labels.cpu().numpy())
            columns["scores"].append(scores.float().cpu().numpy())
            begin_s = batch.audio_start_s[batch.span_recording]  # not 0 in parts of a long recording
            columns["start_s"].append((begin_s + batch.span_start_s).cpu().numpy())
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    order = np.lexsort((joined["start_s"], joined["row"]))
    joined = {name: column[order] for name, column in joined.items()}
    rows = joined.pop("row")
    del joined["start_s"]
    return Predictions(
        cut=np.array([table.id(row) for row in rows], dtype=np.str_),
        recording=np.array([table.recording(row) for row in rows], dtype=np.str_),
        speaker=np.array([table.speaker_name(row) for row in rows], dtype=np.str_),
        label_name=np.array(data.label_names(split), dtype=np.str_),
        classes=np.array(data.classes, dtype=np.str_),
        label=joined.pop("label"),
        scores=joined.pop("scores"),
        start_s=data.spans[split].start_s,  # without context
        end_s=data.spans[split].end_s,
        columns=joined,
    )


def figures(predictions: Predictions) -> dict[str, dict[str, float]]:
    """All registered metrics that the predictions allow, with 95 % intervals; unknown classes are left out."""
    estimates = evaluate_metrics(predictions.scored(), registered_metrics())
    return {name: estimate.as_dict() for name, estimate in estimates.items()}


def score(
    model: SpeechModel, data: SpeechData, split: str, config: DictConfig
) -> tuple[Predictions, dict[str, dict[str, float]]]:
    """Predictions on a split, and its figures; of the test split also those in noise, if `dataset.test_snr` asks."""
    device = device_of(config.trainer.accelerator)
    predictions = predict(model, data, split, device=device)
    rates = figures(predictions)
    snr_db = config.dataset.get("test_snr")
    if split == "test" and snr_db is not None:
        noise = data.prepared.utterances("noise_test")
        noisy = predict(
            model, data, split, device=device, change=noise_of(RECORDED if len(noise) else "white", snr_db, noise)
        )
        rates |= under(condition("noise", snr_db), figures(noisy))
    return predictions, rates


def noise_of(kind: str, snr_db: float, noise: UtteranceTable | None) -> Callable[[Batch], Batch]:
    """What adds the noise of a test to a batch."""
    return lambda batch: add_noise(batch, snr_db, kind=kind, noise=noise)


def under(name: str, rates: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures of a condition, as `metrics.json` names them: `accuracy/white_10_db`."""
    return {f"{metric}/{name}": rate for metric, rate in rates.items()}


def load_model(run: Run) -> SpeechModel:
    """The trained model of a run, in evaluation mode.

    Raises:
        ValueError: there are no weights, they are damaged, or they do not fit the configuration; the names that
            differ are given.
    """
    from phonaut.runs.build import speech_model

    path = run.folder / "model.safetensors"
    if not path.exists():
        raise ValueError(f"{run.folder} has no trained model yet; resume it: {run.environment.get('resume_command')}")
    model = speech_model(run.config, len(run.classes))
    weights = read_weights(path)
    if isinstance(model.network, EMClassifier):  # what has shapes that follow from the data
        model.network.adopt(weights, prefix="network.")
    check_state_dict(model.state_dict(), weights, f"{path} and {run.folder / 'config.yaml'}")
    model.load_state_dict(weights)
    return model.eval()


def evaluate(
    folder: Path | str,
    *,
    data_folder: Path | None = None,
    split: str = "test",
    overrides: Sequence[str] = (),
    batch_size: int | None = None,
    noise: NoiseTest | None = None,
) -> tuple[Run, str]:
    """Score a split of a run's corpus, or a new folder of recordings, with the model of a run.

    The predictions and figures are added to the run, under the split's name or the folder's; those in noise as
    `predictions/test.white_10_db.npz` and `accuracy/white_10_db`. What a split was scored under before is kept.

    Args:
        folder: the run.
        data_folder: recordings of the user's own, all of them tested; None: the run's own corpus.
        split: which split of the run's corpus.
        overrides: `dataset.key=value` for the new folder (`dataset.speaker_pattern=...`); or, without one, the test
            file of a corpus that has such, `dataset.test=FILE`.
        batch_size: None: that of the run. It changes the time, not the figures.
        noise: score it also with these noises.

    Returns:
        The run, and the name under which the figures were added.

    Raises:
        ValueError: there is no trained model, nothing to classify, or no noise of the kind that was asked for.
    """
    from phonaut.runs.build import prepared_corpus, speech_data

    run = Run(folder)
    config = run.config.copy()
    if pretrains(config):
        raise ValueError(f"{run.folder} is a pre-trained encoder: it has no classes to score; name what a probe should "
                         "tell: dataset=... target=...")  # fmt: skip
    model = load_model(run)
    name = split
    if data_folder is not None:
        there = new_folder(config, data_folder, overrides, run.corpus["summary"]["clip_s"])
        config.dataset, config.protocol = there.dataset, there.protocol
        config.classes = None  # what the model does not know is reported apart
        split, name = "test", data_folder.resolve().name
    elif overrides:
        file = other_test(config, overrides)
        config.dataset.test = str(file)
        split, name = "test", file.name.split(".gz")[0].removesuffix(".pkl")
    if batch_size is not None:
        config.batch_size = batch_size
    data = speech_data(config, prepared_corpus(config), run.classes)
    if noise and data.prepared.frames is not None:
        raise ValueError(f"noise= is added to waveforms, and {data.prepared.name} has frames: leave it out")
    recordings = noise.recordings(data) if noise else None
    predictions, rates = score(model, data, split, config)
    predictions.save(run.folder / "predictions" / f"{name}.npz")
    for told, kind, snr_db in noise.conditions if noise else ():
        change = noise_of(kind, snr_db, recordings)
        noisy = predict(model, data, split, device=device_of(config.trainer.accelerator), change=change)
        noisy.save(run.folder / "predictions" / f"{name}.{told}.npz")
        rates |= under(told, figures(noisy))
    metrics = run.metrics
    mine = data_folder is None and not overrides
    before = metrics.get(name, {}) if mine else {}  # recordings in a folder may have changed
    rates = {metric: rate for metric, rate in before.items() if "/" in metric} | rates
    if noise:
        heard = run.read(NOISE_FILE, {})
        heard[name] = (heard.get(name, {}) if mine else {}) | about(noise, recordings)
        write_json(run.folder / NOISE_FILE, heard)
    write_json(run.folder / "metrics.json", metrics | {name: rates})
    return run, name


def other_test(config: DictConfig, overrides: Sequence[str]) -> Path:
    """The file to test on in place of the run's own, where its corpus is made of files.

    Raises:
        ValueError: the corpus has no test file, more is asked for, or the file is not there.
    """
    if config.dataset.get("test") is None or any(not text.startswith("dataset.test=") for text in overrides):
        raise ValueError(
            f"{' '.join(overrides)}: settings of the data go with a new folder; the run's corpus has its own"
        )
    file = Path(overrides[-1].partition("=")[2]).expanduser()
    if not file.is_file():
        raise ValueError(f"dataset.test={file} is not there")
    return file


def new_folder(config: DictConfig, data_folder: Path, overrides: Sequence[str], clip_s: float | None) -> DictConfig:
    """The configuration of a folder whose recordings, or frames, are all tested."""
    from phonaut.config.compose import compose

    kind = "frames" if config.choices.features == "frames" else "folder"
    wanted = [f"target={config.target}", f"dataset={kind}", f"dataset.data_folder={data_folder}", "protocol=all_test"]
    folder = compose([*wanted, *overrides])
    if kind == "folder" and folder.dataset.clip_s is None:
        folder.dataset.clip_s = clip_s  # the model was trained on windows of this length
    OmegaConf.resolve(folder)
    return folder
