"""A prepared corpus is what lies on the disk: audio, labels and times, in tables and in lhotse's manifests."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.data.preparation.prepare import describe, fingerprint, prepare
from phonaut.data.prepared import UtteranceTable
from phonaut.data.utterance import Phone, Utterance

RATE = 16000


def burst(path: Path, seconds: float = 1.0, loud_s: float = 0.0, seed: int = 0, rate: int = RATE) -> Path:
    """Soft noise, louder for 0.2 s from `loud_s` on, as 16-bit samples."""
    audio = 0.001 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    first = round(loud_s * rate)
    audio[first : first + rate // 5] *= 100
    soundfile.write(path, audio, rate)
    return path


@pytest.fixture
def items(tmp_path: Path) -> list[Utterance]:
    found = []
    for number, (word, split) in enumerate(
        [("yes", "train"), ("no", "train"), ("maybe", "test"), ("no", "validation")]
    ):
        path = burst(tmp_path / f"{number}.wav", 0.5 + number / 4, seed=number)
        phones = (Phone("AA", 0.1, 0.2), Phone("B", 0.2, 0.35))
        found.append(
            Utterance(f"c/{number}", path, split, f"s{number}", word, f"text {number}", phones, "sent", session="x")
        )
    return found


def read(path: Path) -> np.ndarray:
    audio, _ = soundfile.read(path, dtype="float32")
    return audio


def phones_of(table: UtteranceTable, row: int) -> list[tuple[str, float, float]]:
    part = slice(table.phone_offset[row], table.phone_offset[row + 1])
    labels = [table.phones[code] for code in table.phone_label[part]]
    return list(zip(labels, table.phone_start_s[part].tolist(), table.phone_end_s[part].tolist(), strict=True))


def test_audio_and_labels_are_those_of_the_disk(items: list[Utterance], listed: Any) -> None:
    prepared = prepare(listed(items), sample_rate=RATE)
    assert (prepared.words, prepared.phones) == (["no", "yes", "maybe"], ["AA", "B"])
    assert prepared.speakers == ["s0", "s1", "s2", "s3"]
    table = prepared.utterances("train")
    for row, item in enumerate(items[:2]):
        np.testing.assert_array_equal(table.audio(row), read(item.path))
        assert (table.id(row), table.word_name(row), table.text(row)) == (item.id, item.word, item.text)
        assert (table.speaker_name(row), table.recording(row)) == (item.speaker, str(item.path))
        assert (table.sentence(row), table.session(row)) == ("sent", "x")
        assert phones_of(table, row) == [("AA", 0.1, 0.2), ("B", 0.2, 0.35)]
    assert len(prepared.utterances("noise")) == 0
    assert prepared.refused == [{"path": "elsewhere.wav", "reason": "the adapter said so"}]


def test_the_summary_counts_and_a_user_can_read_it(items: list[Utterance], listed: Any) -> None:
    prepared = prepare(listed(items, clip_s=1.0), sample_rate=8000)
    summary = prepared.summary
    assert summary["splits"]["train"] == {"cuts": 2, "speakers": 2, "hours": 0.0006, "words": {"no": 1, "yes": 1}}
    assert (summary["n_refused"], summary["n_remarks"]) == (1, 4)
    assert summary["remarks"] == {"resampled from 16000 Hz": 4}
    assert summary["fitted"] == {"padded": 2, "loudest": 1}
    text = describe(prepared)
    for expected in (
        "a list",
        "split         utterances  speakers",
        "train                  2         2",
        "3 words: no, yes, maybe",
        "clips of 1 s: 2 padded, of 1 the loudest part",
        "elsewhere.wav: the adapter said so",
        "4 resampled from 16000 Hz",
        str(prepared.folder),
    ):
        assert expected in text


def test_a_fixed_order_of_words_is_kept(items: list[Utterance], listed: Any) -> None:
    assert prepare(listed(items, words=["yes", "no"]), sample_rate=RATE).words == ["yes", "no", "maybe"]


def test_short_clips_lie_between_zeros_and_so_do_their_phones(tmp_path: Path, listed: Any) -> None:
    path = burst(tmp_path / "short.wav", 0.5)
    cut = Utterance("short", path, "train", "a", "w", phones=(Phone("AA", 0.0, 0.2), Phone("B", 0.4, 0.6)))
    table = prepare(listed([cut], clip_s=1.0), sample_rate=RATE).utterances("train")
    np.testing.assert_array_equal(table.audio(0), np.pad(read(path), RATE // 4))
    assert phones_of(table, 0) == [("AA", 0.25, pytest.approx(0.45)), ("B", pytest.approx(0.65), 0.75)]


@pytest.mark.parametrize("loud_s", [0.0, 0.93, 2.1, 2.8])
@pytest.mark.parametrize("start_s", [0.0, 0.123])
def test_of_a_long_recording_the_loudest_window_is_taken(
    loud_s: float, start_s: float, tmp_path: Path, listed: Any
) -> None:
    path = burst(tmp_path / "long.wav", 3.0, loud_s=loud_s)
    phones = (Phone("B", loud_s - start_s, loud_s - start_s + 0.2), Phone("C", loud_s + 1.2, loud_s + 1.3))
    cut = Utterance("long", path, "train", "a", "w", phones=phones, start_s=start_s)
    table = prepare(listed([cut], clip_s=1.0), sample_rate=RATE).utterances("train")
    audio = read(path).astype(np.float64)
    windows = np.convolve(audio**2, np.ones(RATE), "valid")[round(start_s * RATE) :]
    start = int(table.start[0])
    assert list(table.n_samples) == [RATE]
    np.testing.assert_array_equal(table.audio(0), read(path)[start : start + RATE])
    # To 10 ms: what the window of the greatest energy has more lies in 10 ms at its ends.
    assert np.sum(audio[start : start + RATE] ** 2) >= windows.max() * 0.99
    if loud_s >= start_s:  # a phone outside the window is left out
        ((label, first_s, _),) = phones_of(table, 0)
        assert (label, first_s) == ("B", pytest.approx(loud_s - start / RATE, abs=1e-9))


def test_noise_is_not_fitted_to_a_clip(tmp_path: Path, listed: Any) -> None:
    long = burst(tmp_path / "noise.wav", 3.0)
    word = burst(tmp_path / "word.wav", 1.0, seed=1)
    cuts = [Utterance("n", long, "noise", ""), Utterance("w", word, "train", "a", "w")]
    table = prepare(listed(cuts, clip_s=1.0), sample_rate=RATE).utterances("noise")
    np.testing.assert_array_equal(table.audio(0), read(long))
    assert (table.speaker_name(0), table.word_name(0)) == ("", None)


@pytest.mark.parametrize("group", [1000, 2])
def test_cuts_of_one_recording_share_its_audio(
    group: int, tmp_path: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonaut.data.preparation.decoding.GROUP", group)
    path, other = burst(tmp_path / "noise.wav", 5.0), burst(tmp_path / "other.wav", 1.0, seed=1)
    parts = [Utterance(f"p{i}", path, "train", "a", "w", start_s=float(i), duration_s=1.0) for i in range(5)]
    prepared = prepare(listed([*parts, Utterance("o", other, "train", "a", "w")]), sample_rate=RATE)
    table = prepared.utterances("train")
    np.testing.assert_array_equal(np.concatenate([table.audio(i) for i in range(5)]), read(path))
    np.testing.assert_array_equal(table.audio(5), read(other))
    assert (prepared.folder / "audio.bin").stat().st_size == 2 * (5 + 1) * RATE, "decoded once"


def test_a_cut_outside_its_recording_is_refused(tmp_path: Path, listed: Any) -> None:
    path = burst(tmp_path / "a.wav", 4.0)
    times = {"late": (4.0, None), "early": (-0.5, None), "empty": (1.0, 0.0), "over": (3.0, 2.0), "good": (3.0, 1.05)}
    cuts = [Utterance(name, path, "train", "a", "w", start_s=s, duration_s=d) for name, (s, d) in times.items()]
    prepared = prepare(listed(cuts), sample_rate=RATE)
    assert {line["cut"]: line["reason"] for line in prepared.refused[:-1]} == {
        "late": "the cut starts at 4.00 s, but the recording has 4.00 s",
        "early": "the cut starts at -0.50 s, but the recording has 4.00 s",
        "empty": "the cut is 0.0 s long",
    }
    assert list(prepared.utterances("train").n_samples) == [RATE, RATE]
    assert [line["remark"] for line in prepared.remarks] == ["a cut ends after the recording: shortened"]


def test_an_id_that_occurs_twice_is_named(items: list[Utterance], listed: Any) -> None:
    with pytest.raises(ValueError, match="listed: the id c/0 occurs twice"):
        prepare(listed([*items, replace(items[1], id="c/0")]), sample_rate=RATE)


def test_a_split_that_does_not_exist_is_named(items: list[Utterance], listed: Any) -> None:
    with pytest.raises(ValueError, match="split 'dev' of c/0: it is one of train, validation"):
        prepare(listed([replace(items[0], split="dev")]), sample_rate=RATE)


def test_the_second_time_nothing_is_decoded(
    items: list[Utterance], listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(listed(items), sample_rate=RATE)
    monkeypatch.setattr("phonaut.data.preparation.decoding.open_recording", lambda *_: pytest.fail("opened again"))
    monkeypatch.setattr("phonaut.data.preparation.prepare.locked", lambda *_: pytest.fail("waits for a lock"))
    assert prepare(listed(items), sample_rate=RATE).folder == first.folder


def test_what_matters_makes_a_new_folder_and_nothing_else_does(items: list[Utterance], listed: Any) -> None:
    first = prepare(listed(items), sample_rate=RATE).folder
    assert prepare(listed(list(items)), sample_rate=RATE).folder == first
    others = [
        prepare(listed(items), sample_rate=8000),
        prepare(listed(items, clip_s=1.0), sample_rate=RATE),
        prepare(listed([replace(items[0], word="si"), *items[1:]]), sample_rate=RATE),
    ]
    burst(items[0].path, 0.5, seed=99)
    others.append(prepare(listed(items), sample_rate=RATE))
    assert len({first, *(other.folder for other in others)}) == 5


def test_the_same_corpus_gives_the_same_bytes(
    items: list[Utterance], listed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for name in ("a", "b"):
        monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / name))
        folders.append(prepare(listed(items), sample_rate=RATE, n_jobs=1 if name == "a" else 4).folder)
    files = sorted(p.relative_to(folders[0]) for p in folders[0].rglob("*") if p.is_file())
    assert len(files) > 20
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file


def test_items_stay_in_order_whatever_the_threads_do(
    tmp_path: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import phonaut.data.preparation.decoding as decoding

    real = decoding.load

    def slow_at_first(utterance: Utterance, sample_rate: int) -> Any:
        import time

        time.sleep(0.05 if utterance.id in ("0", "4") else 0)
        return real(utterance, sample_rate)

    monkeypatch.setattr(decoding, "load", slow_at_first)
    paths = [burst(tmp_path / f"{i}.wav", 0.2, seed=i) for i in range(20)]
    cuts = [Utterance(str(i), path, "train", "a", "w") for i, path in enumerate(paths)]
    table = prepare(listed(cuts), sample_rate=RATE, n_jobs=3).utterances("train")
    for row, path in enumerate(paths):
        assert table.id(row) == str(row)
        np.testing.assert_array_equal(table.audio(row), read(path))


def test_a_channel_is_that_channel_and_not_the_mix_and_one_that_is_not_there_is_refused(
    tmp_path: Path, listed: Any
) -> None:
    left, right = (read(burst(tmp_path / f"{i}.wav", 0.2, seed=i)) for i in range(2))
    soundfile.write(tmp_path / "both.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    wanted: dict[int | None, Any] = {None: (left + right) / 2, 0: left, 1: right, 2: None}
    cuts = [Utterance(str(c), tmp_path / "both.wav", "train", "a", "w", channel=c) for c in wanted]
    prepared = prepare(listed(cuts), sample_rate=RATE)
    table = prepared.utterances("train")
    for row in range(3):
        np.testing.assert_allclose(table.audio(row), list(wanted.values())[row], atol=1e-6)
    assert prepared.refused[0]["reason"] == "channel 2 is wanted, counted from 0, and it has 2"
    other = [replace(cuts[0], channel=1), replace(cuts[1], channel=0)]
    assert fingerprint(listed(other), RATE) != fingerprint(listed(cuts[:2]), RATE), "another channel is prepared anew"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_for_terminals_and_lines_for_all_else(
    is_terminal: bool, items: list[Utterance], listed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("phonaut.data.preparation.progress.PATIENCE_S", 0.0)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stderr", stream)
    prepared = prepare(listed(items), sample_rate=RATE)
    assert ("4/4" in stream.getvalue()) == is_terminal
    assert ("preparing listed: 1 of 4" in stream.getvalue()) != is_terminal
    assert len(prepared.utterances("train")) == 2


@pytest.mark.peer
@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_lhotse_reads_the_manifests_and_the_same_audio(rate: int, tmp_path: Path, listed: Any) -> None:
    path = burst(tmp_path / "long.wav", 3.0, loud_s=2.1, rate=rate)
    short = burst(tmp_path / "short.wav", 0.35 + 2 / rate, rate=rate, seed=1)  # ends between two samples of 16 kHz
    phones = (Phone("AA", 2.1, 2.2), Phone("B", 2.2, 2.3))
    cuts = [
        Utterance("loudest", path, "train", "s", "yes", "oh yes", phones, "sent", session="x"),
        Utterance("part", path, "train", "s", "no", phones=(Phone("B", 0.1, 0.2),), start_s=1.0, duration_s=0.5),
        Utterance("padded", short, "train", "t", "no", phones=(Phone("AA", 0.1, 0.2),)),
    ]
    prepared = prepare(listed(cuts, clip_s=0.6), sample_rate=RATE)
    table = prepared.utterances("train")
    manifest = list(prepared.manifest("train"))
    assert [cut.id for cut in manifest] == ["loudest", "part", "padded"]
    for row, (cut, item) in enumerate(zip(manifest, cuts, strict=True)):
        assert cut.recording.sources[0].source == str(item.path)
        first, n = round(cut.start * rate), round(cut.duration * rate)
        source = read(item.path)[first : first + n]
        np.testing.assert_array_equal(cut.load_audio()[0], source)
        valid = slice(int(table.before[row]), int(table.before[row] + table.valid[row]))
        if rate == RATE:
            np.testing.assert_array_equal(table.audio(row)[valid], source)
        (supervision,) = cut.supervisions
        assert (supervision.speaker, supervision.custom["word"]) == (item.speaker, item.word)
        symbols = [(s.symbol, s.start + table.before[row] / RATE, s.end) for s in supervision.alignment["phone"]]
        expected = [(label, pytest.approx(start, abs=1e-5)) for label, start, _ in phones_of(table, row)]
        assert [symbol[:2] for symbol in symbols] == expected
    assert manifest[0].supervisions[0].custom == {"word": "yes", "sentence": "sent", "session": "x"}
    assert manifest[0].supervisions[0].text == "oh yes"
    assert list(prepared.manifest("noise")) == []


@pytest.mark.peer
def test_the_manifests_are_read_lazily(items: list[Utterance], listed: Any) -> None:
    assert prepare(listed(items), sample_rate=RATE).manifest("train").is_lazy


@pytest.mark.corpus
def test_real_speech_is_what_lies_on_the_disk(
    real_speech: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: Any
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    paths = sorted(real_speech("arabic_speech_commands").rglob("*.flac"))[::40]
    cuts = [Utterance(f"{p.parent.name}/{p.stem}", p, "train", p.stem.split("_")[0], p.parent.name) for p in paths]
    prepared = prepare(listed(cuts), sample_rate=RATE)
    table = prepared.utterances("train")
    assert (len(table), len(prepared.refused), prepared.remarks) == (100, 1, [])
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(table.audio(row), read(path))
    assert json.loads((prepared.folder / "summary.json").read_text())["splits"]["train"]["speakers"] == len(
        {cut.speaker for cut in cuts}
    )
