"""A trained run as files that run without Phonaut, and proof that they answer alike."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from phonaut.arrays import Array, spread
from phonaut.deploy.backends import Written, backend, in_floating_point, problems
from phonaut.deploy.streaming import StreamingModel, why_no_stream
from phonaut.files import atomic_folder, write_json, write_text
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.networks.quantized import QuantizedNetwork, Scheme
from phonaut.networks.recurrent import Recurrent
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import Classification, speech_data, window_ms_of
from phonaut.training.compression import N_CALIBRATION, round_network

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun

FILES = {"audio": "model", "features": "network"}  # what each input is the input of
STREAM = "stream"
CARD, FIGURES = "model_card.md", "export.json"
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
    backend_name: str = "onnxruntime",
    compress: str | None = None,
    n_parity: int = 200,
    overwrite: bool = False,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write the model (audio in) and the network (features in), a model card and the figures of parity.

    Args:
        run: a classifier of whole recordings.
        folder: that is written, whole or not at all.
        card: of the run and its figures, in Markdown.
        backend_name: what is to run the files.
        compress: bits, `linear_8_8_8`, to which a network in floating point is rounded, with ranges of training
            recordings; None: it is exported as it is.
        n_parity: recordings of each of validation and test, evenly spread, on which both are run.
        overwrite: replace what an earlier export wrote there.
        progress: called with a line of text.

    Returns:
        What `export.json` holds.

    Raises:
        ValueError: the run cannot be exported, or the folder holds other files.
    """
    runtime = backend(backend_name)
    check(run, folder, backend_name, compress, overwrite=overwrite)
    config, clip_s, name = run.config, run.clip_s, str(run.config.choices["model"])
    classes = list(run.about["classes"])
    data = speech_data(config, prepared_corpus(config), classes)
    if compress is not None:
        scheme = Scheme.of(compress)
        progress(f"rounding to {scheme}, with ranges of up to {N_CALIBRATION} training recordings")
        round_network(run.model, scheme, data.batches("train"))
    model = run.model
    rate = int(model.front_end.sample_rate)
    n_samples = round((clip_s or WINDOW_S) * rate)
    about = {"labels": classes, "sample_rate": rate, "clip_samples": n_samples if clip_s else None,
             "run": run.folder.parent.name, "scores": "not normalised: softmax gives probabilities"}  # fmt: skip
    with atomic_folder(folder) as made:
        written: dict[str, Written] = {}
        for given in runtime.INPUTS:
            progress(f"writing {FILES[given] + runtime.SUFFIX}, {given} in")
            path = made / (FILES[given] + runtime.SUFFIX)
            written[given] = runtime.write(model, path, n_samples=n_samples, about=about, features=given == "features")
            if not written[given].any_length and not clip_s:
                raise ValueError(one_length(name, backend_name))
        given = runtime.INPUTS[0]
        runs = with_input(run, written[given].run, given)
        splits = [split for split in ("validation", "test") if len(data.dataset(split))] or ["train"]
        progress(f"running both on up to {n_parity} recordings of {' and of '.join(splits)}")
        parity = {split: parity_of(run, data, runs, split, n_parity) for split in splits}
        figures: dict[str, Any] = {
            "backend": backend_name,
            "bits": str(model.network.scheme) if isinstance(model.network, QuantizedNetwork) else "float32",
            **about,
            "any_length": written[given].any_length,
            "parity": {split: vars(one) for split, one in parity.items()},
            "latency_ms": latencies(run, runtime, written, n_samples, about),
            "bytes": {path.name: path.stat().st_size for path in sorted(made.rglob("*")) if path.is_file()},
            **({"plan": list(written[given].plan)} if written[given].plan else {}),
        }
        if hasattr(runtime, "write_stream") and why_no_stream(model) is None:
            progress(f"writing {STREAM + runtime.SUFFIX}, a hop of audio and the state in")
            path = made / (STREAM + runtime.SUFFIX)
            opened = runtime.write_stream(model, path, about=about, window_ms=window_ms_of(config))
            figures["stream"] = stream_parity(run, data, opened(path), window_ms_of(config), n_parity)
            figures["bytes"][path.name] = path.stat().st_size
        write_json(made / FIGURES, figures)
        write_text(made / CARD, card(run, figures))
    return figures


def one_length(model: str, backend_name: str) -> str:
    """Why a run of recordings of any length cannot be exported."""
    return (
        f"model={model} is exported for backend={backend_name} and clips of one length, and the recordings of this run "
        "have lengths of their own: train with dataset.clip_s=1"
    )


def with_input(run: LoadedRun, call: Callable[[Array], Array], given: str) -> Callable[[Array], Array]:
    """A file as a function of audio `(1, S)`, whatever it takes."""
    if given == "audio":
        return call

    def heard(audio: Array) -> Array:
        with torch.inference_mode():
            frames, _ = run.model.frames(torch.from_numpy(audio), torch.tensor([audio.shape[1]]))
        return call(frames.numpy())

    return heard


def latencies(
    run: LoadedRun, runtime: Any, written: Mapping[str, Written], n_samples: int, about: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Median milliseconds of one recording by input: PyTorch, the file and, of a quantised network, one in float."""
    plain, result = in_floating_point(run.model), {}
    audio: Any = (0.1 * np.random.default_rng(0).standard_normal((1, n_samples))).astype(np.float32)
    given, lengths = torch.from_numpy(audio), torch.tensor([n_samples])
    with torch.inference_mode():
        frames, n_frames = plain.frames(given, lengths)
    with tempfile.TemporaryDirectory() as place:
        for name, file in written.items():
            features = name == "features"
            example: Any = frames.numpy() if features else audio
            calls: dict[str, Callable[[], Any]] = {
                "pytorch": (lambda: plain.classify(frames, n_frames)) if features else (lambda: plain(given, lengths)),
            }
            if runtime.NATIVE:
                calls["file"] = partial(file.run, example)
            if runtime.NATIVE and runtime.FLOAT and plain.network is not run.model.network:
                path = Path(place) / f"float{runtime.SUFFIX}"
                beside = runtime.write(plain, path, n_samples=n_samples, about=dict(about), features=features)
                calls["float file"] = partial(beside.run, example)
            result[name] = latency_ms(calls)
    return result


def check(run: LoadedRun, folder: Path, backend_name: str, compress: str | None, *, overwrite: bool) -> None:
    """Refuse what cannot be exported for a backend, and a folder that holds something else.

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
    plain, name, network = in_floating_point(run.model), str(run.config.choices["model"]), run.model.network
    about: dict[str, Any] = {"model": name, "density": getattr(plain.network, "density", None)}
    is_rounded = isinstance(network, QuantizedNetwork)
    if wrong := problems(backend_name, type(plain.network), has_bits=is_rounded or compress is not None, **about):
        raise ValueError("; ".join(wrong))
    if isinstance(network, QuantizedNetwork) and compress is not None:
        raise ValueError(f"{run.folder} was trained with compress={network.scheme}: leave compress= out")
    is_fixed = isinstance(plain.network, Recurrent) or isinstance(plain.front_end, EncodedFrontEnd)
    if not run.clip_s and (is_fixed or backend_name != "onnxruntime"):
        raise ValueError(one_length(name, backend_name))


def parity_of(run: LoadedRun, data: Any, runtime: Callable[[Array], Array], split: str, n: int) -> Parity:
    """Both on some recordings of a split."""
    table = data.prepared.utterances(split)
    rows = spread(len(table), n)
    recordings = [np.asarray(table.audio(int(row), 0, int(table.n_samples[row]))) for row in rows]
    with torch.inference_mode():
        ours = np.concatenate([
            run.model(torch.from_numpy(audio)[None], torch.tensor([len(audio)])).numpy() for audio in recordings
        ])  # fmt: skip
    theirs = np.concatenate([runtime(audio[None].astype(np.float32)) for audio in recordings])
    spans = data.spans[split]
    label_of = dict(zip(spans.row.tolist(), spans.label.tolist(), strict=True))
    labels = np.array([label_of.get(int(row), -1) for row in rows])
    known = labels >= 0
    decided = [scores.argmax(axis=1) for scores in (ours, theirs)]
    before, after = (float((one == labels)[known].mean()) if known.any() else float("nan") for one in decided)
    largest, n_changed = float(np.abs(ours - theirs).max()), int((decided[0] != decided[1]).sum())
    return Parity(len(rows), largest, n_changed, (before, after))


def stream_parity(run: LoadedRun, data: Any, stream: Any, window_ms: float, n: int) -> dict[str, Any]:
    """A streaming file, hop by hop, beside the model over each whole recording: of test, else of validation."""
    split = next(split for split in ("test", "validation", "train") if len(data.dataset(split)))
    reference, table = StreamingModel(run.model, window_ms=window_ms), data.prepared.utterances(split)
    begun, largest, changed, n_rows, hop = dict(stream.state), 0.0, 0, 0, stream.n_samples
    for row in spread(len(table), n):
        audio = np.asarray(table.audio(int(row), 0, int(table.n_samples[row])))[None].astype(np.float32)
        ours = reference.offline(torch.from_numpy(audio))[0].numpy()[: audio.shape[1] // hop]
        stream.state = dict(begun)
        if len(ours):
            theirs = np.concatenate([stream.step(audio[:, i * hop : (i + 1) * hop]) for i in range(len(ours))])
            largest = max(largest, float(np.abs(ours - theirs).max()))
            changed += int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
            n_rows += len(ours)
    state_bytes = sum(value.nbytes for value in begun.values())
    return {"hop_samples": hop, "state_bytes": state_bytes, "split": split, "n": n_rows, "n_changed": changed,
            "largest_difference": largest}  # fmt: skip


def latency_ms(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median milliseconds of each call, in turns, on one thread."""
    n_threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(N_TIMED):
                times.append([timed(call) for call in calls.values()])
    finally:
        torch.set_num_threads(n_threads)
    return dict(zip(calls, np.median(times, axis=0).tolist(), strict=True))


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds that a call takes."""
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)
