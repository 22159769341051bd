"""Speech by espeak-ng, which runs in a process of its own (`espeak_worker`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WORKER = Path(__file__).with_name("espeak_worker.py")
INSTALL = "pip install 'phonaut[synthetic]'"
REINSTALL = "pip install --force-reinstall --no-deps espeakng-loader"


class EspeakError(ValueError):
    """espeak-ng is missing or failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """A text and the voice that speaks it.

    Attributes:
        text: English text.
        voice: an espeak-ng voice, `en-us`, or a voice and a variant, `en-us+f3`.
        rate_wpm: words a minute, 80 to 450; 175 is usual.
        pitch: 0 to 99, relative to the voice; 50 is its own.
        pitch_range: 0 to 99, how lively the intonation is; 50 is the voice's own.
        seed: of the noise in breath and consonants.
    """

    text: str
    voice: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50
    seed: int = 1


class Speech(NamedTuple):
    """Audio of espeak-ng, with the times of its phones.

    Attributes:
        samples: `(n,)` int16.
        sample_rate: in Hz; 22050 for all voices that come with espeak-ng.
        events: (first sample, espeak's mnemonic) of each phoneme; a mnemonic that begins with `_` is a pause.
    """

    samples: NDArray[np.int16]
    sample_rate: int
    events: list[tuple[int, str]]


def missing() -> str | None:
    """Why espeak-ng cannot be used here and what to type; None where it can be."""
    if find_spec("espeakng_loader") is not None:
        return None
    return f"synthetic speech needs espeak-ng (GPL-3), which is not installed here; type: {INSTALL}"


def speak(requests: Sequence[Request]) -> Iterator[Speech]:
    """Say `requests`, one answer for each, in order; the same request always sounds the same.

    A second process speaks ahead while the caller works on what it was given, so two cores are used.

    Raises:
        EspeakError: the package is missing, a voice does not exist, or espeak-ng failed; nothing is left running.
    """
    reason = missing()
    if reason:
        raise EspeakError(reason)
    # -P: the folder of the script must not come first among the places of imports.
    command = [sys.executable, "-P", str(WORKER)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert worker.stdin is not None
    assert worker.stdout is not None
    feeder = Thread(target=_feed, args=(worker.stdin, requests), daemon=True)
    try:
        sample_rate = int(_read_head(worker.stdout)["sample_rate"])
        feeder.start()
        for _ in requests:
            head = _read_head(worker.stdout)
            data = worker.stdout.read(2 * head["n_samples"])
            yield Speech(np.frombuffer(data, "<i2"), sample_rate, [(start, name) for start, name in head["events"]])
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()  # first: what it forked to speak may wait for a reader, and the feeder for that
        if feeder.is_alive():
            feeder.join()


def _feed(pipe: IO[bytes], requests: Sequence[Request]) -> None:
    """Write all requests; a worker that has ended is noticed where its answers are read."""
    with suppress(OSError), pipe:
        for request in requests:
            pipe.write(json.dumps(asdict(request)).encode() + b"\n")


def _read_head(pipe: IO[bytes]) -> dict[str, Any]:
    line = pipe.readline()
    head: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"error": "its process ended"}
    if "error" in head:
        raise EspeakError(f"synthetic speech failed: {head['error']}. Try a fresh copy: {REINSTALL}")
    return head
