"""`phonaut enroll`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Enroll(Command):
    """Enrol a speaker in a store, with some recordings, for phonaut verify.

    Takes that are too short, clipped, lost in noise, the same as another one,
    or that do not agree with the others are refused, and then nothing is
    stored. The store keeps what the run's model makes of the takes, and belongs
    to that model; no recording is in it.
    """

    arguments = {
        "RUN": "trained_models/ID, of verification",
        "STORE": "a folder of enrolled speakers, made with the first one",
        "NAME": "of the speaker, any text",
        "FILE ...": "recordings of the speaker, two or more for the takes to be compared",
    }
    examples = {
        "trained_models/ID my_store anna a.wav b.wav c.wav phrase=open": "enrol a speaker with three takes",
    }

    phrase: str = option("", "what the takes say, where the run verifies phrases as well")
    min_speech_s: float = option(0.15, "least speech of a take, seconds")
    min_total_s: float = option(0.4, "least speech of all takes, seconds")
    max_clipped: float = option(0.002, "largest share of clipped samples of a take")
    min_range_db: float = option(10.0, "least distance of speech from what is behind it, dB")
    agreement: bool = option(True, "refuse takes that the others would not accept as their speaker's")
    force: bool = option(False, "store takes that would be refused; what is wrong with them is said")

    def run(self) -> int:
        """Enrol, and print what is stored."""
        folder, store, name, *files = self.paths
        if os.path.isfile(name):  # of a name that is too long for a file, Path.is_file raises
            raise ValueError(
                f"{name} is a file where the speaker's name should be: phonaut enroll RUN STORE NAME FILE ..."
            )
        from phonaut.runs.enrolment_gate import Gate
        from phonaut.runs.load import load

        gate = Gate(self.min_speech_s, self.min_total_s, self.max_clipped, self.min_range_db, self.agreement)
        speakers = load(folder).speakers(store)
        done = speakers.enroll(name, files, phrase=self.phrase, gate=gate, force=self.force)
        for remark in done.remarks:
            print(remark, file=sys.stderr)
        n, speech_s = len(done.takes), sum(take.speech_s for take in done.takes)
        print(f"{done.name} is enrolled in {store}: {n} take{'s' * (n != 1)}, {speech_s:.1f} s of speech")
        return 0
