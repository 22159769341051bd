"""An EM iteration of Phonaut's densities and hidden Markov models against scikit-learn's, hmmlearn's and others'.

All start from the same parameters and must reach the same after one iteration, or there is no result. The clock is read
whenever an E-step begins: an iteration, one E-step and one M-step, is what lies between two readings, and nothing of
how a fit starts or ends is counted. All take turns, so that what else the machine does falls on all; the median over
the rounds of (peer's time / ours) is printed. Each peer runs with the better of 1 and 2 BLAS threads, which an untimed
turn finds out. Before each turn comes a pause: BLAS threads of the turn before wait in a loop for 0.1 s, on a core that
the next one needs. Peak memory is that of a process of its own, less what it had before its fit.

    python benchmarks/densities.py [--only hmm] [--frames 100000] [--rounds 7] [--gmm-rounds 3] [--curves]
        [--output benchmarks/results/densities.json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hmmlearn.hmm
import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from machine import machine, write_result
from phonaut.hmm import GMM, GaussianHMM

PAUSE_S = 0.2
DIMENSIONS = 39
FEATURES = 1 + DIMENSIONS + DIMENSIONS * (DIMENSIONS + 1) // 2  # of a full covariance: 820
OTHERS = ("pomegranate", "dynamax")


class EnoughError(Exception):
    """The iterations that were asked for are done."""


def iteration_s(model: Any, e_step: str, fit: Callable[[], Any], warm: bool = False) -> float:
    """Seconds of an EM iteration, each of which begins with the method `e_step`: of the first, or of four after it."""
    first, n = (1, 5) if warm else (0, 1)
    began: list[float] = []
    plain = getattr(model, e_step)

    def clocked(*arguments: Any, **named: Any) -> Any:
        began.append(time.perf_counter())
        if len(began) > n:
            raise EnoughError
        return plain(*arguments, **named)

    setattr(model, e_step, clocked)
    try:
        fit()
    except EnoughError:
        pass
    finally:
        delattr(model, e_step)
    return (began[n] - began[first]) / (n - first)


@dataclass
class Turn:
    """What takes turns: a model as it starts, made anew, and what is timed of it."""

    make: Callable[[], Any]
    seconds: Callable[[Any], float]
    found: Callable[[Any], list[np.ndarray]]
    threads: int | None = None

    def run(self) -> tuple[float, Any]:
        model = self.make()
        with threadpool_limits(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.seconds(model), model


@dataclass
class Workload:
    """Ours, the peers with the ratios that are wanted of them, and how close their results must be."""

    ours: Turn
    peers: dict[str, tuple[Turn, float]]
    tolerance: float
    operations: float = 0.0  # of matrix products in an iteration of ours


# --- mixtures


def mixture_frames(n: int, k: int, dtype: Any) -> np.ndarray:
    """Frames `(n, D)` of `k` clusters, with correlated dimensions."""
    rng = np.random.default_rng(0)
    mixing = np.eye(DIMENSIONS) + rng.normal(0, DIMENSIONS**-0.5, (DIMENSIONS, DIMENSIONS))
    centres = rng.standard_normal((k, DIMENSIONS))[rng.integers(0, k, n)]
    return ((centres + 0.7 * rng.standard_normal((n, DIMENSIONS))) @ mixing).astype(dtype)


def gmm(n: int, k: int, dtype: Any, wanted: float) -> Workload:
    x = mixture_frames(n, k, dtype)
    rng = np.random.default_rng(1)
    precision = np.linalg.inv(0.5 * np.cov(x.T.astype(np.float64)))
    start = {
        "weights_init": np.full(k, 1 / k, dtype),
        "means_init": x[rng.choice(n, k, replace=False)],
        "precisions_init": np.repeat(precision[None], k, axis=0).astype(dtype),
    }
    settings: dict[str, Any] = {"covariance_type": "full", "tol": 0.0, "reg_covar": 1e-3, "max_iter": 1}

    def seconds(model: Any, e_step: str) -> float:
        model.max_iter = 2  # so that a second E-step begins; it is not done
        return iteration_s(model, e_step, lambda: model.fit(x))

    def found(model: Any) -> list[np.ndarray]:
        return [model.weights_, model.means_, model.covariances_]

    return Workload(
        Turn(lambda: GMM(k, **settings, **start), lambda m: seconds(m, "_expect"), found),
        {
            "scikit-learn": (
                Turn(lambda: GaussianMixture(k, **settings, **start), lambda m: seconds(m, "_e_step"), found),
                wanted,
            )
        },
        1e-2 if dtype == np.float32 else 1e-6,
        4.0 * n * k * FEATURES,
    )


def product_rate(dtype: Any) -> float:
    """Operations a second of the product that an E-step consists of, the best of several."""
    a, b = (torch.randn(shape).to(torch.from_numpy(np.empty(0, dtype)).dtype) for shape in ((8192, 820), (820, 1024)))
    best = np.inf
    for _ in range(10):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2.0 * 8192 * 820 * 1024 / best


# --- hidden Markov models


def sequence_frames(lengths: np.ndarray) -> np.ndarray:
    """Frames `(N, D)` that change slowly."""
    rng = np.random.default_rng(0)
    n = int(lengths.sum())
    return np.repeat(rng.standard_normal((n // 5 + 1, DIMENSIONS)), 5, axis=0)[:n] + rng.standard_normal(
        (n, DIMENSIONS)
    )


def chain(n_states: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "startprob_": np.full(n_states, 1 / n_states),
        "transmat_": rng.dirichlet(np.ones(n_states), n_states),
    }


def hmm_turn(make: Callable[[], Any], start: dict[str, np.ndarray], x: np.ndarray, lengths: Any) -> Turn:
    """Fits from `start`: one iteration, and a longer fit where an iteration is short (ours)."""

    def ready() -> Any:
        model = make()
        for name, value in start.items():
            setattr(model, name, value.copy())
        return model

    def seconds(model: Any) -> float:
        warm = hasattr(model, "e_step")
        model.n_iter = 6 if warm else 2
        return iteration_s(model, "e_step" if warm else "_do_estep", lambda: model.fit(x, lengths), warm)

    def found(model: Any) -> list[np.ndarray]:
        again = ready()
        again.n_iter = 1
        again.fit(x, lengths)
        # The variances of hmmlearn's GMMHMM are about the means of before: they are not those of EM.
        return [getattr(again, name) for name in start if not (name == "covars_" and "weights_" in start)]

    return Turn(ready, seconds, found)


def gaussian_start(x: np.ndarray, n_states: int) -> dict[str, np.ndarray]:
    means = x[np.random.default_rng(3).choice(len(x), n_states, replace=False)]
    return chain(n_states) | {"means_": means, "covars_": np.ones((n_states, DIMENSIONS))}


def gaussian_hmm(n_states: int, n_sequences: int, implementations: dict[str, float]) -> Workload:
    lengths = np.full(n_sequences, 300)
    x = sequence_frames(lengths)
    start = gaussian_start(x, n_states)
    settings: dict[str, Any] = {"init_params": "", "tol": -np.inf, "covariance_type": "diag"}
    peers = {
        f"hmmlearn, {name}": (
            hmm_turn(
                lambda name=name: hmmlearn.hmm.GaussianHMM(n_states, implementation=name, **settings),
                start, x, lengths,
            ),
            wanted,
        )
        for name, wanted in implementations.items()
    }  # fmt: skip
    for name in OTHERS:
        if importlib.util.find_spec(name) is not None:
            peers[name] = (other(name, start, x, n_sequences), 1.0)
    ours = hmm_turn(lambda: GaussianHMM(n_states, **settings), start, x, lengths)
    return Workload(ours, peers, 1e-6)


def gmm_hmm() -> Workload:
    from phonaut.hmm import GMMHMM

    rng = np.random.default_rng(4)
    lengths = rng.integers(8, 41, 2000)
    x = sequence_frames(lengths)
    n_states, n_mix = 3, 8
    start = chain(n_states) | {
        "weights_": np.full((n_states, n_mix), 1 / n_mix),
        "means_": x[rng.choice(len(x), n_states * n_mix, replace=False)].reshape(n_states, n_mix, -1),
        "covars_": np.ones((n_states, n_mix, DIMENSIONS)),
    }
    settings: dict[str, Any] = {"n_mix": n_mix, "covariance_type": "diag", "init_params": "", "tol": -np.inf}
    # A prior that is flat in both: hmmlearn's, said to Phonaut, whose own default is another.
    priors = {"covars_prior": -1.5, "covars_weight": 0.0}
    ours = hmm_turn(lambda: GMMHMM(n_states, **settings, **priors), start, x, lengths)
    peer = hmm_turn(lambda: hmmlearn.hmm.GMMHMM(n_states, **settings), start, x, lengths)
    return Workload(ours, {"hmmlearn": (peer, 30.0)}, 1e-6)


def decoding() -> Workload:
    lengths = np.full(64, 300)
    x = sequence_frames(lengths)
    start = gaussian_start(x, 117)

    def turn(kind: Any) -> Turn:
        plain = hmm_turn(lambda: kind(117, init_params=""), start, x, lengths)
        paths: list[np.ndarray] = []

        def seconds(model: Any) -> float:
            model.decode(x, lengths)
            began = time.perf_counter()
            score, path = model.decode(x, lengths)
            took = time.perf_counter() - began
            paths[:] = [np.array([score]), path]
            return took

        return Turn(plain.make, seconds, lambda _: list(paths))

    return Workload(turn(GaussianHMM), {"hmmlearn": (turn(hmmlearn.hmm.GaussianHMM), 10.0)}, 1e-9)


def other(name: str, start: dict[str, np.ndarray], x: np.ndarray, n_sequences: int) -> Turn:
    """A peer that need not be installed. Its E-step cannot be clocked: a fit of 1 iteration is taken from one of 2."""
    batch, n_states = x.reshape(n_sequences, -1, x.shape[1]), len(start["startprob_"])

    def pomegranate_fit(n: int) -> list[np.ndarray]:
        from pomegranate.distributions import Normal
        from pomegranate.hmm import DenseHMM

        values = {key: torch.from_numpy(value).float() for key, value in start.items()}
        states = [
            Normal(mean, variance, covariance_type="diag")
            for mean, variance in zip(values["means_"], values["covars_"], strict=True)
        ]
        ends = torch.full((n_states,), 1e-9)
        model = DenseHMM(states, values["transmat_"], values["startprob_"], ends, max_iter=n, tol=0.0)
        model.fit(torch.from_numpy(batch).float())
        return [state.means.numpy() for state in model.distributions]

    def dynamax_fit(n: int) -> list[np.ndarray]:
        import jax
        from dynamax.hidden_markov_model import DiagonalGaussianHMM

        model = DiagonalGaussianHMM(n_states, x.shape[1])
        parameters, properties = model.initialize(
            jax.random.PRNGKey(0),
            initial_probs=start["startprob_"],
            transition_matrix=start["transmat_"],
            emission_means=start["means_"],
            emission_scale_diags=np.sqrt(start["covars_"]),
        )
        fitted, _ = model.fit_em(parameters, properties, batch, num_iters=n, verbose=False)
        return [np.asarray(fitted.emissions.means)]

    fit = {"pomegranate": pomegranate_fit, "dynamax": dynamax_fit}[name]

    def seconds(_: Any) -> float:
        times = []
        for n in (1, 3):
            began = time.perf_counter()
            fit(n)
            times.append(time.perf_counter() - began)
        return (times[1] - times[0]) / 2

    # Their priors and number types are others: what they find is not compared.
    return Turn(lambda: None, seconds, lambda _: [])


# --- measuring


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest difference in any parameter, relative to the largest value of that parameter."""
    return max(
        (float(np.abs(a - b).max() / max(1e-300, np.abs(a).max())) for a, b in zip(ours, theirs, strict=True)),
        default=0.0,
    )


def measure(name: str, work: Workload, rounds: int) -> dict[str, Any]:
    """Ratios of all peers; exits if one of them finds something else."""
    work.ours.run()
    expected = work.ours.found(work.ours.run()[1])
    report: dict[str, Any] = {"rounds": rounds, "peers": {}}
    found: dict[str, float] = {}
    for peer, (turn, _) in work.peers.items():
        tried = {}
        for turn.threads in (1, 2):
            time.sleep(PAUSE_S)
            tried[turn.threads], model = turn.run()
        turn.threads = min(tried, key=lambda n: tried[n])
        values = turn.found(model)
        if values:
            found[peer] = difference(expected, values)
            if not found[peer] <= work.tolerance:
                raise SystemExit(f"{name}: {peer} and phonaut differ by {found[peer]:g}: they do not do the same work")
    times: dict[str, list[float]] = {peer: [] for peer in ("phonaut", *work.peers)}
    for _ in range(rounds):
        for peer, turn in {"phonaut": work.ours, **{p: t for p, (t, _) in work.peers.items()}}.items():
            time.sleep(PAUSE_S)
            times[peer].append(turn.run()[0])
    report["ours_s"] = statistics.median(times["phonaut"])
    for peer, (turn, wanted) in work.peers.items():
        ratios = [theirs / mine for theirs, mine in zip(times[peer], times["phonaut"], strict=True)]
        report["peers"][peer] = {
            "ratio": statistics.median(ratios),
            "ratios": [min(ratios), max(ratios)],
            "wanted": wanted,
            "seconds": statistics.median(times[peer]),
            "threads": turn.threads,
            "difference": found.get(peer),
        }
        print(
            f"{name:30} {peer:18} {report['peers'][peer]['seconds']:9.3f} s ({turn.threads} threads), "
            f"phonaut {report['ours_s']:.3f} s: {statistics.median(ratios):6.1f} times as fast "
            f"({min(ratios):.1f} to {max(ratios):.1f}, wanted {wanted:g})"
            + (f", difference {found[peer]:.1e}" if peer in found else ""),
            flush=True,
        )
    return report


def workloads(n_frames: int) -> dict[str, Callable[[], Workload]]:
    both = {"log": 40.0, "scaling": 8.0}
    return {
        "gmm, float32": lambda: gmm(n_frames, 1024, np.float32, 10.0),
        "gmm, float64": lambda: gmm(n_frames, 1024, np.float64, 4.0),
        "gmm-hmm": gmm_hmm,
        "gaussian-hmm": lambda: gaussian_hmm(117, 64, both),
        "hmm, decode": decoding,
    }


def peak_mb(name: str, peer: str, n_frames: int) -> float:
    """What a turn adds to the peak of a fresh process."""
    command = [sys.executable, __file__, "--only", name, "--frames", str(n_frames), "--memory-of", peer]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(result.stdout.splitlines()[-1]))


def status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


def added_mb(work: Workload, peer: str) -> float:
    """What a turn adds to the resident memory of this process, at its peak."""
    turn = work.ours if peer == "phonaut" else work.peers[peer][0]
    if peer == "phonaut":
        turn.run()  # loads what is compiled
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status_mb("VmRSS")
    turn.run()
    return status_mb("VmHWM") - before


def curves(rounds: int) -> dict[str, Any]:
    """Time of an iteration, ours and the peer's, over frames, states and components."""
    points: dict[str, dict[str, Callable[[], Workload]]] = {
        "frames, 117 states": {
            str(300 * n): lambda n=n: gaussian_hmm(117, n, {"scaling": 1.0}) for n in (4, 8, 16, 32, 64)
        },
        "states, 19200 frames": {
            str(n): lambda n=n: gaussian_hmm(n, 64, {"scaling": 1.0}) for n in (3, 10, 30, 60, 117)
        },
        "components, 20000 frames": {
            str(n): lambda n=n: gmm(20_000, n, np.float32, 1.0) for n in (8, 32, 128, 256)
        },
    }  # fmt: skip
    return {
        curve: {point: measure(f"{curve}: {point}", make(), rounds) for point, make in made.items()}
        for curve, made in points.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="workloads whose names begin so", default="")
    parser.add_argument("--frames", type=int, default=100_000, help="of the mixtures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gmm-rounds", type=int, default=3)
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    chosen = {name: make for name, make in workloads(arguments.frames).items() if name.startswith(arguments.only)}
    if arguments.memory_of:
        print(json.dumps(added_mb(next(iter(chosen.values()))(), arguments.memory_of)))
        return
    report: dict[str, Any] = {"machine": machine(), "frames": arguments.frames, "workloads": {}}
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    report["not installed"] = [name for name in OTHERS if importlib.util.find_spec(name) is None]
    for name in report["not installed"]:
        print(f"{name}: not installed")
    for name, make in chosen.items():
        work = make()
        rounds = arguments.gmm_rounds if name.startswith("gmm,") else arguments.rounds
        row = measure(name, work, rounds)
        if work.operations:
            rate = product_rate(np.float32 if "float32" in name else np.float64)
            row["share_of_product_rate"] = work.operations / row["ours_s"] / rate
            row["product_rate_gflops"] = rate / 1e9
            print(f"{name:30} {row['share_of_product_rate']:.0%} of the rate of torch.mm, {rate / 1e9:.0f} Gflop/s")
        row["added_mb"] = {peer: peak_mb(name, peer, arguments.frames) for peer in ("phonaut", *work.peers)}
        print(f"{name:30} memory: " + ", ".join(f"{peer} {mb:.0f} MB" for peer, mb in row["added_mb"].items()))
        report["workloads"][name] = row
    if arguments.curves:
        report["curves"] = curves(max(1, arguments.rounds // 2))
    write_result(arguments.output, report)


if __name__ == "__main__":
    main()
