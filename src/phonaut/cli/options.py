"""The words of a command line: paths, flags, and `key=value` as text, numbers and lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def split_flags(words: Sequence[str], with_value: set[str], alone: set[str]) -> tuple[set[str], list[str]]:
    """Flags, and the rest; the value of a flag (`job` of `-c job`) is dropped.

    Raises:
        ValueError: for a flag that does not exist.
    """
    flags, rest = set(), []
    remaining = iter(words)
    for word in remaining:
        if word in with_value:
            flags.add(word)
            next(remaining, None)
        elif word in alone:
            flags.add(word)
        elif word.startswith("-"):
            raise ValueError(f"{word} is not a flag of train; it knows -c job, -m, and key=value")
        elif "=" not in word and not word.startswith("~"):
            raise ValueError(
                f"{word} is not key=value; train takes no files: dataset.data_folder={word} names recordings"
            )
        else:
            rest.append(word)
    return flags, rest


def split_config_dirs(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders of `--config-dir DIR`, and all other words.

    >>> split_config_dirs(["train", "--config-dir", "mine", "model=toy", "--config-dir=yours"])
    (['mine', 'yours'], ['train', 'model=toy'])
    """
    folders, rest = [], []
    remaining = iter(words)
    for word in remaining:
        flag, _, value = word.partition("=")
        if flag == "--config-dir":
            value = value or next(remaining, "")
            if not value:
                raise ValueError("--config-dir needs a folder")
            folders.append(value)
        else:
            rest.append(word)
    return folders, rest


def split_paths(words: Sequence[str], usage: str) -> tuple[list[str], list[str]]:
    """Paths and `key=value`; a word with `=` is a path where it exists.

    Raises:
        ValueError: there is no path.
    """
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    if not paths:
        raise ValueError(f"usage: phonaut {usage}")
    return paths, [word for word in words if word not in paths]


def options_of(command: str, words: Sequence[str], known: set[str]) -> dict[str, str]:
    """`key=value` as a dictionary.

    Raises:
        ValueError: a key that the command does not know.
    """
    pairs = [text.partition("=") for text in words]
    unknown = [key for key, _, _ in pairs if key not in known]
    if unknown:
        from phonaut.config.compose import nearest

        takes = ", ".join(f"{key}=" for key in sorted(known))
        raise ValueError(f"{command} takes {takes}; it got {unknown[0]}{nearest(unknown[0], known)}")
    return {key: value for key, _, value in pairs}


def listed(text: str) -> list[str]:
    """What stands between commas, brackets around all of it or not."""
    return [part.strip() for part in text.strip().removeprefix("[").removesuffix("]").split(",") if part.strip()]


def count(options: dict[str, str], key: str) -> int | None:
    """The whole number of an option; None where it is not given.

    Raises:
        ValueError: it is none, or less than 1.
    """
    text = options.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{key}={text}: a whole number of at least 1 is wanted")
    return int(text)


def flag(options: dict[str, str], key: str) -> bool:
    """Whether an option is true; false where it is not given.

    Raises:
        ValueError: it is neither true nor false.
    """
    text = options.get(key, "false")
    if text not in ("true", "false"):
        raise ValueError(f"{key}={text}: write true or false")
    return text == "true"


def number(text: str, key: str) -> float:
    """A number of a list.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{key}={text} is no number; {key}=5,10,20 is a list of them") from error
