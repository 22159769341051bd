"""The inverse of our short-time spectra is the nearest waveform, and iterations of Griffin and Lim only come nearer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.features import Framing, Spectrogram
from phonaut.features.functional import window_function
from phonaut.features.griffin_lim import STFT, Method, griffin_lim

FRAMINGS: dict[str, dict[str, Any]] = {
    "reflect": {},
    "replicate": {"pad_mode": "replicate"},
    "constant": {"pad_mode": "constant"},
    "odd": {"n_fft": 11},
    "snip_edges": {"mode": "snip_edges"},
    "causal": {"mode": "causal"},
}
LENGTHS = torch.tensor([41, 32])


def small(name: str) -> tuple[Framing, Tensor]:
    """Windows of 8 samples that are nowhere 0, every 3."""
    framing = Framing(**{"win_length": 8, "hop_length": 3, "n_fft": 10, **FRAMINGS[name]})
    window = window_function("hamming", 8)
    return framing, torch.nn.functional.pad(window, (0, framing.n_fft - 8))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.oracle
@pytest.mark.parametrize("name", FRAMINGS)
def test_the_inverse_is_the_least_squares_solution_for_each_recording(name: str) -> None:
    """Against a dense solution: the transform of every unit impulse is a column."""
    framing, window = small(name)
    stft = STFT(framing, window, LENGTHS)
    spectra = torch.complex(*noise(2, len(LENGTHS), stft.n_frames, framing.n_fft // 2 + 1))
    found = stft.inverse(spectra)
    wanted = torch.fft.irfft(spectra, n=framing.n_fft)  # a real signal: its mirror image counts too
    for row, n in enumerate(LENGTHS.tolist()):
        n_frames = framing.n_frames(n)
        impulses = torch.eye(n, dtype=torch.float64)
        columns = framing.frames(impulses, torch.full((n,), n))[:, :n_frames] * window
        matrix, target = columns.reshape(n, -1).T.numpy(), wanted[row, :n_frames].reshape(-1).numpy()
        solution = np.linalg.lstsq(matrix, target, rcond=None)[0]
        np.testing.assert_allclose(found[row, :n], solution, atol=1e-10)
        assert not found[row, n:].any()


@pytest.mark.peer
def test_the_inverse_is_torch_istfts_where_zeros_lie_beyond_the_ends() -> None:
    framing, window = Framing(400, 160, 512, "center", "constant"), torch.zeros(512, dtype=torch.float64)
    window[56:456] = window_function("hann", 400)  # torch centres the window, we begin with it
    ours = torch.cat([window[56:], window[:56]])
    n = 16000
    spectra = torch.complex(*noise(2, 1, 101, 257))
    shift = torch.exp(-2j * np.pi * 56 / 512 * torch.arange(257, dtype=torch.float64))
    theirs = torch.istft((spectra * shift).mT, 512, 160, 400, window_function("hann", 400), length=n)
    found = STFT(framing, ours, torch.tensor([n])).inverse(spectra)
    np.testing.assert_allclose(found, theirs, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"framing": "snip_edges"}, {"framing": "causal", "top_db": None}])
def test_spectra_of_a_recording_give_it_back(options: dict[str, Any]) -> None:
    front_end = Spectrogram(win_length=400, **options).double()
    lengths = torch.tensor([8000, 5001])
    audio = noise(2, 8000)
    audio[1, 5001:] = 0.0
    stft = STFT(front_end.layout, front_end.window, lengths)
    seen = stft.weight > 1e-6  # a Hann window is 0 at its first sample
    assert seen[0, 40:7700].all()
    np.testing.assert_allclose(torch.where(seen, stft.inverse(stft(audio)), audio)[seen], audio[seen], atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("name", FRAMINGS)
def test_plain_griffin_lim_never_comes_further_away(name: str) -> None:
    framing, window = small(name)
    magnitude = noise(2, framing.n_frames(41), framing.n_fft // 2 + 1).abs()  # of no waveform
    stft = STFT(framing, window, LENGTHS)
    inside = torch.ones(2, stft.n_frames) if stft.inside is None else stft.inside[:, :, 0]
    weights = torch.full((framing.n_fft // 2 + 1,), 2.0, dtype=torch.float64)
    audio, errors = noise(2, 41, seed=1), []
    audio[1, 32:] = 0.0
    for _ in range(200):
        far = (stft(audio).abs() - magnitude) * inside[:, :, None]
        two_sided = far.square() * 2
        two_sided[..., 0] /= 2
        if framing.n_fft % 2 == 0:
            two_sided[..., -1] /= 2
        errors.append(two_sided.sum(dim=(1, 2)))
        wanted = magnitude if stft.inside is None else magnitude * stft.inside
        bins = weights.clone()
        bins[0] = 1.0
        bins[-1] = 1.0 if framing.n_fft % 2 == 0 else 2.0
        audio, said = stft.nearer(audio, wanted, bins)
        np.testing.assert_allclose(said, errors[-1], rtol=1e-9)
    steps = torch.stack(errors).diff(dim=0)
    assert steps.max() <= 1e-9
    assert (errors[-1] < 0.8 * errors[0]).all()


def speech_like(n: int) -> Tensor:
    """A voice of 20 harmonics that glides, under an envelope `(1, n)`."""
    t = torch.arange(n, dtype=torch.float64) / 16000
    phase = 2 * np.pi * (120 * t + 30 * t**2)
    voice = torch.stack([torch.sin(k * phase) / k for k in range(1, 21)]).sum(dim=0)
    return (0.1 * voice * (1 + torch.sin(2 * np.pi * 4 * t)) + 0.001 * noise(n))[None]


@pytest.mark.parametrize("method", ["plain", "fast", "accelerated"])
@pytest.mark.parametrize(("framing", "n_iterations"), [("center", 1), ("center", 20), ("snip_edges", 20)])
def test_the_convergence_that_is_reported_is_that_of_the_audio_that_is_returned(
    method: Method, framing: Any, n_iterations: int
) -> None:
    """From phases of 0, the first iteration of `accelerated` goes too far: what was there before is returned."""
    front_end = Spectrogram(win_length=400, framing=framing, log=None, power=1).double()
    length = torch.tensor([6000])
    wanted, _ = front_end(speech_like(6000), length)
    found = griffin_lim(wanted, front_end.layout, front_end.window, length, method=method, n_iterations=n_iterations)
    got = torch.fft.rfft(front_end.layout.frames(found.audio, length) * front_end.window).abs()
    mirrored = [torch.cat([x, x[..., 1:-1]], dim=-1) for x in (got - wanted, wanted)]
    by_hand = 20 * torch.log10(mirrored[0].norm() / mirrored[1].norm())
    assert found.convergence.shape == (n_iterations + 1, 1)
    assert float(found.convergence[-1]) == pytest.approx(float(by_hand), abs=1e-6)
    assert (found.convergence.diff(dim=0) <= 0).all()  # the best so far


def test_momentum_comes_nearer_in_as_many_iterations() -> None:
    front_end = Spectrogram(win_length=400, log=None, power=1)
    length = torch.tensor([8000])
    wanted, _ = front_end(speech_like(8000).float(), length)
    last = {
        method: float(griffin_lim(wanted, front_end.layout, front_end.window, length, method=method).convergence[-1])
        for method in ("plain", "fast", "accelerated")
    }
    assert last["accelerated"] < last["plain"] - 3
    assert last["fast"] < last["plain"] - 3


def test_a_recording_does_not_know_what_else_is_in_its_batch() -> None:
    front_end = Spectrogram(win_length=400, log=None, power=1).double()
    lengths = torch.tensor([6000, 4100])
    audio = speech_like(6000).expand(2, -1).clone()
    wanted, frames = front_end(audio, lengths)
    both = griffin_lim(wanted, front_end.layout, front_end.window, lengths, seed=3, n_iterations=5)
    alone = griffin_lim(
        wanted[1:, : int(frames[1])], front_end.layout, front_end.window, lengths[1:], seed=3, n_iterations=5
    )
    np.testing.assert_allclose(both.audio[1, :4100], alone.audio[0], atol=1e-9)
    assert not both.audio[1, 4100:].any()
    np.testing.assert_allclose(both.convergence[:, 1], alone.convergence[:, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "faster"}, "method must be plain, fast or accelerated; got 'faster'"),
        ({"n_iterations": -1}, "n_iterations must be at least 0; got -1"),
        ({"magnitude": -torch.ones(1, 7, 257)}, "magnitude must be finite and not negative"),
        ({"magnitude": torch.ones(1, 8, 257)}, r"magnitude must be \(1, 7, 257\)"),
        ({"phase_of": torch.ones(1, 999)}, r"phase_of must be \(1, 1000\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    front_end = Spectrogram()
    good = {"magnitude": torch.ones(1, 7, 257), "framing": front_end.layout, "window": front_end.window}
    with pytest.raises(ValueError, match=message):
        griffin_lim(**{**good, "audio_lengths": torch.tensor([1000]), **change})
