"""What Python asks of Phonaut beside `load`: train a run, and put runs side by side."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from phonaut.runs import Folds, Run
    from phonaut.runs.load import LoadedRun

PANDAS = "phonaut.compare gives a table of pandas: pip install 'phonaut[pandas]'; phonaut compare writes compare.csv"


def train(*words: str, progress: bool = True, **keys: Any) -> LoadedRun:
    """Train a run, or take up one that was left, as `phonaut train` does, and load it.

        run = phonaut.train("dataset=fsdd", "model=lstm")
        run = phonaut.train(dataset="fsdd", model="lstm", trainer={"max_epochs": 3}, experiment_id="short")
        run = phonaut.train(model="lstm", **{"trainer.max_epochs": 3})

    Args:
        words: as they are typed after `phonaut train`: `key=value`, `group=choice`, a YAML file.
        progress: print what the command prints; False: nothing.
        keys: the same as keywords. A mapping holds the keys of its group; a text is what would be typed, None is
            `null`.

    Returns:
        The run with its model, in `output_dir` (`trained_models`), where its report is.

    Raises:
        ValueError: unknown keys or choices, values or a corpus that cannot be used, another run of the same
            `experiment_id`: whatever the command would say.
        OSError: a folder cannot be written, or another process is at work in it.
        KeyboardInterrupt: it was stopped; the same call goes on from the last checkpoint.
    """
    from phonaut.cli import with_files
    from phonaut.cli.train import train_one
    from phonaut.config.compose import compose
    from phonaut.peers import place
    from phonaut.runs.load import load
    from phonaut.training.trainer_options import n_processes

    if others := [word for word in words if not isinstance(word, str)]:
        raise ValueError(f"phonaut.train takes texts such as 'model=lstm'; it got {others[0]!r}: a list of them is "
                         "phonaut.train(*words)")  # fmt: skip
    given = with_files([*words, *words_of(keys)])
    for word in given:
        if word.startswith("-") or ("=" not in word.lstrip("~") and not word.startswith("~")):
            hint = ": a sweep is phonaut train -m, in a shell" if word in ("-m", "--multirun") else ""
            raise ValueError(f"phonaut.train takes key=value and YAML files; it got {word}{hint}")
    config = compose(given)
    if (n := max(n_processes(config.trainer), place().n)) > 1:
        raise ValueError(f"phonaut.train trains in one process, and this is {n}: type trainer.devices=1 "
                         "trainer.num_nodes=1, or start phonaut train in a shell")  # fmt: skip
    with quiet(not progress), same_arguments():
        run = train_one(config, given, summary=progress)
    assert run is not None
    return load(run.folder)


def words_of(keys: Mapping[str, Any], above: str = "") -> list[str]:
    """Words of the command line for keywords.

    >>> words_of({"model": "lstm", "trainer": {"max_epochs": 3, "deterministic": True}, "classes": ["yes", "no"]})
    ['model=lstm', 'trainer.max_epochs=3', 'trainer.deterministic=true', "classes=['yes','no']"]
    """
    from phonaut.config.compose import in_grammar

    words = []
    for name, value in keys.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            words += words_of(value, f"{key}.")
        else:
            plain = plain_value(value)
            words.append(f"{key}={plain if isinstance(plain, str) else in_grammar(plain)}")
    return words


def plain_value(value: Any) -> Any:
    """A value as YAML could have it: a path as text, NumPy's numbers as Python's, any sequence as a list."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_value(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [plain_value(one) for one in value]
    return value


@contextlib.contextmanager
def quiet(yes: bool) -> Iterator[None]:
    """Nothing is printed while the context lasts, where it should be quiet."""
    if not yes:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def same_arguments() -> Iterator[None]:
    """The arguments of the program are afterwards what they were: the command adds words to its own."""
    before = list(sys.argv)
    try:
        yield
    finally:
        sys.argv[:] = before


def compare(
    runs: Sequence[Path | str | LoadedRun | Run | Folds], *, split: str = "test", metric: str | None = None
) -> pandas.DataFrame:
    """Runs side by side on the same test items, as `phonaut compare` puts them.

        table = phonaut.compare(["trained_models/A", "trained_models/B"])
        table[["value", "low", "high", "difference", "p", "parameters"]]

    A row is a run, and a figure of it where there are several: `task`, `model`, `split`, `metric`, `value` with its
    95 % interval `low` to `high` over `n` items, `difference` to the first run with its interval and `p` (paired
    bootstrap), `parameters`, `macs`, `train_seconds`, `protocol`, `folder`. The index is the shortest name that tells
    the run from the others.

    Args:
        runs: loaded ones, or folders of runs; a folder of a sweep is all of its runs. The first is what the others are
            compared with.
        split: `test`, or any name that `phonaut evaluate` gave.
        metric: the figure; None: of classifiers the accuracy, of verification and generators all.

    Raises:
        ValueError: fewer than two runs, one twice, an unfinished one, runs of other tasks or other items; how they
            differ is named.
        ModuleNotFoundError: there is no pandas.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(PANDAS) from error
    from phonaut.runs.load import LoadedRun
    from phonaut.runs.side_by_side import side_by_side

    several = [runs] if isinstance(runs, (str, os.PathLike)) else runs
    opened = [one.run if isinstance(one, LoadedRun) else one for one in several]
    return pandas.DataFrame(side_by_side(opened, split=split, metric=metric)).set_index("run")
