"""One run on two machines against the same on one: the largest difference of weights and scores, for every loop.

Each runs as one process, and as two nodes of torchrun on this machine; with `--network`, each node has a network
namespace of its own, with a cable between (root only). Dropout, which draws for each process, is off.

    python benchmarks/machines.py --output benchmarks/results/machines.json dataset=fsdd
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from machine import machine, write_result

RUNS = {
    "tc-res8": ["model.dropout=0", "trainer.max_epochs=2"],
    "gmm": ["trainer.max_epochs=5"],
    "gmmhmm": ["trainer.max_epochs=3"],
    "mockingjay_small": ["model.dropout=0", "model.n_layers=1", "trainer.max_epochs=1", "trainer.precision=32-true"],
}
SPACES = ("phonaut-a", "phonaut-b")


def cable(lay: bool) -> None:
    """Lay a cable between two network namespaces, or take all of it away."""
    for name in SPACES:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    if not lay:
        return
    commands = [f"netns add {name}" for name in SPACES] + ["link add pha type veth peer name phb"]
    for name, card, address in zip(SPACES, ("pha", "phb"), ("10.77.1.1/24", "10.77.1.2/24"), strict=True):
        commands += [f"link set {card} netns {name}", f"-n {name} addr add {address} dev {card}"]
        commands += [f"-n {name} link set {one} up" for one in ("lo", card)]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


def by_one(words: list[str]) -> None:
    """The command in one process."""
    subprocess.run([sys.executable, "-m", "phonaut", *words], check=True, stdout=subprocess.DEVNULL)


def by_two(words: list[str], network: bool) -> None:
    """The command on two nodes."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    nodes = []
    for rank in range(2):
        inside = ["ip", "netns", "exec", SPACES[rank]] if network else []
        nodes.append(subprocess.Popen(
            [*inside, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}",
             "--nproc-per-node=1", f"--master-addr={'10.77.1.1' if network else '127.0.0.1'}", f"--master-port={port}",
             "-m", "phonaut", *words],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "GLOO_SOCKET_IFNAME": ("pha", "phb")[rank] if network else "lo"},
        ))  # fmt: skip
    if codes := [code for node in nodes if (code := node.wait())]:
        raise SystemExit(f"{' '.join(words)} ended with {codes}")


def difference(one: Path, two: Path) -> dict[str, Any]:
    """Largest differences of weights, beside the largest of the same tensor, and of scores of the test split."""
    a, b = (load_file(folder / "model.safetensors") for folder in (one, two))
    weights = max(float(np.abs(a[k] - b[k]).max() / max(np.abs(a[k]).max(), 1e-12)) for k in a if a[k].size)
    found: dict[str, Any] = {"weights": weights}
    if (one / "predictions" / "test.npz").exists():
        of = [np.load(folder / "predictions" / "test.npz")["scores"] for folder in (one, two)]
        found |= {"n": len(of[0]), "scores": float(np.abs(of[0] - of[1]).max())}
        found["decisions"] = int((of[0].argmax(axis=1) != of[1].argmax(axis=1)).sum())
    return found


def main() -> None:
    """Run all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*RUNS, "extract"], default=[*RUNS, "extract"])
    parser.add_argument("--network", action="store_true", help="a network namespace for each node")
    parser.add_argument("--output", type=Path)
    arguments, words = parser.parse_known_args()
    result: dict[str, Any] = {"machine": machine(), "network": arguments.network, "words": words}
    folder = Path(tempfile.mkdtemp(prefix="phonaut-machines-"))
    if arguments.network:
        cable(True)
    try:
        for name in arguments.only:
            places = {n: [f"output_dir={folder}", f"experiment_id={n}"] for n in ("one", "two")}
            if name == "extract":
                run = next(folder.glob("one/*"))
                by_one(["extract", str(run), *words, f"output={folder / 'frames-one'}"])
                by_two(["extract", str(run), *words, f"output={folder / 'frames-two'}"], arguments.network)
                files = [sorted((folder / f"frames-{n}").iterdir()) for n in ("one", "two")]
                same = [a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True)]
                result[name] = {"files": len(same), "the same to the bit": all(same)}
            else:
                of_model = [f"model={name}", *RUNS[name], "trainer.enable_progress_bar=false", *words]
                by_one(["train", *of_model, *places["one"]])
                by_two(["train", *of_model, *places["two"], "trainer.num_nodes=2"], arguments.network)
                result[name] = difference(folder / "one" / name, folder / "two" / name)
            print(name, result[name], flush=True)
    finally:
        if arguments.network:
            cable(False)
        shutil.rmtree(folder, ignore_errors=True)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
