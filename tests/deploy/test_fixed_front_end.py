"""The front end in fixed point gives the levels that floating point gives, and never leaves its 32 and 64 bits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phonaut.deploy.fixed_front_end import fixed_front_end, why_no_fixed_front_end
from phonaut.deploy.fixed_point import band_sums, halving_fft, log2_of, power_of, slopes
from phonaut.deploy.integer_program import Program
from phonaut.features import CMVN, MFCC, FixedPoint, MelSpectrogram, Raw, Spectrogram
from phonaut.features.functional import deltas
from phonaut.features.normalizers import AdaptiveFixedPoint, BatchNormalizer, GainBatchNormalizer, GainNormalizer
from phonaut.features.options import KALDI, KALDI_MFCC

SMALL: dict[str, Any] = {"n_mels": 20}
CASES: dict[str, tuple[Any, Any]] = {
    "mfcc": (MFCC(), None),
    "slopes, gain, batch": (MFCC(n_mfcc=13, deltas=2), GainBatchNormalizer(n_features=39)),
    "gain": (MFCC(n_mfcc=10, deltas=1, pad_mode="replicate", **SMALL), GainNormalizer()),
    "causal": (MFCC(n_mfcc=13, deltas=2, framing="causal", top_db=None), BatchNormalizer(n_features=39)),
    "kaldi's mfcc": (MFCC(**KALDI_MFCC), BatchNormalizer(n_features=13)),
    "kaldi's filter banks": (MelSpectrogram(**KALDI, deltas=1), BatchNormalizer(n_features=46)),
    "mels": (MelSpectrogram(n_mels=64, n_fft=1024, pad_mode="constant"), BatchNormalizer(n_features=64)),
    "librosa's mels": (MelSpectrogram(mel_scale="slaney", norm="slaney", log="natural", amin=1e-30, top_db=None,
                                      log_offset=1e-6, **SMALL), None),
    "a high floor": (MelSpectrogram(amin=1e-2, top_db=None, **SMALL), None),
    "spectrogram": (Spectrogram(n_fft=512), None),
    "fixed point": (MFCC(**SMALL, n_mfcc=12), FixedPoint()),
    "adaptive fixed point": (MFCC(**SMALL, n_mfcc=12), AdaptiveFixedPoint(n_features=12)),
}  # fmt: skip


def program_for(frames: np.ndarray, high: int = 127) -> Program:
    return Program(frames.shape[1], 2, float(np.abs(frames).max() / high), -high, high, False, 1, True, None, ())


def speech_like(n: int = 12000) -> np.ndarray:
    """Tones that come and go over noise of 16 bits, one part of it quiet."""
    rng, t = np.random.default_rng(1), np.arange(n) / 16000
    x = sum(a * np.sin(2 * np.pi * f * t * (1 + 0.1 * t)) for a, f in ((5000, 180), (2500, 720), (900, 2400)))
    x = x * np.square(np.sin(7 * t)) + rng.normal(0, 30, n)
    x[n // 2 : n // 2 + n // 8] *= 0.1
    return np.rint(x).clip(-32768, 32767).astype(np.int16)


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES)
def test_levels_are_those_of_the_floating_point_front_end_or_their_neighbours(case: str) -> None:
    front_end, normalizer = CASES[case]
    samples = speech_like()
    audio, lengths = torch.from_numpy(samples / 32768).double()[None], torch.tensor([len(samples)])
    front_end, normalizer = front_end.double(), normalizer or nn.Identity()
    with torch.no_grad():
        frames = front_end(audio, lengths)[0]
        if hasattr(normalizer, "norm"):
            normalizer.double().train()(frames, lengths := torch.tensor([frames.shape[1]]))
            normalizer.norm.running_mean, normalizer.norm.running_var = frames[0].mean(0), frames[0].var(0) + 1
        normalized = (
            frames
            if isinstance(normalizer, nn.Identity)
            else normalizer.eval()(frames, torch.tensor([frames.shape[1]]))
        )
    program = program_for(normalized[0].numpy())
    want = np.rint(normalized[0].numpy() / program.scale).clip(-127, 127)
    got = fixed_front_end(front_end, None if isinstance(normalizer, nn.Identity) else normalizer, program)(samples)
    assert got.shape == want.shape
    far = 1 if case not in ("fixed point", "adaptive fixed point") else math.ceil(1 / 128 / program.scale)
    assert np.abs(got - want).max() <= far
    assert (got == want).mean() > 0.96


@pytest.mark.oracle
def test_powers_are_those_of_the_discrete_fourier_transform() -> None:
    x = np.random.default_rng(0).integers(-(2**30), 2**30, (5, 100))
    exact = np.abs(np.fft.rfft(x, 128) / 128) ** 2
    np.testing.assert_allclose(power_of(x, 128), exact, rtol=0, atol=8 * np.sqrt(exact.max()))


def test_nothing_overflows_at_full_scale() -> None:
    loudest = np.array([[1] * 256, [-1] * 256, [1, -1] * 128, [1] * 128 + [-1] * 128, [1, 1, -1, -1] * 64]) * 2**30
    for x in (loudest, -loudest):
        assert max(np.abs(part).max() for part in halving_fft(x[:, ::2], x[:, 1::2], 256)) < 2**31
        assert power_of(x, 256).max() < 2**61


@pytest.mark.oracle
def test_logarithms_are_those_of_the_mathematics_library() -> None:
    x = np.unique((2.0 ** np.linspace(0, 62.9, 5000)).astype(np.int64))
    exact = np.array([math.log2(int(one)) for one in x])
    np.testing.assert_allclose(log2_of(x) / 65536, exact, rtol=0, atol=6.2e-5)
    powers = 1 << np.arange(62)
    assert (log2_of(powers) == np.arange(62) << 16).all()


@pytest.mark.oracle
def test_sums_of_bands_are_exact_whatever_their_size() -> None:
    rng = np.random.default_rng(3)
    power, bands = rng.integers(0, 2**55, (4, 9)), rng.integers(0, 2**15 + 1, (9, 3))
    for t in range(4):
        for b in range(3):
            low = sum((int(p) & 0xFFFFFFFF) * int(w) for p, w in zip(power[t], bands[:, b], strict=True)) >> 15
            high = sum((int(p) >> 32) * int(w) for p, w in zip(power[t], bands[:, b], strict=True)) << 17
            assert band_sums(power, bands)[t, b] == high + low


@pytest.mark.oracle
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n", [1, 3, 12])
def test_slopes_are_ten_times_those_of_the_front_end(n: int, causal: bool) -> None:
    c = np.random.default_rng(n).integers(-1000, 1000, (n, 2))
    exact = deltas(torch.from_numpy(c).double()[None], torch.tensor([n]), causal=causal)[0].numpy()
    np.testing.assert_allclose(slopes(c, causal=causal), 10 * exact, atol=1e-9)


def test_a_causal_stream_has_the_rows_of_its_recording() -> None:
    front_end = MFCC(framing="causal", top_db=None, n_mels=20, n_mfcc=5)
    fixed = fixed_front_end(front_end, None, program_for(np.ones((1, 5))))
    samples = speech_like(3000)
    assert (fixed.stream_rows(samples) == fixed.rows(samples)).all()


def test_silence_is_at_the_floor() -> None:
    front_end = MelSpectrogram(n_mels=20, top_db=None)
    program = program_for(np.full((1, 20), 100.0))
    levels = fixed_front_end(front_end, None, program)(np.zeros(1000, np.int16))
    assert (levels == -127).all()  # amin is -100 dB


@pytest.mark.parametrize(
    ("front_end", "normalizer", "says"),
    [
        (Raw(), None, "features=mfcc"),
        (Spectrogram(n_fft=400, win_length=400), None, "n_fft=400"),
        (MelSpectrogram(n_mels=20, power=1), None, "power=1"),
        (MFCC(deltas=1, delta_kind="librosa"), None, "delta_kind=librosa"),
        (MelSpectrogram(n_mels=20, log=None), None, "log=null"),
        (MelSpectrogram(n_mels=20, log_offset=1e-3), None, "log_offset"),
        (MFCC(), CMVN(), "normalizer=null, batch"),
    ],
)
def test_what_has_no_fixed_point_form_is_refused_in_a_sentence(front_end: Any, normalizer: Any, says: str) -> None:
    assert says in str(why_no_fixed_front_end(front_end, normalizer))
    with pytest.raises(ValueError, match=says.replace("(", ".")):
        fixed_front_end(front_end, normalizer, program_for(np.ones((1, 40))))
