"""Stretches and bands that are hidden from a model."""

from __future__ import annotations

import torch

from phonaut.features import MelSpectrogram, RelaxedFrequencyNorm
from phonaut.features.functional import cmvn
from phonaut.features.hiding import hide, within_bands, within_times


def test_hidden_frames_are_the_mean_of_the_recording_and_padding_stays_zero() -> None:
    frames = torch.arange(24.0).view(2, 4, 3)
    lengths = torch.tensor([4, 2])
    frames[1, 2:] = 0
    hidden = torch.tensor([[False, True, False, False], [True, False, True, True]])
    got = hide(frames, lengths, hidden[:, :, None])
    assert got[0, 1].tolist() == frames[0].mean(dim=0).tolist()
    assert got[1, 0].tolist() == frames[1, :2].mean(dim=0).tolist()
    assert torch.equal(got[0, [0, 2, 3]], frames[0, [0, 2, 3]])
    assert torch.equal(got[1, 1], frames[1, 1])
    assert (got[1, 2:] == 0).all()


def test_a_frame_is_hidden_where_its_centre_is() -> None:
    stretches = torch.tensor([[[0.0, 0.0], [0.02, 0.045]], [[0.0, 0.011], [0.5, 0.9]]], dtype=torch.float64)
    hidden = within_times(stretches, 6, frame_shift_s=0.01, frame_offset_s=0.005)
    assert hidden.int().tolist() == [[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]


def test_a_band_is_hidden_in_the_features_and_in_their_deltas() -> None:
    bands = torch.tensor([[[0.25, 0.5]], [[0.0, 0.0]]], dtype=torch.float64)
    assert within_bands(bands, 8, 2).int().tolist() == [[0, 1, 0, 0, 0, 1, 0, 0], [0] * 8]


def test_relaxed_normalisation_is_half_layer_norm_and_half_norm_of_each_band() -> None:
    torch.manual_seed(0)
    frames = torch.randn(2, 50, 8, dtype=torch.float64) * torch.rand(8) * 5 + torch.randn(8) * 20
    frames[1, 30:] = 0
    lengths = torch.tensor([50, 30])
    got = RelaxedFrequencyNorm()(frames, lengths)
    for i, n in enumerate(lengths.tolist()):
        own = frames[i, :n]
        layer = torch.nn.functional.layer_norm(own[None], (n, 8), eps=0)[0]
        band = torch.nn.functional.instance_norm(own.T[None], eps=0)[0].T
        torch.testing.assert_close(got[i, :n], 0.5 * layer + 0.5 * band, rtol=1e-6, atol=1e-6)
    assert (got[1, 30:] == 0).all()
    torch.testing.assert_close(RelaxedFrequencyNorm(relaxation=0)(frames, lengths), cmvn(frames, lengths))


def test_the_level_of_a_recording_is_gone_after_relaxed_normalisation() -> None:
    front_end = MelSpectrogram(top_db=None, amin=1e-20)
    audio, lengths = torch.randn(1, 16000) / 10, torch.tensor([16000])
    loud, soft = (RelaxedFrequencyNorm()(*front_end(audio * gain, lengths)) for gain in (1.0, 0.01))
    torch.testing.assert_close(loud, soft, rtol=0, atol=1e-3)
