"""The memory that is announced is, within a factor of two, the memory that is taken."""

import os
import sys
from pathlib import Path

import pytest
import torch

from helpers.processes import CONTEXT, run_file
from phonaut.features import CMVN, MelSpectrogram
from phonaut.models import RepresentationModel
from phonaut.models.memory import estimate
from phonaut.networks import Mockingjay


def resident(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def step(model: RepresentationModel, n_items: int, half: bool) -> None:
    audio, lengths = torch.randn(n_items, 200 * 399), torch.full((n_items,), 200 * 399)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    frames, n = model.frames(audio, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        hidden, _ = model.network(frames, n)
        predicted = model.head(hidden[:, ::7])
    (predicted.float() - frames[:, ::7]).abs().mean().backward()
    optimizer.step()


def main(precision: str, items: str, answer: str) -> None:
    """What is said, and what a step takes."""
    torch.set_num_threads(1)
    half, n_items = precision == "half", int(items)
    network = Mockingjay(n_features=160, hidden_size=192, n_layers=4, n_heads=4, intermediate_size=768)
    front_end = MelSpectrogram(n_mels=80, n_fft=1024, win_length=800, hop_length=200, deltas=1)
    model = RepresentationModel(front_end, network, CMVN())
    said = estimate(model, 400 * n_items, 400, half=half)
    before = resident("VmRSS")
    step(model, 1, half)  # what the libraries take for themselves
    step(model, n_items, half)
    Path(answer).write_text(f"{said.total} {resident('VmHWM') - before}")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("precision", "n_items"), [("full", 12), ("half", 12)])
def test_what_is_said_is_what_is_taken_within_a_factor_of_two(precision: str, n_items: int, tmp_path: Path) -> None:
    words = [precision, str(n_items), str(tmp_path / "answer")]
    process = CONTEXT.Process(target=run_file, args=(__file__, words, {}))  # for a peak never falls again
    process.start()
    process.join()
    assert process.exitcode == 0
    said, taken = map(int, (tmp_path / "answer").read_text().split())
    assert taken / 2 < said < 2 * taken, f"{said / 2**20:.0f} MiB said, {taken / 2**20:.0f} MiB taken"


if __name__ == "__main__":
    main(*sys.argv[1:])
