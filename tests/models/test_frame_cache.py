"""Frames that are kept: those of whole recordings, computed anew whenever something changed them, and never else."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.compose import compose
from phonaut.corpora.synthetic.espeak import missing
from phonaut.models import frame_cache
from phonaut.models.frame_cache import ABOUT, FrameCache, make_room
from phonaut.runs.training import fit
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data
from phonaut.tasks.scoring import predict

pytestmark = pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed")

SYNTHETIC = [
    "target=phone", "recipe=none", "features.n_mels=20", "features.n_mfcc=8",
    "dataset.n_speakers=10", "dataset.n_sessions=3",
    "dataset.n_sentences=1", "dataset.n_phrases=0",
]  # fmt: skip


def cache_of(*overrides: str, settings: list[str] | None = None) -> FrameCache:
    config = compose([*(SYNTHETIC if settings is None else settings), *overrides])
    data = speech_data(config, parts.prepared_corpus(config))
    return FrameCache(parts.speech_model(config, len(data.classes)), data)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "more",
    [[], ["normalizer=cmvn", "features.deltas=2"], ["context_s=0.07"]],
    ids=["plain", "deltas and CMVN", "with context"],
)
def test_frames_of_a_segment_are_the_slice_of_its_recording(more: list[str]) -> None:
    """A frame belongs to the span that its centre lies in; a span that no centre lies in has the nearest one."""
    cache = cache_of(*more)
    found = cache.segments("validation")
    table, spans = cache.data.prepared.utterances("validation"), cache.data.spans["validation"]
    front, more_s, at, n = cache.model.front_end, cache.data.context_s, 0, 0
    for row in range(len(table)):
        audio = torch.from_numpy(table.audio(row))[None]
        frames, _ = cache.model.frames(audio, torch.tensor([audio.shape[1]]))
        centres = np.arange(frames.shape[1]) * front.frame_shift_s + front.frame_offset_s
        for k in range(spans.offset[row], spans.offset[row + 1]):
            start_s, end_s = max(spans.start_s[k] - more_s, 0), spans.end_s[k] + more_s
            inside = np.flatnonzero((centres >= start_s - 1e-9) & (centres < end_s - 1e-9))
            if not len(inside):
                inside = np.array([np.abs(centres - (spans.start_s[k] + spans.end_s[k]) / 2).argmin()])
            own = found.frames[at : at + found.lengths[n]]
            if end_s < table.n_samples[row] / table.sample_rate - 1e-4:  # the last one takes what is left
                np.testing.assert_allclose(own, frames[0, inside].numpy(), atol=2e-5)
            assert found.labels[n] == spans.label[k]
            assert found.speakers[n] == table.speaker_name(row)
            at, n = at + found.lengths[n], n + 1
    assert (at, n) == (len(found.frames), len(found))


CHANGES: list[Any] = [
    (["features.n_mfcc=9"], True),
    (["features.deltas=1"], True),
    (["features.hop_length=80"], True),
    (["normalizer=cmvn"], True),
    (["dataset.seed=1"], True),
    (["max_recording_s=1.5"], True),
    (["seed=5"], False),
    (["batch_size=7"], False),
    (["context_s=0.1"], False),
    (["model=lstm"], False),
    (["model=gmmhmm"], False),
    (["optimizer.lr=0.5"], False),
]


@pytest.mark.parametrize(("more", "anew"), CHANGES, ids=[change[0][0] for change in CHANGES])
def test_they_are_computed_anew_where_they_change_and_only_there(more: list[str], anew: bool) -> None:
    before, after = cache_of().key("train"), cache_of(*more).key("train")
    assert (before != after) == anew
    assert before == cache_of().key("train")
    assert before != cache_of().key("validation")


def test_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_of().key("train")
    monkeypatch.setattr(frame_cache, "code_version", lambda *_: "other")
    assert cache_of().key("train") != before


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "about", "windows", "gone"])
def test_frames_that_are_damaged_are_computed_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_cache, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(frame_cache, "CHECKED", set())  # as in a new process
    cache = cache_of()
    frames, offset = (np.array(one) for one in cache.frames("test"))
    (folder,) = tmp_path.glob("frames/[!.]*")
    file = {"about": ABOUT, "windows": frame_cache.WINDOWS}.get(damage, frame_cache.FRAMES)
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).unlink()
    if damage != "gone":
        (folder / file).write_bytes(b"" if damage == "empty" else data[:100] if damage == "cut" else data)
    left = tmp_path / "frames" / ".new-abc"
    left.mkdir()
    frame_cache.CHECKED.clear()
    again = cache.frames("test")
    np.testing.assert_array_equal(again[0], frames)
    np.testing.assert_array_equal(again[1], offset)
    assert not left.exists(), "nor is what a killed process left"


def test_a_run_takes_no_frames_of_another_normaliser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixture that is trained right after a run with variance=true is the one that an empty cache gives."""
    settings = [*run_settings(write_tones(tmp_path / "tones", n_takes=2)), "model=gmm", "trainer.max_epochs=2",
                "trainer.enable_progress_bar=false", "normalizer=cmvn"]  # fmt: skip
    found = []
    for root, more in (("one", []), ("one", ["normalizer.variance=false"]), ("empty", ["normalizer.variance=false"])):
        monkeypatch.setattr(frame_cache, "cache_dir", lambda root=root: tmp_path / root)
        config = compose([*settings, *more])
        _, module, data = fit(config, tmp_path / f"run {len(found)}")
        found.append(predict(module.model, data, "test").scores)
    np.testing.assert_array_equal(found[1], found[2])
    assert not np.allclose(found[0], found[2])


def test_audio_that_changed_has_other_frames(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", n_speakers=8, n_takes=1)
    settings = run_settings(tones)
    before = cache_of(settings=settings).key("train")
    assert cache_of(settings=settings).key("train") == before
    path = sorted(tones.glob("low/s0_*.wav"))[0]
    path.write_bytes(sorted(tones.glob("high/s0_*.wav"))[0].read_bytes())
    assert cache_of(settings=settings).key("train") != before


def test_what_is_there_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_of("features.n_mfcc=7")
    first, offset = cache.frames("validation")

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(FrameCache, "compute", never)
    second, again = cache_of("features.n_mfcc=7").frames("validation")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(offset, again)
    assert isinstance(second, np.memmap)


def test_beyond_its_cap_it_keeps_nothing_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = cache_of("features.n_mfcc=6").frames("validation")
    monkeypatch.setenv("PHONAUT_FRAMES_GB", "1e-9")
    cache = cache_of("features.n_mfcc=6")
    there = {path.name for path in cache.root.iterdir()}
    monkeypatch.setattr(FrameCache, "key", lambda self, split: "other")
    found, _ = cache.frames("validation")
    np.testing.assert_array_equal(found, kept)
    assert {path.name for path in cache.root.iterdir()} == there


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(("old", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ABOUT).write_bytes(b"x" * 1000)
        os.utime(tmp_path / name, (i, i))
    monkeypatch.setenv("PHONAUT_FRAMES_GB", str(2000 / 2**30))
    assert make_room(tmp_path, 900)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert not make_room(tmp_path, 3000)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_predictions_have_the_times_of_phones_and_not_of_their_context() -> None:
    cache = cache_of("context_s=0.1", "model=majority")
    found = predict(cache.model, cache.data, "validation")
    spans = cache.data.spans["validation"]
    np.testing.assert_array_equal(found.start_s, spans.start_s)
    np.testing.assert_array_equal(found.end_s, spans.end_s)
    np.testing.assert_array_equal(found.label, spans.label)
    assert found.columns["n_frames"].mean() * 0.01 > (spans.end_s - spans.start_s).mean() + 0.15


def test_a_network_is_left_in_the_mode_that_it_was_in() -> None:
    cache = cache_of("model=dnnhmm", "features.n_mfcc=9")  # frames that nothing else has computed
    cache.model.train()
    cache.model.network.network[2].eval()
    folder = cache.compute("validation")
    assert frame_cache.n_bytes(folder) > 0
    assert cache.model.network.training
    assert not cache.model.network.network[2].training
    shutil.rmtree(folder)
