"""A loaded run answers for files, folders, arrays and tensors alike, and gives what lies behind an answer by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import norm

import phonaut
from helpers.runs_of_tones import RATE
from phonaut.runs.load import LoadedRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(listeners: Path) -> LoadedRun:
    return phonaut.load(listeners / "tc-res8")


@pytest.fixture(scope="module")
def density(listeners: Path) -> LoadedRun:
    return phonaut.load(listeners / "gmm")


@pytest.fixture(scope="module")
def low(listeners: Path) -> Path:
    return listeners / "tones" / "low" / "s6_0.wav"


@pytest.fixture(scope="module")
def high(listeners: Path) -> Path:
    return listeners / "tones" / "high" / "s6_1.wav"


def test_files_arrays_tensors_and_folders_are_answered_in_their_order(
    network: LoadedRun, low: Path, high: Path
) -> None:
    audio, rate = soundfile.read(low, dtype="float32")
    assert rate == RATE
    stereo = np.stack([audio, audio], axis=1)
    integers = np.round(audio * 32768).astype(np.int16)
    mixed = network.predict([high, audio, torch.from_numpy(audio), str(low), stereo, integers, low.parent], rate=rate)
    n_in_folder = len(list(low.parent.glob("*.wav")))
    assert [one.path for one in mixed[:6]] == [str(high), "array 2", "array 3", str(low), "array 5", "array 6"]
    assert [one.label for one in mixed] == ["high", *["low"] * (5 + n_in_folder)]
    for one in mixed[1:6]:
        assert one.probability == pytest.approx(mixed[3].probability, abs=1e-4)
    alone = network.predict(audio, rate)
    assert (alone.label, alone.second) == (mixed[1].label, mixed[1].second)
    assert sum(alone.probabilities.values()) == pytest.approx(1.0)
    assert [one.path for one in network.predict(low.parent)] == [str(one) for one in sorted(low.parent.glob("*.wav"))]


def test_an_array_of_another_rate_is_resampled(network: LoadedRun, low: Path) -> None:
    import soxr

    audio, _ = soundfile.read(low)
    as_it_is, faster = network.predict(audio), soxr.resample(audio, RATE, 44_100)
    assert network.predict(faster, 44_100).probability == pytest.approx(as_it_is.probability, abs=0.02)


def test_one_recording_has_one_answer_and_a_long_one_windows_where_they_are_asked_for(
    listeners: Path, network: LoadedRun, low: Path
) -> None:
    audio, _ = soundfile.read(low)
    assert network.predict(np.tile(audio, 5)).path == "array 1"
    clipped = phonaut.load(listeners / "tc-res8")
    clipped.corpus["summary"] = {**clipped.corpus["summary"], "clip_s": 0.5}
    windows = clipped.predict(np.tile(audio, 3), windows=True)
    assert [(one.start_s, one.end_s) for one in windows] == [(0.25 * i, 0.25 * i + 0.5) for i in range(5)]
    assert clipped.predict(np.tile(audio, 3)).label == "low"


def test_what_cannot_be_used_is_said_by_its_name_and_in_folders_left_out_with_a_warning(
    network: LoadedRun, low: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"none")
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "low.wav").write_bytes(low.read_bytes())
    with pytest.raises(ValueError, match=r"cannot be used: .*broken\.wav: not readable as audio"):
        network.predict([low, tmp_path / "broken.wav"])
    with pytest.raises(ValueError, match=r"cannot be used: array 2: samples up to 7: floating-point audio lies"):
        network.predict([low, np.full(8000, 7.0)])
    with pytest.raises(ValueError, match=r"cannot be used: array 1: samples up to 7: floating-point"):
        network.embeddings(np.full(8000, 7.0))
    with pytest.raises(ValueError, match=r"\(1, 8000\) would be 8000 channels"):
        network.predict(np.zeros((1, 8000)))
    with pytest.raises(ValueError, match="rate must be the samples a second of the arrays, got 0"):
        network.predict(np.zeros(8000), rate=0)
    with pytest.raises(ValueError, match="must be files, folders or arrays of samples, one or several; got 3"):
        network.predict(3)  # type: ignore[call-overload]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert [Path(one.path).name for one in network.predict(tmp_path)] == ["low.wav"]
    said = " ".join(str(one.message) for one in told)
    assert "1 .txt" in said
    assert "broken.wav: not readable as audio" in said


@pytest.mark.oracle
def test_posteriors_and_embeddings_are_what_the_answer_was_made_of(network: LoadedRun, low: Path, high: Path) -> None:
    answers, posteriors = network.predict([low, high]), network.posteriors([low, high])
    assert network.classes == list(answers[0].probabilities)
    embeddings, last = network.embeddings([low, high]), network.model.network.classifier
    by_frame = network.posteriors(low, frames=True)
    for answer, posterior, embedding in zip(answers, posteriors, embeddings, strict=True):
        np.testing.assert_allclose(posterior, list(answer.probabilities.values()), atol=1e-6)
        scores = last.weight.detach().numpy() @ embedding + last.bias.detach().numpy()
        np.testing.assert_allclose(softmax(scores), posterior, atol=1e-5)
    np.testing.assert_allclose(by_frame.sum(axis=1), 1.0)
    logs = np.log(by_frame).mean(axis=0)  # the last layer is linear: a mean of its scores, but for what softmax drops
    np.testing.assert_allclose(softmax(logs), posteriors[0], atol=1e-4)


@pytest.mark.oracle
def test_log_likelihoods_are_those_of_the_frames_under_each_class(density: LoadedRun, low: Path, high: Path) -> None:
    frames, found = density.frames([low, high]), density.log_likelihoods([low, high])
    for x, log_likelihoods in zip(frames, found, strict=True):
        expected = []
        for model in density.model.network.models:
            (means,), (variances,), (weights,) = (
                getattr(model.emissions, f"{name}_") for name in ("means", "covars", "weights")
            )
            logs = norm.logpdf(x[:, None], means, np.sqrt(variances)).sum(axis=2)
            expected.append(logsumexp(logs + np.log(weights), axis=1).sum())
        np.testing.assert_allclose(log_likelihoods, expected, rtol=1e-4)
    assert [density.classes[int(one.argmax())] for one in found] == ["low", "high"]


def test_frames_are_those_of_the_front_end(network: LoadedRun, low: Path) -> None:
    audio, _ = soundfile.read(low, dtype="float32")
    with torch.inference_mode():
        expected, _ = network.model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
    np.testing.assert_allclose(network.frames(low), expected[0].numpy(), atol=1e-4)


def test_what_a_run_has_not_is_a_sentence(network: LoadedRun, density: LoadedRun, low: Path) -> None:
    with pytest.raises(ValueError, match="model=tc-res8, has no density of each class, and no log-likelihoods"):
        network.log_likelihoods(low)
    with pytest.raises(ValueError, match="model=gmm, classifies no one vector for a recording"):
        density.embeddings(low)
    with pytest.raises(ValueError, match="model=gmm, decides on whole recordings, and has no posteriors of frames"):
        density.posteriors(low, frames=True)
    with pytest.raises(ValueError, match="verifies no speakers"):
        network.verify(low, low)


def test_whole_numbers_of_a_wider_type_than_their_samples_are_refused(network: LoadedRun, low: Path) -> None:
    samples, _ = soundfile.read(low, dtype="int16")
    for wide in (np.int32, np.int64):
        with pytest.raises(
            ValueError, match=r"as good as silent: samples of 16 bits are array\.astype\(numpy\.int16\)"
        ):
            network.predict(samples.astype(wide), rate=RATE)
    same = network.predict(samples.astype(np.int32) * 2**16, rate=RATE)
    assert same.probability == pytest.approx(network.predict(samples, rate=RATE).probability, abs=1e-4)
    with pytest.raises(ValueError, match="rate must be the samples a second of the arrays, got '16000'"):
        network.predict(samples, rate="16000")  # type: ignore[arg-type]


def test_runs_and_predictions_print_what_they_are(network: LoadedRun, low: Path) -> None:
    lines = repr(network).splitlines()
    assert lines[0] == f"LoadedRun('{network.folder}')"
    assert lines[1].strip() == "classification by tc-res8 of folder"
    assert lines[2].strip().startswith("accuracy ")
    assert repr(network.predict(low)).startswith("low ")
    assert len(repr(network.predict(low)).splitlines()) == 1
    assert repr(network.run) == f"Run('{network.folder}')"
    assert repr(network.run.prepared()).startswith("PreparedCorpus(folder: 32 train, 6 validation, 10 test; ")
