"""`phonaut train`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phonaut.cli.options import Command, described, option
from phonaut.config.plugins import CONF, added_config_dirs, search_path
from phonaut.peers import place

if TYPE_CHECKING:
    from phonaut.config.schema import Config


@dataclass(frozen=True)
class Train(Command):
    """Prepare what is missing, train, evaluate, write the report.

    The same experiment_id again resumes the run; overwrite=true replaces it.
    """

    usage = ("[GROUP=CHOICE ...] [KEY=VALUE ...] [-c job]", "-m [KEY=VALUE,VALUE ...]")
    composes = {
        "GROUP=CHOICE": "a part of the run, such as model=lstm; phonaut --help lists the choices",
        "KEY=VALUE": "a value, such as trainer.max_epochs=20; phonaut train -c job prints all keys",
    }
    examples = {
        "": "ten words of synthetic speech, in two minutes",
        "dataset=folder dataset.data_folder=recordings": "yours: a folder per word, files <speaker>_<take>.wav",
        "dataset=fsdd model=lstm trainer.max_epochs=20": "a public corpus, another model",
        "-m features=mfcc,melspec seed=0,1": "all combinations, a run each",
        "dataset=kws -c job": "print every key with its value, and what is wrong",
        "model=mockingjay_small dataset=fsdd": "pre-train an encoder on recordings without labels",
        "dataset=fsdd encoder.run=trained_models/ID": "put it in front of a model",
    }

    print_only: bool = option(
        False, "print every key with its value, and what is wrong; nothing is trained", flags=("-c job", "--cfg job")
    )
    multirun: bool = option(
        False, "train all combinations of values that have commas between, a run each", flags=("-m", "--multirun")
    )

    @classmethod
    def configuration(cls) -> Mapping[str, Sequence[str]]:
        """The keys at the root too."""
        return {**super().configuration(), **root_keys()}

    def run(self) -> int:
        """Print, sweep or train."""
        if self.print_only and self.multirun:
            raise ValueError("-c job prints one configuration: leave -m out")
        if self.multirun and place().n > 1:
            raise ValueError("-m starts its runs itself, and no run of several machines: leave torchrun or srun out")
        if self.print_only:
            print_configuration(self.overrides)
        elif self.multirun:
            sweep(self.overrides)
        else:
            from phonaut.config.compose import compose

            train_one(compose(self.overrides), self.overrides)
        return 0


def root_keys() -> dict[str, list[str]]:
    """Keys at the root of the configuration, with meaning, type and default, as config.yaml states them.

    >>> root_keys()["batch_size="]
    ['spans (clips, or phones) per step, over all processes', 'a whole number; default: 100']
    """
    import yaml

    keys, parent = dict[str, list[str]](), ""
    for line in (CONF / "config.yaml").read_text(encoding="utf-8").splitlines():
        if group := re.match(r"(\w+):(?! *[^ #])", line):
            parent = group[1]
        elif match := re.fullmatch(r"( *)(\w+): (.*?) +# (.*)", line):
            indent, key, default, meaning = match.groups()
            value = yaml.safe_load(default)
            kind = "" if value is None or isinstance(value, list) else f"{described(type(value))}; "
            keys[f"{parent}.{key}=" if indent else f"{key}="] = [meaning, f"{kind}default: {default}"]
    return keys


def print_configuration(overrides: Sequence[str]) -> None:
    """Print whatever composes, then what is wrong with it."""
    from phonaut.config.compose import draft, to_yaml
    from phonaut.config.recipes import recipes

    config, problems = draft(overrides)
    if words := recipes().get(config.recipe):
        print(f"# recipe={config.recipe} is {' '.join(words)}; what is chosen otherwise wins, recipe=none is none")
    print(to_yaml(config), end="", flush=True)
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)


def train_one(config: Config, overrides: Sequence[str], job: str = "") -> float | None:
    """Train one run and print its figures.

    Args:
        config: composed and checked.
        overrides: the words that it was composed of.
        job: name of the job in a sweep.

    Returns:
        The lowest validation loss, which a sweeper minimises; None where there is none.
    """
    from phonaut.config.nodes import instantiate
    from phonaut.files import expanded, unless_refused
    from phonaut.runs import train
    from phonaut.runs.run import new_experiment, run_directory

    with unless_refused(expanded(config.output_dir)):
        if config.experiment_id is None and place().n > 1:
            raise ValueError("the processes of all machines work on one run: give it a name, experiment_id=NAME")
        if config.experiment_id is None:
            task = instantiate(config.task).name(config)
            config.experiment_id = new_experiment(config.output_dir, str(config.choices["dataset"]), task)
            overrides = [*overrides, f"experiment_id={config.experiment_id}"]
            sys.argv.append(overrides[-1])  # Lightning's ddp starts this command again for each process
        folder = run_directory(config.output_dir, str(config.experiment_id), str(config.choices["model"]), job=job)
        again = [text for text in overrides if not text.startswith(("overwrite=", "resume="))]
        again += [word for path in added_config_dirs() for word in ("--config-dir", str(path))]
        run = train(config, folder, ["phonaut", "train", *again])
    if run is None:
        return None
    from phonaut.reports import write_report
    from phonaut.reports.terminal import summarize

    write_report(run.folder)
    summarize(run)
    return lowest_loss(run.history)


def train_apart(config: Config, overrides: Sequence[str], job: str) -> float | None:
    """Train a job of a sweep by a command of its own, in the folder that the job has.

    Raises:
        OSError: the command failed; it has said why.
    """
    from phonaut.runs import Run
    from phonaut.runs.run import run_directory

    place = [f"output_dir={Path(config.output_dir) / str(config.experiment_id)}", f"experiment_id={job}"]
    words = [*(word for word in overrides if not word.startswith("output_dir=")), *place]
    words += [word for path in added_config_dirs() for word in ("--config-dir", str(path))]
    if code := subprocess.run([sys.executable, "-m", "phonaut", "train", *words]).returncode:
        raise OSError(f"job {job} of the sweep ended with {code}")
    run = Run(run_directory(config.output_dir, str(config.experiment_id), str(config.choices["model"]), job=job))
    return lowest_loss(run.history)


def lowest_loss(history: Sequence[Mapping[str, float]]) -> float | None:
    """The lowest validation loss of a run, which a sweeper minimises; None where there is none."""
    return min((line["validation/loss"] for line in history if "validation/loss" in line), default=None)


def sweep(overrides: Sequence[str]) -> None:
    """Train all combinations by Hydra's sweeper, a run each, one level deeper than a single run.

    A job that fails does not stop the others; Hydra's own files go to a temporary folder.

    Raises:
        ValueError: jobs have failed; each is named with its reason.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from phonaut.config.aliases import current_overrides
    from phonaut.config.compose import ConfigurationError, as_text, choice_problem, draft, key_of
    from phonaut.config.plugins import choices
    from phonaut.runs.run import default_experiment_id, job_name
    from phonaut.training.trainer_options import n_processes

    texts = [as_text(text, sweep=True) for text in current_overrides(overrides)]
    problems = [
        problem
        for text in texts
        if key_of(text) in choices() and re.fullmatch(r"[\w,.-]+", text.partition("=")[2])
        for name in text.partition("=")[2].split(",")
        if (problem := choice_problem(f"{key_of(text)}={name}"))
    ]
    if problems:
        raise ConfigurationError(problems)
    if not any(text.startswith("experiment_id=") for text in texts):
        texts.append(f"experiment_id={default_experiment_id('sweep', 'of')}")

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(composed: object) -> float | None:
        mine = [text for text in HydraConfig.get().overrides.task if not text.startswith("experiment_id=")]
        try:
            return train_job(mine)
        except (ValueError, OSError) as error:
            if os.environ.get("PHONAUT_DEBUG"):
                raise
            reason = f"{' '.join(mine)}: {'; '.join(str(error).splitlines())}"
            print(f"failed: {reason}", file=sys.stderr)
            Path(HydraConfig.get().sweep.dir, f"{HydraConfig.get().job.num:06d}.failed").write_text(reason)
            return float("inf")

    def train_job(mine: list[str]) -> float | None:
        config, problems = draft(HydraConfig.get().overrides.task)
        if problems:
            raise ConfigurationError(problems)
        name = job_name(HydraConfig.get().job.num, mine)
        if n_processes(config.trainer) > 1:  # which start by the words of a command: here it would be the sweep
            return train_apart(config, mine, name)
        return train_one(config, [*mine, f"experiment_id={config.experiment_id}"], name)

    with tempfile.TemporaryDirectory(prefix="phonaut-sweep-") as folder:
        sys.argv = [sys.argv[0], "--multirun", *search_path(), *texts, f"hydra.sweep.dir='{folder}'"]
        job()
        failed = [path.read_text() for path in sorted(Path(folder).glob("*.failed"))]
    if failed:
        raise ValueError("\n".join([f"{len(failed)} of the jobs failed:", *failed]))
