"""Pictures of what the encoder of a run does with one recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.config.nodes import instantiate
from phonaut.config.schema import Config
from phonaut.data.batches import Batch
from phonaut.data.draws import hash_of
from phonaut.data.preparation.audio import BadRecordingError, open_recording
from phonaut.files import write_bytes
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.objectives import DrawKey
from phonaut.models.representation_model import RepresentationModel
from phonaut.runs.load import LoadedRun
from phonaut.training.callbacks.reconstructions import inside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("reconstruction", "input", "layers", "attention", "layer_weights")
LONG_S = 30.0  # attention compares all pairs of frames: of a longer recording the beginning is shown
BEGINNING_S = 10.0
LEAST = 2  # representations, or there is nothing to see
SIZE = (9.0, 3.0)  # inches of a spectrogram
SHARPNESS = 120  # dots per inch
Encoder = RepresentationModel | EncodedFrontEnd


def encoder_of(run: LoadedRun) -> Encoder:
    """The encoder of a run with what stands before it: of pre-training its model, of another run what is in front.

    Raises:
        ValueError: the run has no encoder.
    """
    for part in (run.model, run.model.front_end):
        if isinstance(part, (RepresentationModel, EncodedFrontEnd)):
            return part
    raise ValueError(
        f"{run.folder} has no encoder to show: plot=true takes a run of pre-training, or one with encoder.run="
    )


def write_pictures(
    run: LoadedRun,
    file: Path,
    folder: Path,
    *,
    head: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write pictures of one recording as PNG files; those that were there before by another run are replaced.

    Args:
        run: of pre-training, or with an encoder in front of its model.
        file: the recording.
        folder: to write into.
        head: also what is seen, predicted and true, by the objective and the seed of a pre-training run.
        progress: called with what is not shown.

    Returns:
        The files.

    Raises:
        ValueError: the run has no encoder or no head, or the recording cannot be used.
    """
    from phonaut.plots import png

    encoder = encoder_of(run)
    if head and not (isinstance(encoder, RepresentationModel) and run.is_whole):
        raise ValueError(f"head=true: {run.folder} has no head that predicts frames; name a run of pre-training")
    batch = batch_of(file, read(file, int(encoder.front_end.sample_rate), progress))
    figures = figures_of(encoder, batch, file)
    if head and isinstance(encoder, RepresentationModel):
        figures["reconstruction"] = reconstruction(run.config, encoder, batch)
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = folder / f"{name}.png"
        if name in figures:
            write_bytes(path, png(figures[name], dpi=SHARPNESS))
        else:
            path.unlink(missing_ok=True)  # of an earlier run: beside these it would be taken for this one's
    return [folder / f"{name}.png" for name in NAMES if name in figures]


@torch.no_grad()
def figures_of(encoder: Encoder, batch: Batch, file: Path) -> dict[str, Figure]:
    """All pictures but the reconstruction.

    Raises:
        ValueError: the recording is too short.
    """
    from phonaut.plots import layer_weights, spectrogram

    network, front_end = encoder.network, encoder.front_end
    frames, lengths = encoder.frames(batch.audio, batch.audio_lengths)
    least = LEAST * network.stack_size
    if int(lengths[0]) < least:
        raise ValueError(
            f"{file} is too short to show: {batch.audio.shape[1] / front_end.sample_rate:.3f} s are {int(lengths[0])} "
            f"frames, and at least {least} are needed"
        )
    title = f"{file.name}: what the encoder takes"
    figures = {
        "input": spectrogram(frames[0].numpy(), frame_shift_s=front_end.frame_shift_s, title=title, size=SIZE),
        **inside(network, frames[0], front_end.frame_shift_s),
    }
    if isinstance(encoder, EncodedFrontEnd) and encoder.layer_weights is not None:
        figures["layer_weights"] = layer_weights(encoder.layer_weights.softmax(dim=0).numpy())
    return figures


def reconstruction(config: Config, model: RepresentationModel, batch: Batch) -> Figure:
    """Masked input, prediction and target of the recording, with the masks of validation."""
    from phonaut.plots import spectrograms

    assert config.objective is not None
    key = DrawKey(batch.draw_keys, config.seed, 0, "validation")
    example = model.reconstruction(batch, instantiate(config.objective), key)
    shown = {
        "seen (marked: the frames whose prediction counts)": example.seen,
        "predicted": example.predicted,
        "true": example.truth,
    }
    return spectrograms(
        {title: frames[0].numpy() for title, frames in shown.items()},
        example.chosen[0].numpy(),
        frame_shift_s=model.front_end.frame_shift_s,
        size=(SIZE[0], 2.5 * SIZE[1]),
    )


def read(file: Path, sample_rate: int, progress: Callable[[str], None]) -> NDArray[np.float32]:
    """The samples of a recording, `(S,)`; of a long one its beginning.

    Raises:
        ValueError: it is not there, or cannot be used.
    """
    if not file.is_file():
        raise ValueError(f"{file} is not there, or no file: plot=true shows one recording")
    try:
        recording, blocks = open_recording(file, sample_rate)
        seconds = recording.n_source / recording.source_rate
        longest = round(BEGINNING_S * sample_rate) if seconds > LONG_S else None
        parts: list[NDArray[np.float32]] = []
        for block in blocks:
            parts.append(block.astype(np.float32) / (1.0 if recording.is_float else 32768.0))
            if longest is not None and sum(map(len, parts)) >= longest:
                break
    except BadRecordingError as error:
        raise ValueError(f"{file}: {error}") from error
    if not sum(map(len, parts)):
        raise ValueError(f"{file} is too short to show: nothing is left of it at {sample_rate} Hz")
    if longest is not None:
        progress(
            f"{file} is {seconds:.1f} s long, and attention compares all pairs: its first {BEGINNING_S:.0f} s are shown"
        )
    return np.concatenate(parts)[:longest]


def batch_of(file: Path, audio: NDArray[np.float32]) -> Batch:
    """A recording alone; what is hidden of it follows from its name."""
    none = torch.zeros(0)
    return Batch(
        audio=torch.from_numpy(audio)[None],
        audio_lengths=torch.tensor([len(audio)]),
        keys=torch.from_numpy(np.array([hash_of(file.stem)], dtype=np.uint64).view(np.int64)),
        rows=torch.zeros(1, dtype=torch.int64),
        audio_start_s=torch.zeros(1, dtype=torch.float64),
        span_recording=none.long(),
        span_start_s=none.double(),
        span_end_s=none.double(),
        labels=none.long(),
    )
