"""i-vectors of 1,000 recordings (512 components, rank 400) against plain NumPy, one recording at a time.

Plain NumPy forms the precision `I + sum_c N_c T_c' S_c^-1 T_c` of a recording and calls np.linalg.solve. It does so in
two ways: `weighted`, a product of T', its columns weighted by the occupancies, with T; and `products`, of N with
matrices T_c' S_c^-1 T_c that are made before and take twice the memory of ours. Everything that depends on the model
alone is made before, for all. The plain ways work through fewer recordings, each of which takes them the same time, and
their times are scaled up. All take turns; the medians over the rounds of (plain time / ours) are printed, and results
must agree.

    python benchmarks/ivectors.py [--recordings 1000] [--plain 40] [--components 512] [--rank 400] [--features 39]
        [--rounds 5] [--full] [--output FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from machine import machine, peak_mb, write_result
from phonaut.arrays import Array
from phonaut.models.speakers.total_variability import TotalVariability


def plain_products(n: Array, f: Array, products: Array, weighted: Array) -> Array:
    """By matrices `T_c' S_c^-1 T_c (K, R, R)`, made before."""
    k, d, r = weighted.shape
    flat, tall, eye = products.reshape(k, r * r), weighted.reshape(k * d, r), np.eye(r)
    return np.stack([
        np.linalg.solve(eye + (n[b] @ flat).reshape(r, r), tall.T @ f[b].ravel()) for b in range(len(n))
    ])  # fmt: skip


def plain_weighted(n: Array, f: Array, loadings: Array, weighted: Array) -> Array:
    """By rows of T, each times the occupancy of its component."""
    k, d, r = weighted.shape
    rows, tall, eye = loadings.reshape(k * d, r), weighted.reshape(k * d, r), np.eye(r)
    return np.stack([
        np.linalg.solve(eye + (tall * np.repeat(n[b], d)[:, None]).T @ rows, tall.T @ f[b].ravel())
        for b in range(len(n))
    ])  # fmt: skip


def seconds(run: Callable[[], Array]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("recordings", 1000), ("plain", 40), ("components", 512), ("rank", 400), ("features", 39),
                        ("rounds", 5)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--full", action="store_true", help="full covariances")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    b, k, r, d = options.recordings, options.components, options.rank, options.features
    rng = np.random.default_rng(0)
    loadings = 0.1 * rng.standard_normal((k, d, r))
    covariances = rng.uniform(0.5, 2.0, (k, d))
    if options.full:
        covariances = covariances[:, :, None] * np.eye(d) + 0.1
    n = rng.gamma(0.3, 2.0, (b, k))
    f = n[:, :, None] * rng.standard_normal((b, k, d))
    model = TotalVariability(np.zeros((k, d)), loadings, covariances)
    before = peak_mb()
    weighted, made = model.weighted, model.precisions.nbytes
    ours = model.ivectors(n, f)
    memory = peak_mb() - before
    few, sums = n[: options.plain], f[: options.plain]
    products = loadings.transpose(0, 2, 1) @ weighted
    ways: dict[str, Callable[[], Array]] = {
        "weighted": lambda: plain_weighted(few, sums, loadings, weighted),
        "products": lambda: plain_products(few, sums, products, weighted),
    }
    for name, way in ways.items():
        np.testing.assert_allclose(ours[: options.plain], way(), rtol=1e-6, atol=1e-8, err_msg=name)
    mine: list[float] = []
    plain: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        mine.append(seconds(lambda: model.ivectors(n, f)))
        for name, way in ways.items():
            plain[name].append(seconds(way) * b / options.plain)
    result: dict[str, Any] = {
        "machine": machine(),
        **{key: value for key, value in vars(options).items() if key != "output"},
    }
    result |= {"ours_s": statistics.median(mine), "ours_mb": memory, "of_which_model_mb": made / 2**20}
    print(f"{b} recordings, {k} components, rank {r}, {d} features: {result['ours_s']:.2f} s, {memory:.0f} MB")
    for name, times in plain.items():
        ratio = statistics.median(other / one for one, other in zip(mine, times, strict=True))
        result[name] = {"plain_s": statistics.median(times), "ratio": ratio}
        print(f"  plain NumPy, {name}: {statistics.median(times):.1f} s, {ratio:.1f} times as long")
    write_result(options.output, result)


if __name__ == "__main__":
    main()
