"""What a conversion adds to codes and exchanges in conditions, on codes that are written down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.features.spectral import MelSpectrogram
from phonaut.files import write_arrays
from phonaut.models.generators import FHVAE, Generator, Windows
from phonaut.models.window_model import WindowModel
from phonaut.tasks.conversion import Change, Conversion, attribute_of, change_of
from phonaut.tasks.latents import FILE, Latents

SPEAKERS, LABELS = ["ann", "bob", "eva"], ["a", "b"]
GENDERS = {"ann": "f", "bob": "m", "eva": "f"}
Z = 4


class Repeated(Generator):
    """The code of a window is its first values, and what it is made of is the code and the condition."""

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        return frames[:, 0, :Z] + 10 * condition.sum(dim=1, keepdim=True)

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        return torch.cat([latents, condition], dim=1)[:, None, :]


@pytest.fixture
def latents(tmp_path: Path) -> Latents:
    means = {
        name: np.random.default_rng(i).standard_normal((3, Z)) for i, name in enumerate(("speaker", "gender", "label"))
    }
    names = {"speaker": SPEAKERS, "gender": ["f", "m"], "label": LABELS}
    arrays: dict[str, Any] = {"codes": np.ones((3, Z)), "of/speaker": np.array(SPEAKERS)}
    arrays |= {"of/gender": np.array([GENDERS[name] for name in SPEAKERS]), "of/label": np.array(["a", "b", "a"])}
    for name, of in names.items():
        arrays |= {f"names/{name}": np.array(of), f"means/{name}": means[name][: len(of)]}
    write_arrays(tmp_path / FILE, arrays)
    return Latents(tmp_path)


def model_of(
    network: type[Generator] = Repeated, labels: Sequence[str] = (), speakers: Sequence[str] = (), **options: Any
) -> WindowModel:
    front_end = MelSpectrogram(n_mels=8, n_fft=512)
    size = len(labels) + len(speakers)
    built = network(
        n_features=8, window_frames=4, latent_size=Z, condition_size=size, channels=(2, 2, 2), hidden_size=4, **options
    )
    return WindowModel(front_end, built, labels=labels, speakers=speakers)


def test_codes_move_so_many_times_the_difference_of_the_means_or_from_where_they_start(latents: Latents) -> None:
    model = model_of()
    female, male = latents.mean("gender", "f"), latents.mean("gender", "m")
    moved = change_of(model, latents, Conversion("gender:f", 1.5), source="gender:m")
    np.testing.assert_allclose(moved.move, 1.5 * (female - male), rtol=1e-6)
    assert moved.heard is moved.made is None
    start = np.arange(Z, dtype=float)
    moved = change_of(model, latents, Conversion("gender:f"), start=start)
    np.testing.assert_allclose(moved.move, female - start, rtol=1e-6)


def test_the_condition_of_a_gender_is_the_mean_over_its_speakers_and_labels_stay(latents: Latents) -> None:
    model = model_of(labels=LABELS, speakers=SPEAKERS)
    change = change_of(model, latents, Conversion("gender:f"), source="gender:m")
    assert change.made is not None
    assert change.heard is not None
    assert change.made.tolist() == [0, 0, 0.5, 0, 0.5]
    assert change.heard.tolist() == [0, 0, 0, 1, 0]
    given = torch.tensor([[0.0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])
    windows = Windows(torch.zeros(2, 4, 8), given, torch.tensor([-1, -1]), lambda *_: torch.zeros(2, 1))
    made = change.windows(model, windows)[:, 0]
    assert made[:, Z:].tolist() == [[0, 1, 0.5, 0, 0.5], [1, 0, 0.5, 0, 0.5]]
    assert made[:, 0].tolist() == [20, 20], "encoded as spoken by bob, each with its label"
    label = change_of(model, latents, Conversion("label:b")).windows(model, windows)[:, 0, Z:]
    assert label.tolist() == [[0, 1, 1, 0, 0], [0, 1, 0, 0, 1]]
    assert Change().windows(model, windows)[:, 0, Z:].tolist() == given.tolist()


def test_of_an_fhvae_voices_move_the_code_of_the_sequence_and_labels_that_of_the_segment(latents: Latents) -> None:
    model = model_of(FHVAE, sequence_latents=1)
    full = latents.mean("gender", "f") - latents.mean("gender", "m")
    voice = change_of(model, latents, Conversion("gender:f"), source="gender:m").move
    np.testing.assert_allclose(voice, [0, 0, 0, full[3]], rtol=1e-6)
    full = latents.mean("label", "b") - latents.mean("label", "a")
    label = change_of(model, latents, Conversion("label:b"), source="label:a").move
    np.testing.assert_allclose(label, [*full[:3], 0], rtol=1e-6)


def test_what_cannot_be_converted_is_refused(latents: Latents) -> None:
    conditional = model_of(speakers=SPEAKERS)
    with pytest.raises(ValueError, match="strength=2 is of codes that move"):
        change_of(conditional, latents, Conversion("gender:f", 2.0))
    with pytest.raises(ValueError, match=r"speaker=anne is none of its 3; did you mean ann\?; they are "):
        change_of(conditional, latents, Conversion("speaker:anne"))
    with pytest.raises(ValueError, match="no training window has gender=x"):
        change_of(conditional, latents, Conversion("gender:x"))
    with pytest.raises(ValueError, match="both must be of one kind"):
        change_of(conditional, latents, Conversion("gender:f"), source="speaker:ann")
    with pytest.raises(ValueError, match="must be speaker:NAME"):
        attribute_of("age:30")
