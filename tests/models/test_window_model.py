"""Windows normalised, recordings rebuilt, and codes of frames, with generators whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.data.frame_windows import WindowBatch
from phonaut.features import MelSpectrogram
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generators import CVAE, FHVAE, WGANGP, Generator
from phonaut.models.shaped_by_data import adopt_shapes
from phonaut.models.window_model import WindowModel

T, D = 8, 12
SMALL = {"channels": [8, 8, 8], "hidden_size": 16, "latent_size": 4, "n_features": D, "window_frames": T}


class Same(Generator):
    """Its code is the window itself."""

    def __init__(self, condition_size: int = 0) -> None:
        super().__init__(n_features=D, window_frames=T, latent_size=T * D, condition_size=condition_size)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        return frames.flatten(1)

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        return latents.reshape(-1, T, D) + condition.sum(dim=1)[:, None, None]


def front_end() -> MelSpectrogram:
    return MelSpectrogram(n_mels=D, n_fft=256, win_length=200, hop_length=80, sample_rate=8000)


def model_of(network: Generator, n_labels: int = 0) -> WindowModel:
    model = WindowModel(front_end(), network, labels=[str(i) for i in range(n_labels)]).eval()
    rng = np.random.default_rng(0)
    model.fit_normalization(rng.normal(-30, 7, (200, D)).astype(np.float32))
    return model


def test_features_have_mean_0_and_variance_1_and_come_back() -> None:
    frames = np.random.default_rng(1).normal([[5.0] * D], np.arange(1, D + 1), (3000, D)).astype(np.float32)
    frames[:, 3] = 2.5  # never varies
    model = WindowModel(front_end(), Same())
    model.fit_normalization(frames)
    normalised = model.normalised(torch.from_numpy(frames)).double()
    np.testing.assert_allclose(normalised.mean(dim=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(normalised.std(dim=0, correction=0), [float(i != 3) for i in range(D)], atol=1e-4)
    np.testing.assert_allclose(model.restored(normalised.float()), frames, rtol=1e-5, atol=1e-5)
    again = WindowModel(front_end(), Same())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.mean, model.mean)
    assert torch.equal(again.deviation, model.deviation)


def test_frames_beyond_a_recording_are_0_and_conditions_are_one_hot_or_nothing() -> None:
    model = WindowModel(front_end(), Same(5), labels=["a", "b"], speakers=["x", "y", "z"])
    model.fit_normalization(np.random.default_rng(0).normal(3, 2, (50, D)).astype(np.float32))
    inside = torch.arange(T)[None] < torch.tensor([T, 3])[:, None]
    minus = torch.tensor([1, -1])
    batch = WindowBatch(torch.randn(2, T, D), inside, minus, torch.tensor([-1, 2]), minus, minus, torch.arange(2))
    windows = model.windows(batch)
    assert windows.frames[1, 3:].abs().max() == 0
    assert windows.frames[0].abs().min() > 0
    assert windows.condition.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize("shift", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 5, 8, 29])
def test_what_is_rebuilt_by_a_generator_that_changes_nothing_is_the_recording(n: int, shift: int) -> None:
    model = model_of(Same())
    frames = torch.randn(n, D) * 7 - 30
    torch.testing.assert_close(model.rebuilt(frames, shift_frames=shift), frames, rtol=1e-5, atol=1e-4)


def test_what_is_rebuilt_moves_by_the_move_of_its_codes_and_by_the_condition_it_is_made_for() -> None:
    model = model_of(Same(2), 2)
    frames = torch.randn(20, D)
    move = torch.full((T * D,), 0.5)
    moved = model.rebuilt(frames, shift_frames=2, move=move)
    torch.testing.assert_close(moved, frames + 0.5 * model.deviation, rtol=1e-4, atol=1e-4)
    made = model.rebuilt(frames, shift_frames=2, made=torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(made, frames + model.deviation, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shift", [0, 9])
def test_windows_that_would_not_touch_are_refused(shift: int) -> None:
    with pytest.raises(ValueError, match=r"^shift_frames must be from 1 to 8, the frames of a window; got"):
        model_of(Same()).rebuilt(torch.randn(20, D), shift_frames=shift)


def test_a_generator_of_another_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="takes a condition of 0 values, and there are 1 classes and 0 speakers"):
        WindowModel(front_end(), Same(), labels=["a"])


def test_the_code_of_a_frame_is_that_of_the_window_around_it_whatever_the_padding() -> None:
    torch.manual_seed(0)
    model = model_of(CVAE(**SMALL, condition_size=2), 2)
    encoder = EncodedWindows(front_end(), CVAE(**SMALL, condition_size=2)).eval()
    encoder.adopt(model.state_dict())
    audio = torch.randn(2, 2400) / 10
    lengths = torch.tensor([2400, 1100])
    codes, n = encoder(audio, lengths)
    assert n.tolist() == [31, 14]
    assert codes[1, 14:].abs().max() == 0
    for i in range(2):
        frames = model.frames(audio[i : i + 1, : lengths[i]], lengths[i : i + 1])[0][0]
        for t in (0, 3, 7, int(n[i]) - 1):
            window = torch.zeros(T, D)
            for j in range(T):
                if 0 <= t - T // 2 + j < len(frames):
                    window[j] = model.normalised(frames[t - T // 2 + j])
            expected = model.network.encode(window[None], torch.zeros(1, 2))[0]
            torch.testing.assert_close(codes[i, t], expected, rtol=1e-4, atol=1e-5)
    alone, _ = encoder(audio[1:, :1100], lengths[1:])
    torch.testing.assert_close(codes[1:, :14], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("option", [{"mode": "weighted"}, {"layer": 1}])
def test_an_encoder_of_windows_is_frozen_and_has_one_code(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        EncodedWindows(front_end(), CVAE(**SMALL), **option)  # type: ignore[arg-type]


def test_the_table_of_an_fhvae_comes_with_its_weights() -> None:
    network = FHVAE(**SMALL, sequence_latents=2)
    network.set_sequences(7)
    model = model_of(network)
    encoder = EncodedWindows(front_end(), FHVAE(**SMALL, sequence_latents=2))
    encoder.adopt(model.state_dict())
    ours, theirs = model.state_dict(), encoder.windows.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_layer_of_sequences_is_the_last_part_of_the_code_of_an_fhvae_and_of_no_other() -> None:
    network = FHVAE(**SMALL, sequence_latents=3).eval()
    whole, part = (EncodedWindows(front_end(), network, layer=layer) for layer in ("last", "sequence"))
    audio = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    codes, of_sequence = (encoder(audio, torch.tensor([3000, 2000]))[0] for encoder in (whole, part))
    assert part.n_features == 3
    assert torch.equal(of_sequence, codes[:, :, 1:])
    with pytest.raises(
        ValueError, match=r"encoder\.layer=sequence: a CVAE has no latents of sequences, as a FHVAE has"
    ):
        EncodedWindows(front_end(), CVAE(**SMALL), layer="sequence")


def test_the_table_of_an_fhvae_is_found_where_it_stands_in_front_of_another_network() -> None:
    trained, fresh = (
        torch.nn.ModuleDict({"front_end": EncodedWindows(front_end(), FHVAE(**SMALL, sequence_latents=2))})
        for _ in range(2)
    )
    trained["front_end"].windows.network.set_sequences(7)  # type: ignore[union-attr, operator]
    adopt_shapes(fresh, trained.state_dict())
    fresh.load_state_dict(trained.state_dict())


def test_what_is_heard_is_at_one_level_and_what_cannot_be_heard_says_why() -> None:
    model = model_of(Same())
    audio = torch.sin(torch.arange(4000) * 0.4)[None] * 0.3
    frames = model.frames(audio, torch.tensor([4000]))[0][0].numpy()
    heard = model.audio(frames, phase_of=audio[0].numpy())
    assert len(heard) == 4000
    assert 20 * np.log10(np.sqrt(np.mean(heard[200:-200] ** 2))) == pytest.approx(-26, abs=0.5)
    peak_hz = np.abs(np.fft.rfft(heard)).argmax() * 2.0
    assert peak_hz == pytest.approx(8000 * 0.4 / (2 * np.pi), abs=100)  # a filter is 240 Hz wide
    silent = WindowModel(front_end(), Same(), torch.nn.Identity())
    with pytest.raises(ValueError, match="Identity takes from each recording what inversion would need"):
        silent.audio(frames)


def test_a_wgan_has_no_codes() -> None:
    assert not WGANGP.has_encoder


def test_recordings_without_a_sound_are_refused() -> None:
    with pytest.raises(ValueError, match="all frames of training are the same"):
        model_of(Same()).fit_normalization(np.full((50, D), -80.0, np.float32))
