"""`phonaut generate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Generate(Command):
    """Make things with a trained generator: samples, reconstructions, conversions.

    Without a FILE, windows are drawn at random. A FILE is taken apart into
    windows and put together again; target= converts it on the way, by its
    codes or by what the generator is conditioned on. Written are pictures, frames
    and audio that can be heard.
    """

    usage = (
        "RUN [n=16] [label=NAME] [speaker=NAME] [prior=RUN [seconds=1.5]] [seed=0] [output=FOLDER]",
        "RUN FILE ... [target=speaker:NAME [source=speaker:NAME] [strength=1] [vocoder=world]] [output=FOLDER]",
        "RUN FILE FILE interpolate=7 [output=FOLDER]",
    )
    arguments = {"RUN": "trained_models/ID, of a generator", "[FILE ...]": "recordings"}
    examples = {
        "trained_models/ID n=40": "windows drawn at random",
        "trained_models/ID a.wav": "a recording, reconstructed",
        "trained_models/ID a.wav source=gender:m target=gender:f": "a recording, converted",
    }

    n: int = option(16, "windows that are drawn", least=1)
    label: str | None = option(None, "the class that windows are drawn for, of a generator made for classes")
    speaker: str | None = option(None, "the speaker that windows are drawn for, likewise")
    prior: str | None = option(None, "a density trained on the generator's codes, which draws in place of its prior")
    seconds: float | None = option(None, "with prior=: whole utterances of this length, such as an HMM draws", least=0)
    seed: int = option(0, "of what is drawn", least=0)
    source: str | None = option(None, "what recordings are: speaker:NAME, gender:m, label:NAME")
    target: str | None = option(None, "what they become, likewise")
    strength: float = option(1.0, "codes move so many times the difference of the means of both", least=0)
    vocoder: str = option("griffin_lim", "with target=: world changes the pitch of the recording as well; an extra")
    interpolate: int | None = option(None, "windows on the way from the first recording to the second", least=2)
    output: Path | None = option(None, "folder that is written", otherwise="generated/RUN")

    def run(self) -> int:
        """Make, write, and print the files."""
        if not self.paths:
            raise ValueError("generate takes a RUN first: phonaut generate trained_models/ID")
        from phonaut.runs.generation import Generating, write
        from phonaut.runs.load import load

        run = load(self.paths[0])
        generating, files = Generating(run), self.paths[1:]
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
        folder = self.output or Path("generated") / run.folder.parent.name
        print(*write(generating, made, folder), sep="\n")
        return 0
