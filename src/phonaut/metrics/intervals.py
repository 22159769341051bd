"""Numbers with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 2000
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


class Rate(NamedTuple):
    """A figure, its 95 % interval, and how many items it rests on."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float]:
        """As `metrics.json` keeps it."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def wilson(n_right: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a rate (Wilson 1927).

    `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`.

    >>> [round(x, 3) for x in wilson(300, 300)]
    [0.987, 1.0]
    """
    if n == 0:
        return 0.0, 1.0
    p = n_right / n
    centre = p + Z**2 / (2 * n)
    half = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    low = 0.0 if n_right <= 0 else float((centre - half) / scale)
    return low, 1.0 if n_right >= n else float((centre + half) / scale)


def bootstrap(
    counts: NDArray[np.int64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], *, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap over groups (speakers): 2.5 % and 97.5 % quantiles of `statistic` over 2,000 resamples.

    Args:
        counts: what each group counted, `(G, ...)`; a resample draws G groups with replacement and adds them up.
        statistic: `(R, ...)` summed counts to `(R,)` figures.
        seed: of the resamples.
    """
    n_groups = len(counts)
    draws = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_RESAMPLES)
    summed = (draws.astype(np.float64) @ counts.reshape(n_groups, -1)).reshape(N_RESAMPLES, *counts.shape[1:])
    low, high = np.nanquantile(statistic(summed), [0.025, 0.975])
    return float(low), float(high)
