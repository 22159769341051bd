"""How the values of the next trial are chosen: one after the other, by optuna or by nevergrad."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from phonaut.names import did_you_mean
from phonaut.runs.sweeps.goals import Goal
from phonaut.runs.sweeps.space import Dimension, Span
from phonaut.runs.sweeps.sweep import STUDY, Sweep, Trial

SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler", "nsga2": "NSGAIISampler", "random": "RandomSampler"}
REDRAWN = 20  # times, of a trial that is there already


class Search(Protocol):
    """Chooses the trials of a sweep.

    The same questions and answers in the same order give the same trials: a sweep that was killed asks again, from
    the first trial on, and answers with what it knows.
    """

    def ask(self, number: int) -> list[str]:
        """The words of a trial; numbers rise from 0."""

    def adopt(self, trial: Trial) -> bool:
        """Take the words that a trial has for those that were asked for; False where that cannot be."""

    def tell(self, trial: Trial, sweep: Sweep) -> None:
        """What became of a trial that was asked for."""


class Grid:
    """All combinations, the last key fastest.

    Args:
        space: what is swept.
        known: words of trials that are there already, which keep their numbers.

    Attributes:
        new: words of the others.
        combinations: of all.

    Raises:
        ValueError: an interval is swept, which has no values to take one by one.
    """

    def __init__(self, space: Sequence[Dimension], known: Sequence[Sequence[str]] = ()) -> None:
        for one in space:
            if not one.texts:
                raise ValueError(f"{one.key}: a grid takes values one by one, and an interval has too many: add "
                                 "hydra/sweeper=optuna, or list values with commas between")  # fmt: skip
        new = itertools.product(*([f"{one.key}={text}" for text in one.texts] for one in space))
        before = [*map(list, known)]
        self.new = [words for words in map(list, new) if words not in before]
        self.combinations = [*before, *self.new]

    def ask(self, number: int) -> list[str]:
        """The words of a combination."""
        return self.combinations[number]

    def adopt(self, trial: Trial) -> bool:
        """Never: the numbers of combinations are their own."""
        return False

    def tell(self, trial: Trial, sweep: Sweep) -> None:
        """Changes nothing."""


class OptunaSearch:
    """Trials by a sampler of optuna (Akiba et al. 2019), kept in `study.db` (SQLite) of the sweep's folder.

    A trial draws from the seed, its number and the trials before it, so that a sweep that was killed goes on as if it
    had not been. Limits count: those of the trials that broke one are a region to keep out of.

    Args:
        space: what is swept.
        goals: what to look for.
        folder: of the sweep.
        sampler: `tpe` (tree-structured Parzen estimators, Bergstra 2011; several goals: Ozaki 2022), `gp` (Gaussian
            processes), `nsga2` (Deb 2002) or `random`.
        seed: of the draws.

    Raises:
        ValueError: optuna is not installed, or there is no such sampler.
    """

    def __init__(
        self, space: Sequence[Dimension], goals: Sequence[Goal], folder: Path, *, sampler: str = "tpe", seed: int = 0
    ) -> None:
        optuna = installed("optuna", "optuna")
        if sampler not in SAMPLERS:
            raise ValueError(f"hydra.sweeper.sampler={sampler} is none of {', '.join(SAMPLERS)}"
                             f"{did_you_mean(str(sampler), SAMPLERS)}")  # fmt: skip
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna, self.space, self.seed = optuna, space, seed
        self.sampler = getattr(optuna.samplers, SAMPLERS[sampler])
        self.study = optuna.create_study(
            storage=optuna.storages.RDBStorage(f"sqlite:///{folder / STUDY}"),
            study_name=folder.name,
            directions=["maximize" if goal.higher else "minimize" for goal in goals],
            load_if_exists=True,
        )

    def ask(self, number: int) -> list[str]:
        """The words of a trial; of one that the study has, those that it was begun with."""
        self.study.sampler = self.sampler(seed=self.seed + number)
        known = self.study.get_trials(deepcopy=False)
        trial = self.trial_of(known[number]) if number < len(known) else self.study.ask()
        return [one.word(self.drawn(trial, one)) for one in self.space]

    def drawn(self, trial: Any, one: Dimension) -> Any:
        """The value of a key, which the study keeps."""
        if not isinstance(one, Span):
            return trial.suggest_categorical(one.key, one.texts)
        if one.is_whole:
            return trial.suggest_int(one.key, one.low, one.high, step=1 if one.log else one.step or 1, log=one.log)
        return trial.suggest_float(one.key, one.low, one.high, step=None if one.log else one.step, log=one.log)

    def adopt(self, trial: Trial) -> bool:
        """Never: the study has the words."""
        return False

    def trial_of(self, frozen: Any) -> Any:
        """A trial of the study that can be gone on with."""
        return self.optuna.trial.Trial(self.study, frozen._trial_id)

    def tell(self, trial: Trial, sweep: Sweep) -> None:
        """Figures and limits, once."""
        states = self.optuna.trial.TrialState
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        if frozen.state.is_finished():
            return
        for name, over in sweep.violations(trial).items():
            if name not in frozen.constraints:
                self.trial_of(frozen).set_constraint(name, over)
        if trial.state == "finished":
            self.study.tell(trial.number, [trial.figures[goal.name] for goal in sweep.goals])
        else:
            self.study.tell(trial.number, state=states.PRUNED if trial.state == "infeasible" else states.FAIL)


class NevergradSearch:
    """Trials by an optimizer of nevergrad (Rapin and Teytaud 2018).

    It keeps nothing on disk: a sweep that was killed asks again, and is told what is known; where it now plans for more
    trials, or for more at a time, and would ask for others, the old ones stand. A trial that failed, or
    broke a limit, is told as worse than all that went well, by how far the limit was overstepped.

    Args:
        space: what is swept.
        n_trials: that will be trained; the optimizer plans by them.
        n_jobs: trials that are asked for before any is answered.
        optimizer: of `nevergrad.optimizers.registry`.
        seed: of the draws.

    Raises:
        ValueError: nevergrad is not installed, or there is no such optimizer.
    """

    def __init__(
        self, space: Sequence[Dimension], n_trials: int, n_jobs: int, *, optimizer: str = "NGOpt", seed: int = 0
    ) -> None:
        ng = installed("nevergrad", "nevergrad")
        registry = ng.optimizers.registry
        if optimizer not in registry:
            raise ValueError(f"hydra.sweeper.optimizer={optimizer} is none of nevergrad's, such as NGOpt, OnePlusOne, "
                             f"TwoPointsDE, CMA and DE{did_you_mean(str(optimizer), registry)}")  # fmt: skip
        self.space = space
        values = ng.p.Dict(**{str(i): self.parameter(ng, one) for i, one in enumerate(space)})
        values.random_state.seed(seed)
        self.optimizer = registry[optimizer](parametrization=values, budget=n_trials, num_workers=n_jobs)
        self.unasked: type[Exception] = ng.errors.TellNotAskedNotSupportedError
        self.asked: dict[int, Any] = {}
        self.seen: set[tuple[str, ...]] = set()
        self.worst: list[float] = []

    def parameter(self, ng: Any, one: Dimension) -> Any:
        """A key as nevergrad has it."""
        if not isinstance(one, Span):
            return ng.p.Choice(one.texts)
        if one.step not in (None, 1):
            return ng.p.TransitionChoice(one.steps)
        number = ng.p.Log(lower=one.low, upper=one.high) if one.log else ng.p.Scalar(lower=one.low, upper=one.high)
        return number.set_integer_casting() if one.is_whole else number

    def ask(self, number: int) -> list[str]:
        """The words of a trial: of the optimizer, or at random where it asks for a trial again."""
        candidate = self.optimizer.ask()
        for _ in range(REDRAWN):
            if self.words(candidate) not in self.seen:
                break
            candidate = self.optimizer.parametrization.sample()
        return self.note(number, candidate)

    def words(self, candidate: Any) -> tuple[str, ...]:
        """The words of a candidate."""
        return tuple(one.word(candidate.value[str(i)]) for i, one in enumerate(self.space))

    def note(self, number: int, candidate: Any) -> list[str]:
        """Remember what a trial is; its words."""
        self.asked[number] = candidate
        self.seen.add(self.words(candidate))
        return list(self.words(candidate))

    def adopt(self, trial: Trial) -> bool:
        """Take the words of a trial as asked for."""
        values = {str(i): one.value(word) for i, (one, word) in enumerate(zip(self.space, trial.words, strict=True))}
        self.note(trial.number, self.optimizer.parametrization.spawn_child(new_value=values))
        return True

    def tell(self, trial: Trial, sweep: Sweep) -> None:
        """Figures as losses."""
        over = sum(max(one, 0.0) for one in sweep.violations(trial).values())
        if trial.state == "finished":
            losses = [goal.loss(trial.figures) for goal in sweep.goals]
            self.worst = [max(pair) for pair in zip(losses, self.worst or losses, strict=True)]
        if trial.state != "finished" or over > 0:
            losses = [one + 1 + over for one in self.worst or [0.0] * len(sweep.goals)]
        with contextlib.suppress(self.unasked), warnings.catch_warnings():  # of a random one some learn nothing
            warnings.simplefilter("ignore")  # the first of several losses has no volume yet
            self.optimizer.tell(self.asked.pop(trial.number), losses[0] if len(losses) == 1 else losses)


def installed(name: str, package: str) -> Any:
    """A package that may not be there.

    Raises:
        ValueError: it is not; how it comes is said.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"hydra/sweeper={package} needs {package}: pip install 'phonaut[sweeps]'") from error
