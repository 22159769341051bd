"""Frames from a folder in place of recordings: the same figures, and every command as before."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames_of_runs import write_frames
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.corpora.synthetic.espeak import missing
from phonaut.data.frame_shards import MANIFEST
from phonaut.data.frame_writer import FrameWriter
from phonaut.data.preparation.prepare import describe
from phonaut.files import read_json
from phonaut.models.frame_cache import FrameCache
from phonaut.runs.evaluation import evaluate
from phonaut.runs.run import Run
from phonaut.runs.training import fit
from phonaut.tasks import build as parts
from phonaut.tasks.base import Request
from phonaut.tasks.classification import speech_data
from phonaut.tasks.scoring import predict

PHONES = [
    "target=phone",
    "recipe=none",
    "dataset.n_speakers=10",
    "dataset.n_sessions=3",
    "dataset.n_sentences=1",
    "dataset.n_phrases=0",
    "features.n_mfcc=8",
    "features.n_mels=20",
    "features.top_db=null",  # else the loudest frame of what is read in one go counts
]
SHORT = ["trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
needs_speech = pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Overrides of a run on recordings, and a folder of their frames."""
    place = tmp_path_factory.mktemp("tones")
    settings = typed(*run_settings(write_tones(place / "recordings", n_takes=2)), *SHORT)
    return settings, write_frames(compose(settings), place / "frames")


def test_the_same_frames_train_the_same_gmmhmm(tones: tuple[list[str], Path], tmp_path: Path) -> None:
    settings, folder = tones
    more = ["model=gmmhmm", "model.n_mix=2", "normalizer=cmvn", *SHORT]
    found = []
    for words in ([*settings, *more], ["dataset=frames", f"dataset.data_folder={folder}", *more]):
        config = compose(words)
        _, loop, data = fit(config, tmp_path / str(config.choices["dataset"]))
        found.append(predict(loop.model, data, "test"))
    own, given = found
    assert own.cut.tolist() == given.cut.tolist()
    np.testing.assert_allclose(given.columns["log_likelihood"], own.columns["log_likelihood"], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(given.scores, own.scores, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(given.columns["n_frames"], own.columns["n_frames"])


@needs_speech
@pytest.mark.parametrize("longest_s", [30.0, 1.2], ids=["whole", "in windows"])
def test_the_segments_of_phones_are_the_same(longest_s: float, tmp_path: Path) -> None:
    cut = f"max_recording_s={longest_s}"
    own = compose([*PHONES, cut])
    write_frames(own, tmp_path / "frames")
    given = compose(
        ["target=phone", "recipe=none", "dataset=frames", f"dataset.data_folder={tmp_path / 'frames'}", cut]
    )
    found = []
    for config in (own, given):
        data = speech_data(config, parts.prepared_corpus(config))
        cache = FrameCache(parts.speech_model(config, len(data.classes)), data)
        if longest_s < 2:
            assert data.dataset("train").windows.part.max() > 0, "some recordings are read in parts"
            assert data.dataset("train").windows.start.max() > 0, "and not from their beginning"
        found.append((cache.segments("train"), [cache.model.eval().segments(batch) for batch in data.batches("test")]))
    (recorded, scored), (kept, given_scored) = found
    np.testing.assert_array_equal(kept.lengths, recorded.lengths)
    np.testing.assert_array_equal(kept.labels, recorded.labels)
    np.testing.assert_array_equal(kept.speakers, recorded.speakers)
    assert len(kept.lengths) > 50
    np.testing.assert_allclose(kept.frames, recorded.frames, atol=1e-3)
    assert sum(len(n) for _, n in scored) == sum(len(n) for _, n in given_scored) > 20
    if longest_s > 2:  # parts of frames begin elsewhere than parts of audio, and batches are sorted by length
        for (a, n), (b, m) in zip(scored, given_scored, strict=True):
            torch.testing.assert_close(n, m)
            torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_a_run_on_frames_is_trained_evaluated_compared_and_reported(
    tones: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tones
    monkeypatch.chdir(tmp_path)
    given = ["dataset=frames", f"dataset.data_folder={folder}", *SHORT]
    assert main(["train", *given, "model=lstm", "model.hidden_size=8", "experiment_id=a"]) == 0
    assert main(["train", *given, "model=gmmhmm", "normalizer=cmvn", "experiment_id=b"]) == 0
    assert main(["train", *settings, "model=majority", "experiment_id=c"]) == 0
    runs = [f"trained_models/{name}" for name in "abc"]
    assert main(["compare", *runs]) == 0, "runs on recordings and on their frames are compared"
    run = Run("trained_models/a")
    assert run.config.features["n_features"] == 10
    assert run.metrics["test"]["accuracy"]["n"] == len(run.predictions("test")) == 12
    assert "this corpus has frames, and no sound" in (run.folder / "report.html").read_text(encoding="utf-8")
    before = run.metrics["test"]["accuracy"]
    assert main(["evaluate", "trained_models/a"]) == 0
    assert Run("trained_models/a").metrics["test"]["accuracy"] == before
    _, name = evaluate(run.folder, Request(data_folder=folder))
    assert list(read_json(run.folder / "folders.json", {})) == [name]
    assert name == "frames"
    assert Run("trained_models/a").metrics["frames"]["accuracy"]["n"] == 48
    capsys.readouterr()
    assert main(["evaluate", "trained_models/a", "noise=white"]) == 2
    assert "noise= is added to waveforms, and frames has frames" in capsys.readouterr().err
    assert main(["evaluate", "trained_models/a", str(tmp_path)]) == 2
    assert f"is no folder of frames: there is no {MANIFEST}" in capsys.readouterr().err


def test_frames_that_a_run_cannot_take_are_refused(tones: tuple[list[str], Path], tmp_path: Path) -> None:
    _, folder = tones
    config = compose(["dataset=frames", f"dataset.data_folder={folder}"])
    config.dataset["data_folder"] = str(tmp_path / "other")
    with pytest.raises(ValueError, match="other is not there: name a folder of frames"):
        parts.prepared_corpus(config)
    with FrameWriter(tmp_path / "other", n_features=3, frame_shift_s=0.01) as writer:
        writer.add(np.zeros((4, 3)), id="a", split="train")
    with pytest.raises(ValueError, match=r"n_features=3 frame_shift_s=0\.01 frame_offset_s=0\.0; the run needs 10, "):
        parts.prepared_corpus(config)


def prepared(folder: Path, *words: str) -> parts.PreparedCorpus:
    return parts.prepared_corpus(compose(["dataset=frames", f"dataset.data_folder={folder}", *words]))


def ids(corpus: parts.PreparedCorpus) -> dict[str, set[str]]:
    return {
        split: {corpus.utterances(split).id(row) for row in range(len(corpus.utterances(split)))}
        for split in ("train", "validation", "test")
    }


def write_speakers(folder: Path, *, known: bool = True, validation: bool = False) -> Path:
    rng = np.random.default_rng(0)
    with FrameWriter(folder, n_features=2, frame_shift_s=0.01) as writer:
        for s in range(12):
            split = "test" if s > 9 else "validation" if s == 9 and validation else "train"
            for take in range(10):
                labels = {"speaker": f"s{s}" if known else "", "word": "yes" if take % 2 else "no"}
                writer.add(rng.standard_normal((5, 2)), id=f"{s}/{take}", split=split, **labels)
    return folder


def test_validation_is_cut_from_training_by_speaker_or_else_by_sequence(tmp_path: Path) -> None:
    by_speaker = prepared(write_speakers(tmp_path / "a"))
    found = ids(by_speaker)
    who = {split: {name.split("/")[0] for name in names} for split, names in found.items()}
    assert who["test"] == {"10", "11"}
    assert who["validation"]
    assert not who["validation"] & who["train"]
    assert "validation is cut from training by speaker" in by_speaker.notes[0]
    unknown = prepared(write_speakers(tmp_path / "b", known=False))
    assert 1 <= len(ids(unknown)["validation"]) <= 20
    assert len(ids(unknown)["test"]) == 20
    assert "validation is cut from training by recording" in unknown.notes[0]
    assert unknown.speakers == []
    assert unknown.utterances("train").speaker_name(0) == ""
    own = prepared(write_speakers(tmp_path / "c", validation=True))
    assert {name.split("/")[0] for name in ids(own)["validation"]} == {"9"}
    assert "frames of 2 features, one every 10 ms" in describe(own)
    with pytest.raises(ValueError, match="frames has frames, and no audio"):
        own.utterances("train").audio(0)


@pytest.mark.parametrize("longest_s", [30.0, 2.0], ids=["whole", "in windows"])
def test_the_last_phone_owns_the_frame_at_the_end_of_its_recording(longest_s: float, tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "f", n_features=1, frame_shift_s=0.01) as writer:
        for i, split in enumerate(["train", "train", "test"]):
            phones = [("a", 0.0, 1.0), ("b", 1.0, 4.0 - 0.5), ("a", 3.5, 4.0)]
            frames = np.arange(401.0)[:, None] + i
            writer.add(frames, id=str(i), split=split, phones=phones, duration_s=4.0)
    words = [
        f"dataset.data_folder={tmp_path / 'f'}",
        "target=phone",
        "recipe=none",
        f"max_recording_s={max(longest_s, 2.6)}",
    ]
    config = compose(["dataset=frames", *words])
    data = speech_data(config, parts.prepared_corpus(config))
    model = parts.speech_model(config, 2)
    lengths = FrameCache(model, data).segments("test").lengths
    assert sorted(lengths.tolist()) == [51, 100, 250], "centred at 4.0 s is the last one"
    scored = [model.segments(batch)[1] for batch in data.batches("test")]
    assert sorted(torch.cat(scored).tolist()) == [51, 100, 250]


def test_speakers_are_told_apart_within_themselves(tmp_path: Path) -> None:
    corpus = prepared(write_speakers(tmp_path / "a"), "target=speaker")
    for split, names in ids(corpus).items():
        assert {name.split("/")[0] for name in names} == {str(s) for s in range(12)}, split
    assert "every speaker is in all splits" in corpus.notes[0]
    given = prepared(tmp_path / "a", "target=speaker", "protocol=official")
    assert len(ids(given)["test"]) == 20


def test_frames_that_are_no_numbers_are_left_out_by_name(tmp_path: Path) -> None:
    folder = write_speakers(tmp_path / "a")
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    corpus = prepared(folder)
    (refused,) = corpus.refused
    assert refused["cut"] == "11/9"
    assert refused["reason"] == "its frames hold NaN or infinity"
    assert len(ids(corpus)["test"]) == 19


def test_frames_that_are_not_what_was_prepared_are_refused_as_they_are_read(tmp_path: Path) -> None:
    folder = write_speakers(tmp_path / "a")
    table = prepared(folder).utterances("test")
    shard = next(folder.glob("*.safetensors"))
    times, data = shard.stat(), bytearray(shard.read_bytes())
    data[-4] ^= 1
    shard.write_bytes(data)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    table.frames(0, 0, 1)
    with pytest.raises(ValueError, match=r"safetensors is damaged: the frames of .* are not what they were"):
        table.frames(len(table) - 1, 0, 1)


def test_tables_follow_the_manifest_and_the_shards(tmp_path: Path) -> None:
    folder = write_speakers(tmp_path / "a")
    first = prepared(folder)
    assert prepared(folder).folder == first.folder
    path = folder / MANIFEST
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "word": "yes", "text": "x"})]))
    second = prepared(folder)
    assert second.folder != first.folder
    shard = next(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-4] + np.float32(5).tobytes())
    third = prepared(folder)
    assert third.folder != second.folder
    assert third.utterances("test").frames(len(third.utterances("test")) - 1, 4, 5)[0, 1] == 5.0


def test_a_trained_model_takes_frames_alone(tones: tuple[list[str], Path], tmp_path: Path) -> None:
    _, folder = tones
    config = compose(["dataset=frames", f"dataset.data_folder={folder}", "model=lstm", *SHORT])
    model = parts.speech_model(config, 3).eval()
    frames = torch.randn(2, 20, 10)
    assert model(frames, torch.tensor([20, 12])).shape == (2, 3)
    with pytest.raises(ValueError, match=r"frames must be \(B, T, 10\), got \(2, 20, 4\)"):
        model(frames[:, :, :4], torch.tensor([20, 12]))


def test_workers_read_the_same_frames(tones: tuple[list[str], Path]) -> None:
    _, folder = tones
    config = compose(["dataset=frames", f"dataset.data_folder={folder}"])
    data = speech_data(config, parts.prepared_corpus(config))
    import pickle

    dataset = data.dataset("train")
    again = pickle.loads(pickle.dumps(dataset))
    numbers = np.arange(4)
    torch.testing.assert_close(again[numbers].frames, dataset[numbers].frames)
