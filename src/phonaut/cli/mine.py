"""`phonaut mine`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phonaut.cli.detecting import Detecting
from phonaut.cli.options import option, print_progress


@dataclass(frozen=True)
class Mine(Detecting):
    """Collect what a run takes for its words in recordings without any.

    Writes clips, and mined.csv with their places and times. Trained again with
    negatives.folder=mined the run learns that they are none of its words. Test
    it on other recordings.
    """

    arguments = {
        "RUN": "trained_models/ID, of keyword spotting",
        "FOLDER": "recordings of any length in which nobody says a word of the run",
    }
    place = "output="
    examples = {
        "trained_models/ID background": "the 100 windows that are most like a word, into mined",
        "trained_models/ID background threshold=0.3 most=500": "also those that are less like one",
    }

    threshold: float | None = option(
        None, "least probability of a word, smoothed", otherwise="what evaluate protocol=detection chose, else 0.65"
    )
    most: int = option(100, "clips that are written, the most probable ones", least=1)
    output: Path = option(Path("mined"), "folder that is written")
    overwrite: bool = option(False, "replace the folder that is there")

    def run(self) -> int:
        """Listen, write clips, and print what there is."""
        from phonaut.reports.listening import show_mined
        from phonaut.runs.load import load
        from phonaut.runs.mining import mine

        run, folder = self.paths
        mined = mine(
            load(run),
            Path(folder),
            self.output,
            most=self.most,
            threshold=self.threshold,
            overwrite=self.overwrite,
            progress=print_progress,
            **self.listening,
        )
        show_mined(mined, self.output)
        return 0
