"""What a sweep goes over: keys with their values, in the grammar of Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phonaut.config.plugins import choices

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, RangeSweep

DIGITS = 6  # of a number that a search chose, as it stands in a word


@dataclass(frozen=True)
class Values:
    """A key with values of which one is taken.

    Attributes:
        key: such as `model`.
        texts: the values as they stand after `=`.
    """

    key: str
    texts: tuple[str, ...]

    def word(self, value: object) -> str:
        """The word of a value."""
        return f"{self.key}={value}"

    def value(self, word: str) -> str:
        """The value of a word."""
        return word.partition("=")[2]


@dataclass(frozen=True)
class Span:
    """A key with all numbers from `low` to `high`, both included.

    Attributes:
        key: such as `optimizer.lr`.
        low: the least.
        high: the largest.
        step: between neighbours; None: whole numbers are 1 apart, others are continuous.
        log: equal ratios are equally far apart.
        texts: those of a range, which a grid can take one by one; none of an interval.

    Raises:
        ValueError: the limits are none.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"{self.key}: from {self.low:g} to {self.high:g} there is nothing to choose")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.key}: tag(log, ...) needs numbers above 0, got {self.low:g}")

    @property
    def is_whole(self) -> bool:
        """Whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, (int, type(None)))

    def word(self, value: object) -> str:
        """The word of a number, of six digits: it is what is trained, and what is shown.

        >>> Span("optimizer.lr", 1e-4, 1.0).word(0.012345678), Span("model.kernel_size", 3, 15).word(9)
        ('optimizer.lr=0.0123457', 'model.kernel_size=9')
        """
        return f"{self.key}={value if self.is_whole else f'{value:.{DIGITS}g}'}"

    @property
    def steps(self) -> list[float]:
        """The numbers of a range."""
        assert self.step is not None
        return [self.low + self.step * i for i in range(round((self.high - self.low) / self.step) + 1)]

    def value(self, word: str) -> float:
        """The number of a word."""
        number = float(word.partition("=")[2])
        if self.step not in (None, 1):
            return min(self.steps, key=lambda one: abs(one - number))
        return int(number) if self.is_whole else number


Dimension = Values | Span


def divided(words: Sequence[str]) -> tuple[list[str], list[Dimension]]:
    """Words that stay as they are, and what is swept.

    Args:
        words: `key=value`; swept are `a,b`, `choice(a,b)`, `range(1,9,2)`, `glob(tc-*)`, `interval(0,1)`,
            `int(interval(1,8))` and `tag(log,interval(1e-4,1))`.

    Raises:
        ValueError: one has no values to choose from.

    >>> divided(["dataset=fsdd", "seed=0,1"])
    (['dataset=fsdd'], [Values(key='seed', texts=('0', '1'))])
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    constants, dimensions = list[str](), list[Dimension]()
    for word in words:
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override():
            dimensions.append(dimension(override))
        else:
            constants.append(word)
    return constants, dimensions


def dimension(override: Override) -> Dimension:
    """A key with what it is swept over."""
    from hydra.core.override_parser.types import Glob, IntervalSweep, RangeSweep

    key = override.get_key_element()
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return Span(key, value.start, value.end, log="log" in value.tags)
    if isinstance(value, Glob):
        if not (names := value.filter(choices().get(key, []))):
            raise ValueError(f"{override.input_line} matches none of {', '.join(choices().get(key, [])) or 'nothing'}")
        return Values(key, tuple(names))
    texts = tuple(override.sweep_string_iterator())
    if not texts:
        raise ValueError(f"{override.input_line} has no values")
    if isinstance(value, RangeSweep) and len(texts) > 1 and not value.shuffle:
        return span(key, value, texts)
    return Values(key, texts)


def span(key: str, swept: RangeSweep, texts: tuple[str, ...]) -> Span:
    """The numbers of a range, in whichever direction it goes."""
    numbers: list[float] = [number if isinstance(number, int) else float(number) for number in swept.range()]
    return Span(key, min(numbers), max(numbers), abs(swept.step), "log" in swept.tags, texts)
