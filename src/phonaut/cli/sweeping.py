"""`phonaut train -m`: a sweep, by Hydra's launchers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonaut.cli.train import train_one
from phonaut.config.aliases import current_overrides
from phonaut.config.compose import ConfigurationError, as_text, choice_problem, compose, draft, key_of
from phonaut.config.plugins import CONF, add_config_dir, added_config_dirs, choices, search_path
from phonaut.config.schema import Config
from phonaut.files import expanded, locked, unless_refused
from phonaut.names import as_typed, did_you_mean
from phonaut.runs import Run
from phonaut.runs.run import default_experiment_id, run_directory
from phonaut.runs.sweeps.goals import SIZES, Goal, figures_of, goals, limit
from phonaut.runs.sweeps.loop import carry_out
from phonaut.runs.sweeps.searches import Grid, NevergradSearch, OptunaSearch, Search
from phonaut.runs.sweeps.space import Dimension, divided
from phonaut.runs.sweeps.sweep import Sweep, Trial
from phonaut.tasks.cross_validation import is_few
from phonaut.training.trainer_options import n_processes

PLACE = ("output_dir=", "experiment_id=")
MOST_COMPOSED = 300  # configurations of a grid, 0.05 s each
SEARCHES = ("grid", "nevergrad", "optuna")
RANKS = ("TORCHELASTIC_RUN_ID", "LOCAL_RANK")  # of a process that torchrun or Lightning started
LAUNCHERS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray"}


def sweep(overrides: Sequence[str]) -> None:
    """Train the trials of a sweep, a run each, one level deeper than a single run, and show them side by side.

    A trial that fails does not stop the others; Hydra's own files go to a temporary folder.

    Raises:
        ValueError: the sweep cannot be carried out, or trials have failed; each is named with its reason.
    """
    import hydra
    from hydra.errors import HydraException

    if rank := next((name for name in RANKS if name in os.environ), None):
        raise ValueError(f"{rank} is set: a sweep is started once, and each of its runs starts its own processes")
    texts = [as_text(text, sweep=True) for text in current_overrides(overrides)]
    if problems := choice_problems(texts):
        raise ConfigurationError(problems)
    words = [text for text in texts if not text.lstrip("+~").startswith(("hydra.", "hydra/"))]
    of_hydra = [text for text in texts if text not in words]
    if not any(text.startswith("experiment_id=") for text in words):
        words.append(f"experiment_id={default_experiment_id('sweep', 'of')}")
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors are said here
    try:
        with tempfile.TemporaryDirectory(prefix="phonaut-sweep-") as folder:
            task = SweepTask(tuple(words), tuple(of_hydra), tuple(added_config_dirs()))
            sys.argv = [sys.argv[0], "--multirun", *search_path(), *of_hydra, f"hydra.sweep.dir='{folder}'"]
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except HydraException as error:
        raise ValueError(in_a_sentence(str(error), of_hydra)) from error
    finally:
        sys.argv = argv
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]


def choice_problems(texts: Sequence[str]) -> list[str]:
    """What is wrong with the choices of groups, each value of a list for itself; and with the sweeper."""
    wrong = [
        problem
        for text in texts
        if key_of(text) in choices() and re.fullmatch(r"[\w,.-]+", text.partition("=")[2])
        for name in text.partition("=")[2].split(",")
        if (problem := choice_problem(f"{key_of(text)}={name}"))
    ]
    sweepers = [text.partition("=")[2] for text in texts if key_of(text) == "hydra/sweeper"]
    return wrong + [f"hydra/sweeper={name} is none of {', '.join(SEARCHES)}{did_you_mean(name, SEARCHES)}"
                    for name in sweepers if name not in SEARCHES]  # fmt: skip


def check_combinations(constants: Sequence[str], combinations: Sequence[Sequence[str]]) -> None:
    """Refuse a grid with a configuration that cannot be run, before any is trained; a long one is tried value by value.

    Raises:
        ConfigurationError: each problem once, with the first values that have it.
    """
    if len(combinations) > MOST_COMPOSED:  # each value is then tried once, beside whatever comes first with it
        first: dict[str, Sequence[str]] = {}
        for words in combinations:
            for word in words:
                first.setdefault(word, words)
        combinations = list({tuple(words): words for words in first.values()}.values())
    found: dict[str, str] = {}
    for words in combinations:
        for problem in draft([*constants, *words])[1]:
            found.setdefault(problem, "" if problem.startswith(tuple(words)) else f"{' '.join(words)}: ")
    if found:
        raise ConfigurationError([first + problem for problem, first in found.items()])


def in_a_sentence(message: str, words: Sequence[str]) -> str:
    """What Hydra says of the words that are meant for it."""
    launcher = next((word.partition("=")[2] for word in words if key_of(word) == "hydra/launcher"), "")
    if launcher and f"hydra/launcher/{launcher}" in message:
        package = LAUNCHERS.get(launcher)
        how = f"pip install hydra-{package}-launcher" if package else "there is no such launcher"
        extra = ", or pip install 'phonaut[sweeps]'" if package in ("joblib", "submitit") else ""
        return f"hydra/launcher={launcher} is not installed: {how}{extra}"
    if unknown := re.search(r"Could not override '(hydra[\w.]+)'", message):
        return f"{unknown[1]} is no option of the sweep that was chosen; docs/sweeps.md lists them"
    return next(iter(message.splitlines()), "Hydra refused the sweep")


@dataclass(frozen=True)
class SweepTask:
    """What Hydra calls: `sweep` once, and the task itself for each trial, perhaps in another process.

    Attributes:
        words: of the command, without those for Hydra.
        of_hydra: those.
        config_dirs: added folders of configuration files.
    """

    words: tuple[str, ...]
    of_hydra: tuple[str, ...]
    config_dirs: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Of the sweep, by the words."""
        given = {key_of(word): word.partition("=")[2].strip("'\"") for word in self.words if word.startswith(PLACE)}
        return expanded(given.get("output_dir", "trained_models")) / given["experiment_id"]

    def __call__(self, composed: Any) -> None:
        """Train a trial, and write down what became of it."""
        for path in self.config_dirs:
            add_config_dir(path)
        sweep = Sweep(self.folder)
        trial = sweep.trial(composed.trial)
        constants, _ = divided(self.words)
        print(f"\ntrial {trial.number}   {' '.join(trial.words)}", flush=True)
        try:
            run = trained([word for word in constants if not word.startswith(PLACE)], sweep, trial)
            trial.figures |= figures_of(run, judged_by(sweep))
            trial.figures |= {name: run.model[name] for name in SIZES if name in run.model}
            trial.state = "finished"
        except Exception as error:
            if os.environ.get("PHONAUT_DEBUG"):
                raise
            kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
            trial.state, trial.reason = "failed", kind + "; ".join(str(error).splitlines())
            print(f"failed: {' '.join(trial.words)}: {trial.reason}", file=sys.stderr)
        sweep.save(trial)

    def sweep(self, options: dict[str, Any], launch: Callable[[Sequence[int]], None]) -> None:
        """Begin the sweep or take it up, carry it out, and show it."""
        constants, space = divided(self.words)
        if not space:
            raise ValueError("-m: no word has several values, such as seed=0,1 or optimizer.lr=interval(1e-4,1)")
        constants = [word for word in constants if not word.startswith(PLACE)]
        first = [*constants, *(one.word(one.texts[0] if one.texts else one.low) for one in space)]  # type: ignore[union-attr]
        config, problems = draft(first)
        unknown = [problem for problem in problems if problem.startswith("unknown ")]
        if unknown and not any(one.key in choices() for one in space):  # whose other choices may have such a key
            raise ConfigurationError(unknown)
        wanted = goals(listed(options["objectives"]), str(config.choices.get("task")))
        about: dict[str, Any] = {
            "words": constants,
            "keys": [one.key for one in space],
            "search": str(options["search"]),
            "goals": [vars(goal) for goal in wanted],
            "limits": [str(limit(text)) for text in listed(options["constraints"])],
            "command": shlex.join(self.command),
        }
        folder, sweep = self.folder, Sweep(self.folder)
        with unless_refused(folder), locked(folder / ".lock", wait=False):
            if "overwrite=true" in constants:
                sweep.empty()
            check_same(sweep, about, space, self.words)
            n_trials, n_jobs, search = self.search_of(sweep, space, about, options)
            if isinstance(search, Grid):
                check_combinations(constants, search.new)
            sweep.begin({**about, "space": spelled(space, self.words)})
            print(f"sweep      {folder}\nto resume  {as_typed(about['command'])}", flush=True)
            is_search = about["search"] != "grid"
            try:
                carry_out(sweep, search, launch, self.predict, n_trials=n_trials, n_jobs=n_jobs, is_search=is_search)
            except (KeyboardInterrupt, BrokenPipeError) as stop:
                stop.__notes__ = [f"{as_typed(about['command'])} goes on with what is left"]
                raise
            finally:
                show(sweep)
            check_failures(sweep, is_search=is_search)

    def search_of(
        self, sweep: Sweep, space: Sequence[Dimension], about: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[int, int, Search]:
        """How many trials are trained, how many at a time, and what chooses them."""
        if about["search"] == "grid":
            grid = Grid(space, [trial.words for trial in sweep.trials()])
            return len(grid.combinations), len(grid.combinations), grid
        n_trials, n_jobs, seed = (options[key] for key in ("n_trials", "n_jobs", "seed"))
        for key, number, least in (("n_trials", n_trials, 1), ("n_jobs", n_jobs, 1), ("seed", seed, 0)):
            if not isinstance(number, int) or number < least:
                raise ValueError(f"hydra.sweeper.{key}={number}: must be a whole number >= {least}")
        if about["search"] == "optuna":
            wanted = [Goal(**goal) for goal in about["goals"]]
            return n_trials, n_jobs, OptunaSearch(space, wanted, sweep.folder, sampler=options["sampler"], seed=seed)
        of = NevergradSearch(space, n_trials, n_jobs, optimizer=options["optimizer"], seed=seed)
        return n_trials, n_jobs, of

    @property
    def command(self) -> list[str]:
        """The words that take the sweep up again."""
        again = [word for word in self.words if not word.startswith(("overwrite=", "resume="))]
        dirs = [word for path in self.config_dirs for word in ("--config-dir", str(path))]
        return ["phonaut", "train", "-m", *self.of_hydra, *again, *dirs]

    def predict(self, words: Sequence[str]) -> dict[str, float]:
        """The size of a trial, before it is trained."""
        from phonaut.runs.training import predicted_size

        constants, _ = divided(self.words)
        return dict(predicted_size(compose([*constants, *words])))


def listed(value: Any) -> list[str]:
    """A list of names, also one that Hydra's grammar took for text.

    >>> listed("[macs<=1.5e6, accuracy>=0.9]"), listed(None), listed("accuracy")
    (['macs<=1.5e6', 'accuracy>=0.9'], [], ['accuracy'])
    """
    if value is None:
        return []
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    return [str(one).strip() for one in value]


def judged_by(sweep: Sweep) -> list[str]:
    """The figures that a trial is judged by."""
    return list(dict.fromkeys([*(goal.name for goal in sweep.goals), *(limit.name for limit in sweep.limits)]))


def spelled(space: Sequence[Dimension], words: Sequence[str]) -> list[str]:
    """The words that are swept, as they were typed."""
    keys = {one.key for one in space}
    return sorted(word for word in words if key_of(word) in keys)


def check_failures(sweep: Sweep, *, is_search: bool) -> None:
    """Refuse a sweep whose trials failed; where none came to a run, nothing is left of it.

    Raises:
        ValueError: all of a search failed, or some of a grid.
    """
    trials = sweep.trials()
    failed = [trial for trial in trials if trial.state == "failed"]
    if not failed or (is_search and sweep.best()):
        return
    numbers = ", ".join(str(trial.number) for trial in failed)
    said = f"{len(failed)} of {len(trials)} trials failed, {numbers}"
    if len(failed) == len(trials) and not any((sweep.folder / trial.job).exists() for trial in trials):
        sweep.empty()
        raise ValueError(f"{said}, before there was a run: {failed[0].reason}")
    raise ValueError(f"{said}; the table says why")


def check_same(sweep: Sweep, about: Mapping[str, Any], space: Sequence[Dimension], words: Sequence[str]) -> None:
    """Refuse to take up a sweep of another kind: with other keys, or of a search another space or other goals.

    Raises:
        ValueError: it is one.
    """
    if not sweep.exists:
        return
    before, now = sweep.about, {**about, "space": spelled(space, words)}
    keys = ("search", "keys") if about["search"] == "grid" else ("search", "keys", "space", "goals", "limits")
    different = [f"{key}: {before.get(key)} -> {now[key]}" for key in keys if before.get(key) != now[key]]
    if different:
        shown = "\n  ".join(different)
        raise ValueError(f"{sweep.folder} holds another sweep:\n  {shown}\nchoose another experiment_id, or "
                         "overwrite=true to replace it")  # fmt: skip


def trained(constants: Sequence[str], sweep: Sweep, trial: Trial) -> Run:
    """Train the run of a trial, in a process of its own where it needs several."""
    place = [as_text(f"output_dir={sweep.folder}"), as_text(f"experiment_id={trial.job}")]
    words = [*constants, *trial.words, *place]
    config, problems = draft(words)
    if problems:
        raise ConfigurationError(problems)
    if is_few(config):
        raise ValueError("a sweep compares by validation, which protocol=few has not: train without -m, and phonaut "
                         "compare shows the runs side by side")  # fmt: skip
    if n_processes(config.trainer) > 1:  # which start by the words of a command: here it would be the sweep
        return train_apart(config, words)
    run = train_one(config, words, summary=False)
    assert run is not None
    return run


def train_apart(config: Config, words: Sequence[str]) -> Run:
    """Train by a command of its own.

    Raises:
        OSError: the command failed; it has said why.
    """
    words = [*words, *(word for path in added_config_dirs() for word in ("--config-dir", str(path)))]
    if code := subprocess.run([sys.executable, "-m", "phonaut", "train", *words]).returncode:
        raise OSError(f"its command ended with {code}, and has said why above")
    return Run(run_directory(config.output_dir, str(config.experiment_id), str(config.choices["model"])))


def show(sweep: Sweep) -> None:
    """Write the page of a sweep, and print its table."""
    from phonaut.reports.sweep import show_sweep, write_sweep

    show_sweep(sweep, write_sweep(sweep))
