"""The encoder of a pre-training run in front of another model: built, loaded, its projection fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from phonaut.checkpoints.imported import folder_of
from phonaut.checkpoints.state_dict import check_state_dict
from phonaut.config.compose import compose
from phonaut.config.encoder_in_front import encodes
from phonaut.data.datamodule import SpeechData
from phonaut.features import FrontEnd
from phonaut.models import SpeechModel
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.frame_cache import FrameCache
from phonaut.runs.run import read_weights

MOST_FRAMES = 200_000  # of training, that a projection is fitted to
ENCODER = "network."  # what the names of an encoder's weights begin with in a pre-training run


def front_end_of(config: DictConfig) -> FrontEnd | EncodedFrontEnd:
    """The front end of `config.features`, or the encoder of `config.encoder` with fresh weights in its place."""
    if not encodes(config):
        front_end: FrontEnd = instantiate(config.features)
        return front_end
    chosen = config.encoder
    return encoder_of(chosen.built, mode=chosen.mode, layer=chosen.layer, n_components=chosen.n_components)


def encoder_of(built: DictConfig, **use: Any) -> EncodedFrontEnd:
    """An encoder with fresh weights by the configuration of its run."""
    front_end = instantiate(built.features)
    network = instantiate(built.model, n_features=front_end.n_features)
    return EncodedFrontEnd(
        front_end, network, instantiate(built.normalizer) if built.get("normalizer") else None, **use
    )


def load(encoder: EncodedFrontEnd, path: Path | str) -> None:
    """Give an encoder the weights of a pre-training run, or of a checkpoint of s3prl or of the original.

    Raises:
        ValueError: there are none, they are damaged or do not fit; the names that differ are given.
    """
    weights = weights_of(path)
    found = {name.removeprefix(ENCODER): value for name, value in weights.items() if name.startswith(ENCODER)}
    check_state_dict(encoder.network.state_dict(), found, str(path))
    encoder.network.load_state_dict(found)


def weights_of(path: Path | str) -> dict[str, torch.Tensor]:
    """All weights of a pre-training run, those of its head too.

    Raises:
        ValueError: there are none, or they are damaged.
    """
    file = folder_of(path, compose) / "model.safetensors"
    if not file.exists():
        raise ValueError(f"{path} has no trained encoder yet: let its training end")
    return read_weights(file)


def prepare(model: SpeechModel, data: SpeechData, config: DictConfig, *, augmented: bool) -> None:
    """Load the encoder in front of `model`, if there is one; fit its projection; compute frames that stay as they are.

    Raises:
        ValueError: the weights are not there or do not fit, or there are fewer frames than components.
    """
    encoder = model.front_end
    if not isinstance(encoder, EncodedFrontEnd):
        return
    load(encoder, config.encoder.run)
    if encoder.projection is not None:
        fit_projection(model, data, config.seed)
    if encoder.is_fixed and not augmented:
        cache = FrameCache(model, data)
        for split in ("train", "validation"):
            if len(data.dataset(split)):
                data.dataset(split).computed = cache.frames(split)


def fit_projection(model: SpeechModel, data: SpeechData, seed: int) -> None:
    """Choose principal components by the training split."""
    encoder, normalizer = model.front_end, model.normalizer
    assert isinstance(encoder, EncodedFrontEnd)
    projection = encoder.projection
    assert projection is not None
    encoder.projection, model.normalizer = None, None
    try:
        frames, _ = FrameCache(model, data).frames("train")
        n = min(MOST_FRAMES, len(frames))
        rows = np.sort(np.random.default_rng(seed).choice(len(frames), n, replace=False))
        projection.fit(torch.from_numpy(np.array(frames[rows])))
    finally:
        encoder.projection, model.normalizer = projection, normalizer
