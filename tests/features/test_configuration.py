"""The shipped configurations build, and say what the code says."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from phonaut.features import KALDI, KALDI_MFCC, Frames, FrontEnd

CONF = Path(str(files("phonaut"))) / "config" / "conf"
FEATURES = sorted(path.stem for path in (CONF / "features").glob("*.yaml"))
NORMALIZERS = sorted(path.stem for path in (CONF / "normalizer").glob("*.yaml"))


def composed(group: str, name: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        container = OmegaConf.to_container(compose(overrides=[f"+{group}={name}"])[group])
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "frames"])
def test_every_front_end_shows_all_its_keys_and_builds(name: str) -> None:
    configuration = composed("features", name)
    front_end = instantiate(configuration)
    assert isinstance(front_end, FrontEnd)
    assert set(configuration) - {"_target_"} == set(front_end.Options.__dataclass_fields__)
    frames, _ = front_end(torch.randn(1, 16000), torch.tensor([16000]))
    assert frames.shape[2] == front_end.n_features


def test_frames_as_they_are_need_what_their_folder_says() -> None:
    configuration = composed("features", "frames")
    assert set(configuration) - {"_target_"} == set(Frames.Options.__dataclass_fields__)
    with pytest.raises(Exception, match="features=frames goes with dataset=frames"):
        instantiate(configuration)
    front_end = instantiate({**configuration, "n_features": 3, "frame_shift_s": 0.02, "frame_offset_s": 0.0})
    frames, lengths = torch.randn(2, 9, 3), torch.tensor([9, 4])
    assert front_end(frames, lengths) == (frames, lengths)
    assert (front_end.sample_rate, front_end.frame_shift_s) == (50.0, 0.02)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_every_normaliser_builds(name: str) -> None:
    frames, node = torch.randn(1, 10, 3), composed("normalizer", name)
    more = {"n_features": 3} if getattr(get_class(node["_target_"]), "has_weights", False) else {}
    assert instantiate(node, **more)(frames, torch.tensor([10])).shape == frames.shape


@pytest.mark.parametrize(("name", "preset"), [("mfcc", {}), ("mfcc_kaldi", KALDI_MFCC), ("melspec_kaldi", KALDI)])
def test_the_presets_are_those_of_the_library(name: str, preset: dict[str, Any]) -> None:
    configuration = composed("features", name)
    front_end = instantiate(configuration)
    del configuration["_target_"]
    assert front_end.options == type(front_end)(**configuration).options == type(front_end)(**preset).options


def test_a_second_has_the_published_shapes() -> None:
    shapes = {}
    for name in ("mfcc", "melspec", "spectrogram", "raw", "mfcc_kaldi"):
        frames, _ = instantiate(composed("features", name))(torch.randn(1, 16000), torch.tensor([16000]))
        shapes[name] = tuple(frames.shape[1:])
    assert shapes == {
        "mfcc": (101, 40),
        "melspec": (101, 128),
        "spectrogram": (101, 201),
        "raw": (16000, 1),
        "mfcc_kaldi": (98, 13),
    }
