"""`phonaut verify`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from phonaut.cli.options import Command, option

ACCEPTED, REJECTED, UNDECIDED = 0, 3, 4  # 1 and 2 are failures and mistakes of any command


@dataclass(frozen=True)
class Verify(Command):
    """Decide whether a recording is of an enrolled speaker.

    Prints the score, the threshold, and the decision in words. A recording that
    is one of the enrolled takes is reported as played back, and not accepted.
    Exit code: 0 accepted, 3 rejected or played back, 4 not decided, since the
    run had no development trials that say where the threshold lies; 1 and 2 are
    failures, as of all commands.
    """

    arguments = {
        "RUN": "trained_models/ID, which made the store",
        "STORE": "a folder of enrolled speakers (phonaut enroll)",
        "NAME": "of the speaker that it should be",
        "FILE": "the recording",
    }
    examples = {
        "trained_models/ID my_store anna x.wav": "is it anna?",
        "trained_models/ID my_store anna x.wav c_false_alarm=10": "where to let a stranger in costs ten times as much",
    }

    p_target: float | None = option(None, "how probable it is that it is the speaker", otherwise="the run's")
    c_miss: float | None = option(None, "cost of turning the speaker away", otherwise="the run's")
    c_false_alarm: float | None = option(None, "cost of letting somebody else in", otherwise="the run's")

    def run(self) -> int:
        """Score the recording, and print score, threshold and decision."""
        folder, store, name, file = self.paths
        from phonaut.runs.load import load

        costs = {key: getattr(self, key) for key in ("p_target", "c_miss", "c_false_alarm")}
        run = load(folder)
        decision = run.speakers(store).verify(name, file, **costs)
        for warning in decision.warnings:
            print(warning, file=sys.stderr)
        has_threshold = decision.threshold is not None
        kind = "log-likelihood ratio" if has_threshold else "raw score of the model"
        print(f"score      {decision.score:.3f}  {kind}")
        print(
            f"threshold  {decision.threshold:.3f}  the least that is accepted" if has_threshold else "threshold  none"
        )
        print(f"decision   {decision}")
        if has_threshold and not self.given("p_target", "c_miss", "c_false_alarm") and "in_words" in run.about:
            print(f"measured   {run.about['in_words']}")
        return {None: UNDECIDED, True: ACCEPTED, False: REJECTED}[decision.accepted]
