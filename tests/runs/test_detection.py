"""Words in long sound: figures are those of what listens, test speech chooses nothing, mistakes are said."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.runs_of_tones import RATE
from phonaut.cli import main
from phonaut.data.streams import Stream
from phonaut.deploy.detection import Detection
from phonaut.deploy.sound import file_sound
from phonaut.runs import streams
from phonaut.runs.listening import detections, listener_of
from phonaut.runs.streams import DetectionTest, stream_of

SHORT = ["minutes=3", "insertions=6", "window_ms=500", "smoothing_ms=150"]
LISTENING = {"window_ms": 500.0, "smoothing_ms": 150.0}


@pytest.fixture
def run(listeners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the causal run, in a folder of its own."""
    shutil.copytree(listeners / "tc-res8", tmp_path / "trained_models" / "ID")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "trained_models" / "ID" / "tc-res8"


def written(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return json.loads((run / "detection.json").read_text()), json.loads((run / "metrics.json").read_text())


def stream(run: Path, **listening: Any) -> Stream:
    """What `SHORT` builds of the test split."""
    loaded = phonaut.load(run)
    prepared = loaded.run.prepared()
    assert prepared is not None
    test = DetectionTest(minutes=3, insertions=6, listening=LISTENING | listening)
    found = stream_of(loaded, test, prepared, "test")
    assert found is not None
    return found[0]


def counts(heard: list[Detection], one: Stream) -> tuple[int, int]:
    """Misses and false alarms, counted word by word: in these streams words are four seconds apart."""
    events = [(word.word, word.start / RATE, (word.start + word.n_samples) / RATE) for word in one.insertions
              if word.is_event]  # fmt: skip
    n_found = sum(
        any(d.word == word and min(start, end - 0.75) <= d.end_s <= end + 0.75 for d in heard)
        for word, start, end in events
    )
    return len(events) - n_found, len(heard) - n_found


@pytest.mark.oracle
@pytest.mark.slow
def test_the_figures_are_those_of_listening_to_the_stream_at_the_threshold_and_at_others(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "protocol=detection", *SHORT, "keywords=low"]) == 0
    record, metrics = written(run)
    about, loaded, one = record["streams"]["detection"], phonaut.load(run), stream(run, keywords=("low",))
    assert about["digest"] == one.digest
    assert len(one.insertions) == 8  # four words of two test speakers, and as many others
    curve = about["curve"]
    points = [(about["threshold"], about["n_missed"], about["n_false_alarms"])]
    points += list(zip(*(curve[key] for key in ("threshold", "missed", "false")), strict=True))[::9][:4]
    assert len(points) > 2
    for threshold, missed, false in points:
        listener, _ = listener_of(loaded, threshold=threshold, keywords=("low",), **LISTENING)  # type: ignore[arg-type]
        assert counts(list(detections(listener, one.sound())), one) == (missed, false)
    figures = metrics["detection"]
    assert figures["misses"]["value"] == about["n_missed"] / about["n"]
    assert figures["false_alarms_per_hour"]["value"] == about["n_false_alarms"] / about["hours"]
    assert about["hours"] == pytest.approx((180 - 4 * 0.5) / 3600)
    assert "misses/1_per_hour" not in figures
    assert "fewer than 60.7 an hour (95 %, upper bound)" in figures["misses/no_false_alarm"]["method"]
    out = capsys.readouterr().out
    assert "background: synthetic, pink noise" in out
    assert "95 % interval" in out
    assert "Long sound" in (run / "report.html").read_text()
    shutil.copytree("trained_models/ID", "trained_models/other")
    (run / "metrics.json").write_text(json.dumps({"test": metrics["test"]}))  # as training on leaves it
    assert main(["report", str(run)]) == 0
    assert "Long sound" not in (run / "report.html").read_text()
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert main(["compare", "trained_models/ID", "trained_models/other"]) == 0
    same = capsys.readouterr().out
    assert "false alarms/h" in same
    assert "The long sound was not the same" not in same
    about["digest"] = "another"
    (Path("trained_models/other/tc-res8") / "detection.json").write_text(json.dumps(record))
    assert main(["compare", "trained_models/ID", "trained_models/other"]) == 0
    assert "beware: The long sound was not the same for all runs" in capsys.readouterr().out


@pytest.mark.slow
def test_the_threshold_is_chosen_on_validation_speakers_kept_in_the_run_and_read_by_listening(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write("a.wav", np.zeros(RATE), RATE)
    assert main(["listen", str(run), "a.wav"]) == 0
    assert "threshold 0.65, that of every run: phonaut evaluate" in capsys.readouterr().err
    asked = list[str]()
    real = streams.stream_of

    def noting(loaded: Any, test: Any, prepared: Any, split: str) -> Any:
        found = real(loaded, test, prepared, split)
        asked.extend(f"{split} {one.speaker}" for one in found[0].insertions)
        return found

    monkeypatch.setattr(streams, "stream_of", noting)
    assert main(["evaluate", str(run), "protocol=detection", *SHORT]) == 0
    assert set(asked) == {"validation s5", "test s6", "test s7"}
    record, _ = written(run)
    chosen = record["threshold"]
    assert chosen["false_alarms"] == chosen["allowed"] == 0
    assert "are less than 3 / 1: 0 bound the rate at" in chosen["note"]
    capsys.readouterr()
    listener, how = listener_of(phonaut.load(run), **LISTENING)  # type: ignore[arg-type]
    assert listener.detector.threshold == chosen["value"]
    assert "chosen on validation streams for 1 false alarm an hour (detection.json of the run)" in how
    assert "one was chosen with other smoothing_ms and window_ms" in listener_of(phonaut.load(run))[1]
    listener, how = listener_of(phonaut.load(run), threshold=0.3, **LISTENING)  # type: ignore[arg-type]
    assert listener.detector.threshold == 0.3
    assert "threshold" not in how
    record["threshold"]["weights"] = "others"
    (run / "detection.json").write_text(json.dumps(record))
    assert "are not those that one was chosen for" in listener_of(phonaut.load(run), **LISTENING)[1]  # type: ignore[arg-type]


def labelled(folder: Path, labels: str = "word,start_s,end_s\nlow,2,2.5\nhigh,6,6.5\nother,9,9.5\n") -> Path:
    """Two recordings: of three words with a table, and of noise with empty labels."""
    folder.mkdir()
    rng, seconds = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    audio = 0.01 * rng.standard_normal(12 * RATE)
    for start_s, hz in ((2, 315.0), (6, 2600.0), (9, 1000.0)):
        audio[start_s * RATE : start_s * RATE + len(seconds)] += 0.2 * np.sin(2 * np.pi * hz * seconds)
    soundfile.write(folder / "a.wav", audio, RATE)
    (folder / "a.csv").write_text(labels)
    soundfile.write(folder / "b.wav", 0.01 * rng.standard_normal(8 * RATE), RATE)
    (folder / "b.txt").write_text("")
    return folder


@pytest.mark.slow
def test_recordings_of_ones_own_are_tested_each_from_its_beginning(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"streams={labelled(Path('mine'))}", "validation_streams=mine"]
    assert main(["evaluate", str(run), "protocol=detection", *words, *SHORT[2:]]) == 0
    record, metrics = written(run)
    about = record["streams"]["detection_mine"]
    assert about["n"] == 2
    assert about["minutes"] == pytest.approx(20 / 60, abs=0.001)
    assert about["hours"] == pytest.approx(19 / 3600)
    assert metrics["detection_mine"]["misses"]["n"] == 2
    assert metrics["detection_mine"]["misses"]["value"] == 0
    assert "2 recordings in mine, 0.333 minutes, 2 words and 1 others" in capsys.readouterr().out


@pytest.mark.slow
def test_recordings_in_which_nobody_says_a_word_have_false_alarms_and_no_misses(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(Path("mine"), "word,start_s,end_s\n")  # with three tones, which are heard
    assert main(["evaluate", str(run), "protocol=detection", "streams=mine", *SHORT]) == 0
    record, metrics = written(run)
    about, out = record["streams"]["detection_mine"], capsys.readouterr().out
    assert set(metrics["detection_mine"]) == {"false_alarms_per_hour"}
    assert about["n"] == about["n_missed"] == 0
    assert about["hours"] == pytest.approx(20 / 3600)
    assert "none   that could be: no word of the run is said here" in out
    loaded = phonaut.load(run)
    points = [(about["threshold"], about["n_false_alarms"])]
    points += list(zip(about["curve"]["threshold"], about["curve"]["false"], strict=True))[::7]
    for threshold, n_false in points:
        heard = 0
        for name in ("a.wav", "b.wav"):
            listener, _ = listener_of(loaded, threshold=threshold, **LISTENING)  # type: ignore[arg-type]
            heard += len(list(detections(listener, file_sound(Path("mine", name), RATE))))
        assert heard == n_false
    assert max(n for _, n in points) >= 2
    (silent,) = about["from"]
    assert f"{silent['threshold']:.3g}   and above: no false alarm in 0.00556 h" in out
    curve = dict(zip(about["curve"]["threshold"], about["curve"]["false"], strict=True))
    assert all(n == 0 for at, n in curve.items() if at >= silent["threshold"])
    assert any(n > 0 for at, n in curve.items() if at < silent["threshold"])
    assert "no word of the run is said here" in (run / "report.html").read_text()
    assert main(["evaluate", str(run), "protocol=detection", "validation_streams=mine", *SHORT]) == 2
    assert "a threshold is chosen by what it misses too" in capsys.readouterr().err


@pytest.mark.slow
def test_a_label_beyond_the_end_is_said_before_anything_is_heard(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled(Path("mine"), "word,start_s,end_s\nlow,2,2.5\nhigh,11.9,12.4\n")
    assert main(["evaluate", str(run), "protocol=detection", "streams=mine", *SHORT]) == 2
    said = capsys.readouterr().err
    assert "mine/a.wav ends after 12.00 s, and its labels say high at 11.9 to 12.4 s" in said
    assert "listening to" not in said
    (Path("mine") / "a.csv").write_text("")
    (Path("mine") / "a.wav").write_bytes(b"no sound")
    assert main(["evaluate", str(run), "protocol=detection", "streams=mine", *SHORT]) == 2
    assert "mine/a.wav: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["minutes=0.5"], "minutes=0.5: too short for"),
        (["minutes=nan"], "minutes=nan: must be above 0"),
        (["false_alarms=0"], "false_alarms=0: must be above 0"),
        (["snr_db=5"], "snr_db=5: must be the lowest and the highest, such as 5,20"),
        (["noise=white,pink"], "noise=white,pink: a stream has one kind of background"),
        (["noise=violet"], "noise=violet: of a stream, it is white, pink, brown, blue or recorded"),
        (["noise=recorded"], "keeps no noise for the test; negatives=FOLDER names some"),
        (["noise=pink", "negatives=a"], "noise=pink and negatives=a are both the background: give one"),
        (["negatives=gone"], "negatives=gone is no folder"),
        (["streams=gone"], "gone is no folder; it is to hold recordings, each with labels"),
        (["keywords=low,none"], "keywords=none:"),
        (["split=validation"], "split= has no effect with protocol=detection"),
        (["folder"], "protocol=detection takes one RUN; streams=folder names labelled recordings"),
        (["streams=a", "validation_streams=a", "minutes=3"], "minutes= has no effect where no stream is built"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_one_sentence(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "protocol=detection", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (run / "detection.json").exists()


@pytest.mark.slow
def test_labels_that_name_no_word_of_the_run_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled(Path("mine"), "word,start_s,end_s\nother,9,9.5\n")
    assert main(["evaluate", str(run), "protocol=detection", "streams=mine", "validation_streams=mine"]) == 2
    assert "mine: its labels name other, and none of high, low" in capsys.readouterr().err


def test_options_of_streams_go_with_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("keywords=a", "minutes=3", "streams=a", "smoothing=hmm"):
        assert main(["evaluate", "RUN", word]) == 2
        assert f"{word.partition('=')[0]}= goes with protocol=detection" in capsys.readouterr().err


@pytest.mark.readme
@pytest.mark.slow
def test_the_commands_of_the_page_run(run: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "detection.md").read_text(encoding="utf-8")
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    labelled(Path("living_room"))
    soundfile.write("a.wav", np.zeros(RATE), RATE)
    Path("radio").mkdir()
    soundfile.write("radio/a.wav", 0.01 * np.random.default_rng(0).standard_normal(10 * RATE), RATE)
    commands = [line for line in lines if line.startswith("phonaut ") and " train " not in line]
    assert len(commands) == 5
    for command in commands:
        words = [word.replace("happy", "low") for word in shlex.split(command)[1:]]
        words += ["minutes=3", "insertions=6"] if "minutes" not in command and words[0] == "evaluate" else []
        assert main(words) == 0
