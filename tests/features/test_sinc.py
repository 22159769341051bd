"""Learned band-passes pass their bands, and learn where they should lie."""

import numpy as np
import pytest
import torch

from phonaut.features import Sinc


def test_the_filters_begin_as_published() -> None:
    front_end = Sinc()
    low, high = (edge.detach() for edge in front_end.bands())
    assert front_end.filters().shape == (101, 40)
    assert sum(p.numel() for p in front_end.parameters()) == 160
    assert float(low.min()) >= 50
    assert float((high - low).min()) >= 50 - 1e-3
    assert float(high.max()) <= 8000
    assert bool((low.diff() >= 0).all())


@pytest.mark.oracle
def test_a_filter_passes_its_band_and_little_else() -> None:
    front_end = Sinc(win_length=401)
    low, high = (edge.detach().numpy() for edge in front_end.bands())
    response = np.abs(np.fft.rfft(front_end.filters().detach().numpy(), 16000, axis=0))  # a bin is a hertz
    for k in range(0, 40, 5):
        gain = response[:, k] / response[:, k].max()
        if high[k] - low[k] > 160:  # the transition of 401 taps is that wide
            assert gain[int(low[k]) + 80 : int(high[k]) - 80].min(initial=1.0) > 0.9
        outside = np.r_[gain[: max(0, int(low[k]) - 80)], gain[int(high[k]) + 80 :]]
        assert outside.max() < 0.02


@pytest.mark.oracle
def test_a_frame_is_the_mean_of_two_results() -> None:
    front_end, audio = Sinc().double(), torch.randn(1, 500, dtype=torch.float64)
    filters, x = front_end.filters().detach().numpy(), audio[0].numpy()
    at = [np.log1p(np.abs(filters.T @ x[16 * 3 + offset : 16 * 3 + offset + 101])) for offset in (0, 8)]
    front_end.eval().norm.reset_running_stats()
    frames, lengths = front_end(audio, torch.tensor([500]))
    assert lengths.item() == 1 + (500 - 109) // 16
    expected = torch.from_numpy(np.mean(at, axis=0)) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(frames[0, 3].detach(), expected, rtol=0, atol=1e-12)


def test_bands_move_to_where_the_sound_is() -> None:
    front_end = Sinc(n_filters=1, hop_length=160)
    front_end.low_khz.data[:], front_end.band_khz.data[:] = 1.0, 0.15
    time = torch.arange(4000) / 16000
    audio = torch.sin(2 * np.pi * 1400 * time)[None]
    optimizer = torch.optim.Adam([front_end.low_khz, front_end.band_khz], lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        windows = front_end.layout.frames(audio, torch.tensor([4000]))
        (-front_end.analyze(windows).mean()).backward()
        optimizer.step()
    low, high = (edge.detach() for edge in front_end.bands())
    assert float(low) < 1400 < float(high)


def test_padding_has_no_part_in_the_statistics_of_training() -> None:
    audio = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    longer = torch.cat([audio, torch.full((2, 2000), 9.0)], dim=1)
    lengths = torch.tensor([3000, 1500])
    one, other = Sinc(), Sinc()
    torch.testing.assert_close(other(longer, lengths)[0][:, :181], one(audio, lengths)[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(other.norm.running_mean, one.norm.running_mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"win_length": 100}, "use 101"),
        ({"hop_length": 15}, "multiple of pool=2"),
        ({"least_hz": 9000.0}, "half of sample_rate"),
        ({"n_filters": 0}, "must be >= 1"),
    ],
)
def test_filters_that_cannot_be_are_refused(options: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Sinc(**options)
