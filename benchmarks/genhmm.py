"""A GenHMM EM step for all classes at once: Phonaut against plain eager PyTorch, which does the same by autograd.

36 classes x 3 states x 2 flows of 8 couplings, 39 dimensions, 7,300 segments of 7.3 frames on average: an E-step, five
passes of Adam over all frames, and new start, transition and mixture probabilities. The peer has one batched matrix
product a layer over all flows, float32, fused Adam, and forward and backward recursions over padded batches. Both begin
with the same parameters, and the log-likelihoods after the step must agree, or there is no result.

    python benchmarks/genhmm.py [--rounds 5] [--output benchmarks/results/genhmm.json]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from machine import machine, peak_mb, write_result
from phonaut.densities.flow import SLOPE, Flows
from phonaut.densities.flow_mixture import FlowMixtures, Groups
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.em import dirichlet_m_step

CLASSES, STATES, MIX, DIMENSIONS, SEGMENTS, PASSES, RATE = 36, 3, 2, 39, 7300, 5, 4e-3
PAUSE_S = 0.3


def segments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of all segments, class by class, the lengths of segments and their classes."""
    rng = np.random.default_rng(0)
    classes = np.sort(np.arange(SEGMENTS) % CLASSES)
    lengths = 3 + rng.poisson(4.3, SEGMENTS)
    frames = rng.standard_normal((lengths.sum(), DIMENSIONS)).astype(np.float32)
    frames += 0.5 * rng.standard_normal((CLASSES, DIMENSIONS)).astype(np.float32)[np.repeat(classes, lengths)]
    return frames, lengths, classes


class Ours:
    """What `GenHMM` does, for 36 of them."""

    def __init__(self, frames: np.ndarray, lengths: np.ndarray, classes: np.ndarray, start: Tensor) -> None:
        self.x, self.lengths, self.classes = torch.from_numpy(frames), lengths, classes
        self.groups = Groups.of(np.bincount(np.repeat(classes, lengths)))
        self.start = start

    def step(self) -> float:
        flows = Flows(CLASSES * STATES * MIX, DIMENSIONS)
        flows.weights.data = self.start.clone()
        shape = (CLASSES * STATES * MIX, 1, DIMENSIONS)
        mixtures = FlowMixtures(flows, torch.zeros(shape, dtype=torch.float64), torch.ones(shape, dtype=torch.float64))
        weights = torch.full((CLASSES, STATES, MIX), 1 / MIX, dtype=torch.float64)
        chains = MarkovChains(np.full((CLASSES, STATES), 1 / STATES), np.full((CLASSES, STATES, STATES), 1 / STATES))
        worth, found = self.expect(mixtures, weights, chains)
        moments = mixtures.improve(
            self.x, worth, self.groups, n_passes=PASSES, learning_rate=RATE, batch_size=0, seed=(0,)
        )
        weights = moments.n.view(CLASSES, STATES, MIX)
        self.after = (
            mixtures,
            weights / weights.sum(dim=2, keepdim=True),
            MarkovChains(
                dirichlet_m_step(found.start, 1.0, chains.start),
                dirichlet_m_step(found.transitions, 1.0, chains.transition),
            ),
        )
        return float(found.log_likelihood.sum())

    def expect(self, mixtures: FlowMixtures, weights: Tensor, chains: MarkovChains) -> tuple[Tensor, Any]:
        joint = mixtures.log_prob(self.x, self.groups).view(-1, STATES, MIX)
        of_frames = weights.log().float().repeat_interleave(torch.from_numpy(self.groups.end - self.groups.begin), 0)
        joint = joint + of_frames
        logs = joint.logsumexp(dim=2)
        found = inference.forward_backward(logs.double().numpy(), chains, self.lengths, chain=self.classes)
        worth = (joint - logs[:, :, None]).exp() * torch.from_numpy(found.state).float()[:, :, None]
        return worth.view(len(self.x), STATES * MIX, 1), found

    def log_likelihood(self) -> float:
        return float(self.expect(*self.after)[1].log_likelihood.sum())


class Eager:
    """The same in plain PyTorch."""

    def __init__(self, frames: np.ndarray, lengths: np.ndarray, classes: np.ndarray, start: Tensor) -> None:
        parts = torch.split(torch.from_numpy(frames), np.bincount(np.repeat(classes, lengths)).tolist())
        self.x = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)  # (C, N, D)
        self.inside = torch.nn.utils.rnn.pad_sequence([torch.ones(len(p)) for p in parts], batch_first=True)
        self.lengths, self.classes = torch.from_numpy(lengths), torch.from_numpy(classes)
        first = torch.cumsum(self.lengths, 0) - self.lengths
        of_class = torch.tensor([0, *np.cumsum([len(p) for p in parts])[:-1]])
        longest = int(self.lengths.max())
        place = torch.arange(longest).expand(len(lengths), longest)
        self.there = place < self.lengths[:, None]
        self.rows = torch.where(self.there, (first - of_class[self.classes])[:, None] + place, 0)
        self.layers = self.unpacked(start)

    @staticmethod
    def unpacked(start: Tensor) -> list[list[Tensor]]:
        flows = Flows(CLASSES * STATES * MIX, DIMENSIONS)
        flows.weights.data = start.clone()
        return [
            [part.detach().mT.contiguous() for part in flows._coupling(c)[0]] for c in range(flows.n_couplings)
        ]  # fmt: skip

    def log_prob(self, layers: list[list[Tensor]]) -> Tensor:
        """`(C, S, K, N)`."""
        z = self.x[:, None].expand(-1, STATES * MIX, -1, -1).reshape(CLASSES * STATES * MIX, -1, DIMENSIONS)
        a, b = z[..., 0::2], z[..., 1::2]
        logdet: Any = 0.0
        for w1, b1, w2, b2, w3, b3 in layers:
            hidden = torch.nn.functional.leaky_relu(torch.baddbmm(b1, a, w1), SLOPE)
            hidden = torch.nn.functional.leaky_relu(torch.baddbmm(b2, hidden, w2), SLOPE)
            s, t = torch.baddbmm(b3, hidden, w3).chunk(2, dim=-1)
            s = 2 * torch.tanh(s / 2)
            b = b * torch.exp(s) + t
            logdet = logdet + s.sum(dim=-1)
            a, b = b, a
        squares = a.square().sum(dim=-1) + b.square().sum(dim=-1)
        logs = logdet - 0.5 * squares - 0.5 * DIMENSIONS * math.log(2 * math.pi)
        return logs.view(CLASSES, STATES, MIX, -1)

    def expect(
        self, layers: list[list[Tensor]], weights: Tensor, start: Tensor, transition: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Worth `(C, S, K, N)`, log-likelihoods, first states and transitions, by recursions in logarithms."""
        with torch.no_grad():
            joint = self.log_prob(layers) + weights.log()[..., None]
            by_state = joint.logsumexp(dim=2)  # (C, S, N)
            logs = by_state.mT[self.classes[:, None], self.rows]  # (B, T, S)
            log_start, log_transition = start.log()[self.classes], transition.log()[self.classes]
            n_items, longest, _ = logs.shape
            alpha, beta = torch.empty_like(logs), torch.zeros_like(logs)
            alpha[:, 0] = log_start + logs[:, 0]
            for t in range(1, longest):
                alpha[:, t] = torch.logsumexp(alpha[:, t - 1, :, None] + log_transition, dim=1) + logs[:, t]
            for t in range(longest - 2, -1, -1):
                ahead = torch.logsumexp(log_transition + (logs[:, t + 1] + beta[:, t + 1])[:, None], dim=2)
                beta[:, t] = torch.where((t + 1 < self.lengths)[:, None], ahead, 0.0)
            last = alpha[torch.arange(n_items), self.lengths - 1]
            total = last.logsumexp(dim=1)
            posterior = (alpha + beta - total[:, None, None]).exp() * self.there[..., None]
            pairs = alpha[:, :-1, :, None] + log_transition[:, None] + (logs + beta)[:, 1:, None]
            pairs = ((pairs - total[:, None, None, None]).exp() * self.there[:, 1:, None, None]).sum(dim=1)
            state = torch.zeros_like(by_state.mT)
            state.index_put_((self.classes[:, None].expand_as(self.rows), self.rows), posterior, accumulate=True)
            worth = (joint - by_state[:, :, None]).exp() * state.mT[:, :, None]
            firsts = torch.zeros(CLASSES, STATES).index_add_(0, self.classes, posterior[:, 0])
            moved = torch.zeros(CLASSES, STATES, STATES).index_add_(0, self.classes, pairs)
            return worth * self.inside[:, None, None], total, firsts, moved

    def step(self) -> float:
        layers = [[p.clone().requires_grad_() for p in layer] for layer in self.layers]
        weights = torch.full((CLASSES, STATES, MIX), 1 / MIX)
        start, transition = (torch.full((CLASSES, *[STATES] * n), 1 / STATES) for n in (1, 2))
        worth, total, firsts, moved = self.expect(layers, weights, start, transition)
        optimizer = torch.optim.Adam([p for layer in layers for p in layer], lr=RATE, fused=True)
        share = 1 / float(worth.sum())
        for _ in range(PASSES):
            optimizer.zero_grad()
            (-(worth * self.log_prob(layers)).sum() * share).backward()
            optimizer.step()
        counts = worth.sum(dim=3)
        self.after = (
            layers, counts / counts.sum(dim=2, keepdim=True), firsts / firsts.sum(dim=1, keepdim=True),
            moved / moved.sum(dim=2, keepdim=True),
        )  # fmt: skip
        return float(total.sum())

    def log_likelihood(self) -> float:
        return float(self.expect(*self.after)[1].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", choices=["phonaut", "eager"], help="one step, for its peak memory")
    arguments = parser.parse_args()
    data = segments()
    start = Flows(CLASSES * STATES * MIX, DIMENSIONS, seed=1).weights.detach()
    start += 0.02 * torch.randn(start.shape, generator=torch.Generator().manual_seed(0))
    made = {"phonaut": Ours, "eager": Eager}
    if arguments.only:
        made[arguments.only](*data, start).step()
        print(peak_mb())
        return
    runs: dict[str, Any] = {name: cls(*data, start) for name, cls in made.items()}
    found = {name: (run.step(), run.log_likelihood()) for name, run in runs.items()}
    for ours, theirs in zip(found["phonaut"], found["eager"], strict=True):
        if abs(ours - theirs) > 1e-4 * abs(theirs):
            raise SystemExit(f"log-likelihoods differ: {found}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run.step))
    ratio = statistics.median(t / o for o, t in zip(seconds["phonaut"], seconds["eager"], strict=True))
    report = {
        "machine": machine(), "rounds": arguments.rounds, "frames": len(data[0]), "ratio": ratio, "wanted": 1.4,
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "log_likelihood": {name: values[1] for name, values in found.items()},
        "peak_mb": {name: peak_mb("genhmm.py", "--only", name) for name in runs},
    }  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    print(
        f"EM step of {CLASSES} GenHMMs, {len(data[0])} frames: phonaut {report['seconds']['phonaut']:.2f} s, eager "
        f"{report['seconds']['eager']:.2f} s: {ratio:.2f} times as fast (wanted 1.4); peak memory "
        f"{report['peak_mb']['phonaut']:.0f} and {report['peak_mb']['eager']:.0f} MB"
    )
    write_result(arguments.output, report)


def timed(run: Callable[[], float]) -> float:
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
