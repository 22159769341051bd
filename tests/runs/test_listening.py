"""A run that listens finds words where they were said, in a file, a pipe or the microphone; what ends it is said."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.fake_microphone import Fake
from helpers.runs_of_tones import RATE
from phonaut.cli import main
from phonaut.deploy import microphone
from phonaut.runs import listening
from phonaut.runs.listening import detections, listener_of
from phonaut.tasks.classification import Classification
from phonaut.tasks.verification import Verification

WORDS = {"low": 300.0, "high": 2500.0, "_silence_": 0.0}
SAID = [("low", 1.0), ("high", 2.7), ("high", 5.0), ("low", 6.2), ("high", 9.5)]  # seconds at which they begin
MODELS = ("tc-res8", "gmm")
NEAR_S = 0.75
OLD_RUNS = Path(__file__).parent.parent / "golden" / "old_runs"


@pytest.fixture(scope="module")
def home(listeners: Path) -> Path:
    """The runs, and a recording of other tones in silence."""
    soundfile.write(listeners / "said.wav", recording(), RATE)
    return listeners


def recording() -> np.ndarray:
    audio = 0.01 * np.random.default_rng(1).standard_normal(11 * RATE)
    seconds = np.arange(RATE // 2) / RATE
    for word, start_s in SAID:
        at = round(start_s * RATE)
        audio[at : at + len(seconds)] += 0.2 * np.sin(2 * np.pi * WORDS[word] * 1.05 * seconds)
    return audio.astype(np.float32)


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def check(found: list[dict[str, Any]]) -> None:
    """All words, in their order, near the times at which they ended, and nothing else."""
    assert [one["word"] for one in found] == [word for word, _ in SAID]
    for one, (_, start_s) in zip(found, SAID, strict=True):
        assert abs(one["end_s"] - (start_s + 0.5)) <= NEAR_S
        assert one["start_s"] < start_s + 0.5
        assert one["end_s"] > start_s


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("smoothing", ["mean", "hmm"])
@pytest.mark.parametrize("model", MODELS)
def test_words_are_found_where_they_were_said_however_the_sound_is_cut(model: str, smoothing: Any, home: Path) -> None:
    audio, found = recording(), []
    for size in (len(audio), 777):
        options = {} if model == "tc-res8" else {"hop_ms": 50.0}
        listener, _ = listener_of(
            phonaut.load(home / model), window_ms=500, smoothing=smoothing, smoothing_ms=100, **options
        )
        blocks = (audio[at : at + size] for at in range(0, len(audio), size))
        found.append([vars(one) for one in detections(listener, blocks)])
        assert listener.n_detections == len(SAID)
        assert listener.heard_s == 11
    check(found[0])
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.slow
def test_a_run_listens_through_the_window_of_its_configuration_unless_another_is_asked_for(home: Path) -> None:
    run = phonaut.load(home / "tc-res8")
    run.config.window_ms = 640
    listener, how = listener_of(run)
    assert "over the last 640 ms;" in how
    assert listener.scores.stream.window == 8  # of 80 ms
    assert "over the last 500 ms;" in listener_of(run, window_ms=500)[1]


@pytest.mark.slow
def test_files_of_other_rates_and_pipes_say_the_same_on_paper_and_on_screen(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["window_ms=500", "smoothing_ms=150"]
    data = io.BytesIO()
    soundfile.write(data, recording(), RATE, format="WAV")
    bare = (recording() * 32767).astype("<i2").tobytes()
    soundfile.write("said.flac", np.repeat(recording(), 2), 2 * RATE)
    for n, (source, sent, more) in enumerate(
        [("said.wav", b"", []), ("said.flac", b"", []), ("-", data.getvalue(), []), ("-", bare, ["sample_rate=16000"])]
    ):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(sent), isatty=lambda: False))
        assert main(["listen", "tc-res8", source, *words, *more, f"output={n}.jsonl"]) == 0
        printed = capsys.readouterr().out
        lines = [json.loads(line) for line in Path(f"{n}.jsonl").read_text().splitlines()]
        check(lines)
        table = printed.splitlines()
        assert [row.split()[2] for row in table[1:6]] == [word for word, _ in SAID]
        assert "5 detections in 0:00:11.00 of sound" in table
        assert any(line.startswith("real-time factor ") for line in table)
        assert any(line.startswith("latency ") and "a score every 80 ms" in line for line in table)
    assert main(["listen", "tc-res8", "said.wav", *words, "output=a.txt"]) == 0
    labels = [line.split("\t") for line in Path("a.txt").read_text().splitlines()]
    check([{"start_s": float(start), "end_s": float(end), "word": word} for start, end, word in labels])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tc-res8", "gone.wav"], "no such recording: gone.wav"),
        (["tc-res8", "tones"], "tones is a folder: name a recording in it, or phonaut predict RUN tones"),
        (["tc-res8", "said.wav", "hop_ms=10"], "goes on from hop to hop: leave it out"),
        (["tc-res8", "said.wav", "sample_rate=8000"], "sample_rate= is of bare samples from standard input"),
        (["tc-res8", "said.wav", "output=a.csv"], "must end in .jsonl (JSON lines) or .txt (labels of Audacity)"),
        (["tc-res8", "said.wav", "output=there.txt"], "output=there.txt is there: name another file, or overwrite"),
        (["tc-res8", "said.wav", "overwrite=true"], "overwrite=true goes with output=FILE"),
        (["tc-res8", "said.wav", "threshold=0"], "threshold=0: must be above 0 and at most 1"),
        (["tc-res8", "said.wav", "window_ms=0"], "window_ms=0: must be from 100 to 60000"),
        (["tc-res8", "said.wav", "smoothing_ms=inf"], "smoothing_ms must be a number >= 0, got inf"),
        (["gmm", "said.wav", "hop_ms=nan"], "hop_ms=nan: must be from 1 to window_ms=1000"),
        (["gmm", "said.wav", "refractory_ms=nan"], "refractory_ms must be a number >= 0, got nan"),
        (["tc-res8", "said.wav", "smoothing=max"], "smoothing must be mean or hmm, got max"),
        (["tc-res8", "-"], "standard input is a terminal"),
        (["half", "said.wav"], "has no trained model yet; resume it"),
        ([str(OLD_RUNS / "encoder"), "said.wav"], "is of pretraining, and spots no words"),
        ([str(OLD_RUNS / "dnnhmm"), "said.wav"], "is of phone, and spots no words"),
        (["tc-res8", "mic"], "the microphone needs sounddevice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_one_sentence(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    Path("there.txt").write_text("mine")
    Path("half").mkdir(exist_ok=True)
    Path("half/config.yaml").write_bytes(Path("tc-res8/tc-res8/config.yaml").read_bytes())
    assert main(["listen", *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out
    assert Path("there.txt").read_text() == "mine"


@pytest.mark.readme
@pytest.mark.slow
def test_the_commands_of_the_page_run(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "tc-res8", tmp_path / "trained_models" / "ID")
    soundfile.write("meeting.flac", recording(), RATE)
    bare = np.repeat(recording(), 3)[: 44100 * 4]
    pipe = SimpleNamespace(buffer=io.BytesIO((bare * 32767).astype("<i2").tobytes()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", pipe)
    monkeypatch.setattr(microphone, "VANISHED_S", 0.05)
    monkeypatch.setitem(sys.modules, "sounddevice", Fake(np.split(recording(), 550)))
    page = (Path(__file__).parent.parent.parent / "docs" / "listen.md").read_text(encoding="utf-8")
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    commands = [line.partition(" < ")[0] for line in lines if line.startswith("phonaut listen ")]
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command)[1:]
        assert main(words) == (1 if words[2] == "mic" else 0)  # the microphone of a test vanishes
        assert " of sound\n" in capsys.readouterr().out
    assert Path("words.jsonl").exists()
    assert Path("labels.txt").exists()


def test_a_run_of_verification_spots_no_words() -> None:
    config: Any = SimpleNamespace(target="keyword")
    run: Any = SimpleNamespace(folder="a", task=Verification(), config=config, about={})
    with pytest.raises(ValueError, match="a is of verification, and spots no words: listen takes a run with target=k"):
        listener_of(run)
    model = SimpleNamespace(front_end=None)
    run = SimpleNamespace(
        folder="a", task=Classification(), config=config, about={"classes": ["_silence_"]}, model=model
    )
    with pytest.raises(ValueError, match="no words to listen for: its classes are _silence_"):
        listener_of(run)


@pytest.mark.slow
def test_a_microphone_that_vanishes_a_pipe_that_breaks_and_a_reader_that_ends_keep_what_was_detected(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["listen", "tc-res8", "mic", "window_ms=500", "smoothing_ms=150", "output=heard.jsonl", "overwrite=true"]
    monkeypatch.setattr(microphone, "VANISHED_S", 0.05)
    monkeypatch.setitem(sys.modules, "sounddevice", Fake(np.split(recording(), 550)))
    assert main(words) == 1
    told = capfd.readouterr()
    assert "phonaut: the microphone has vanished" in told.err
    assert "5 detections in" in told.out
    check([json.loads(line) for line in Path("heard.jsonl").read_text().splitlines()])
    data = io.BytesIO()
    soundfile.write(data, recording(), RATE, format="WAV")
    pipe = SimpleNamespace(buffer=io.BytesIO(data.getvalue()[:-20000]), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", pipe)
    assert main([*words[:2], "-", *words[3:]]) == 1
    assert "phonaut: standard input broke off: 20,000 of" in capfd.readouterr().err
    check([json.loads(line) for line in Path("heard.jsonl").read_text().splitlines()])
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert main([*words[:2], "said.wav", *words[3:]]) == 1
    assert "phonaut: the program that reads the detections has ended" in capfd.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_with_the_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: Path, sample_rate: int) -> Any:
        yield recording()
        raise KeyboardInterrupt

    monkeypatch.setattr(listening, "file_sound", interrupted)
    assert main(["listen", "tc-res8", "said.wav", "window_ms=500", "smoothing_ms=150"]) == 130
    told = capsys.readouterr()
    assert "5 detections in 0:00:11.00 of sound" in told.out
    assert told.err.splitlines()[-1] == "stopped: what was heard until then is above"
