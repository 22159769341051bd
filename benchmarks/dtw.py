"""Dynamic time warping of Phonaut against fastdtw and dtaidistance.

One pair of recordings (100 and 120 frames of 39 features, cosine) against fastdtw's approximation (radius 1, plain
Python), and a matrix of pairs against dtaidistance's C for vectors, which knows Euclidean distances only. All take
turns, so that what else the machine does falls on all; the median over the rounds of (peer's time / ours) is printed.
Peers that are not installed are left out, with a message: pip install fastdtw dtaidistance.

    python benchmarks/dtw.py [--pairs 40] [--rounds 7] [--output benchmarks/results/dtw.json]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from machine import machine, write_result
from phonaut.densities.dtw import distances

T, U, D = 100, 120, 39


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Wall-clock time of a call."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, repeats: dict[str, int]) -> dict[str, list[float]]:
    """Times of each in every round; a first turn, in which code is compiled, does not count."""
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(seconds(call, repeats.get(name, 1)))
    return found


def ratio(found: dict[str, list[float]], ours: str, peer: str) -> float:
    """Median of the peer's time over ours."""
    return statistics.median(theirs / own for theirs, own in zip(found[peer], found[ours], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="recordings and templates of the matrix, each")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng, n = np.random.default_rng(0), options.pairs
    x, y = (rng.standard_normal((n * length, D)).astype(np.float32) for length in (T, U))
    of_x, of_y = np.full(n, T), np.full(n, U)
    one = (x[:T], of_x[:1], y[:U], of_y[:1])
    calls: dict[str, Callable[[], Any]] = {"pair, cosine": lambda: distances(*one, distance="cosine")}
    for metric in ("cosine", "euclidean"):
        calls[f"matrix, {metric}"] = lambda metric=metric: distances(x, of_x, y, of_y, distance=metric)
    wide_x, wide_y = (z.astype(np.float64) for z in (x, y))
    series = [*np.split(wide_x, n), *np.split(wide_y, n)]
    ratios: list[tuple[str, str]] = []
    if importlib.util.find_spec("fastdtw"):
        from fastdtw import fastdtw
        from scipy.spatial.distance import cosine

        calls["fastdtw, pair"] = lambda: fastdtw(wide_x[:T], wide_y[:U], radius=1, dist=cosine)
        ratios.append(("pair, cosine", "fastdtw, pair"))
    else:
        print("fastdtw is not installed: left out")
    if importlib.util.find_spec("dtaidistance"):
        from dtaidistance import dtw_ndim

        block = ((0, n), (n, 2 * n))  # recordings against templates, and no others
        calls["dtaidistance, matrix"] = lambda: dtw_ndim.distance_matrix_fast(series, block=block, parallel=True)
        ratios += [(f"matrix, {metric}", "dtaidistance, matrix") for metric in ("cosine", "euclidean")]
    else:
        print("dtaidistance is not installed: left out")
    found = in_turns(calls, options.rounds, {"pair, cosine": 50})
    for name, times in found.items():
        n_pairs = n * n if "matrix" in name else 1
        print(f"{name:24} {statistics.median(times) / n_pairs * 1e6:10.1f} us a pair")
    result: dict[str, Any] = {"machine": machine(), "pairs": n, "rounds": options.rounds, "times_s": found}
    result["ratios"] = {f"{peer} / {ours}": ratio(found, ours, peer) for ours, peer in ratios}
    for name, value in result["ratios"].items():
        print(f"{name:40} {value:8.1f}")
    write_result(options.output, result)


if __name__ == "__main__":
    main()
