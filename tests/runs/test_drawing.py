"""Segments that densities of classes draw: on tones, whose pitch tells the class."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.runs_of_tones import TONES_HZ, run_settings, write_tones
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.config.nodes import class_of
from phonaut.features.loudness import level_of
from phonaut.models.em_classifier import Segments
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.runs import Run, train
from phonaut.runs.load import load
from phonaut.training.em import median_segments

NAMES = ["high", "low", "middle"]
N_FRAMES = 51  # of half a second
MELS = ("features=melspec", "features.n_mels=40", "features.f_min=0", "features.top_db=null", "features.amin=1e-8")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones") / "corpus", n_speakers=3, n_takes=3)


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    words = [word for word in run_settings(tones, small=True) if not word.startswith("features")]
    folder = tmp_path_factory.mktemp("hmm") / "id" / "gmmhmm"
    made = train(compose([*words, "model=gmmhmm", "model.n_mix=1", *MELS]), folder, ["phonaut", "train"])
    assert made is not None
    return made


def pitch_hz(audio: np.ndarray, rate: int) -> float:
    """The frequency at which a sound is strongest."""
    return float(np.abs(np.fft.rfft(audio)).argmax() * rate / len(audio))


def test_a_segment_is_of_the_class_that_was_asked_for_and_as_long_as_one_of_training(run: Run) -> None:
    made = load(run.folder).generator()
    for name, hz in TONES_HZ.items():
        for one in made.sample(2, label=name):
            assert one.title == name
            assert one.frames.shape == (N_FRAMES, 40)
            audio = made.audio(one)
            assert pitch_hz(audio, 16000) == pytest.approx(hz, rel=0.15)
            assert level_of(audio, 16000).n_clipped == 0


def test_without_a_class_each_has_its_turn_and_draws_are_those_of_their_seed(run: Run) -> None:
    made = load(run.folder).generator()
    first, again, other = made.sample(4), made.sample(4), made.sample(4, seed=1)
    assert [one.title for one in first] == [*NAMES, NAMES[0]]
    assert np.array_equal(first[3].frames, again[3].frames)
    assert not np.array_equal(first[3].frames, other[3].frames)
    assert not np.array_equal(first[3].frames, first[0].frames)
    assert {len(one.frames) for one in made.sample(3, seconds=0.2)} == {20}


@pytest.mark.parametrize("model", ["gmm", "gmmhmm", "genhmm", "lathmm", "gshmm", "flow"])
def test_every_density_of_classes_is_drawn_from_by_the_same_class(model: str) -> None:
    assert issubclass(class_of(compose([f"model={model}"]).model), GenerativeClassifier)


def test_the_segment_of_median_length_of_each_class_is_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = np.concatenate([np.arange(3), rng.integers(-1, 3, 12)])
        lengths = rng.integers(1, 40, len(labels))
        segments = Segments(np.zeros((lengths.sum(), 1)), lengths, labels, np.array(["s"] * len(labels)))
        found = median_segments(segments, 3)
        assert labels[found].tolist() == [0, 1, 2]
        assert lengths[found].tolist() == [statistics.median_high(lengths[labels == c].tolist()) for c in range(3)]


def changed(run: Run, folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of a run with one of its files rewritten."""
    copy = shutil.copytree(run.folder, folder / "id" / "gmmhmm")
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new))
    return copy


def test_what_is_written_can_be_seen_and_heard(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(run.folder), "label=low", "n=2", "seconds=0.3", f"output={tmp_path / 'out'}"]) == 0
    said = capsys.readouterr()
    assert [Path(line).name for line in said.out.split()] == ["samples.npz", "samples.png", "samples.wav"]
    assert said.err == ""
    audio, rate = soundfile.read(tmp_path / "out" / "samples.wav")
    assert len(audio) == 2 * (29 * 160 + round(0.15 * 16000))
    assert pitch_hz(audio, rate) == pytest.approx(300, rel=0.15)
    with np.load(tmp_path / "out" / "samples.npz") as kept:
        assert {name: array.shape for name, array in kept.items()} == {f"sample_00{i}": (30, 40) for i in (1, 2)}


def test_frames_of_a_normaliser_are_seen_and_one_sentence_says_why_they_are_not_heard(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = "recipe: none\nnormalizer:\n  _target_: phonaut.features.CMVN\n"
    copy = changed(run, tmp_path, "config.yaml", "recipe: none\n", node)
    assert main(["generate", str(copy), "n=5", f"output={tmp_path / 'out'}"]) == 0
    said = capsys.readouterr()
    assert [Path(line).name for line in said.out.split()] == ["samples.npz", "samples.png"]
    assert said.err.splitlines() == [
        "there is no sound: CMVN takes from each recording what inversion would need: train with normalizer=null"
    ]


REFUSALS = {
    r"low/s0_0.wav goes with a generator of windows, and .* is a density of each class": ["RUN", "FILE"],
    "target= goes with a generator of windows": ["RUN", "target=speaker:s0"],
    "prior= goes with a generator of windows": ["RUN", "prior=RUN"],
    "speaker= goes with a generator of windows": ["RUN", "speaker=s0"],
    r"label=lo is none of its 3 classes; did you mean low\?": ["RUN", "label=lo"],
    "seconds=61: must be above 0, and at most 60": ["RUN", "seconds=61"],
    "keeps no lengths of its classes: say seconds=0.5": ["OLD"],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(
    message: str, run: Run, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"RUN": run.folder, "FILE": tones / "low" / "s0_0.wav", "OLD": tmp_path / "id"}
    changed(run, tmp_path, "model.json", json.dumps("median_frames"), json.dumps("no_frames"))
    given = [str(names.get(one, one)) for one in REFUSALS[message]]
    assert main(["generate", *given, f"output={tmp_path / 'out'}"]) != 0
    said = capsys.readouterr().err.strip()
    assert re.search(message, said), said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
