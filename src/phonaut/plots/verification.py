"""Figures of speaker verification: misses against false alarms, and scores of each kind of trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from phonaut.plots.noise import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKS = (1e-5, 1e-4, 1e-3, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
CONDITIONS = {
    "TC": "owner, right phrase", "TW": "owner, wrong phrase", "IC": "impostor, right phrase",
    "IW": "impostor, wrong phrase",
}  # fmt: skip
GENDERS = {"f": "women", "m": "men"}
POOLED = "all others together"
N_BINS = 60
HIGHEST, LOWEST = 0.5, 5e-6  # rates that are drawn


def in_words(condition: str) -> str:
    """What figures are of, by the end of their names.

    >>> in_words("IC/f"), in_words("m"), in_words("")
    ('impostor, right phrase: women', 'all others together: men', 'all others together')
    """
    kind, _, gender = condition.rpartition("/")
    kind, gender = (kind, gender) if gender in GENDERS else (condition, "")
    return CONDITIONS.get(kind, kind or POOLED) + (f": {GENDERS[gender]}" if gender else "")


def det_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    operating_points: Mapping[str, tuple[float, float]] | None = None,
    size: tuple[float, float] = (5.2, 5.0),
) -> Figure:
    """Misses against false alarms on axes of probits, where Gaussian scores give straight lines (Martin et al. 1997).

    Rates from the least that there is to 50 % are shown. A curve ends at the last threshold with errors of both kinds,
    for a rate of 0 has no probit; where there is none, the legend says so. A dot that is farther out lies on the edge,
    and is hollow where one of its rates is 0.

    Args:
        curves: name -> false alarms and misses at rising thresholds, `(K,)` each.
        operating_points: name of a curve -> its false alarms and misses at the threshold in use, a dot.
        size: inches.

    Raises:
        ValueError: there are no curves, or an operating point has none.
    """
    from matplotlib.figure import Figure
    from scipy.special import ndtri

    points = dict(operating_points or {})
    strange = [name for name in points if name not in curves]
    if not curves or strange:
        raise ValueError(f"each operating point must have a curve; got {', '.join(strange) or 'no curves'}")
    rates = {name: np.array([alarm, miss], dtype=np.float64) for name, (alarm, miss) in curves.items()}
    pairs = np.concatenate([*rates.values(), *(np.reshape(at, (2, 1)) for at in points.values())], axis=1)
    seen = pairs[:, pairs.max(axis=0) <= HIGHEST]
    least = np.min(seen, initial=0.02, where=seen > 0)
    low = min(max(float(least) / 1.5, LOWEST), 0.01)
    high = HIGHEST if seen.size else 0.99  # where all errors are many, all is shown
    edges = ndtri(np.array([low, high]))
    figure = Figure(figsize=size, layout="constrained")
    plot = figure.subplots()
    plot.plot(edges, edges, color="0.8", linewidth=0.8)
    for i, (name, rate) in enumerate(rates.items()):
        measured = rate[:, (rate > 0).all(axis=0)]
        alarm, miss = ndtri(np.clip(measured, LOWEST / 10, 1 - 1e-9))
        label = name if measured.size else f"{name}: no errors of one kind"
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        }
        plot.plot(alarm, miss, linewidth=1.5, label=label, **style)
        if name in points:
            at = np.clip(ndtri(np.clip(points[name], 1e-12, 1 - 1e-12)), *edges)
            fill = "white" if min(points[name]) == 0 else style["color"]
            plot.plot(*at[:, None], marker="o", markersize=6, color=style["color"], markerfacecolor=fill,
                      clip_on=False, zorder=5)  # fmt: skip
    ticks = [tick for tick in TICKS if low <= tick <= high]
    labels = [f"{100 * tick:g}" for tick in ticks]
    plot.set_xticks(ndtri(ticks), labels, fontsize=8)
    plot.set_yticks(ndtri(ticks), labels, fontsize=8)
    plot.set(xlim=edges, ylim=edges, xlabel="false alarms (%)", ylabel="misses (%)")
    plot.grid(color="0.9", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.set_aspect("equal")
    plot.legend(frameon=False, fontsize=8, loc="upper right", title="dot: threshold in use" if points else None,
                title_fontsize=8)  # fmt: skip
    return figure


def score_histograms(
    scores: ArrayLike,
    condition: ArrayLike,
    *,
    threshold: float | None = None,
    xlabel: str = "score",
    size: tuple[float, float] = (6.0, 3.6),
) -> Figure:
    """Scores of each kind of trial as histograms of one area each, over the same bins.

    Args:
        scores: `(N,)`; infinite ones are not drawn, and the legend says how many there are.
        condition: `TC`, `TW`, `IC` or `IW` of each, `(N,)`; other names are drawn as they are.
        threshold: in use, a line.
        xlabel: what the scores are.
        size: inches.

    Raises:
        ValueError: there is no finite score.
    """
    from matplotlib.figure import Figure

    values, kinds = np.asarray(scores, dtype=np.float64), np.asarray(condition)
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"there must be a finite score to draw; got {len(values)} scores, none finite")
    edges = np.histogram_bin_edges(values[finite], N_BINS)
    figure = Figure(figsize=size, layout="constrained")
    plot = figure.subplots()
    there = [kind for kind in CONDITIONS if (kinds == kind).any()]
    for i, kind in enumerate([*there, *sorted(set(kinds.tolist()) - set(CONDITIONS))]):
        of_kind = kinds == kind
        n, n_endless = int(of_kind.sum()), int((of_kind & ~finite).sum())
        label = f"{CONDITIONS.get(kind, kind)} ({n:,}{f', {n_endless:,} infinite' if n_endless else ''})"
        shares = np.histogram(values[of_kind & finite], edges)[0] / (n * np.diff(edges))
        colour = COLOURS[i % len(COLOURS)]
        plot.stairs(shares, edges, fill=True, color=colour, alpha=0.18)
        plot.stairs(shares, edges, color=colour, linewidth=1.4, label=label, linestyle=DASHES[i % len(DASHES)])
    if threshold is not None:
        plot.axvline(threshold, color="black", linewidth=1.2, label=f"threshold {threshold:.3g}")
    plot.set(xlabel=xlabel, ylabel="share of trials per unit", ylim=(0, None))
    plot.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure
