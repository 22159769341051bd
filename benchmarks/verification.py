"""Verification at the size of RedDots part 01: seconds and memory, on synthetic frames.

`--part ubm`: a GMM-UBM of 1024 full covariances enrols 1,134 recordings in 378 models and scores all 1.28 million
trials with the 5 best components of each frame; then an EM iteration beside scikit-learn's, taking turns. What the
frames are plays no part in the time; the mixture is set, not trained. The first scores are compared with those of every
component.

    python benchmarks/verification.py --part ubm [--scale 1.0] [--rounds 3]
        [--output benchmarks/results/verification_ubm.json]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from densities import PAUSE_S, iteration_s, mixture_frames
from machine import machine, peak_mb, write_result
from phonaut.hmm.em import Monitor, RollbackState
from phonaut.models.speakers import Utterances
from phonaut.models.speakers.gmm_ubm import GMMUBM

MODELS, TAKES, TESTED, FRAMES, FEATURES, COMPONENTS, TOP = 378, 3, 3_397, 300, 39, 1024, 5
ITERATION_FRAMES, ITERATION_COMPONENTS = 30_000, 128


def drawn(n: int, rng: np.random.Generator) -> Utterances:
    """Recordings of about 300 frames."""
    lengths = rng.integers(FRAMES * 2 // 3, FRAMES * 4 // 3 + 1, n)
    return Utterances(rng.standard_normal((lengths.sum(), FEATURES), np.float32), lengths)


def mixture(system: GMMUBM, rng: np.random.Generator) -> None:
    """Set the background model."""
    k, d = system.n_components, FEATURES
    root = rng.standard_normal((k, d, 2 * d)) / np.sqrt(2 * d)
    emissions = system.ubms["speaker"].emissions
    emissions.weights_, emissions.means_ = rng.dirichlet(np.full(k, 5.0))[None], rng.standard_normal((1, k, d))
    emissions.covars_ = (root @ root.transpose(0, 2, 1) + 0.1 * np.eye(d))[None]
    emissions.check()


def gmm_ubm_protocol(scale: float, rounds: int) -> dict[str, Any]:
    """Seconds of a protocol that is `scale` times as large as part 01 in models and recordings."""
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"n_features": FEATURES, "n_components": COMPONENTS, "covariance_type": "full"}
    system = GMMUBM(**options, phrase_models=False, top_c=TOP)
    mixture(system, rng)
    n_models, n_tested = max(2, round(MODELS * scale)), max(2, round(TESTED * scale))
    takes, tested = drawn(n_models * TAKES, rng), drawn(n_tested, rng)
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        seconds[name] = time.perf_counter() - began
        print(f"{name:10} {seconds[name]:8.1f} s", flush=True)
        return found

    # What is compiled is compiled before, as after the first use.
    warm = system.represent(tested.select([0]))
    system.score(system.enrol(warm, np.zeros(1, np.int64)), warm, np.zeros(1, np.int64), np.zeros(1, np.int64))
    takes = timed("enrolment", lambda: system.represent(takes))
    references = timed("models", lambda: system.enrol(takes, np.arange(len(takes)) // TAKES))
    tested = timed("recordings", lambda: system.represent(tested))
    trials = np.repeat(np.arange(n_models), n_tested), np.tile(np.arange(n_tested), n_models)
    scores = timed("trials", lambda: system.score(references, tested, *trials))["speaker"]
    peak = peak_mb()
    exact = GMMUBM(**options, phrase_models=False, top_c=None)
    exact.load_tensors(system.tensors())
    few = np.arange(2)
    all_components = exact.score(references, exact.represent(tested.select(few).replaced(
        tested.select(few).frames[:, :FEATURES])), few, few)["speaker"]  # fmt: skip
    report = {
        "models": n_models, "enrolment recordings": len(takes), "recordings": n_tested, "trials": len(scores),
        "frames": int(tested.lengths.sum()), "components": COMPONENTS, "top": TOP, "seconds": seconds,
        "total_s": sum(seconds.values()), "peak_mb": peak,
        "top_less_exact": [float(v) for v in scores[few * n_tested + few] - all_components],
        "em_iteration": iteration(rounds),
    }  # fmt: skip
    assert np.isfinite(scores).all()
    print(
        f"{len(scores):,} trials, {report['total_s']:.0f} s (wanted: 600 on 2 cores), {peak:.0f} MB (wanted: 4,000); "
        f"top {TOP} less exact: {report['top_less_exact']}"
    )
    return report


def iteration(rounds: int) -> dict[str, Any]:
    """Ratios of scikit-learn's EM iteration, on the same frames from the same parameters, to ours, taking turns."""
    from sklearn.mixture import GaussianMixture

    x = mixture_frames(ITERATION_FRAMES, ITERATION_COMPONENTS, np.float32)
    system = GMMUBM(
        n_features=FEATURES, n_components=ITERATION_COMPONENTS, covariance_type="full", em_steps=10**6, tol=-1.0,
        phrase_models=False,
    )  # fmt: skip
    system.begin(Utterances(x, np.array([len(x)])), 0)
    ubm = system.ubms["speaker"]
    start = {k: v.copy() for k, v in ubm.emissions.state_dict().items()}

    def peer() -> float:
        model = GaussianMixture(
            ITERATION_COMPONENTS, max_iter=2, tol=0.0, weights_init=start["weights_"][0],
            means_init=start["means_"][0], precisions_init=np.linalg.inv(start["covars_"][0]),
        )  # fmt: skip
        return iteration_s(model, "_e_step", lambda: model.fit(x))

    def ours(coarse: bool) -> float:
        ubm.emissions.load_state_dict(start)
        ubm.monitor, ubm.rollback, ubm.coarse = Monitor(-1.0, 10**6), RollbackState(), coarse
        began = time.perf_counter()
        ubm.step()
        took = time.perf_counter() - began
        assert ubm.coarse == coarse
        return took

    times: dict[str, list[float]] = {"float32": [], "float64": [], "scikit-learn": []}
    for _ in range(rounds):
        for name, turn in (("float32", lambda: ours(True)), ("float64", lambda: ours(False)), ("scikit-learn", peer)):
            time.sleep(PAUSE_S)
            times[name].append(turn())
    found: dict[str, Any] = {"frames": ITERATION_FRAMES, "components": ITERATION_COMPONENTS}
    for name in ("float32", "float64"):
        ratios = [theirs / mine for theirs, mine in zip(times["scikit-learn"], times[name], strict=True)]
        found[name] = {"ratio": statistics.median(ratios), "ratios": [min(ratios), max(ratios)]}
        print(f"EM iteration, {name}: {statistics.median(ratios):.1f} times as fast as scikit-learn's "
              f"({min(ratios):.1f} to {max(ratios):.1f})")  # fmt: skip
    return found


PARTS: dict[str, Callable[[float, int], dict[str, Any]]] = {"ubm": gmm_ubm_protocol}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), default="ubm")
    parser.add_argument("--scale", type=float, default=1.0, help="of models and of recordings")
    parser.add_argument("--rounds", type=int, default=3, help="of EM iterations")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    report = {"machine": machine(), "load": os.getloadavg()[0]}
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()), f"load {report['load']:.1f}")
    report[arguments.part] = PARTS[arguments.part](arguments.scale, arguments.rounds)
    write_result(arguments.output, report)


if __name__ == "__main__":
    main()
