"""`phonaut predict`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import Command, option, print_progress

STANDARD_INPUT = "standard_input"


@dataclass(frozen=True)
class Predict(Command):
    """Say which word, or other class of a run, is in recordings.

    Prints for each the class, its probability and the runner-up, and "none
    of these" before them where the class is too improbable. Recordings
    much longer than the clips of training are heard in windows, half a clip
    apart; phonaut listen finds words in long sound as they come.
    """

    usage = ("RUN SOUND ... [format=table] [output=FILE]",)
    arguments = {
        "RUN": "trained_models/ID, a classifier",
        "SOUND ...": "recordings, folders of them, or - (standard input: a recording with a header)",
    }
    place = "output="
    examples = {
        "trained_models/ID yes.wav": "the class of one recording",
        "trained_models/ID meeting.wav threshold=0.9": "none of these, unless it is surer",
        "trained_models/ID recordings format=csv output=answers.csv": "of all in a folder, for other programs",
    }

    format: Literal["table", "csv", "json"] = option("table", "table, csv, or json: a line for each recording")
    output: Path | None = option(None, "file that is written, atomically", otherwise="printed as answers come")
    overwrite: bool = option(False, "replace the file that is there")
    threshold: float | None = option(
        None, "probability below which the answer is none of these", otherwise="what validation chose for the run"
    )
    reject: bool = option(True, "false: answer with the likeliest class, however unlikely it is")

    def run(self) -> int:
        """Print or write the answers."""
        if self.overwrite and self.output is None:
            raise ValueError("overwrite=true goes with output=FILE")
        if len(self.paths) < 2:
            raise ValueError("which recordings? phonaut predict RUN yes.wav, or a folder")
        if self.output is not None:
            check_output(self.output, overwrite=self.overwrite)
        from phonaut.files import write_text
        from phonaut.reports.predicted import lines_of
        from phonaut.runs.load import load
        from phonaut.runs.prediction import predict

        run = load(self.paths[0])
        with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
            sounds = [self.read(folder) if path == "-" else Path(path) for path in self.paths[1:]]
            given = (
                one._replace(path=named(one.path, folder))
                for one in predict(
                    run,
                    sounds,
                    lambda text: print_progress(named(text, folder)),
                    reject=self.reject,
                    threshold=self.threshold,
                )
            )
            lines = lines_of(given, self.format)
            try:
                if self.output is None:
                    for line in lines:
                        print(line, flush=True)
                else:
                    written = list(lines)
                    write_text(self.output, "\n".join(written) + "\n")
                    print_progress(f"{len(written)} lines in {self.output}")
            except ValueError as error:
                raise ValueError(named(str(error), folder)) from None
        return 0

    @staticmethod
    def read(folder: str) -> Path:
        """Standard input as a file."""
        path = Path(folder) / STANDARD_INPUT
        path.write_bytes(sys.stdin.buffer.read())
        return path


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before anything is heard.

    Raises:
        ValueError: it is there, or is a folder, or its folder is not there.
    """
    if path.is_dir():
        raise ValueError(f"output={path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"output={path}: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already: overwrite=true replaces it")


def named(text: str, folder: str) -> str:
    """What is said about the file of standard input, by the name that the user gave it."""
    return text.replace(str(Path(folder) / STANDARD_INPUT), "-")
