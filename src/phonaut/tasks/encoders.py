"""A pre-trained encoder in front of another model: its weights, its projection, its frames computed beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.checkpoints import pretrained
from phonaut.checkpoints.state_dict import check_state_dict, read_weights
from phonaut.data.datamodule import SpeechData
from phonaut.files import expanded, run_folder
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.frame_cache import FrameCache
from phonaut.models.speech_model import SpeechModel

MAX_PROJECTION_FRAMES = 200_000  # of training, that a projection is fitted to
ENCODER, NORMALIZER = "network.", "normalizer."  # prefixes of weights in the run of an encoder


def load_encoder(encoder: EncodedFrontEnd, path: Path | str) -> None:
    """Give an encoder the weights of a pre-training run, or of a checkpoint of s3prl or of the original.

    Raises:
        ValueError: there are none, they are damaged or do not fit; the names that differ are given.
    """
    if isinstance(encoder, EncodedWindows):
        encoder.adopt(read_weights(trained_file(expanded(path))))
        return
    load_part(encoder.network, ENCODER, expanded(path))
    if encoder.normalizer is not None and encoder.normalizer.state_dict():
        load_part(encoder.normalizer, NORMALIZER, expanded(path))


def load_part(part: nn.Module, prefix: str, path: Path) -> None:
    """Give a network or a normaliser the weights that a run or a checkpoint has for it.

    Raises:
        ValueError: there are none, they are damaged or do not fit; the names that differ are given.
    """
    weights = encoder_weights(path, prefix)
    check_state_dict(part.state_dict(), weights, str(path))
    part.load_state_dict(weights)


def encoder_weights(path: Path, prefix: str) -> dict[str, Tensor]:
    """The weights of an encoder, or of the normaliser before it, without those of its head.

    Raises:
        ValueError: there are none, or they are damaged.
    """
    if path.is_file():
        return pretrained.read(path).weights
    file = trained_file(path)
    return {name.removeprefix(prefix): value for name, value in read_weights(file).items() if name.startswith(prefix)}


def trained_file(path: Path) -> Path:
    """The weights of a run.

    Raises:
        ValueError: it has none yet.
    """
    file = run_folder(path) / "model.safetensors"
    if not file.exists():
        raise ValueError(f"{path} has no trained encoder yet: let its training end")
    return file


def prepare_encoder(model: SpeechModel, data: SpeechData, path: Path | str, *, seed: int, augmented: bool) -> None:
    """Load the encoder in front of `model`; fit its projection; compute the frames that training leaves as they are.

    Raises:
        ValueError: the weights are not there or do not fit, or there are fewer frames than components.
    """
    encoder = model.front_end
    assert isinstance(encoder, EncodedFrontEnd)
    load_encoder(encoder, path)
    if encoder.projection is not None:
        fit_projection(model, data, seed)
    if encoder.is_fixed and not augmented:
        cache = FrameCache(model, data)
        for split in ("train", "validation"):
            if len(data.dataset(split)):
                data.dataset(split).computed = cache.frames(split)


def fit_projection(model: SpeechModel, data: SpeechData, seed: int) -> None:
    """Fit principal components to the training split."""
    encoder, normalizer = model.front_end, model.normalizer
    assert isinstance(encoder, EncodedFrontEnd)
    projection = encoder.projection
    assert projection is not None
    encoder.projection, model.normalizer = None, None
    try:
        frames, _ = FrameCache(model, data).frames("train")
        n = min(MAX_PROJECTION_FRAMES, len(frames))
        rows = np.sort(np.random.default_rng(seed).choice(len(frames), n, replace=False))
        projection.fit(torch.from_numpy(np.array(frames[rows])))
    finally:
        encoder.projection, model.normalizer = projection, normalizer
