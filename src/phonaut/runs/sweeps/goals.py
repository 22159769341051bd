"""What a sweep is after: figures to make large or small, and limits to keep. Test figures are none of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from phonaut.config.metrics import registered_metrics
from phonaut.metrics import Estimate
from phonaut.names import did_you_mean
from phonaut.runs.run import Run, is_number

SIZES = ("macs", "parameters", "activation_bytes")  # of model.json, known before training
COSTS = (*SIZES, "train_seconds", "latency_ms")
LOSS = "loss"  # the lowest of validation
OF_MODEL = "model."  # any other number of model.json, such as model.epochs
DEFAULT = {"classification": "accuracy", "verification": "eer"}  # by task; of others the loss


@dataclass(frozen=True)
class Goal:
    """A figure that a sweep makes as large, or as small, as it can.

    Attributes:
        name: a metric of the validation split, `loss`, or a cost of the model.
        higher: larger is better.
    """

    name: str
    higher: bool = False

    def loss(self, figures: Mapping[str, float]) -> float:
        """The figure as something to minimise."""
        return -figures[self.name] if self.higher else figures[self.name]


@dataclass(frozen=True)
class Limit:
    """What a figure must keep: `macs<=1.5e6`.

    Attributes:
        name: as of a goal.
        at_most: it is the largest allowed; else the least.
        bound: the limit, itself allowed.
    """

    name: str
    at_most: bool
    bound: float

    def __str__(self) -> str:
        bound = int(self.bound) if self.bound.is_integer() else self.bound
        return f"{self.name}{'<=' if self.at_most else '>='}{bound}"

    def violation(self, figures: Mapping[str, float]) -> float:
        """How far it is overstepped, as a share of the limit; negative or 0 where it is kept.

        >>> Limit("macs", True, 1e6).violation({"macs": 1.5e6})
        0.5
        """
        over = figures[self.name] - self.bound
        return (over if self.at_most else -over) / (abs(self.bound) or 1.0)


def goals(names: Sequence[str] | None, task: str) -> list[Goal]:
    """Goals by their names; None: the usual one of the task.

    Raises:
        ValueError: a name is none, or of the test split.
    """
    chosen = [DEFAULT.get(task, LOSS)] if not names else list(dict.fromkeys(names))
    metrics = registered_metrics()
    for name in chosen:
        check_name(name, "hydra.sweeper.objectives")
    higher = {name: metric.direction == "higher" for name, metric in metrics.items()}
    return [Goal(name, higher.get(name.partition("/")[0], False)) for name in chosen]


def limit(text: str) -> Limit:
    """A limit as it is typed.

    Raises:
        ValueError: it is none.

    >>> limit("macs <= 1.5e6")
    Limit(name='macs', at_most=True, bound=1500000.0)
    """
    match = re.fullmatch(r"\s*([\w./]+)\s*(<=|>=)\s*(\S+)\s*", text)
    try:
        bound = float(match[3]) if match else math.nan
    except ValueError:
        bound = math.nan
    if match is None or not math.isfinite(bound):
        raise ValueError(f"hydra.sweeper.constraints: {text} is no limit such as macs<=1.5e6 or accuracy>=0.9")
    check_name(match[1], "hydra.sweeper.constraints")
    return Limit(match[1], match[2] == "<=", bound)


def check_name(name: str, key: str) -> None:
    """Refuse a name that no run has a figure for, and every figure of the test split.

    Raises:
        ValueError: it is so.
    """
    if re.search(r"(^|\W)test(\W|$)", name):
        raise ValueError(f"{key}: {name} is of the test split, which chooses nothing; figures are those of validation")
    known = [*registered_metrics(), LOSS, *COSTS]
    if name.partition("/")[0] not in known and not name.startswith(OF_MODEL):
        raise ValueError(f"{key}: {name} is none of {', '.join(known)}{did_you_mean(name, known)}")


def figures_of(run: Run, names: Iterable[str]) -> dict[str, float]:
    """Figures of a finished run by name.

    Raises:
        ValueError: it has not all of them, or one is no number.
    """
    return {name: figure_of(run, name) for name in names}


def figure_of(run: Run, name: str) -> float:
    """One figure of a finished run."""
    if name == "latency_ms":
        from phonaut.runs.sweeps.latency import latency_ms

        return latency_ms(run)
    if name == LOSS:
        found = lowest_loss(run)
    elif name in COSTS or name.startswith(OF_MODEL):
        found = run.model.get(name.removeprefix(OF_MODEL))
    else:
        found = run.metrics.get("validation", {}).get(name, {}).get("value")
    if found is None or not is_number(found) or not math.isfinite(found):
        there = [*run.metrics.get("validation", {}), *([LOSS] if lowest_loss(run) is not None else []), *COSTS]
        raise ValueError(f"{run.folder} has no {name} of validation that is a number; it has {', '.join(there)}")
    return float(found)


def estimate_of(run: Run, name: str) -> Estimate | None:
    """A figure with its interval; None of a cost or a loss."""
    found = run.metrics.get("validation", {}).get(name)
    return None if found is None else Estimate(**found)  # type: ignore[arg-type]


def lowest_loss(run: Run) -> float | None:
    """The lowest validation loss; None where there is none."""
    return min((line["validation/loss"] for line in run.history if "validation/loss" in line), default=None)


def front(losses: Sequence[Sequence[float]]) -> list[int]:
    """The rows of `losses` (N, G) that no other row dominates: is as small in all, and smaller in one.

    Of equal rows the first.

    >>> front([[1, 5], [2, 2], [3, 1], [3, 3], [2, 2]])
    [0, 1, 2]
    """
    import numpy as np

    table = np.asarray(losses, dtype=float)
    if not len(table):
        return []
    as_small = (table[:, None] <= table[None]).all(axis=2)  # row i as small as row j in all
    smaller = as_small & (table[:, None] < table[None]).any(axis=2)
    first = np.tril(as_small & as_small.T, -1).any(axis=1)  # equal to an earlier row
    return [int(i) for i in np.flatnonzero(~smaller.any(axis=0) & ~first)]
