"""The command line: `phonaut COMMAND [RUN or files ...] [key=value ...]`, one file per command."""

from __future__ import annotations

import errno
import inspect
import os
import pkgutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from phonaut.cli.options import Command, command_of, parse, split_config_dirs
from phonaut.cli.pages import example_lines, help_page, section
from phonaut.config.nodes import load_target
from phonaut.config.plugins import add_config_dir, choices, registry
from phonaut.files import home_cache, keep_files_of
from phonaut.peers import is_said_by_another, place

SEVERAL = ("train", "extract")  # commands that several processes carry out together
NOTHING_YET = "there was nothing yet; the same command starts again"
NO_COMMANDS = ("detecting", "options", "pages", "sweeping")  # the other files here are one each
HELP = """\
Phonaut trains, compares and ships models of speech.

  phonaut COMMAND [RUN or files ...] [key=value ...]
  phonaut COMMAND --help
"""
PLACES = """
A run lies in trained_models/<experiment_id>/<model>: report.html, metrics.json,
model.safetensors, TensorBoard events. The same experiment_id again resumes it.
Corpora are looked for under $PHONAUT_DATA, else under datasets/; prepared
corpora lie under $PHONAUT_CACHE, else under ~/.cache/phonaut. PHONAUT_DEBUG=1
shows where an error came from.
"""


def commands() -> dict[str, str]:
    """Every command, and the class or function that it is: a file of this folder, or a `conf/command/NAME.yaml`.

    Raises:
        ValueError: two commands have one name.
    """
    files = [file.name for file in pkgutil.iter_modules(__path__) if file.name not in NO_COMMANDS]
    names = {name.rstrip("_"): name for name in sorted(files)}  # list_.py: a module list here would hide the type
    ours = {name: f"{__name__}.{file}.{name.capitalize()}" for name, file in names.items()}
    added = {name: str(entry["_target_"]) for name, entry in registry("command").items()}
    if ours.keys() & added.keys():
        raise ValueError(f"command/{min(ours.keys() & added.keys())}.yaml: there is such a command already")
    return ours | added


def load(target: str) -> type[Command]:
    """The command that a name of `commands` stands for.

    Raises:
        ValueError: it cannot be imported, or is no command.
    """
    return command_of(load_target(target))


def help_text() -> str:
    """The page of `phonaut --help`."""
    rows, examples = list[tuple[str, list[str]]](), dict[str, str]()
    for name, target in commands().items():
        try:
            command = load(target)
        except ValueError as error:
            rows.append((name, [str(error)]))
            continue
        rows.append((name, [inspect.cleandoc(command.__doc__ or "").partition("\n")[0]]))
        examples |= {f"phonaut {name} {words}": meaning for words, meaning in [*command.examples.items()][:1]}
    groups = [(group, [", ".join(names)]) for group, names in choices().items()]
    parts = [section("Commands", rows), example_lines(examples), section("Choices, as group=choice", groups)]
    return HELP + "\n".join(line for part in parts for line in part) + "\n" + PLACES


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; a mistake is one sentence and exit code 2, a failure one sentence and exit code 1."""
    try:
        keep_files_of("matplotlib", "MPLCONFIGDIR")  # which Lightning imports
        if place().n > 1:  # PyTorch prints a stack for each process that is gone
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        code = dispatch(sys.argv[1:] if words is None else words)
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # all was done, and head has read what it wanted
            close_output()
        return code
    except KeyboardInterrupt as stop:
        print("\nstopped: " + [*getattr(stop, "__notes__", ()), NOTHING_YET][0], file=sys.stderr)
        return 130
    except Exception as error:
        return explained(error)


def dispatch(words: Sequence[str]) -> int:
    """Run the command that `words` begin with, or print the help that they ask for."""
    folders, words = split_config_dirs(words)
    for folder in folders:
        add_config_dir(folder)
    rest = [word for word in words if word not in ("-h", "--help")]
    asked = len(rest) < len(words) or rest[:1] in ([], ["help"])
    rest = rest[1:] if rest[:1] == ["help"] else rest
    if not rest:
        print(help_text(), end="")
        return 0
    name = rest[0]
    if name == "--version":
        from phonaut import __version__

        print(__version__)
        return 0
    known = commands()
    if name not in known:
        from phonaut.names import did_you_mean

        print(f"phonaut has no command {name}{did_you_mean(name, known)} (phonaut --help)", file=sys.stderr)
        return 2
    if place().n > 1 and name not in SEVERAL:
        raise ValueError(f"{name} works in one process: start it without torchrun or srun")
    command = load(known[name])
    if asked:
        print(help_page(name, command), end="")
        return 0
    try:
        return parse(name, command, with_files(rest[1:]) if name == "train" else rest[1:]).run()
    except KeyboardInterrupt as stop:
        if not hasattr(stop, "__notes__"):
            stop.add_note(command.stopped)
        raise
    except OSError as error:
        raise located(error, command) from error


def with_files(words: Sequence[str]) -> list[str]:
    """Words of `train` in which a YAML file, or `--config-name NAME` of an added folder, stands for the words in it.

    What is typed wins over any file, and a later file over an earlier one.

    Raises:
        ValueError: a key is typed twice with different values, or there is no such file.
    """
    from phonaut.config.aliases import check_once
    from phonaut.config.plugins import config_dirs

    check_once(word for word in words if "=" in word and not word.startswith("-"))
    found: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, _, name = word.partition("=")
        if flag in ("--config-name", "-cn"):
            name = name or next(remaining, "")
            places = [folder / f"{name.removesuffix('.yaml')}.yaml" for folder in config_dirs()[1:]]
            word = str(next((place for place in places if place.is_file()), ""))
            if not word:
                raise ValueError(f"--config-name {name}: there is no such file in a folder of --config-dir")
        if not word.endswith((".yaml", ".yml")) or "=" in word or not Path(word).is_file():
            found.append(word)
            continue
        from phonaut.config.compose import key_of, words_of_file

        typed = {key_of(one) for one in words}
        in_file = ((key_of(one), one) for one in words_of_file(Path(word)))
        new = {
            key: one for key, one in in_file if key not in typed and ("." not in key or key.split(".")[0] not in typed)
        }
        found = [*(one for one in found if key_of(one) not in new), *new.values()]
    return found


def located(error: OSError, command: type[Command]) -> OSError:
    """An error of a place that may not be written, or of a closed pipe, with what to type to go round it."""
    if isinstance(error, BrokenPipeError):
        close_output()
        how = [*getattr(error, "__notes__", ()), "`> FILE` in its place keeps the output"][0]
        return OSError(f"the program that reads the output has ended, and this one with it: {how}")
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not error.filename:
        return error
    cache = os.environ.get("PHONAUT_CACHE") or home_cache()
    is_cached = cache is not None and Path(error.filename).is_relative_to(cache)
    way = "set PHONAUT_CACHE to another folder" if is_cached or not command.place else f"type {command.place}FOLDER"
    return OSError(f"{error.filename} may not be written: {way}")


def close_output() -> None:
    """Send what is still printed nowhere: Python would complain of a closed pipe once more as it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explained(error: Exception) -> int:
    """Print a failure as a sentence, and return the exit code; what is no mistake of the user's keeps its traceback."""
    cause: BaseException = error
    while type(cause).__module__.startswith("hydra.") and cause.__cause__ is not None:
        cause = cause.__cause__
    if type(cause).__module__.startswith("yaml."):
        cause = ValueError(str(cause))
    if os.environ.get("PHONAUT_DEBUG") or not isinstance(cause, (ValueError, OSError)):
        raise error
    code = 2 if isinstance(cause, ValueError) else 1
    if is_said_by_another(cause):
        return code
    first, *rest = str(cause).splitlines() or [type(cause).__name__]
    print("\n  ".join(["phonaut cannot do this:", first, *rest] if rest else [f"phonaut: {first}"]), file=sys.stderr)
    return code
