"""A trained run as files that run without Phonaut, and proof that they answer alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from phonaut.arrays import spread
from phonaut.deploy.onnx import scores_of, session, write_onnx
from phonaut.files import atomic_folder, write_json, write_text
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import Classification, speech_data

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun

BACKENDS = ("onnxruntime",)
MODEL, NETWORK, CARD, FIGURES = "model.onnx", "network.onnx", "model_card.md", "export.json"
WINDOW_S = 1.0  # of the example, where the clips of a corpus have lengths of their own
N_TIMED = 50


@dataclass(frozen=True)
class Parity:
    """An exported file beside the model it was made of, on recordings of one split.

    Attributes:
        n: recordings.
        largest_difference: of their scores.
        n_changed: decisions that differ.
        accuracy: of the model, and of the file.
    """

    n: int
    largest_difference: float
    n_changed: int
    accuracy: tuple[float, float]


def export(
    run: LoadedRun,
    folder: Path,
    card: Callable[[LoadedRun, Mapping[str, Any]], str],
    *,
    n_parity: int = 200,
    overwrite: bool = False,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write `model.onnx` (audio in), `network.onnx` (features in), a model card and the figures of parity.

    Args:
        run: a classifier of whole recordings.
        folder: that is written, whole or not at all.
        card: of the run and its figures, in Markdown.
        n_parity: recordings of each of validation and test, evenly spread, on which both are run.
        overwrite: replace what an earlier export wrote there.
        progress: called with a line of text.

    Returns:
        What `export.json` holds.

    Raises:
        ValueError: the run cannot be exported, or the folder holds other files.
    """
    check(run, folder, overwrite=overwrite)
    config, model = run.config, run.model
    rate = int(model.front_end.sample_rate)
    clip_s = (run.corpus.get("summary") or {}).get("clip_s")
    n_samples = round((clip_s or WINDOW_S) * rate)
    classes = list(run.about["classes"])
    about = {"labels": classes, "sample_rate": rate, "clip_samples": n_samples if clip_s else None,
             "run": run.folder.parent.name, "scores": "not normalised: softmax gives probabilities"}  # fmt: skip
    with atomic_folder(folder) as made:
        progress("writing the model, from audio to scores")
        any_length = write_onnx(model, made / MODEL, n_samples=n_samples, about=about)
        progress("writing the network alone")
        write_onnx(model, made / NETWORK, n_samples=n_samples, about=about, features=True)
        if not any_length and not clip_s:
            raise ValueError(f"{type(model.network).__name__} is exported for clips of one length, and the recordings "
                             "of this run have lengths of their own: train with dataset.clip_s=1")  # fmt: skip
        progress(f"running both on up to {n_parity} recordings of validation and of test")
        runtime = session(made / MODEL)
        data = speech_data(config, prepared_corpus(config), classes)
        parity = {
            split: parity_of(run, data, runtime, split, n_parity)
            for split in ("validation", "test")
            if len(data.dataset(split))
        }
        figures = {
            "backend": "onnxruntime",
            **about,
            "any_length": any_length,
            "parity": {split: vars(one) for split, one in parity.items()},
            "latency_ms": latency_ms(run, runtime, n_samples),
            "bytes": {name: (made / name).stat().st_size for name in (MODEL, NETWORK)},
        }
        write_json(made / FIGURES, figures)
        write_text(made / CARD, card(run, figures))
    return figures


def check(run: LoadedRun, folder: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be exported, and a folder that holds something else.

    Raises:
        ValueError: it is so.
    """
    if not isinstance(run.task, Classification):
        raise ValueError(f"{run.folder} is of {type(run.task).__name__.lower()}: classifiers are exported")
    if run.config.target == "phone":
        raise ValueError(f"{run.folder} classifies phones within recordings: classifiers of whole ones are exported")
    there = folder.exists() and any(folder.iterdir())
    if there and not (folder / FIGURES).exists():
        raise ValueError(f"{folder} holds other files: choose another output=")
    if there and not overwrite:
        raise ValueError(f"{folder} is there already: overwrite=true replaces it, output= writes elsewhere")


def parity_of(run: LoadedRun, data: Any, runtime: Any, split: str, n: int) -> Parity:
    """Both on some recordings of a split."""
    table = data.prepared.utterances(split)
    rows = spread(len(table), n)
    recordings = [np.asarray(table.audio(int(row), 0, int(table.n_samples[row]))) for row in rows]
    with torch.inference_mode():
        ours = np.concatenate([
            run.model(torch.from_numpy(audio)[None], torch.tensor([len(audio)])).numpy() for audio in recordings
        ])  # fmt: skip
    theirs = scores_of(runtime, recordings)
    scored = run.run.predictions(split)
    label_of = dict(zip(scored.cut.tolist(), scored.label.tolist(), strict=True))
    labels = np.array([label_of.get(str(table.id(int(row))), -1) for row in rows])
    known = labels >= 0
    decided = [scores.argmax(axis=1) for scores in (ours, theirs)]
    before, after = (float((one == labels)[known].mean()) if known.any() else float("nan") for one in decided)
    largest, n_changed = float(np.abs(ours - theirs).max()), int((decided[0] != decided[1]).sum())
    return Parity(len(rows), largest, n_changed, (before, after))


def latency_ms(run: LoadedRun, runtime: Any, n_samples: int) -> dict[str, float]:
    """Median milliseconds of one recording, audio to scores, one thread: eager PyTorch and the file, in turns."""
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, n_samples)).astype(np.float32)
    given, lengths = torch.from_numpy(audio), torch.tensor([n_samples])
    n_threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(N_TIMED):
                times.append(
                    (timed(lambda: run.model(given, lengths)), timed(lambda: runtime.run(None, {"audio": audio})))
                )
    finally:
        torch.set_num_threads(n_threads)
    pytorch, file = np.median(times, axis=0).tolist()
    return {"pytorch": pytorch, "onnxruntime": file}


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds that a call takes."""
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)
