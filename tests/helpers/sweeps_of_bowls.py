"""Sweeps whose trials are computed in place of trained: a bowl over two keys, in a microsecond."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from phonaut.runs.sweeps import Sweep
from phonaut.runs.sweeps.loop import carry_out
from phonaut.runs.sweeps.searches import Grid, NevergradSearch, OptunaSearch, Search
from phonaut.runs.sweeps.space import Dimension, divided

WORDS = ("model.width=interval(0.5,4)", "model.kernel_size=range(3,16,2)", "features=mfcc,mel")


def figures(words: Sequence[str]) -> dict[str, float]:
    """Accuracy is largest at width 3 and kernel 9 with mel; a cost rises with both."""
    given = {"features": "mel"} | dict(word.split("=") for word in words)
    width, kernel = float(given["model.width"]), int(given["model.kernel_size"])
    bowl = (width - 3) ** 2 / 10 + (kernel - 9) ** 2 / 100 + 0.1 * (given["features"] == "mfcc")
    return {"accuracy": 1 - bowl, "macs": 1000 * width * kernel}


def size(words: Sequence[str]) -> dict[str, float]:
    return {"macs": figures(words)["macs"]}


class Bowl:
    """A sweep in a folder, as the command makes it.

    Attributes:
        trained: words of all trials that were trained, in order, those of earlier calls too.
    """

    def __init__(self, folder: Path, search: str, words: Sequence[str] = WORDS, **more: Any) -> None:
        self.folder, self.kind, self.words, self.more = folder, search, words, more
        self.trained = list[list[str]]()

    def run(
        self,
        *,
        n_trials: int = 12,
        n_jobs: int = 1,
        goals: Sequence[tuple[str, bool]] = (("accuracy", True),),
        limits: Sequence[str] = (),
        killed_at: int | None = None,
        score: Callable[[Sequence[str]], dict[str, float]] = figures,
    ) -> Sweep:
        """Carry it out; killed as the next trial begins when that many are trained."""
        _, space = divided(self.words)
        sweep = Sweep(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {
            "keys": [one.key for one in space], "search": self.kind, "limits": list(limits), "command": "phonaut",
            "goals": [{"name": name, "higher": higher} for name, higher in goals],
        }  # fmt: skip
        sweep.begin(about)
        search = self.search(sweep, space, n_trials, n_jobs)

        def launch(numbers: Sequence[int]) -> None:
            for number in numbers:
                trial = sweep.trial(number)
                if killed_at is not None and len(self.trained) >= killed_at:
                    raise KeyboardInterrupt
                self.trained.append(trial.words)
                try:
                    trial.figures, trial.state = score(trial.words), "finished"
                except ValueError as error:
                    trial.state, trial.reason = "failed", str(error)
                sweep.save(trial)

        is_search = self.kind != "grid"
        n_trials = n_trials if is_search else len(search.combinations)
        n_jobs = n_jobs if is_search else n_trials
        carry_out(sweep, search, launch, size, n_trials=n_trials, n_jobs=n_jobs, is_search=is_search)
        return sweep

    def search(self, sweep: Sweep, space: Sequence[Dimension], n_trials: int, n_jobs: int) -> Search:
        if self.kind == "optuna":
            return OptunaSearch(space, sweep.goals, self.folder, **self.more)
        if self.kind == "nevergrad":
            return NevergradSearch(space, n_trials, n_jobs, **self.more)
        return Grid(space, [trial.words for trial in sweep.trials()])
