"""What else is in the batch never changes a frame."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import phonaut.features.front_end
from phonaut.features import MFCC, FrontEnd

LENGTHS = [9000, 4321, 1, 160, 399, 480, 4800, 237]
"""Recordings longer and shorter than a window, than half of one, than a hop; of one sample; of whole hops."""


@pytest.fixture
def recordings(speech_like: Callable[[int], torch.Tensor]) -> list[torch.Tensor]:
    """One recording of each of LENGTHS."""
    return [speech_like(n) for n in LENGTHS]


def batch_of(recordings: list[torch.Tensor], *, extra: int, padding: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The recordings in one batch, filled up with `padding` to `extra` samples beyond the longest."""
    lengths = torch.tensor([len(recording) for recording in recordings])
    audio = recordings[0].new_full((len(recordings), int(lengths.max()) + extra), padding)
    for row, recording in zip(audio, recordings, strict=True):
        row[: len(recording)] = recording
    return audio, lengths


@pytest.mark.parametrize("padding", [0.0, float("nan")])
def test_padding_never_changes_a_frame(front_end: FrontEnd, recordings: list[torch.Tensor], padding: float) -> None:
    frames, lengths = front_end(*batch_of(recordings, extra=1000, padding=padding))
    assert frames.shape == (len(recordings), int(front_end.n_frames(torch.tensor(10000))), front_end.n_features)
    for recording, in_batch, length in zip(recordings, frames, lengths, strict=True):
        alone, (alone_length,) = front_end(recording[None], torch.tensor([len(recording)]))
        assert length == alone_length == alone.shape[1]
        torch.testing.assert_close(in_batch[:length], alone[0], rtol=1e-9, atol=1e-9)
        assert bool((in_batch[length:] == 0).all())


def test_blocks_never_change_a_frame(
    front_end: FrontEnd, recordings: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(recordings, extra=0, padding=0.0)
    monkeypatch.setattr(phonaut.features.front_end, "BLOCK_FRAMES", 10**9)
    whole, _ = front_end(*batch)
    monkeypatch.setattr(phonaut.features.front_end, "BLOCK_FRAMES", 1)
    in_blocks, _ = front_end(*batch)
    torch.testing.assert_close(in_blocks, whole, rtol=1e-9, atol=1e-9)


def test_the_same_audio_gives_the_same_bits(front_end: FrontEnd, recordings: list[torch.Tensor]) -> None:
    batch = batch_of(recordings, extra=10, padding=0.0)
    assert torch.equal(front_end(*batch)[0], front_end(*batch)[0])


def test_a_loud_neighbour_does_not_raise_the_floor(speech_like: Callable[[int], torch.Tensor]) -> None:
    """top_db is counted from each recording's own peak; torchaudio takes the peak of the batch."""
    faint = speech_like(8000) * 1e-3
    audio = torch.stack([faint, torch.ones_like(faint) * 0.9])
    lengths = torch.tensor([8000, 8000])
    front_end = MFCC(top_db=20.0).double()
    torch.testing.assert_close(front_end(audio, lengths)[0][0], front_end(faint[None], lengths[:1])[0][0])


def test_the_audio_is_left_as_it_was(front_end: FrontEnd, recordings: list[torch.Tensor]) -> None:
    audio, lengths = batch_of(recordings, extra=500, padding=0.25)
    before = audio.clone()
    front_end(audio, lengths)
    assert torch.equal(audio, before)
