"""Folders of frames: what is written is what is read, by others too; whole or absent; and nothing wrong gets in."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonaut.data.frame_shards import MANIFEST, FrameShards, read_layout
from phonaut.data.frame_writer import FrameWriter

RNG = np.random.default_rng(0)
LENGTHS = (30, 1, 7, 200, 12)


def rows(n: int, d: int = 3) -> np.ndarray:
    return RNG.standard_normal((n, d)).astype(np.float32)


def write(folder: Path, lengths: tuple[int, ...] = LENGTHS, **options: Any) -> list[np.ndarray]:
    frames = [rows(n) for n in lengths]
    with FrameWriter(folder, n_features=3, frame_shift_s=0.01, frame_offset_s=0.0125, **options) as writer:
        for i, part in enumerate(frames):
            writer.add(part, id=f"ä{i}", split="train", speaker=f"s{i}", word="yes", phones=[("AA", 0.0, 0.01)])
    return frames


@pytest.mark.oracle
def test_shards_are_what_safetensors_reads(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    frames = write(tmp_path / "f", shard_bytes=40 * 3 * 4)
    shards = sorted((tmp_path / "f").glob("*.safetensors"))
    assert [len(load_file(path)["frames"]) for path in shards] == [38, 200, 12], "a sequence is in one shard"
    read = np.concatenate([load_file(path)["frames"] for path in shards])
    np.testing.assert_array_equal(read, np.concatenate(frames))


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    frames = write(tmp_path / "f")
    path = next((tmp_path / "f").glob("*.safetensors"))
    save_file({"a": np.zeros(5), "frames": np.concatenate(frames)}, path, metadata={"by": "another program"})
    shards = FrameShards(tmp_path / "f")
    for line, part in zip(shards.sequences(), frames, strict=True):
        np.testing.assert_array_equal(shards.frames(line), part)


def test_lines_have_what_was_said_and_the_header_what_all_share(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "f", n_features=2, frame_shift_s=0.02, made_from="nothing") as writer:
        writer.add(rows(50, 2), id="one", split="test", recording="/a/b.wav", phones="AA", duration_s=1.001)
        writer.add(rows(3, 2), id="two", split="validation", text="grüße", session="x", sentence="y")
    shards = FrameShards(tmp_path / "f")
    layout = shards.layout
    assert (layout.n_features, layout.frame_shift_s, layout.frame_offset_s) == (2, 0.02, 0.0)
    assert read_layout(tmp_path / "f").made_from == "nothing"
    one, two = shards.sequences()
    assert (one.recording, one.phones, one.duration_s, one.word) == ("/a/b.wav", (("AA", 0.0, 1.001),), 1.001, None)
    assert (two.recording, two.text, two.session, two.sentence) == ("two", "grüße", "x", "y")
    assert (two.split, two.n_frames, two.offset, two.duration_s) == ("validation", 3, 50, pytest.approx(0.06))


def test_a_label_in_place_of_phones_is_that_of_the_whole_sequence(tmp_path: Path) -> None:
    write(tmp_path / "f", (10,))
    path = tmp_path / "f" / MANIFEST
    head, line = path.read_text(encoding="utf-8").splitlines()
    changed = {**json.loads(line), "phones": "IY"}
    del changed["duration_s"]
    path.write_text(head + "\n" + json.dumps(changed) + "\n", encoding="utf-8")
    (found,) = FrameShards(tmp_path / "f").sequences()
    assert found.phones == (("IY", 0.0, pytest.approx(0.1)),)


def test_frames_are_mapped_and_not_copied(tmp_path: Path) -> None:
    write(tmp_path / "f")
    shards = FrameShards(tmp_path / "f")
    line = next(shards.sequences())
    first, again = shards.frames(line), shards.frames(line)
    assert np.shares_memory(first, again)
    assert not first.flags.writeable
    assert not first.flags.owndata


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), most=st.integers(1, 2000))
def test_every_sequence_comes_back_whatever_the_shards(
    lengths: list[int], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("frames") / "f"
    frames = write(folder, tuple(lengths), shard_bytes=most)
    shards = FrameShards(folder)
    for line, part in zip(shards.sequences(), frames, strict=True):
        np.testing.assert_array_equal(shards.frames(line), part)


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    def fail() -> None:
        with FrameWriter(tmp_path / "f", n_features=3, frame_shift_s=0.01) as writer:
            writer.add(rows(5), id="a", split="train")
            assert not (tmp_path / "f").exists()
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no sequence was added"):
        FrameWriter(tmp_path / "f", n_features=3, frame_shift_s=0.01).close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path / "f")
    with pytest.raises(ValueError, match="holds frames already: overwrite=true"):
        write(tmp_path / "f")
    write(tmp_path / "f", (2,), overwrite=True)
    assert [line.n_frames for line in FrameShards(tmp_path / "f").sequences()] == [2]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files than frames"):
        write(tmp_path / "letters", overwrite=True)
    assert (tmp_path / "letters" / "a.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("frames", "labels", "message"),
    [
        (np.zeros((0, 3)), {}, r"frames are numbers \(T, 3\), T > 0; got float64 \(0, 3\)"),
        (np.zeros((4, 2)), {}, r"got float64 \(4, 2\)"),
        (np.zeros(3), {}, r"got float64 \(3,\)"),
        (np.array([["a", "b", "c"]]), {}, "frames are numbers"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), {}, "new: frame 1 holds NaN"),
        (np.full((1, 3), 1e300), {}, "more than float32 can"),
        (rows(4), {"id": "ä0"}, "the id ä0 occurs twice"),
        (rows(4), {"id": ""}, "the id is empty"),
        (rows(4), {"split": "dev"}, "split=dev is none of train, validation, test"),
        (rows(4), {"word": ""}, "word='' is no text"),
        (rows(4), {"speaker": 7}, "speaker=7 is no text"),
        (rows(4), {"duration_s": 0.0}, "duration_s=0.0: seconds above 0"),
        (rows(4), {"phones": [("AA", 0.02, 0.01)]}, "phone AA from 0.02 to 0.01 s: phones follow one another"),
        (rows(4), {"phones": [("AA", 0.0, 0.5)]}, "within the 0.04 s"),
        (rows(4), {"phones": [("AA", 0.02, 0.03), ("B", 0.0, 0.01)]}, "phone B from 0 to 0.01 s"),
        (rows(4), {"phones": [("AA", 0.0, float("nan"))]}, "is not .label, start_s, end_s"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_leaves_the_rest(
    frames: np.ndarray, labels: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with FrameWriter(tmp_path / "f", n_features=3, frame_shift_s=0.01) as writer:
        writer.add(rows(4), id="ä0", split="train")
        with pytest.raises(ValueError, match=message):
            writer.add(frames, **{"id": "new", "split": "train", **labels})
        writer.add(rows(4), id="after", split="train")
    assert [line.id for line in FrameShards(tmp_path / "f").sequences()] == ["ä0", "after"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 240}, "has 250 frames, and this ends after them"),
        ({"offset": -1}, "at least one frame, from row 0 on"),
        ({"n_frames": True}, "at least one frame"),
        ({"shard": "../secret.safetensors"}, "there is no shard ../secret.safetensors"),
        ({"shard": "none.safetensors"}, "there is no shard none.safetensors"),
        ({"split": "exam"}, "split=exam"),
        ({"colour": "red"}, "unknown key colour"),
        ({"id": None}, "id=None is no text"),
        ({"phones": [["AA", 0.0]]}, "is not .label, start_s, end_s"),
        ({"phones": 3}, "not iterable"),
    ],
)
def test_a_wrong_line_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "f")
    (tmp_path / "secret.safetensors").write_bytes(b"")
    path = tmp_path / "f" / MANIFEST
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[5] = json.dumps({**json.loads(lines[5]), **change})
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=f"line 6: .*{message}"):
        list(FrameShards(tmp_path / "f").sequences())


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("{}", "header of a folder of frames: 'format'"),
        ("[]", "header of a folder of frames"),
        ("", "header of a folder of frames"),
        ('{"format": "other", "version": 1}', "format is 'other'"),
        ('{"format": "phonaut frames", "version": 2}', "version is 2, and this Phonaut reads 1"),
        ('{"format": "phonaut frames", "version": 1, "n_features": 0, "frame_shift_s": 1}', "n_features=0"),
        ('{"format": "phonaut frames", "version": 1, "n_features": 2, "frame_shift_s": -1}', "frame_shift_s=-1"),
        ('{"format": "phonaut frames", "version": 1, "n_features": 2}', "frame_shift_s"),
    ],
)
def test_a_wrong_header_is_named(head: str, message: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(head + "\n")
    with pytest.raises(ValueError, match=message):
        FrameShards(tmp_path)


def test_no_folder_of_frames_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"is no folder of frames: there is no {MANIFEST}"):
        FrameShards(tmp_path)


@pytest.mark.parametrize("damage", ["short", "head", "float64", "features"])
def test_a_damaged_shard_is_named(damage: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    write(tmp_path / "f")
    path = next((tmp_path / "f").glob("*.safetensors"))
    if damage == "short":
        os.truncate(path, path.stat().st_size - 4)
    elif damage == "head":
        path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])
    else:
        save_file({"frames": np.zeros((250, 3)) if damage == "float64" else np.zeros((250, 4), np.float32)}, path)
    message = {"short": "shorter than its header says", "head": "no safetensors file"}.get(
        damage, "the manifest says F32"
    )
    with pytest.raises(ValueError, match=f"{path.name}.*{message}"):
        list(FrameShards(tmp_path / "f").sequences())
