"""Checks of options: every problem is a sentence, and all of them are raised at once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral


def refuse(problems: Sequence[str], where: str = "") -> None:
    """Raise all problems at once, after `where` they are.

    Raises:
        ValueError: there are some.
    """
    if problems:
        raise ValueError(where + "; ".join(problems))


def below(least: int, **values: object) -> list[str]:
    """The problems of values that are not whole numbers of at least `least`.

    >>> below(1, batch_size=0)
    ['batch_size must be >= 1, got 0']
    """
    return [
        f"{key} must be >= {least}, got {value}"
        for key, value in values.items()
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least
    ]
