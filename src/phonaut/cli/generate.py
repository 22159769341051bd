"""`phonaut generate`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phonaut.cli.options import Command, option

if TYPE_CHECKING:
    from phonaut.runs.generation import Made, Maker


@dataclass(frozen=True)
class Generate(Command):
    """Make things with a trained generator: samples, reconstructions, conversions.

    Without a FILE, windows are drawn at random. A FILE is taken apart into
    windows and put together again; target= converts it on the way, by its
    codes or by what the generator is conditioned on. Densities of classes, such as
    hidden Markov models, draw segments of each class in turn, or of label=.
    Written are pictures, frames and audio that can be heard.
    """

    usage = (
        "RUN [n=16] [label=NAME] [speaker=NAME] [prior=RUN [seconds=1.5]] [seed=0] [output=FOLDER]",
        "RUN FILE ... [target=speaker:NAME [source=speaker:NAME] [strength=1] [vocoder=world]] [output=FOLDER]",
        "RUN FILE FILE interpolate=7 [output=FOLDER]",
    )
    arguments = {"RUN": "trained_models/ID, of a generator or a density", "[FILE ...]": "recordings"}
    place = "output="
    examples = {
        "trained_models/ID n=40": "windows drawn at random",
        "trained_models/HMM label=yes n=8": "segments of a class, by a density",
        "trained_models/ID a.wav": "a recording, reconstructed",
        "trained_models/ID a.wav source=gender:m target=gender:f": "a recording, converted",
    }

    n: int = option(16, "windows that are drawn", least=1)
    label: str | None = option(None, "the class that is drawn, of densities and of generators made for classes")
    speaker: str | None = option(None, "the speaker that windows are drawn for, likewise")
    prior: str | None = option(None, "a density trained on the generator's codes, which draws in place of its prior")
    seconds: float | None = option(
        None, "of densities: the length of a segment; with prior=: that of whole utterances", least=0
    )
    seed: int = option(0, "of what is drawn", least=0)
    source: str | None = option(None, "what recordings are: speaker:NAME, gender:m, label:NAME")
    target: str | None = option(None, "what they become, likewise")
    strength: float = option(1.0, "codes move so many times the difference of the means of both", least=0)
    vocoder: str = option("griffin_lim", "with target=: world changes the pitch of the recording as well; an extra")
    interpolate: int | None = option(None, "windows on the way from the first recording to the second", least=2)
    output: Path | None = option(None, "folder that is written", otherwise="generated/ID/MODEL")

    def run(self) -> int:
        """Make, write, and print the files."""
        if not self.paths:
            raise ValueError("generate takes a RUN first: phonaut generate trained_models/ID")
        from phonaut.runs.drawing import Drawing
        from phonaut.runs.load import load

        run = load(self.paths[0])
        generating, files = run.generator(), self.paths[1:]
        folder = self.output or Path("generated") / run.folder.parent.name / run.folder.name
        if isinstance(generating, Drawing):
            if idle := [
                *files,
                *(f"{key}=" for key in self.given("speaker", "prior", "source", "target", "interpolate")),
            ]:
                raise ValueError(f"{idle[0]} goes with a generator of windows, and {run.folder} is a density of each "
                                 "class: it takes label=, n=, seconds= and seed=")  # fmt: skip
            made = generating.sample(self.n, label=self.label, seed=self.seed, seconds=self.seconds)
            return self.write(generating, made, folder)
        samples_only, files_only = (
            ("n", "label", "speaker", "prior", "seconds", "seed"),
            ("source", "target", "strength", "vocoder", "interpolate"),
        )
        idle = self.given(*(samples_only if files else files_only))
        if idle:
            how = "without recordings: leave one of them out" if files else "with recordings: name a FILE"
            raise ValueError(f"{idle[0]}= goes {how}")
        if self.interpolate is not None:
            if len(files) != 2 or self.given("source", "target", "strength", "vocoder"):
                raise ValueError("interpolate= takes two recordings, and no source=, target=, strength= or vocoder=")
            made = generating.interpolate(*files, n=self.interpolate)
        elif files:
            made = generating.reconstruct(
                files, source=self.source, target=self.target, strength=self.strength, vocoder=self.vocoder
            )
        else:
            made = generating.sample(
                self.n,
                label=self.label,
                speaker=self.speaker,
                seed=self.seed,
                prior=self.prior,
                seconds=self.seconds,
            )
        return self.write(generating, made, folder)

    def write(self, maker: Maker, made: list[Made], folder: Path) -> int:
        """Write what was made, print the files, and say why there is no sound where there is none."""
        from phonaut.runs.generation import write

        print(*write(maker, made, folder), sep="\n")
        if maker.model.inaudible:
            print(f"there is no sound: {maker.model.inaudible}", file=sys.stderr)
        return 0
