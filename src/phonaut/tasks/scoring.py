"""Scores of a trained classifier on a split, under conditions, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from phonaut.config.metrics import registered_metrics
from phonaut.data.augmentation.mixing import RECORDED, add_noise
from phonaut.data.batches import Batch
from phonaut.data.datamodule import SpeechData
from phonaut.data.prepared import UtteranceTable
from phonaut.metrics import evaluate_metrics
from phonaut.models import EMClassifier, SpeechModel
from phonaut.tasks.noise_test import condition
from phonaut.tasks.predictions import Predictions


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


def figures(predictions: Predictions, names: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Metrics with 95 % intervals, as far as the predictions allow; unknown classes are left out.

    Args:
        predictions: of a split.
        names: of metrics; none: every registered one.

    Raises:
        ValueError: there is no such metric.
    """
    metrics = registered_metrics()
    if missing := [name for name in names if name not in metrics]:
        raise ValueError(f"there is no metric {', '.join(missing)}; there are {', '.join(metrics)}")
    estimates = evaluate_metrics(predictions.scored(), {name: metrics[name] for name in names or metrics})
    return {name: estimate.as_dict() for name, estimate in estimates.items()}


def score(
    model: SpeechModel,
    data: SpeechData,
    split: str,
    *,
    device: torch.device,
    metrics: Sequence[str] = (),
    test_snr: float | None = None,
) -> tuple[Predictions, dict[str, dict[str, float]]]:
    """Predictions on a split and their figures; of the test split also those in noise of `test_snr` dB."""
    predictions = predict(model, data, split, device=device)
    rates = figures(predictions, metrics)
    if split == "test" and test_snr is not None:
        noise = data.prepared.utterances("noise_test")
        add = noise_of(RECORDED if len(noise) else "white", test_snr, noise)
        noisy = predict(model, data, split, device=device, change=add)
        rates |= under(condition("noise", test_snr), figures(noisy, metrics))
    return predictions, rates


def noise_of(kind: str, snr_db: float, noise: UtteranceTable | None) -> Callable[[Batch], Batch]:
    """The function that adds the noise of a test to a batch."""
    return lambda batch: add_noise(batch, snr_db, kind=kind, noise=noise)


def under(name: str, rates: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures of a condition, as `metrics.json` names them: `accuracy/white_10_db`."""
    return {f"{metric}/{name}": rate for metric, rate in rates.items()}
