"""What people get wrong about their own recordings: each is named, with what to type instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from phonaut.corpora.disk import Refused
from phonaut.corpora.protocols.division import Survey
from phonaut.corpora.protocols.hashing import nearest

C = TypeVar("C")


def refuse(problems: Sequence[str]) -> None:
    """Raise all problems at once.

    Raises:
        ValueError: there are some.
    """
    if problems:
        raise ValueError("; ".join(problems))


def seen_at_once(corpus: Callable[..., C], look: Callable[[C], object], options: dict[str, Any]) -> list[str]:
    """The problems of making a corpus with `options` and, where its folder is on disk, of taking a first look."""
    try:
        made = corpus(**options)
        if Path(options["data_folder"]).expanduser().exists():
            look(made)
    except ValueError as error:
        return [str(error)]
    return []


def wrong_choice(key: str, value: str, choices: Sequence[str]) -> list[str]:
    """What is wrong with a value that must be one of `choices`."""
    if value in choices:
        return []
    near = nearest(value, choices, 1)[0]
    return [f"dataset.{key} is one of {', '.join(choices)}; received {value}: type dataset.{key}={near}"]


def wrong_pattern(key: str, pattern: str | None) -> list[str]:
    """What is wrong with a regular expression whose one group is to be read."""
    if pattern is None:
        return []
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return [f"dataset.{key}='{pattern}' is not a regular expression: {error}"]
    if groups == 1:
        return []
    return [
        f"dataset.{key}='{pattern}' has {groups} groups; it needs one, in parentheses, around what to read. For what "
        "stands before the first _: '^([^_]+)_'"
    ]


def as_list(names: object) -> list[str]:
    """Names as a user may give them: a list, one name or number, `15,16`."""
    if names is None:
        return []
    if isinstance(names, str):
        names = names.strip("[]").split(",")
    listed = names if isinstance(names, Sequence) else [names]
    return [text for name in listed if (text := str(name).strip())]


def nothing_left(refused: Refused, folder: Path, pattern: re.Pattern[str] | None) -> ValueError:
    """What to say of a corpus of which no recording can be used."""
    reasons = refused.as_list()
    if not reasons:
        return ValueError(f"dataset.data_folder={folder} holds no recordings")
    last = reasons[-1]
    hint = ""
    if pattern and last["reason"] == "its speaker is not known":
        hint = (
            f"; dataset.speaker_pattern='{pattern.pattern}' matches none. It is searched for in the file name, or in "
            "the path below dataset.data_folder where it has a slash"
        )
    return ValueError(
        f"no recording in dataset.data_folder={folder} can be used; {len(reasons)} were refused, such as "
        f"{last['path']}: {last['reason']}{hint}"
    )


def check_words(survey: Survey) -> None:
    """Refuse what is no keyword spotting: one class, or sentences."""
    if len(survey.words) == 1:
        raise ValueError(
            f"all {survey.n} recordings are of one class ({next(iter(survey.words))}): there is nothing to tell it "
            "from. Add recordings of other words, or of noise, as a class of their own (a folder beside it); or, where "
            "the file names have the class, say so: dataset.word_pattern='^([^_]+)_'"
        )
    if len(survey.words) > max(50, survey.n // 2):
        raise ValueError(
            f"{len(survey.words):,} different texts in {survey.n:,} recordings are sentences, not keywords; type "
            "target=speaker, or give each recording the word that is its class"
        )


def no_speaker(survey: Survey, target: str) -> ValueError:
    """What to say where the guess at the speaker is plainly wrong."""
    by_recording = "; dataset.protocol=recordings divides by recording without asking who speaks"
    return ValueError(
        f"who speaks is not known: what stands before the first _ of the file names ({survey.examples[0]}) "
        f"cannot be it, {survey.wrong_guess()}. Say "
        "where the speaker stands, by the group of a regular expression on the file name "
        "(dataset.speaker_pattern='_([^_]+)_') or on the path (dataset.speaker_pattern='^[^/]+/([^/]+)/'), or give a "
        f"table with columns path,label,speaker{by_recording if target != 'speaker' else ''}"
    )
