"""Where frames lie: counts, times, and what stands beyond the ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonaut.features import MFCC, Framing, Raw, Spectrogram
from phonaut.features.framing import Mode


def windows(
    audio: list[float], win_length: int, hop_length: int, mode: Mode, pad_mode: str = "reflect"
) -> list[list[float]]:
    """The windows of one recording, as lists."""
    layout = Framing(win_length, hop_length, win_length, mode, pad_mode)  # type: ignore[arg-type]
    frames = layout.frames(torch.tensor([audio]), torch.tensor([len(audio)]))
    return frames[0].tolist()  # type: ignore[no-any-return]


def test_a_second_has_101_centred_98_whole_and_100_causal_frames() -> None:
    counts = {mode: Framing(400, 160, 512, mode).n_frames(16000) for mode in ("center", "snip_edges", "causal")}
    assert counts == {"center": 101, "snip_edges": 98, "causal": 100}


def test_centred_windows_mirror_the_ends() -> None:
    assert windows([1, 2, 3, 4, 5], 4, 2, "center") == [[3, 2, 1, 2], [1, 2, 3, 4], [3, 4, 5, 4]]
    assert windows([1, 2, 3, 4, 5], 4, 2, "center", "constant") == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 0]]
    assert windows([1, 2, 3, 4, 5], 4, 2, "center", "replicate") == [[1, 1, 1, 2], [1, 2, 3, 4], [3, 4, 5, 5]]


def test_whole_windows_lie_inside_the_recording() -> None:
    assert windows([1, 2, 3, 4, 5, 6], 3, 2, "snip_edges") == [[1, 2, 3], [3, 4, 5]]


def test_a_causal_frame_ends_with_its_hop() -> None:
    assert windows([1, 2, 3, 4, 5], 3, 2, "causal") == [[0, 1, 2], [2, 3, 4]]


def test_a_causal_frame_never_hears_what_follows_it() -> None:
    front_end = MFCC(framing="causal", top_db=None, deltas=2, n_mfcc=13)
    audio = torch.randn(1, 4800, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4800])
    whole, _ = front_end(audio, lengths)
    for t in (0, 1, 17):
        heard = 160 * (t + 1)
        cut, n_frames = front_end(audio[:, :heard], torch.tensor([heard]))
        assert int(n_frames) == t + 1
        torch.testing.assert_close(cut[0, t], whole[0, t], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mode", ["center", "snip_edges", "causal"])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 7])
def test_a_recording_shorter_than_a_window_has_one_frame(mode: Mode, n_samples: int) -> None:
    samples = [float(i + 1) for i in range(n_samples)]
    frames = windows(samples, 16, 8, mode)
    expected = {
        "center": np.pad(samples, (8, 8), mode="reflect")[:16].tolist(),
        "snip_edges": samples + [0.0] * (16 - n_samples),
        "causal": [0.0] * 8 + samples + [0.0] * (8 - n_samples),
    }
    assert frames == [expected[mode]]


@pytest.mark.parametrize("pad_mode", ["reflect", "replicate", "constant"])
@pytest.mark.parametrize(("n_fft", "win_length", "hop_length"), [(16, 16, 5), (17, 12, 4), (16, 13, 16), (15, 15, 6)])
def test_centred_windows_are_those_of_numpy(pad_mode: str, n_fft: int, win_length: int, hop_length: int) -> None:
    names = {"reflect": "reflect", "replicate": "edge", "constant": "constant"}
    layout = Framing(win_length, hop_length, n_fft, "center", pad_mode)  # type: ignore[arg-type]
    for n_samples in (3, 8, 16, 31, 48):
        samples = np.arange(1.0, n_samples + 1)
        padded = np.pad(samples, n_fft // 2, mode=names[pad_mode])  # type: ignore[call-overload]
        expected = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
        first = (n_fft - win_length) // 2
        frames = layout.frames(torch.from_numpy(samples)[None], torch.tensor([n_samples]))[0]
        assert len(frames) == layout.n_frames(n_samples) == len(expected)
        np.testing.assert_array_equal(frames[:, :win_length], expected[:, first : first + win_length])


@pytest.mark.parametrize("options", [{}, {"framing": "snip_edges"}, {"framing": "causal", "top_db": None}])
@pytest.mark.parametrize("win_length", [400, 480])
def test_a_click_is_loudest_in_the_frame_centred_on_it(options: dict[str, str], win_length: int) -> None:
    front_end = Spectrogram(win_length=win_length, **options)
    for t in (5, 20, 40):
        click = round((front_end.frame_offset_s + t * front_end.frame_shift_s) * 16000)
        audio = torch.zeros(1, 16000)
        audio[0, click] = 1.0
        level = front_end(audio, torch.tensor([16000]))[0][0].sum(dim=1)
        assert int(level.argmax()) == t


def test_raw_frames_of_one_sample_are_the_recording() -> None:
    audio = torch.randn(2, 50)
    frames, lengths = Raw()(audio, torch.tensor([50, 50]))
    assert torch.equal(frames.squeeze(-1), audio)
    assert lengths.tolist() == [50, 50]


def test_raw_windows_overlap() -> None:
    frames, _ = Raw(win_length=3, hop_length=2)(torch.arange(1.0, 7.0)[None], torch.tensor([6]))
    assert frames[0].tolist() == [[1, 2, 3], [3, 4, 5]]
