"""Streams are what their plan says, however they are read: where words lie, how loud, what is between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.runs_of_tones import RATE, write_tones
from phonaut.config.compose import compose
from phonaut.corpora.noise import NoiseRecordings
from phonaut.data import streams
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import UtteranceTable
from phonaut.data.streams import GAP_S, Stream, built, made, recorded, spoken
from phonaut.features.loudness import level_of
from phonaut.tasks import build


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> UtteranceTable:
    tones = write_tones(tmp_path_factory.mktemp("streams") / "tones", n_takes=2)
    words = ["dataset=folder", f"dataset.data_folder={tones}", "dataset.clip_s=1.0", "recipe=none"]
    words += ["protocol.validation_speakers=[s5]", "protocol.test_speakers=[s6,s7]"]
    return build.prepared_corpus(compose(words)).utterances("test")


def stream(table: UtteranceTable, **more: object) -> Stream:
    rows = np.arange(len(table))
    background = made("white", RATE, 3)
    settings = {"minutes": 1.5, "snr_db": (5.0, 20.0), "seed": 0} | more
    return built(table, rows[:6], rows[6:], background, **settings)  # type: ignore[arg-type]


def test_words_lie_in_their_order_with_gaps_and_say_what_was_chosen(table: UtteranceTable) -> None:
    one = stream(table)
    starts = np.array([word.start for word in one.insertions])
    ends = starts + np.array([word.n_samples for word in one.insertions])
    gaps = np.append(starts, one.n_samples) - np.append(0, ends)
    assert gaps.min() >= GAP_S * RATE
    assert sorted(word.row for word in one.insertions) == list(range(len(table)))
    assert {word.row for word in one.insertions if word.is_event} == set(range(6))
    assert all(word.word == table.word_name(word.row) for word in one.insertions)
    assert all(word.n_samples == RATE // 2 for word in one.insertions)  # without the zeros that a clip is padded with


def test_where_there_is_no_time_left_every_gap_is_the_least(table: UtteranceTable) -> None:
    rows = np.arange(len(table))
    one = built(table, rows, rows[:0], made("white", RATE, 0), minutes=58 / 60, snr_db=(5, 5), seed=0)
    assert [word.start / RATE for word in one.insertions] == [4 + 4.5 * i for i in range(12)]


def test_gaps_beyond_the_least_are_exponential(table: UtteranceTable) -> None:
    rows = np.arange(len(table))
    gaps = []
    for seed in range(60):
        one = built(table, rows, rows[:0], made("white", RATE, 0), minutes=6, snr_db=(5, 5), seed=seed)
        starts = np.array([word.start for word in one.insertions])
        gaps.append((np.diff(starts) - RATE // 2) / RATE - GAP_S)
    more = np.concatenate(gaps)
    mean = (360 - 12 * 0.5 - 13 * GAP_S) / 13
    assert more.mean() == pytest.approx(mean, rel=0.05)
    assert np.quantile(more, 0.5) == pytest.approx(mean * np.log(2), rel=0.12)
    assert more.std() == pytest.approx(mean, rel=0.15)


def test_blocks_add_up_to_background_and_words_at_their_snr(
    table: UtteranceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stream(table)
    audio = np.concatenate(list(one.sound()))
    assert len(audio) == one.n_samples == 90 * RATE
    rest = audio.copy()
    for word in one.insertions:
        place = slice(word.start, word.start + word.n_samples)
        rest[place] -= np.float32(word.gain) * spoken(table, word.row)
        level = level_of(word.gain * spoken(table, word.row), RATE).dbfs
        assert level - one.level_dbfs == pytest.approx(word.snr_db, abs=0.01)
    np.testing.assert_allclose(rest, one.background(0, one.n_samples), atol=1e-6)
    assert 10 * np.log10(np.square(rest[RATE:]).mean()) == pytest.approx(one.level_dbfs, abs=0.1)
    for size in (1.0, 7.3):
        monkeypatch.setattr(streams, "BLOCK_S", size)
        np.testing.assert_array_equal(np.concatenate(list(one.sound())), audio)


def test_the_seed_and_the_split_say_it_all(table: UtteranceTable) -> None:
    assert stream(table).digest == stream(table).digest
    assert stream(table).digest != stream(table, seed=1).digest
    assert stream(table).digest != stream(table, snr_db=(5.0, 19.0)).digest


def test_too_many_words_are_refused(table: UtteranceTable) -> None:
    with pytest.raises(ValueError, match=r"minutes=0\.5: too short for 12 recordings, 6 s in all, with 4 s between"):
        stream(table, minutes=0.5)


@pytest.mark.parametrize("kind", ["white", "pink"])
def test_made_noise_has_power_one_and_does_not_come_back(kind: str) -> None:
    background = made(kind, RATE, 0)
    audio = np.concatenate([background(at, 20 * RATE) for at in range(0, 180 * RATE, 20 * RATE)])
    assert np.square(audio[RATE:]).mean() == pytest.approx(1.0, abs=0.03)
    if kind == "white":  # of pink noise, half a second has no certain power
        overlaps = np.concatenate([audio[at * RATE : at * RATE + RATE // 2] for at in (60, 120)])
        assert np.square(overlaps).mean() == pytest.approx(1.0, abs=0.06)
    first, second = audio[RATE : 50 * RATE], audio[61 * RATE : 110 * RATE]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert np.abs(np.diff(audio)).max() < 10
    np.testing.assert_array_equal(made(kind, RATE, 0)(65 * RATE, 100), audio[65 * RATE : 65 * RATE + 100])


def test_recordings_are_cut_in_halves_that_share_nothing_and_go_round(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (30000, 50000, 20000)]
    for number, part in enumerate(parts):
        soundfile.write(tmp_path / f"{number}.wav", part, RATE, subtype="FLOAT")
    table = prepare(NoiseRecordings(tmp_path), sample_rate=RATE).utterances("noise_test")
    joined = np.concatenate(parts)
    (first, seconds), (second, _) = recorded(table, (0.0, 0.5)), recorded(table, (0.5, 1.0))
    assert seconds == 50000 / RATE
    scale = first(0, 10) / joined[:10]
    np.testing.assert_allclose(first(0, 50000), scale[0] * joined[:50000], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        second(10, 49990), second(0, 1)[0] / joined[50000] * joined[50010:], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(first(49000, 2000), np.concatenate([first(49000, 1000), first(0, 1000)]))
    assert level_of(first(0, 50000), RATE).dbfs == pytest.approx(0.0, abs=0.1)


def test_silence_is_no_background(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(5 * RATE, np.float32), RATE)
    table = prepare(NoiseRecordings(tmp_path), sample_rate=RATE).utterances("noise_test")
    with pytest.raises(ValueError, match="holds nothing but silence, and no background"):
        recorded(table, (0.0, 0.5))
