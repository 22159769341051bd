"""A sweep on disk: what was asked for, and what became of each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from phonaut.files import read_json, remove, run_folder, write_json
from phonaut.runs.run import Run, job_name
from phonaut.runs.sweeps.goals import Goal, Limit, front, limit

ABOUT, TRIALS, STUDY = "sweep.json", "trials", "study.db"
PAGES = ("sweep.html", "sweep.csv", "sweep.png")  # that `phonaut.reports.sweep` writes
State = Literal["open", "finished", "failed", "infeasible"]


@dataclass
class Trial:
    """One combination of values.

    Attributes:
        number: from 0.
        words: that set the values, in the order in which the keys were given.
        job: its folder within that of the sweep; of a trial with the words of an earlier one, that one's.
        state: `open` until it is known; `infeasible`: it would break a limit, and was not trained.
        reason: of a failure, or of infeasibility, in a sentence.
        figures: of the goals, the limits and the size, as far as they are known.
    """

    number: int
    words: list[str]
    job: str
    state: State = "open"
    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)


class Sweep:
    """A sweep's folder: `sweep.json`, and a file for each trial under `trials/`.

    Args:
        folder: `trained_models/<experiment_id>`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def exists(self) -> bool:
        """There is a sweep in the folder."""
        return (self.folder / ABOUT).exists()

    @cached_property
    def about(self) -> dict[str, Any]:
        """Words, swept keys, goals, limits, search and the command that takes it up again."""
        about: dict[str, Any] = read_json(self.folder / ABOUT, {})
        return about

    @property
    def goals(self) -> list[Goal]:
        """What it is after, the first goal first."""
        return [Goal(**one) for one in self.about["goals"]]

    @property
    def limits(self) -> list[Limit]:
        """What its trials must keep."""
        return [limit(text) for text in self.about["limits"]]

    @property
    def keys(self) -> list[str]:
        """What is swept."""
        return list(self.about["keys"])

    @property
    def heads(self) -> list[str]:
        """The swept keys, as short as tells them apart."""
        ends = [key.rpartition(".")[2] for key in self.keys]
        return [end if ends.count(end) == 1 else key for key, end in zip(self.keys, ends, strict=True)]

    def begin(self, about: dict[str, Any]) -> None:
        """Write down what is asked for."""
        (self.folder / TRIALS).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / ABOUT, about)
        self.__dict__.pop("about", None)

    def empty(self) -> None:
        """Remove the sweep, and of its runs those that it knows."""
        for trial in self.trials():
            remove(self.folder / trial.job)
        for name in (TRIALS, STUDY, ABOUT, *PAGES):
            remove(self.folder / name)

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        files = sorted((self.folder / TRIALS).glob("*.json"))
        return [Trial(**read_json(file, {})) for file in files]

    def trial(self, number: int) -> Trial:
        """The trial of a number."""
        return Trial(**read_json(self.path(number), {}))

    def path(self, number: int) -> Path:
        """The file of a trial."""
        return self.folder / TRIALS / f"{number:06d}.json"

    def save(self, trial: Trial) -> None:
        """Write down a trial."""
        write_json(self.path(trial.number), asdict(trial))

    def new(self, number: int, words: Sequence[str]) -> Trial:
        """A trial that is not there yet; one with the words of an earlier trial is that one again."""
        same = next((one for one in self.trials() if one.words == list(words) and one.number != number), None)
        if same is not None:
            return Trial(number, list(words), same.job, same.state, same.reason, dict(same.figures))
        named = [f"{head}={word.partition('=')[2]}" for head, word in zip(self.heads, words, strict=True)]
        return Trial(number, list(words), job_name(number, named))

    def run(self, trial: Trial) -> Run:
        """The run of a trial.

        Raises:
            ValueError: there is none.
        """
        return Run(run_folder(self.folder / trial.job))

    def violations(self, trial: Trial) -> dict[str, float]:
        """How far each limit whose figure is known is overstepped."""
        return {str(one): one.violation(trial.figures) for one in self.limits if one.name in trial.figures}

    def keeps_limits(self, trial: Trial) -> bool:
        """Finished, within all limits."""
        return trial.state == "finished" and all(over <= 0 for over in self.violations(trial).values())

    def best(self) -> list[Trial]:
        """Trials that no other is better than in every goal, within the limits; by the first goal."""
        goals = self.goals
        fit = [trial for trial in self.trials() if self.keeps_limits(trial)]
        losses = [[goal.loss(trial.figures) for goal in goals] for trial in fit]
        return sorted((fit[i] for i in front(losses)), key=lambda trial: goals[0].loss(trial.figures))
