"""`phonaut listen`."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from phonaut.cli.detecting import Detecting
from phonaut.cli.options import option, print_progress


@dataclass(frozen=True)
class Listen(Detecting):
    """Detect the words of a run in a recording, a pipe or the microphone.

    Prints a line for each word, as soon as it is detected. Classes such as
    _silence_ and _unknown_ are no words. A run with streaming=true goes on from
    hop to hop; any other classifier hears the last window again and again.
    """

    arguments = {
        "RUN": "trained_models/ID, of keyword spotting",
        "SOUND": "a recording of any length, mic (the microphone), or - (standard input: WAV, or samples of 16 bits)",
    }
    place = "output="
    examples = {
        "trained_models/ID meeting.flac": "the words in a recording, with their times",
        "trained_models/ID mic output=heard.jsonl": "listen to the microphone until Ctrl-C",
        "trained_models/ID - sample_rate=44100": "listen to bare samples of another program",
    }

    threshold: float | None = option(
        None, "least probability of a word, smoothed", otherwise="what evaluate protocol=detection chose, else 0.65"
    )
    sample_rate: int | None = option(None, "Hz, of samples from - without a header", least=1, otherwise="the run's")
    output: Path | None = option(None, "file that is written: .jsonl (JSON lines) or .txt (labels of Audacity)")
    overwrite: bool = option(False, "replace the file that is there")

    def run(self) -> int:
        """Print and write detections as they come, and at the end how long it took."""
        if self.overwrite and self.output is None:
            raise ValueError("overwrite=true goes with output=FILE")
        from phonaut.reports.listening import head, show_heard, written
        from phonaut.runs.listening import MICROPHONE, PIPE, detections, listener_of, sound_of
        from phonaut.runs.load import load

        folder, source = self.paths
        listener, how = listener_of(load(folder), threshold=self.threshold, **self.listening)
        sound = sound_of(source, listener.sample_rate, self.sample_rate)
        print_progress(how)
        begun = time.perf_counter()
        try:
            with written(self.output, overwrite=self.overwrite) as write:
                row = head(list(listener.detector.words))
                try:
                    for one in detections(listener, sound):
                        write(one)
                        row(one)
                except KeyboardInterrupt as stop:
                    stop.add_note("what was heard until then is above" + f", and in {self.output}" * bool(self.output))
                    raise
                finally:
                    show_heard(listener, time.perf_counter() - begun, live=source in (MICROPHONE, PIPE))
        except BrokenPipeError:
            # Python would complain a second time when it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OSError("the program that reads the detections has ended") from None
        return 0
