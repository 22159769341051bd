"""The presets agree with the tools whose names they carry, on every bin."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from phonaut.config.compose import compose
from phonaut.config.nodes import instantiate
from phonaut.features import CMVN, KALDI, KALDI_MFCC, MFCC, FrontEnd, MelSpectrogram, Spectrogram
from phonaut.features.functional import deltas

pytestmark = pytest.mark.peer
Signal = npt.NDArray[np.float32]


def ours(front_end: FrontEnd, signal: Signal, dtype: torch.dtype = torch.float32) -> npt.NDArray[np.floating[Any]]:
    """Our frames of `signal`, computed beside a longer recording and with rubbish after its end."""
    batch = torch.rand(2, len(signal) + 777, generator=torch.Generator().manual_seed(0), dtype=dtype)
    batch[0, : len(signal)] = torch.from_numpy(signal)
    frames, lengths = front_end.to(dtype)(batch, torch.tensor([len(signal), len(signal) + 777]))
    return np.asarray(frames[0, : int(lengths[0])])


def kaldi(options: Any, signal: Signal, sample_rate: int = 16000) -> npt.NDArray[np.float32]:
    import kaldi_native_fbank

    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = sample_rate
    make = {
        kaldi_native_fbank.MfccOptions: kaldi_native_fbank.OnlineMfcc,
        kaldi_native_fbank.FbankOptions: kaldi_native_fbank.OnlineFbank,
    }[type(options)]
    peer = make(options)
    peer.accept_waveform(sample_rate, signal * 32768)
    peer.input_finished()
    return np.stack([peer.get_frame(i) for i in range(peer.num_frames_ready)])


def test_kaldi_filter_banks_agree_with_kaldi_native_fbank(signal: Signal) -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    theirs = kaldi(knf.FbankOptions(), signal)
    np.testing.assert_allclose(ours(MelSpectrogram(**KALDI), signal), theirs, rtol=0, atol=1e-3)


def test_kaldi_cepstra_agree_with_kaldi_native_fbank(signal: Signal) -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.MfccOptions()
    options.use_energy = False
    np.testing.assert_allclose(ours(MFCC(**KALDI_MFCC), signal), kaldi(options, signal), rtol=0, atol=1e-3)


def test_kaldi_settings_other_than_the_defaults_agree_too(signal: Signal) -> None:
    """40 mels of 100 to 7600 Hz, Hamming windows of 32 ms every 12.5, magnitudes, offsets kept."""
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = 40, 100.0, 7600.0
    options.frame_opts.window_type, options.frame_opts.preemph_coeff = "hamming", 0.5
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = 32.0, 12.5
    options.frame_opts.remove_dc_offset, options.use_power = False, False
    keys = {"window": "hamming", "preemphasis": 0.5, "win_length": 512, "hop_length": 200, "remove_dc_offset": False}
    front_end = MelSpectrogram(**{**KALDI, **keys, "n_mels": 40, "f_min": 100, "f_max": 7600, "power": 1})
    np.testing.assert_allclose(ours(front_end, signal), kaldi(options, signal), rtol=0, atol=1e-3)


LIBROSA = {
    "htk": {"htk": True, "norm": None},
    "slaney": {"htk": False, "norm": "slaney"},
}
OURS = {
    "htk": {"mel_scale": "htk", "norm": None},
    "slaney": {"mel_scale": "slaney", "norm": "slaney"},
}
STFT = {"n_fft": 512, "win_length": 480, "hop_length": 160}


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_spectrograms_and_cepstra_agree_with_librosa(signal: Signal, scale: str, pad_mode: str) -> None:
    librosa = pytest.importorskip("librosa")
    options: dict[str, Any] = {**STFT, **OURS[scale], "pad_mode": pad_mode, "f_max": 4000.0}
    power = librosa.feature.melspectrogram(
        y=signal.astype(np.float64),
        sr=16000,
        n_mels=40,
        fmin=20,
        fmax=4000,
        pad_mode=pad_mode,
        **STFT,
        **LIBROSA[scale],
    )
    level = librosa.power_to_db(power)
    cepstra = librosa.feature.mfcc(S=level, n_mfcc=20)
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-5)):
        mel = ours(MelSpectrogram(**options), signal, dtype)
        np.testing.assert_allclose(mel, level.T, rtol=0, atol=tolerance)
        mfcc = ours(MFCC(n_mfcc=20, **options), signal, dtype)
        np.testing.assert_allclose(mfcc, cepstra.T, rtol=0, atol=tolerance)


def test_spectrograms_agree_with_librosa(signal: Signal) -> None:
    """In single precision, bins far below a loud frame's peak are only as exact as the rounding of that peak."""
    librosa = pytest.importorskip("librosa")
    spectrum = np.abs(librosa.stft(signal.astype(np.float64), n_fft=400, hop_length=160, pad_mode="reflect")).T
    level = librosa.power_to_db(spectrum**2)
    options = {"n_fft": 400, "win_length": 400}
    exact = ours(Spectrogram(**options), signal, torch.float64)
    np.testing.assert_allclose(exact, level, rtol=0, atol=1e-8)
    single = ours(Spectrogram(**options), signal)
    heard = level > level.max(axis=1, keepdims=True) - 60
    np.testing.assert_allclose(single[heard], level[heard], rtol=0, atol=1e-3)
    np.testing.assert_allclose(single, level, rtol=0, atol=1e-2)
    magnitude = ours(Spectrogram(**options, power=1, log=None), signal)
    np.testing.assert_allclose(magnitude, spectrum, rtol=1e-5, atol=1e-5)


def test_filter_banks_agree_with_librosa_whatever_the_range() -> None:
    librosa = pytest.importorskip("librosa")
    for scale in ("htk", "slaney"):
        for n_fft, n_mels, f_min, f_max in ((512, 40, 20, 4000), (2048, 128, 0, 8000), (1024, 80, 900, 7600)):
            theirs = librosa.filters.mel(
                sr=16000, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, dtype=np.float64, **LIBROSA[scale]
            )
            options = {"n_fft": n_fft, "n_mels": n_mels, "f_min": f_min, "f_max": f_max, **OURS[scale]}
            filters = MelSpectrogram.Options(**options).filters()  # type: ignore[attr-defined]
            np.testing.assert_allclose(filters.T, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_slopes_agree_with_librosa_away_from_the_ends(order: int) -> None:
    """A line is fitted there (Savitzky-Golay): over five frames that is the regression of the HTK book."""
    librosa = pytest.importorskip("librosa")
    signal = (0.1 * np.random.default_rng(3).standard_normal(16000)).astype(np.float32)
    frames = ours(MFCC(n_mfcc=13, deltas=2), signal)
    theirs = frames[:, :13].T
    for _ in range(order):
        theirs = librosa.feature.delta(theirs, width=5, mode="nearest")
    np.testing.assert_allclose(frames[:, 13 * order : 13 * (order + 1)], theirs.T, rtol=0, atol=1e-4)


def test_the_input_of_mockingjay_is_what_its_preprocessing_made_with_librosa(signal: Signal) -> None:
    """As in utility/audio.py of github.com/andi611/Mockingjay-Speech-Representation: mels, slopes, CMVN."""
    librosa = pytest.importorskip("librosa")
    power = librosa.feature.melspectrogram(
        y=signal.astype(np.float64), sr=16000, n_mels=80, n_fft=2048, hop_length=200, win_length=800, pad_mode="reflect"
    )
    level = np.log(power + 1e-6)
    theirs = np.concatenate([level, librosa.feature.delta(level)]).T
    mel = instantiate(compose(["features=mel"]).features)
    np.testing.assert_allclose(ours(mel, signal, torch.float64), theirs, rtol=0, atol=1e-6)
    varies = theirs.std(0) > 1e-4  # what does not is divided by nothing
    frames = torch.from_numpy(ours(mel, signal, torch.float64)[:, varies])[None]
    theirs = theirs[:, varies]
    normalised = CMVN()(frames, torch.tensor([frames.shape[1]]))[0]
    np.testing.assert_allclose(normalised, (theirs - theirs.mean(0)) / theirs.std(0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("n_frames", [9, 10, 31])
def test_slopes_over_nine_frames_are_librosas_also_at_the_ends(order: Literal[1, 2], n_frames: int) -> None:
    librosa = pytest.importorskip("librosa")
    frames = torch.randn(2, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mine = deltas(frames, torch.tensor([n_frames, 40]), kind="librosa", order=order)
    for one, length, found in zip(frames, (n_frames, 40), mine, strict=True):
        theirs = librosa.feature.delta(one[:length].T.numpy(), order=order).T
        np.testing.assert_allclose(found[:length], theirs, rtol=0, atol=1e-12)
    causal = deltas(frames, torch.tensor([n_frames, 40]), kind="librosa", order=order, causal=True)
    np.testing.assert_allclose(causal[1, 8:], mine[1, 4:-4], atol=1e-12)


def test_slopes_of_fewer_than_nine_frames_repeat_the_ends() -> None:
    frames = torch.tensor([[[0.0], [1.0], [2.0]]])
    repeated = torch.cat([frames[:, :1].expand(-1, 4, -1), frames, frames[:, -1:].expand(-1, 4, -1)], dim=1)
    whole = deltas(repeated, torch.tensor([11]), kind="librosa")[:, 4:7]
    torch.testing.assert_close(deltas(frames, torch.tensor([3]), kind="librosa"), whole)
