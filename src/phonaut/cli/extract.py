"""`phonaut extract`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import CORPUS, Command, option, print_progress


@dataclass(frozen=True)
class Extract(Command):
    """Write the representations of a corpus by a run's encoder or front end.

    Models are trained on them with dataset=frames. With plot=true, pictures of
    an encoder's layers and attention on one recording are drawn instead.
    """

    usage = (
        "RUN dataset=NAME [target=NAME] [layer=LAYER] [output=FOLDER] [overwrite=true]",
        "RUN FILE plot=true [head=true] [output=FOLDER]",
    )
    arguments = {
        "RUN": "trained_models/ID, or a checkpoint of s3prl or of the original Mockingjay",
        "[FILE]": "the recording of plot=true",
    }
    composes = {**CORPUS, "target=NAME": "the labels that go with the frames: keyword, phone, speaker or gender"}
    place = "output="
    examples = {
        "trained_models/ID dataset=fsdd": "representations of a corpus, for dataset=frames",
        "trained_models/ID a.wav plot=true": "pictures of an encoder's layers and attention",
    }

    layer: int | Literal["last", "all", "weighted"] | None = option(
        None, "the layer of the encoder; 0 is what goes into the first", least=0, otherwise="last, or the run's"
    )
    output: Path | None = option(
        None, "folder that is written", otherwise="representations/DATASET-TARGET-RUN, or pictures/FILE"
    )
    overwrite: bool = option(False, "replace frames that are there")
    plot: bool = option(False, "draw one recording in place of writing a corpus")
    head: bool = option(False, "with plot=true: also the frames that the objective hides, predicted and true")

    def run(self) -> int:
        """Write frames or pictures, and print where they are."""
        if self.plot:
            self.draw()
            return 0
        if self.head:
            raise ValueError("head=true goes with plot=true: phonaut extract RUN FILE plot=true head=true")
        if len(self.paths) != 1:
            raise ValueError("extract takes one RUN, a FILE with plot=true alone; it got "
                             f"{len(self.paths)} paths: {', '.join(self.paths)}")  # fmt: skip
        if not any(text.startswith("dataset=") for text in self.overrides):
            raise ValueError("which recordings? Name a corpus: phonaut extract RUN dataset=NAME")
        from phonaut.config.compose import compose
        from phonaut.peers import Peers
        from phonaut.reports.terminal import show_extracted
        from phonaut.runs.extraction import extract
        from phonaut.runs.load import load
        from phonaut.tasks.build import prepared_corpus

        (path,) = self.paths
        run = load(path)
        for note in (run.config.imported or {}).get("notes", []):
            print(f"{path}: {note}", file=sys.stderr)
        config = compose(self.overrides)
        config.features["sample_rate"] = run.config.features["sample_rate"]
        source = Path(path).stem if Path(path).is_file() else run.folder.parent.name
        layer = [] if self.layer is None else [str(self.layer)]
        name = "-".join([str(config.choices["dataset"]), config.target, source, *layer])
        with Peers() as peers:
            result = extract(
                run,
                prepared_corpus(config),
                self.output or Path("representations") / name,
                layer=self.layer,
                overwrite=self.overwrite,
                max_recording_s=config.max_recording_s,
                progress=print_progress if peers.rank == 0 else lambda text: None,
                peers=peers,
            )
            show_extracted(result, config.target)
        return 0

    def draw(self) -> None:
        """Write pictures of what the encoder of a run does with one recording."""
        needless = [*self.given("layer", "overwrite"), *(text.partition("=")[0] for text in self.overrides)]
        if needless:
            raise ValueError(f"extract with plot=true takes head=, output=; it got {needless[0]}")
        if len(self.paths) != 2:
            shown = ", ".join(self.paths)
            raise ValueError(f"plot=true takes a RUN and one FILE; it got {len(self.paths)} paths: {shown}")
        from phonaut.runs.load import load
        from phonaut.runs.visualize import write_pictures

        path, file = self.paths[0], Path(self.paths[1])
        written = write_pictures(
            load(path),
            file,
            self.output or Path("pictures") / file.stem,
            head=self.head,
            progress=print_progress,
        )
        print(*written, sep="\n")
