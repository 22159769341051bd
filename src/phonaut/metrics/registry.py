"""Registry of metrics: one function or class each, from `Scored` to an estimate, described by its configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pkgutil import resolve_name
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.metrics.intervals import Estimate, quantiles
from phonaut.metrics.paired import Difference, bootstrapped

N_RESAMPLES = 1000  # of a metric that brings no interval or paired difference: it is computed for each of them


@dataclass(frozen=True)
class Scored:
    """Arrays of one evaluation, a row an item.

    Attributes:
        speaker: speaker ids, `(N,)`.
        label: true classes, -1 where unknown, `(N,)`; None: the task has no classes.
        predicted: predicted classes, `(N,)`; None likewise.
        n_classes: number of classes.
        scores: class scores, larger is more likely, `(N, C)`.
        columns: further arrays `(N, ...)` by name, such as `n_frames` and `n_correct_frames`.
    """

    speaker: NDArray[Any]
    label: NDArray[np.int64] | None = None
    predicted: NDArray[np.int64] | None = None
    n_classes: int = 0
    scores: NDArray[np.float32] | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def take(self, rows: NDArray[np.int64]) -> Scored:
        """Some of the items, each as often as its row is given."""
        arrays = {name: getattr(self, name) for name in ("speaker", "label", "predicted", "scores")}
        ours = {name: column[rows] for name, column in arrays.items() if column is not None}
        return replace(self, **ours, columns={name: column[rows] for name, column in self.columns.items()})


@dataclass(frozen=True)
class Metric:
    """A figure of an evaluation, and how it is shown.

    Attributes:
        name: its key in `metrics.json` and on the command line.
        compute: `Scored` to an `Estimate`, to a number, whose interval is then the bootstrap over speakers, or to None
            where the arrays lack what it needs. It may have a method `difference(first, other) -> Difference`;
            without one, the paired bootstrap over speakers is used.
        label: its name in words.
        direction: `higher` or `lower` is better.
        format: `percent` for fractions, or `number`.
        needs: what some models do not give, in words, as an error message names it.
        rank: place among the columns of a table.
    """

    name: str
    compute: Callable[[Scored], Estimate | float | None]
    label: str = ""
    direction: Literal["higher", "lower"] = "higher"
    format: Literal["percent", "number"] = "number"
    needs: str = "such figure"
    rank: float = 100

    def __call__(self, scored: Scored) -> Estimate | None:
        """The estimate with its interval; None where the arrays lack what it needs."""
        result = self.compute(scored)
        if result is None or isinstance(result, Estimate):
            return result
        drawn = resampled_rows(scored, lambda rows: self.value(scored.take(rows)))
        low, high = quantiles(drawn, 0.025)
        return Estimate(float(result), min(float(low), result), max(float(high), result), len(scored.speaker))

    def value(self, scored: Scored) -> float:
        """The figure without an interval; NaN where there is none."""
        result = self.compute(scored)
        return math.nan if result is None else float(result.value if isinstance(result, Estimate) else result)

    def difference(self, first: Scored, other: Scored) -> Difference:
        """Paired difference `other` minus `first`, of the same items in the same order, with interval and p."""
        if hasattr(self.compute, "difference"):
            result: Difference = self.compute.difference(first, other)
            return result
        value, n = self.value(other) - self.value(first), len(first.speaker)
        n_groups = len(np.unique(first.speaker))
        n_groups = n_groups if n_groups > 1 else n
        if n_groups < 2 or math.isnan(value):
            return Difference(value, -math.inf, math.inf, math.nan, n)
        drawn = resampled_rows(first, lambda rows: self.value(other.take(rows)) - self.value(first.take(rows)))
        return bootstrapped(value, drawn[:, None], n_groups, n)


def resampled_rows(scored: Scored, statistic: Callable[[NDArray[np.int64]], float]) -> Array:
    """A statistic of the rows of resampled speakers, `(R,)`; where there is one speaker, items are resampled."""
    _, group = np.unique(scored.speaker, return_inverse=True)
    if group.max(initial=0) == 0:
        group = np.arange(len(group))
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    rng = np.random.default_rng(0)
    draws = rng.integers(len(rows_of), size=(N_RESAMPLES, len(rows_of)))
    return np.array([statistic(np.concatenate([rows_of[i] for i in drawn])) for drawn in draws])


def from_configs(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """Metrics by name, in the order of their ranks.

    Args:
        configs: name -> `_target_`, the attributes of `Metric`, and options of the target. The target is a function of
            `Scored` (and the options) or a class that is made with the options.

    Raises:
        ValueError: a configuration has no `_target_`, or one that cannot be imported or takes other options.

    >>> from_configs({"f1": {"_target_": "phonaut.metrics.ClassMetric", "statistic": "f1"}})["f1"].label
    'f1'
    """
    metrics = []
    for name, config in configs.items():
        options = dict(config)
        shown = {key: options.pop(key) for key in ("label", "direction", "format", "needs", "rank") if key in options}
        try:
            target = resolve_name(options.pop("_target_"))
            compute = target(**options) if isinstance(target, type) else partial(target, **options)
        except (KeyError, ImportError, AttributeError, TypeError) as error:
            raise ValueError(f"metric {name}: {error!r}; its configuration must name a function or class") from error
        metrics.append(Metric(name, compute, **{"label": name.replace("_", " "), **shown}))
    return {metric.name: metric for metric in sorted(metrics, key=lambda metric: (metric.rank, metric.name))}


def unregistered(name: str) -> Metric:
    """A metric that is only shown: its figures are in a run's files, and the registry does not know it."""
    return Metric(name, lambda scored: None, label=name.replace("_", " "))


def evaluate_metrics(scored: Scored, metrics: Mapping[str, Metric]) -> dict[str, Estimate]:
    """All metrics that the arrays allow."""
    results = ((name, metric(scored)) for name, metric in metrics.items())
    return {name: estimate for name, estimate in results if estimate is not None}
