"""Utterances in rows: some of them, several as one, as arrays, and in streams."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.models.speakers import Utterances
from phonaut.models.speakers.streams import cmvn, stream


@pytest.fixture
def three() -> Utterances:
    frames = np.arange(18, dtype=np.float32).reshape(9, 2) ** 2
    return Utterances(frames, np.array([4, 0, 5]), {"speaker": np.array(["a", "b", "c"])})


def test_some_of_them_have_their_own_frames(three: Utterances) -> None:
    some = three.select([2, 0])
    assert (some.frames == np.concatenate([three.of(2), three.of(0)])).all()
    assert some["speaker"].tolist() == ["c", "a"]
    assert (three.select(np.array([True, False, True])).frames == three.frames).all()
    assert len(three.select([])) == 0


def test_joined_and_as_arrays_they_are_the_same(three: Utterances) -> None:
    both = Utterances.joined([three.select([0]), three.select([1, 2])])
    again = Utterances.from_arrays(both.arrays())
    for one in (both, again):
        assert (one.frames == three.frames).all()
        assert (one["speaker"] == three["speaker"]).all()
    assert three["phrase"].tolist() == ["", "", ""]
    with pytest.raises(ValueError, match="missing: lengths"):
        Utterances.from_arrays({"frames": three.frames})


def test_what_does_not_agree_is_refused(three: Utterances) -> None:
    with pytest.raises(ValueError, match="add up"):
        Utterances(three.frames, np.array([1, 2]))
    with pytest.raises(ValueError, match="column speaker must have 3 rows, got 2"):
        three.replaced(speaker=np.array(["a", "b"]))


@pytest.mark.oracle
def test_normalised_each_utterance_is_what_a_loop_makes_of_it(three: Utterances) -> None:
    found = cmvn(three)
    for row in (0, 2):
        x = three.of(row).astype(np.float64)
        np.testing.assert_allclose(found.of(row), (x - x.mean(axis=0)) / x.std(axis=0), rtol=1e-5)
    constant = Utterances(np.full((3, 1), 5, np.float32), np.array([3]))
    assert (cmvn(constant).frames == 0).all()


def test_streams_take_statics_and_normalise(three: Utterances) -> None:
    assert (stream(three, "static", 1).frames == three.frames[:, :1]).all()
    assert (stream(three, "static_cmvn", 1).frames == cmvn(three).frames[:, :1]).all()
    assert stream(three, "as_is") is three
    with pytest.raises(ValueError, match="must be one of as_is, cmvn"):
        stream(three, "raw")
