"""Times of frames, where the sound says when it begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.words_of_tones import RATE, Tones
from phonaut.alignment.features import Framed, framed, front_end
from phonaut.alignment.pocket import timed
from phonaut.alignment.utterances import utterances
from phonaut.data.preparation.prepare import prepare
from phonaut.data.utterance import Phone


@pytest.mark.parametrize("framing", ["center", "snip_edges"])
def test_a_click_is_loudest_in_the_frame_that_its_time_belongs_to(framing: str) -> None:
    made_by = front_end(RATE, framing=framing, top_db=None)

    def loudest(time_s: float) -> int:
        audio = torch.full((RATE,), 1e-4)
        audio[round(time_s * RATE)] = 1.0
        return int(made_by(audio[None], torch.tensor([RATE]))[0][0, :, 0].argmax())

    n = int(made_by.n_frames(torch.tensor(RATE)))
    about = Framed(np.empty((n, 0)), np.array([n]), np.array([1.0]), made_by.frame_shift_s, made_by.frame_offset_s)
    for t in (1, 7, 60):
        border_s = float(about.border_s(t, 0))
        assert loudest(border_s - 0.001) == t - 1
        assert loudest(border_s + 0.001) == t
    assert about.border_s(0, 0) == 0.0
    assert about.border_s(500, 0) == 1.0


def test_frames_have_mean_0_and_variance_1_over_each_speaker(tmp_path: Path) -> None:
    prepared = prepare(Tones(tmp_path, 6), sample_rate=RATE)
    wanted = list(utterances(prepared))
    found = framed(prepared, wanted, front_end(RATE))
    assert found.frames.shape == (found.lengths.sum(), 39)
    seconds = {one.id: soundfile.info(tmp_path / f"{one.id.split('/')[1]}.wav").duration for one in wanted}
    np.testing.assert_allclose(found.durations_s, [seconds[one.id] for one in wanted])
    for speaker in {one.speaker for one in wanted}:
        own = found.frames[np.repeat([one.speaker == speaker for one in wanted], found.lengths)]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, rtol=1e-4)
    some = found.only(np.arange(6) % 2 == 0)
    np.testing.assert_array_equal(some.frames[: some.lengths[0]], found.frames[: found.lengths[0]])
    assert some.frames.shape[0] == found.lengths[::2].sum()


def test_times_of_pocketsphinx_begin_and_end_with_the_recording_and_silences_are_joined() -> None:
    found = timed([("SIL", 0, 10), ("+NSN+", 10, 5), ("K", 15, 5), ("AE", 20, 10)], 0.31)
    assert [p.label for p in found] == ["SIL", "K", "AE"]
    np.testing.assert_allclose(
        [(p.start_s, p.end_s) for p in found], [(0, 0.1578), (0.1578, 0.2078), (0.2078, 0.31)]
    )  # frame t begins 10 t + 12.8 - 5 ms after the recording
    assert timed([("CAT", 15, 15)], 0.4, whole=False) == (Phone("CAT", 0.15 + 0.0078, 0.30 + 0.0078),)
