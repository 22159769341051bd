"""Representations as a folder of frames: the numbers, the labels, long recordings, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.encoders_of_tones import pretraining, trained
from helpers.processes import Command, small_pools, two_machines
from helpers.runs_of_tones import RATE, write_tones
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.data.frame_shards import FrameShards
from phonaut.runs import Run
from phonaut.runs.extraction import extract
from phonaut.runs.load import load
from phonaut.tasks import build as parts
from phonaut.tasks import frame_source
from phonaut.tasks.frame_source import Frames, frames_of

pytestmark = pytest.mark.slow


def frames_of_run(run: Run, layer: str | int | None = None) -> Frames:
    loaded = load(run.folder)
    return loaded.task.frames(loaded, layer)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)


@pytest.fixture(scope="module")
def encoder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("encoder") / "run", [*pretraining(tones), "leave_out_speakers=[s6,s7]"])


def of_tones(tones: Path) -> list[str]:
    return ["dataset=folder", f"dataset.data_folder={tones}", "protocol.test_speakers=[s6,s7]"]


@pytest.mark.parametrize("layer", [None, "all", 0])
def test_every_recording_has_the_frames_that_the_encoder_gives_it_alone(
    layer: str | int | None, tones: Path, encoder: Run, tmp_path: Path
) -> None:
    prepared, run = parts.prepared_corpus(compose(of_tones(tones))), load(encoder.folder)
    result = extract(run, prepared, tmp_path / "frames", layer=layer)
    assert result.n_sequences == 48
    assert result.hours == pytest.approx(48 * 0.5 / 3600)
    made = frames_of_run(encoder, layer)
    shards = FrameShards(tmp_path / "frames")
    assert shards.layout.n_features == made.front_end.n_features == (32 if layer == "all" else 16)
    assert shards.layout.frame_shift_s == pytest.approx(0.0375)
    in_python = run.frames([line.recording for line in shards.sequences()], layer=layer)
    with pytest.raises(ValueError, match=r"no one vector for a recording: run\.frames"):
        run.embeddings(tones)
    words = set()
    for line, frames in zip(shards.sequences(), in_python, strict=True):
        np.testing.assert_allclose(frames, shards.frames(line), atol=2e-5)
        audio, _ = soundfile.read(line.recording, dtype="float32")
        with torch.no_grad():
            expected, lengths = made.forward(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
        assert line.n_frames == lengths[0]
        np.testing.assert_allclose(shards.frames(line), expected[0].numpy(), atol=2e-5)
        assert line.word == Path(line.recording).parent.name
        assert line.speaker == Path(line.recording).stem.split("_")[0]
        assert line.duration_s == pytest.approx(0.5)
        assert (line.split == "test") == (line.speaker in ("s6", "s7"))
        words.add(line.word)
    assert words == {"low", "middle", "high"}


def test_two_machines_write_the_folder_that_one_writes(tones: Path, encoder: Run, tmp_path: Path) -> None:
    words = ["extract", str(encoder.folder), *of_tones(tones)]
    Command(tmp_path, [*words, "output=one"], small_pools, 7).finish()
    ranks = [Command(tmp_path, [*words, "output=two"], small_pools, 7, **machine) for machine in two_machines()]
    first, second = (command.finish() for command in ranks)
    assert "48 recordings" in first, "the summary counts all of them"
    assert not second, "one of them speaks"
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0].keys() == files[1].keys()
    assert files[0] == files[1], "to the bit"


def test_some_rows_have_the_frames_that_they_have_among_all(
    tones: Path, encoder: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_source, "POOL", 4)
    folder = write_tones(tmp_path / "tones", n_takes=1)
    for take in range(3):  # of several parts each, which lie in several pools
        soundfile.write(
            folder / "low" / f"s2_{take}.wav", 0.1 * np.random.default_rng(take).standard_normal(RATE * 5), RATE
        )
    table = parts.prepared_corpus(compose(["dataset=folder", f"dataset.data_folder={folder}"])).utterances("train")
    made = frames_of_run(encoder), table, 1.5, torch.device("cpu")
    whole = dict(frames_of(*made))
    assert list(whole) == list(range(len(table)))
    for rows in (range(3), range(3, 4), range(4, len(table))):
        found = dict(frames_of(*made, rows))
        assert list(found) == list(rows)
        assert all(np.array_equal(found[row], whole[row]) for row in rows)


def test_a_long_recording_is_encoded_in_parts_and_none_is_lost(tones: Path, encoder: Run, tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "few", n_speakers=3, n_takes=1)
    rng = np.random.default_rng(0)
    soundfile.write(folder / "low" / "s2_9.wav", 0.1 * rng.standard_normal(RATE * 5), RATE)
    prepared = parts.prepared_corpus(compose(["dataset=folder", f"dataset.data_folder={folder}", "target=speaker"]))
    extract(load(encoder.folder), prepared, tmp_path / "frames", max_recording_s=2.0)
    long = next(line for line in FrameShards(tmp_path / "frames").sequences() if line.duration_s > 4)
    made = frames_of_run(encoder)
    audio = torch.from_numpy(soundfile.read(long.recording, dtype="float32")[0])[None]
    lengths = torch.tensor([audio.shape[1]])
    assert long.n_frames == int(made.front_end.n_frames(lengths)[0]), "frames stay where their times are"
    plain = trained(
        tmp_path / "plain", [*of_tones(tones), "model=majority", "features=mel", "recipe=none", "trainer.max_epochs=1"]
    )
    extract(load(plain.folder), prepared, tmp_path / "mel", max_recording_s=2.0)
    found = next(FrameShards(tmp_path / "mel").frames(line) for line in FrameShards(tmp_path / "mel").sequences()
                 if line.id == long.id)  # fmt: skip
    whole, _ = frames_of_run(plain).forward(audio, lengths)
    assert found.shape == whole.shape[1:]
    same = np.isclose(found, whole[0].numpy(), atol=1e-3).all(axis=1)
    assert (~same).sum() < 30, "only frames whose windows or slopes reach into another part are others"
    assert same[-100:-10].all(), "what follows a seam is where it was"


def test_a_run_without_an_encoder_gives_its_normalised_features(tones: Path, tmp_path: Path) -> None:
    words = [*of_tones(tones), "model=probe", "features=mel", "normalizer=cmvn", "trainer.max_epochs=1"]
    run = trained(tmp_path / "run", [*words, "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"])
    extract(load(run.folder), parts.prepared_corpus(run.config), tmp_path / "frames")
    frames = np.concatenate([FrameShards(tmp_path / "frames").frames(line) for line in
                             FrameShards(tmp_path / "frames").sequences()])  # fmt: skip
    assert frames.shape[1] == 160
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=1e-3)
    with pytest.raises(ValueError, match="has no encoder; leave layer= out"):
        frames_of_run(run, "last")


def test_weighted_layers_come_from_a_run_that_trained_their_weights(tones: Path, encoder: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"encoder.mode=weighted, and extract from that run"):
        frames_of_run(encoder, "weighted")
    words = [*of_tones(tones), "model=probe", f"encoder.run={encoder.folder}", "encoder.mode=weighted"]
    words += ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    run = trained(tmp_path / "run", words)
    assert frames_of_run(run, "weighted").front_end.n_features == 16
    with pytest.raises(ValueError, match="gives layer=weighted; leave layer= out"):
        frames_of_run(run, "last")


def test_the_command_writes_frames_and_says_what_takes_them(
    tones: Path, encoder: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["extract", str(encoder.folder), *of_tones(tones)]
    assert main([*words, "output=out"]) == 0
    said = capsys.readouterr().out
    assert "16 features, 48 recordings" in said
    assert "times real time" in said
    next_command = said[said.index("phonaut train") :].split()
    assert main([*next_command[1:], "trainer.max_epochs=1", "experiment_id=x", "trainer.accelerator=cpu"]) == 0
    assert main([*words, "output=out"]) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert main([*words, "output=out", "overwrite=true"]) == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "which recordings? Name a corpus"),
        (["dataset=fsdd", "layr=last"], "it got layr; did you mean layer?"),
        (["dataset=fsdd", "overwrite=1"], "overwrite must be true or false, got 1"),
        (["dataset=fsdd", "another"], "extract takes one RUN"),
    ],
)
def test_mistakes_are_told(words: list[str], what: str, encoder: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(encoder.folder), *words]) == 2
    assert what in capsys.readouterr().err
