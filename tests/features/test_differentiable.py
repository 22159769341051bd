"""Gradients, precisions, devices and export of every front end."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from phonaut.features import CMVN, KALDI_MFCC, MFCC, FrontEnd, GainNormalizer, MelSpectrogram, Raw, Spectrogram

TINY: dict[str, tuple[type[FrontEnd], dict[str, Any]]] = {
    "mfcc": (MFCC, {"n_mfcc": 3, "deltas": 2}),
    "mfcc-kaldi": (MFCC, {**KALDI_MFCC, "n_mfcc": 3, "f_min": 100.0, "scale": 1.0}),
    "melspec-causal": (MelSpectrogram, {"framing": "causal", "top_db": None, "log": "natural"}),
    "spectrogram-magnitude": (Spectrogram, {"power": 1, "log": None}),
    "raw": (Raw, {"framing": "center"}),
}


@pytest.mark.parametrize("name", TINY)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    make, options = TINY[name]
    size: dict[str, Any] = {"win_length": 12, "hop_length": 5}
    size |= {} if make is Raw else {"n_fft": 16}
    size |= {"n_mels": 3, "f_max": 8000.0} if issubclass(make, MelSpectrogram) else {}
    front_end = make(**{**options, **size}).double()
    audio = torch.randn(2, 33, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    lengths = torch.tensor([33, 21])
    assert torch.autograd.gradcheck(lambda a: front_end(a, lengths)[0], (audio,))


@pytest.mark.parametrize("normalizer", [CMVN(), CMVN(variance=False), GainNormalizer()])
def test_gradients_of_normalisers_are_those_of_finite_differences(normalizer: torch.nn.Module) -> None:
    frames = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: normalizer(f, torch.tensor([5, 3])), (frames,))


def test_silence_has_finite_gradients(front_end: FrontEnd) -> None:
    audio = torch.zeros(1, 4800, dtype=torch.float64, requires_grad=True)
    frames, lengths = front_end(audio, torch.tensor([4800]))
    CMVN()(frames, lengths).square().sum().backward()
    assert audio.grad is not None
    assert bool(audio.grad.isfinite().all())


def test_single_precision_is_near_double(front_end: FrontEnd) -> None:
    audio = 0.1 * torch.randn(2, 8000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([8000, 5000])
    exact, _ = front_end(audio, lengths)
    single, _ = copy.deepcopy(front_end).float()(audio.float(), lengths)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=5e-3)


def test_autocast_does_not_lower_the_precision(front_end: FrontEnd) -> None:
    front_end = front_end.float()
    audio, lengths = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)), torch.tensor([8000, 5000])
    expected, _ = front_end(audio, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames, _ = front_end(audio, lengths)
    assert torch.equal(frames, expected)


def test_half_precision_modules_compute_in_single(front_end: FrontEnd) -> None:
    audio = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected, _ = front_end.float()(audio.float(), torch.tensor([8000]))
    frames, _ = front_end.bfloat16()(audio, torch.tensor([8000]))
    if any(True for _ in front_end.parameters()):  # weights are rounded, the arithmetic is not
        torch.testing.assert_close(frames.float(), expected, rtol=0.02, atol=0.02)
    else:
        assert torch.equal(frames, expected.bfloat16())


def test_an_exported_front_end_gives_the_same_frames(front_end: FrontEnd) -> None:
    front_end = front_end.float()
    audio = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(front_end, (audio, torch.tensor([8000, 8000])))
    for lengths in ([8000, 8000], [8000, 3333], [200, 1]):
        torch.testing.assert_close(
            program.module()(audio, torch.tensor(lengths)), front_end(audio, torch.tensor(lengths))
        )


def test_constants_stay_out_of_the_checkpoint_and_follow_the_type(front_end: FrontEnd) -> None:
    constants = dict(front_end.named_buffers(recurse=False))
    assert not constants.keys() & front_end.state_dict().keys()
    assert all(value.dtype == torch.float64 for value in constants.values())
    front_end.to(torch.float32)
    assert all(value.dtype == torch.float32 for value in dict(front_end.named_buffers(recurse=False)).values())


@pytest.mark.cuda
def test_a_gpu_gives_the_same_frames(front_end: FrontEnd) -> None:
    audio = 0.1 * torch.randn(40, 8000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(4000, 8000, 100)
    expected, expected_lengths = front_end(audio, lengths)
    frames, frame_lengths = front_end.cuda()(audio.cuda(), lengths.cuda())
    torch.testing.assert_close(frames.cpu(), expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(frame_lengths.cpu(), expected_lengths)
