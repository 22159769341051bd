"""espeak-ng in its own process: the same request, the same sound; its failures are sentences."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from phonaut.corpora.synthetic import espeak
from phonaut.corpora.synthetic.espeak import EspeakError, Request, missing, speak

needs_espeak = pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed")


@needs_espeak
@pytest.mark.parametrize("variant", ["", "+f2", "+klatt4"])
def test_a_request_sounds_the_same_whatever_was_said_before(variant: str) -> None:
    a, b = Request("stop", "en-us" + variant, seed=3), Request("A longer sentence.", "en-us+m1", pitch=20)
    first, _, second = speak([a, b, a])
    (alone,) = speak([a])
    assert np.array_equal(first.samples, second.samples)
    assert np.array_equal(first.samples, alone.samples)
    assert first.events == second.events == alone.events


@needs_espeak
def test_every_setting_is_heard() -> None:
    requests = [
        Request("yes", "en-us"),
        Request("no", "en-us"),
        Request("yes", "en-us+f2"),
        Request("yes", "en-us", rate_wpm=250),
        Request("yes", "en-us", pitch=80),
        Request("yes", "en-us", pitch_range=90),
        Request("yes", "en-us+f2", seed=2),  # has breath
    ]
    sounds = {speech.samples.tobytes() for speech in speak(requests)}
    assert len(sounds) == len(requests)


@needs_espeak
def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(EspeakError, match="no voice 'en-us\\+nobody'"):
        list(speak([Request("yes", "en-us"), Request("yes", "en-us+nobody")]))


def test_a_missing_package_is_a_sentence_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "find_spec", lambda name: None)
    with pytest.raises(EspeakError, match=r"pip install 'phonaut\[synthetic\]'"):
        list(speak([Request("yes", "en-us")]))


@needs_espeak
def test_a_worker_that_dies_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import os\nos.write(1, b'{\"sample_rate\": 22050}\\n')\nos.abort()\n")
    monkeypatch.setattr(espeak, "WORKER", worker)
    with pytest.raises(EspeakError, match="its process ended"):
        list(speak([Request("yes", "en-us")] * 10_000))


@needs_espeak
def test_a_crash_of_the_library_names_what_was_to_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        f"""
import os, runpy, signal, sys
namespace = runpy.run_path({str(espeak.WORKER)!r}, run_name="worker")
class Library:
    sample_rate = 22050
    def speak(self, request):
        if request["text"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return b"\\1\\0" * 5, [(0, "a")]
namespace["main"].__globals__["Library"] = Library
namespace["main"]()
"""
    )
    monkeypatch.setattr(espeak, "WORKER", worker)
    speeches = speak([Request("fine", "en-us"), Request("crash", "en-us"), Request("fine", "en-us")])
    assert next(speeches).samples.tolist() == [1] * 5
    with pytest.raises(EspeakError, match=r"SIGSEGV.*'crash'"):
        next(speeches)


@needs_espeak
def test_what_is_not_wanted_any_more_leaves_no_process() -> None:
    import subprocess

    processes: list[subprocess.Popen[bytes]] = []
    # Longer answers than a pipe holds: the next one is being written when nobody reads any more.
    speeches = speak([Request("yes " * 60, "en-us")] * 5000)
    original = subprocess.Popen

    class Watched(original):  # type: ignore[valid-type, misc]
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            processes.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(espeak.subprocess, "Popen", Watched)
        next(speeches)
        time.sleep(0.3)
        closing = threading.Thread(target=speeches.close, daemon=True)
        closing.start()
        closing.join(timeout=20)
    assert not closing.is_alive(), "it waits for what nobody will read"
    assert [process.poll() is not None for process in processes] == [True]
