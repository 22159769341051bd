"""Pre-training: padding in batches, and a step of Mockingjay BASE against s3prl's own modules.

A step is that of the paper: 6 utterances of 800 frames, dropout on, loss on 15 % of the frames, AdamW. Every variant
runs in a process of its own, which gives its peak of memory; rounds of them alternate, and the median of the ratios is
printed. s3prl's modules are read from its source (pip download --no-deps s3prl, unpacked), of which nothing but
s3prl/upstream/mockingjay/model.py is needed.

With --cuda it measures the step on a GPU alone: its share of the peak, which is that of a product of 8192 x 8192
matrices in bfloat16 in the same process, and the hours of 100,000 steps.

    python benchmarks/representation.py [--cuda] [--s3prl FOLDER] [--rounds 5] [--output FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from machine import machine, peak_mb, write_result
from phonaut.data.sampler import FrameSampler
from phonaut.networks import Mockingjay, PredictionHead

N_ITEMS, N_FRAMES, N_FEATURES = 6, 800, 160
BATCH_FRAMES = N_ITEMS * N_FRAMES
FRAMES_PER_S = 80
Step = Callable[[Tensor, Tensor], Tensor]  # frames, chosen frames -> their predictions


def padding_of(sampler: FrameSampler) -> float:
    """Share of the frames of an epoch's batches that are padding."""
    held = sum(int(sampler.sizes[batch].max()) * len(batch) for batch in sampler.batches())
    return 1 - sum(int(sampler.sizes[batch].sum()) for batch in sampler.batches()) / held


def ours() -> tuple[list[nn.Parameter], Step]:
    """Phonaut's modules."""
    network, head = Mockingjay(n_features=N_FEATURES).train(), PredictionHead(768, N_FEATURES)
    lengths = torch.full((N_ITEMS,), N_FRAMES)
    return [*network.parameters(), *head.parameters()], lambda x, chosen: head(network(x, lengths)[0][chosen])


def s3prls(folder: Path) -> tuple[list[nn.Parameter], Step]:
    """s3prl's modules, with the configuration of mockingjay_960hr."""
    path = next(folder.rglob("upstream/mockingjay/model.py"))
    spec = importlib.util.spec_from_file_location("s3prl_mockingjay", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.TransformerConfig(
        {
            "hidden_size": 768,
            "num_hidden_layers": 3,
            "num_attention_heads": 12,
            "hidden_act": "gelu",
            "intermediate_size": 3072,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-12,
            "share_layer": False,
            "pre_layer_norm": False,
        }
    )
    network = module.TransformerModel(config, N_FEATURES).train()
    head = module.TransformerSpecPredictionHead(config, N_FEATURES).train()
    places, mask = torch.randn(N_ITEMS, N_FRAMES, 768), torch.ones(N_ITEMS, N_FRAMES)

    def step(x: Tensor, chosen: Tensor) -> Tensor:
        hidden = network(x, places, mask, output_all_encoded_layers=False)
        predicted: Tensor = head(hidden)[0]  # of all frames, as s3prl does
        return predicted[chosen]

    return [*network.parameters(), *head.parameters()], step


def measure(variant: str, precision: str, folder: Path | None, n_steps: int) -> None:
    """Print the median seconds of a step and the peak of this process."""
    torch.manual_seed(0)
    parameters, step = ours() if variant == "phonaut" else s3prls(folder or Path())
    optimizer = torch.optim.AdamW(parameters, lr=4e-4, fused=variant == "phonaut")
    frames, chosen = torch.randn(N_ITEMS, N_FRAMES, N_FEATURES), torch.rand(N_ITEMS, N_FRAMES) < 0.15
    seconds = []
    for _ in range(n_steps + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            predicted = step(frames, chosen)
        (predicted.float() - frames[chosen]).abs().mean().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    print(statistics.median(seconds[1:]), peak_mb())


def on_gpu(n_steps: int) -> dict[str, Any]:
    """Seconds of a step of BASE in bfloat16 on a GPU, and what share that is of what the GPU can do."""
    device = torch.device("cuda")
    torch.manual_seed(0)
    network, head = Mockingjay(n_features=N_FEATURES).train().to(device), PredictionHead(768, N_FEATURES).to(device)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=4e-4, fused=True)
    frames = torch.randn(N_ITEMS, N_FRAMES, N_FEATURES, device=device)
    rows = torch.randperm(BATCH_FRAMES)[: round(0.15 * BATCH_FRAMES)].to(device)
    counts = torch.full((N_ITEMS,), N_FRAMES)
    targets = frames.flatten(0, 1)[rows]

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            predicted = head(network(frames, counts)[0].flatten(0, 1)[rows])
        (predicted.float() - targets).abs().mean().backward()
        optimizer.step()

    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    product_s = statistics.median(timed(lambda: a @ a, 20))
    step_s = statistics.median(timed(step, n_steps))
    weights = sum(p.numel() for p in network.parameters() if p.ndim == 2)
    of_head = sum(p.numel() for p in head.parameters() if p.ndim == 2)
    # Forward and twice that backward; attention multiplies all pairs of frames twice.
    pairs = 2 * 2 * N_ITEMS * N_FRAMES**2 * 768 * len(network.layers)
    flop = 3 * (2 * weights * BATCH_FRAMES + 2 * of_head * len(rows) + pairs)
    peak = 2 * 8192**3 / product_s
    return {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "step_s": step_s,
        "tflops": flop / step_s / 1e12,
        "peak_tflops": peak / 1e12,
        "share_of_peak": flop / step_s / peak,
        "hours_per_100k_steps": 100_000 * step_s / 3600,
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def timed(run: Callable[[], object], n: int) -> list[float]:
    """Seconds of n runs on a GPU, after ten that do not count."""
    seconds = []
    for i in range(n + 10):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if i >= 10:
            seconds.append(time.perf_counter() - started)
    return seconds


def lengths() -> tuple[str, np.ndarray]:
    """Frames of LibriSpeech's utterances, where there are a thousand; else of as many that are as long as they are."""
    import soundfile

    root = Path(os.environ.get("PHONAUT_DATA", "datasets")) / "LibriSpeech"
    files = sorted(root.rglob("*.flac"))
    if len(files) >= 1000:
        seconds = np.array([soundfile.info(path).duration for path in files])
        return f"{len(files)} utterances of {root}", (FRAMES_PER_S * seconds).astype(np.int64)
    rng = np.random.default_rng(0)
    n = 28_539  # those of train-clean-100: mostly 11 to 17 s
    long, short = rng.triangular(10, 15, 17, n), rng.lognormal(1.9, 0.5, n).clip(1.4, 12)
    seconds = np.where(rng.random(n) < 0.75, long, short)
    return f"{n} lengths of 1.4 to 17 s, drawn", (FRAMES_PER_S * seconds).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3prl", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("VARIANT", "PRECISION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cuda:
        found = on_gpu(50)
        print(found)
        write_result(arguments.output, found)
        return
    if arguments.measure:
        measure(*arguments.measure, arguments.s3prl, arguments.steps)
        return
    what, n_frames = lengths()
    padding = [padding_of(FrameSampler(n_frames, BATCH_FRAMES, seed=seed, shuffle=True)) for seed in range(3)]
    print(f"padding: {100 * max(padding):.2f} % of the frames at most, {what}, batches of {BATCH_FRAMES} frames")
    result: dict[str, Any] = {"lengths": what, "padding": padding}
    variants = [("phonaut", "bf16"), ("phonaut", "float32")]
    variants += [("s3prl", "float32")] if arguments.s3prl else []
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(arguments.rounds):
        for variant, precision in variants:
            words = ["--measure", variant, precision, "--steps", str(arguments.steps)]
            words += ["--s3prl", str(arguments.s3prl)] if arguments.s3prl else []
            ran = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            seconds, peak = map(float, ran.stdout.split())
            found.setdefault(f"{variant} {precision}", []).append((seconds, peak))
    for name, rows in found.items():
        seconds, peak = (statistics.median(column) for column in zip(*rows, strict=True))
        result[name] = {"step_s": seconds, "peak_mb": peak}
        print(f"{name:<18}{seconds:7.2f} s a step, peak {peak:,.0f} MB")
    for name in ("phonaut bf16", "phonaut float32"):
        if "s3prl float32" in found:
            pairs = zip(found[name], found["s3prl float32"], strict=True)
            ratios = [theirs / own for (own, _), (theirs, _) in pairs]
            result[f"{name}: times as fast"] = {"median": statistics.median(ratios), "all": ratios}
            print(f"{name} is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")
    result["machine"] = machine()
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
