"""Windows of frames against a loop over recordings, whose frames are numbered and whose parts say where they begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.words_of_tones import RATE, Tones
from phonaut.data.datamodule import SpeechData
from phonaut.data.frame_windows import WindowData
from phonaut.data.preparation.prepare import build
from phonaut.data.prepared import PreparedCorpus

SHIFT_S = 0.01
HOP = 160


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "prepared").mkdir()
    build(Tones(folder / "audio", 9), folder / "prepared", RATE, 9, 1)  # type: ignore[arg-type]
    return PreparedCorpus(folder / "prepared")


def windows_of(
    prepared: PreparedCorpus,
    *,
    kind: str,
    t: int = 9,
    target: str = "phone",
    max_recording_s: float = 30.0,
    **more: Any,
) -> WindowData:
    """Windows whose frames hold the number of their recording and their own in it, as a centred front end has them."""
    speech = SpeechData(prepared, target=target, classes=classes_of(prepared, target), batch_size=8, seed=0,
                        max_recording_s=max_recording_s)  # fmt: skip
    data = WindowData(speech, window_frames=t, kind=kind, frame_shift_s=SHIFT_S, frame_offset_s=0.0, **more)  # type: ignore[arg-type]

    def frames_of(split: str) -> tuple[np.ndarray, np.ndarray]:
        windows = speech.dataset(split).windows
        parts = []
        for row, start, stop in zip(windows.row, windows.start, windows.stop, strict=True):
            assert start % HOP == 0
            n = (stop - start) // HOP + 1
            numbers = start // HOP + np.arange(n)
            parts.append(np.stack([np.full(n, row), numbers], axis=1).astype(np.float32))
        return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])])

    data.frames_of = frames_of
    return data


def classes_of(prepared: PreparedCorpus, target: str) -> list[str]:
    table = prepared.utterances("train")
    return sorted(table.phones) if target == "phone" else sorted(set(table.speakers))


def truth(prepared: PreparedCorpus, split: str) -> list[tuple[int, list[Any]]]:
    """Samples and phones of each utterance, from the corpus itself."""
    corpus = {one.id: one for one in Tones(Path(prepared.folder).parent / "audio", 9).list}
    table = prepared.utterances(split)
    return [(int(table.n_samples[row]), list(corpus[table.id(row)].phones)) for row in range(len(table))]


@pytest.mark.parametrize("max_recording_s", [30.0, 0.5])
def test_a_window_lies_around_the_middle_of_each_segment_but_of_silence(
    prepared: PreparedCorpus, max_recording_s: float
) -> None:
    data = windows_of(prepared, kind="segments", left_out=("SIL",), max_recording_s=max_recording_s)
    found = data.windows("train")
    batch = found[np.arange(len(found))]
    expected = []
    for row, (n_samples, phones) in enumerate(truth(prepared, "train")):
        for phone in phones:
            if phone.label != "SIL":
                middle = round((phone.start_s + phone.end_s) / 2 / SHIFT_S)
                expected.append((row, data.labels.index(phone.label), middle, n_samples // HOP))
    middles = batch.frames[:, 4].numpy()  # of 9
    assert sorted(zip(middles[:, 0], batch.labels.tolist(), strict=True)) == sorted(
        (row, label) for row, label, *_ in expected
    )
    order, wanted = np.lexsort(middles.T[::-1]), sorted((row, middle) for row, _, middle, _ in expected)
    np.testing.assert_allclose(middles[order], wanted, atol=1)  # a middle between two frames is of either
    np.testing.assert_array_equal(np.diff(batch.frames[:, :, 1].numpy(), axis=1) == 1,
                                  (batch.inside[:, 1:] & batch.inside[:, :-1]).numpy())  # fmt: skip
    assert len(set(found.keys.tolist())) == len(found)


def test_frames_beyond_the_ends_of_a_recording_are_copies_and_say_so(prepared: PreparedCorpus) -> None:
    data = windows_of(prepared, kind="segments", t=60)  # longer than the silences at both ends
    batch = data.windows("train")[np.arange(len(data.windows("train")))]
    n_frames = np.array([n // HOP + 1 for n, _ in truth(prepared, "train")])[batch.frames[:, 30, 0].numpy().astype(int)]
    unbounded = batch.frames[:, 30, 1].numpy()[:, None] + np.arange(60) - 30
    np.testing.assert_array_equal(batch.inside.numpy(), (unbounded >= 0) & (unbounded < n_frames[:, None]))
    np.testing.assert_array_equal(batch.frames[:, :, 1].numpy(), np.clip(unbounded, 0, n_frames[:, None] - 1))
    assert not batch.inside.all()


def sliding(n_frames: int, t: int, shift: int) -> list[int]:
    """First frames of the windows over a recording."""
    if n_frames < t:
        return [(n_frames - t) // 2]
    return list(range(0, n_frames - t + 1, shift))


@pytest.mark.parametrize("max_recording_s", [30.0, 0.7, 0.31])
@pytest.mark.parametrize(("t", "shift"), [(9, 4), (10, 7), (20, 3)])
def test_windows_slide_over_recordings_whether_they_are_read_in_parts_or_whole(
    prepared: PreparedCorpus, t: int, shift: int, max_recording_s: float
) -> None:
    data = windows_of(prepared, kind="sliding", t=t, shift_frames=shift, max_recording_s=max_recording_s)
    found = data.windows("train")
    batch = found[np.arange(len(found))]
    got = sorted((int(f[0, 0]), int(f[0, 1]), int(label)) for f, label in zip(batch.frames, batch.labels, strict=True))
    expected = []
    for row, (n_samples, phones) in enumerate(truth(prepared, "train")):
        for first in sliding(n_samples // HOP + 1, t, shift):
            middle_s = (first + t // 2) * SHIFT_S
            label = next((p.label for p in phones if p.start_s <= middle_s < p.end_s), None)
            expected.append((row, first, -1 if label is None else data.labels.index(label)))
    assert got == expected
    assert bool(batch.inside.all())
    assert len(set(found.keys.tolist())) == len(found)


def test_a_recording_shorter_than_a_window_is_one_window_around_its_middle(prepared: PreparedCorpus) -> None:
    t = 1001
    data = windows_of(prepared, kind="sliding", t=t, target="speaker")
    found = data.windows("test")
    batch = found[np.arange(len(found))]
    n_frames = np.array([n // HOP + 1 for n, _ in truth(prepared, "test")])
    assert len(found) == len(n_frames)
    np.testing.assert_array_equal(batch.inside.sum(dim=1).numpy(), n_frames)
    np.testing.assert_array_equal(batch.inside.int().argmax(dim=1).numpy(), -((n_frames - t) // 2))
    assert set(batch.sequence.tolist()) == {-1}  # of training alone
    train = data.windows("train")
    assert train[np.arange(len(train))].sequence.tolist() == list(range(len(train)))


def test_a_speaker_has_the_number_of_training_and_who_is_not_there_has_none(prepared: PreparedCorpus) -> None:
    data = windows_of(prepared, kind="segments")
    table = prepared.utterances("train")
    found = data.windows("train")
    assert [data.speakers[code] for code in found.speakers] == [table.speaker_name(row) for row in found.row]
    data.speakers = data.speakers[:1]
    data = windows_of(prepared, kind="segments")
    data.speakers = ["somebody else"]
    assert set(data.windows("test").speakers.tolist()) == {-1}
