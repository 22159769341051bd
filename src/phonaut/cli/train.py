"""`phonaut train`."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phonaut.cli.options import Command, described, option
from phonaut.config.plugins import CONF, added_config_dirs
from phonaut.peers import place

if TYPE_CHECKING:
    from phonaut.config.schema import Config
    from phonaut.runs import Run


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
    place = "output_dir="
    stopped = "nothing was trained yet; the same command starts again"
    examples = {
        "": "ten words of synthetic speech, in two minutes",
        "dataset=folder dataset.data_folder=recordings": "yours: a folder per word, files <speaker>_<take>.wav",
        "dataset=fsdd model=lstm trainer.max_epochs=20": "a public corpus, another model",
        "-m features=mfcc,melspec seed=0,1": "all combinations, a run each",
        "-m hydra/sweeper=optuna model.width=interval(0.5,2)": "a search (docs/sweeps.md)",
        "dataset=kws -c job": "print every key with its value, and what is wrong",
        "model=mockingjay_small dataset=fsdd": "pre-train an encoder on recordings without labels",
        "dataset=fsdd encoder.run=trained_models/ID": "put it in front of a model",
    }

    print_only: bool = option(
        False, "print every key with its value, and what is wrong; nothing is trained", flags=("-c job", "--cfg job")
    )
    multirun: bool = option(
        False, "a sweep: all combinations of values that have commas between, or a search", flags=("-m", "--multirun")
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
            from phonaut.cli.sweeping import sweep

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


def train_one(config: Config, overrides: Sequence[str], *, summary: bool = True) -> Run | None:
    """Train one run and write its report.

    Args:
        config: composed and checked.
        overrides: the words that it was composed of.
        summary: print the figures.

    Returns:
        The run; None in the processes of `ddp` that are not the first.
    """
    from phonaut.config.nodes import instantiate
    from phonaut.files import expanded, unless_refused
    from phonaut.names import as_typed
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
        folder = run_directory(config.output_dir, str(config.experiment_id), str(config.choices["model"]))
        again = [text for text in overrides if not text.startswith(("overwrite=", "resume="))]
        again += [word for path in added_config_dirs() for word in ("--config-dir", str(path))]
        run = train(config, folder, ["phonaut", "train", *again])
    if run is None:
        return None
    from phonaut.reports import write_report
    from phonaut.reports.terminal import summarize

    try:
        write_report(run.folder)
        if summary:
            summarize(run)
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        stop.add_note(
            f"the run is trained; {as_typed(f'phonaut report {shlex.quote(str(run.folder))}')} writes its report"
        )
        raise
    if config.backend is not None:
        export_run(run.folder, config.backend)
    return run


def export_run(folder: Path, backend: str) -> None:
    """Write a run for a backend, as `phonaut export` does, and print how alike they are."""
    from phonaut.cli.options import print_progress
    from phonaut.reports.model_card import card
    from phonaut.reports.terminal import show_exported
    from phonaut.runs.export import export
    from phonaut.runs.load import load

    output = folder / "exported"
    figures = export(load(folder), output, card, backend_name=backend, overwrite=True, progress=print_progress)
    show_exported(output, figures)
