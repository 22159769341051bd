"""What does not fit together is refused, all at once, with what to type instead."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from phonaut.features import CMVN, MFCC, FrontEnd, MelSpectrogram, Raw, Spectrogram

REFUSED: list[tuple[type[FrontEnd], dict[str, Any], list[str]]] = [
    (MFCC, {"f_max": 9000.0}, ["f_max=9000", "sample_rate=16000", "8000"]),
    (MFCC, {"sample_rate": 6000, "f_max": 4000.0}, ["f_max=4000", "sample_rate=6000", "3000"]),
    (MFCC, {"f_min": 5000.0, "f_max": 4000.0}, ["f_min=5000", "f_max=4000"]),
    (MFCC, {"n_mels": 300}, ["n_mels=300", "257 bins", "n_fft=512"]),
    (MFCC, {"n_mels": 128, "n_mfcc": 13, "f_max": 4000.0}, ["n_mels=128", "4 of the filters", "n_fft=512", "31.25 Hz"]),
    (MFCC, {"n_mfcc": 41}, ["n_mfcc=41", "n_mels=40"]),
    (MFCC, {"win_length": 600}, ["win_length=600", "n_fft=512", "n_fft=1024"]),
    (MFCC, {"framing": "causal"}, ["top_db=80", "framing=causal", "top_db=null"]),
    (MFCC, {"log": None}, ["log=null", "log=db"]),
    (MFCC, {"amin": 0.0}, ["amin=0"]),
    (MFCC, {"top_db": -1.0}, ["top_db=-1"]),
    (MFCC, {"scale": 0.0}, ["scale=0"]),
    (MFCC, {"preemphasis": 1.5}, ["preemphasis=1.5"]),
    (MFCC, {"cepstral_lifter": -1.0}, ["cepstral_lifter=-1"]),
    (MFCC, {"hop_length": 0}, ["hop_length=0"]),
    (MelSpectrogram, {"n_mels": 0}, ["n_mels=0"]),
    (MelSpectrogram, {"sample_rate": 0}, ["sample_rate=0", "must be >= 1"]),
    (Raw, {"win_length": 2, "hop_length": 3, "framing": "causal"}, ["win_length=2", "hop_length=3"]),
    (MFCC, {"window": "hamm"}, ["window='hamm'", "hamming"]),
    (MFCC, {"deltas": 3}, ["deltas=3", "0 or 1 or 2"]),
    (MFCC, {"deltas": True}, ["deltas=True"]),
    (MFCC, {"n_fft": 512.5}, ["n_fft=512.5", "a whole number"]),
    (MFCC, {"f_max": "high"}, ["f_max='high'", "a number or null"]),
    (MelSpectrogram, {"n_mel": 40}, ["n_mel", "n_mels"]),
    (Spectrogram, {"n_mels": 40}, ["n_mels", "no such key"]),
]


@pytest.mark.parametrize(("make", "options", "parts"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(make: type[FrontEnd], options: dict[str, Any], parts: list[str]) -> None:
    (problem,) = make.problems(**options)
    assert all(part in problem for part in parts), problem
    with pytest.raises(ValueError, match=make.__name__) as refusal:
        make(**options)
    assert problem in str(refusal.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    problems = MFCC.problems(n_mel=40, f_max=9000, n_mfcc=50, win_length=600)
    assert [problem.split("=")[0].split(":")[0] for problem in problems] == ["n_mel", "win_length", "f_max", "n_mfcc"]
    assert [key in str(MFCC.problems(window="x", n_fft="y")) for key in ("window", "n_fft")] == [True, True]


def test_defaults_and_whole_numbers_for_real_ones_fit() -> None:
    assert [make.problems() for make in (MFCC, MelSpectrogram, Spectrogram, Raw)] == [[], [], [], []]
    assert MFCC.problems(f_min=20, f_max=4000, top_db=None) == []


def test_help_shows_every_key_with_its_default() -> None:
    parameters = inspect.signature(MFCC).parameters
    assert (parameters["n_mels"].default, parameters["win_length"].default) == (40, 480)
    assert parameters["n_mels"].kind == inspect.Parameter.KEYWORD_ONLY
    assert "n_mels" not in inspect.signature(Spectrogram).parameters


@pytest.mark.parametrize(
    ("audio", "lengths", "message"),
    [
        (torch.zeros(16000), torch.tensor([16000]), r"audio\[None\]"),
        (torch.zeros(1, 16000, dtype=torch.int16), torch.tensor([16000]), "32768"),
        (torch.zeros(2, 16000), torch.tensor([16000]), "2 whole numbers"),
        (torch.zeros(1, 16000), torch.tensor([1.0]), "whole numbers"),
        (torch.zeros(1, 16000), torch.tensor([16001]), "from 1 to 16000"),
        (torch.zeros(2, 16000), torch.tensor([0, 16000]), "got 0 to 16000"),
    ],
)
def test_what_is_no_batch_of_waveforms_is_refused(audio: torch.Tensor, lengths: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MFCC()(audio, lengths)


def test_a_normaliser_that_does_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="normalizer=null"):
        CMVN(mean=False, variance=False)


def test_front_ends_print_the_options_that_were_chosen_and_what_comes_out() -> None:
    assert repr(MFCC(n_mfcc=13, deltas=1)) == "MFCC(deltas=1, n_mfcc=13, n_features=26 every 10 ms at 16000 Hz)"


def test_audio_in_double_precision_says_what_to_write() -> None:
    audio, lengths = torch.zeros(1, 1600, dtype=torch.float64), torch.tensor([1600])
    with pytest.raises(ValueError, match=r"audio is float64, and MFCC computes in float32: write audio\.float\(\)"):
        MFCC()(audio, lengths)
    assert MFCC().double()(audio, lengths)[0].dtype == torch.float64
