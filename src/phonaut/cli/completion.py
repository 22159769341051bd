"""`phonaut completion`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from phonaut.cli.options import Command, beginning, members, options_of, types_of
from phonaut.config.plugins import choices

FILES = ":files"  # a line that says that files may be meant as well
SCRIPTS = {
    "bash": r"""
_phonaut() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n' current head one
    current="${line##*[[:space:]]}"
    head="${current%"${current##*=}"}"  # bash completes what is behind the last =
    COMPREPLY=()
    for one in $("${COMP_WORDS[0]}" completion words <<< "$line" 2> /dev/null); do
        if [[ $one == :files ]]; then
            COMPREPLY+=($(compgen -f -- "${current#"$head"}"))
            compopt -o filenames 2> /dev/null
        else
            COMPREPLY+=("${one#"$head"}")
        fi
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]]; then compopt -o nospace 2> /dev/null; fi
}
complete -F _phonaut phonaut
""",
    "zsh": r"""
#compdef phonaut
_phonaut() {
    local -a found
    found=("${(@f)$(print -r -- "${(j: :)words[1,CURRENT]}" | ${words[1]} completion words 2> /dev/null)}")
    compadd -S '' -- ${(M)found:#*[=.]}
    compadd -- ${${found:#*[=.]}:#:files}
    if (( ${found[(I):files]} )); then compset -P '*='; _files; fi
}
compdef _phonaut phonaut
""",
}


@dataclass(frozen=True)
class Completion(Command):
    """Print what lets a shell complete the words of phonaut.

    Commands, groups and their choices, keys and files. For every new shell:

    echo 'source <(phonaut completion bash)' >> ~/.bashrc
    echo 'source <(phonaut completion zsh)' >> ~/.zshrc
    """

    usage = ("bash", "zsh")
    arguments = {"SHELL": "bash or zsh; words: completes a line of standard input, which the shells ask for"}
    examples = {"bash": "source <(phonaut completion bash) lets this shell complete"}

    def run(self) -> int:
        """Print the script, or the words that may follow."""
        shell = self.paths[0]
        if shell == "words":
            print("\n".join(words_after(sys.stdin.read().rstrip("\n"))))
        elif shell in SCRIPTS:
            print(SCRIPTS[shell].strip())
        else:
            raise ValueError(f"there is completion for bash and zsh, not for {shell}")
        return 0


def words_after(line: str) -> list[str]:
    """The words that the last one of a line may become, and `FILES` where files may be meant.

    >>> words_after("phonaut trai"), words_after("phonaut train model=lst")
    (['train'], ['model=lstm', 'model=lstm_vae'])
    """
    from phonaut.cli import commands, load

    try:
        words = shlex.split(line)
    except ValueError:  # a quote is open
        words = line.split()
    words += [""] * (line[-1:].isspace() or len(words) < 2)
    if words[1] == "help" and len(words) > 2:
        del words[1]
    known, current = commands(), words[-1]
    if len(words) == 2:
        return beginning_with(current, [*known, "--help", "--version"])
    if words[1] not in known:
        return []
    command = load(known[words[1]])
    if "=" in current:
        return values_after(command, words, current)
    found = beginning_with(current, keys_of(command, words, current))
    return found + [FILES] * bool(command.arguments or words[1] == "train")


def values_after(command: type[Command], words: Sequence[str], current: str) -> list[str]:
    """The values that a key may have; of several with commas between, of the last."""
    key, _, text = current.partition("=")
    head = f"{key}=" + text[: text.rfind(",") + 1]
    values = [f"{head}{value}" for value in values_of(command, words, key)]
    return beginning_with(current, values) if values else [FILES]


def values_of(command: type[Command], words: Sequence[str], key: str) -> list[str]:
    """The values of a key, where they are named."""
    types = types_of(command)
    if key in types and key in options_of(command):
        return named(types[key])
    if not command.composes:
        return []
    from phonaut.config.schema import HINTS, SMALL_GROUPS

    group, _, option = key.partition(".")
    if key in choices():
        return choices()[key]
    if key == "target":
        from phonaut.data.utterance import TARGETS

        return [*TARGETS]
    if key == "recipe":
        from phonaut.config.recipes import recipes

        return ["auto", "none", *recipes()]
    if option and group in choices() and isinstance(options_of_group(words, group).get(option), bool):
        return ["true", "false"]
    return named(SMALL_GROUPS.get(group, {}).get(option) if option else HINTS.get(key))


def named(kind: Any) -> list[str]:
    """The values of a type that has names for them."""
    values = [
        get_args(one) if get_origin(one) is Literal else ("true", "false") * (one is bool) for one in members(kind)
    ]
    return [str(value) for each in values for value in each]


def keys_of(command: type[Command], words: Sequence[str], current: str) -> Iterator[str]:
    """The options of a command, and the words of the configuration that it takes."""
    for key, one in options_of(command).items():
        yield from [flag.partition(" ")[0] for flag in one.metadata.get("flags", ())] or [f"{key}="]
    yield from ("--config-dir", "--help")
    beginnings = tuple(beginning(text) for text in command.composes)
    if not beginnings:
        return
    group = current.partition(".")[0]
    if "." in current and group in choices():
        words_of_it = [f"{group}.{key}=" for key in options_of_group(words, group)]
    else:
        from phonaut.cli.train import root_keys

        words_of_it = [*(f"{name}=" for name in choices()), *(f"{name}." for name in choices()), *root_keys()]
    yield from (word for word in words_of_it if word.startswith(beginnings))


def options_of_group(words: Sequence[str], group: str) -> dict[str, Any]:
    """The options of what is chosen in a group, with their defaults."""
    from omegaconf import OmegaConf

    from phonaut.config.plugins import load_group
    from phonaut.config.recipes import default_choices

    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
    name = chosen[-1] if chosen else default_choices().get(group)
    if name not in choices()[group]:
        return {}
    return {str(key): value for key, value in OmegaConf.to_container(load_group(group, str(name))).items()  # type: ignore[union-attr]
            if key != "_target_"}  # fmt: skip


def beginning_with(current: str, words: Sequence[str] | Iterator[str]) -> list[str]:
    """Those of the words that begin with what was typed."""
    return [word for word in dict.fromkeys(words) if word.startswith(current)]
