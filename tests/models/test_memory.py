"""The memory that is announced is, within a factor of two, the memory that is taken."""

import os
import subprocess
import sys

import pytest

# A process of its own, for the peak of a process never falls again.
STEP = """
import sys
import torch
from phonaut.features import CMVN, MelSpectrogram
from phonaut.models import RepresentationModel
from phonaut.models.memory import estimate
from phonaut.networks import Mockingjay

torch.set_num_threads(1)
half, n_items = sys.argv[1] == "half", int(sys.argv[2])

def resident(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024

network = Mockingjay(n_features=160, hidden_size=192, n_layers=4, n_heads=4, intermediate_size=768)
front_end = MelSpectrogram(n_mels=80, n_fft=1024, win_length=800, hop_length=200, deltas=1)
model = RepresentationModel(front_end, network, CMVN())

def step(n_items):
    audio, lengths = torch.randn(n_items, 200 * 399), torch.full((n_items,), 200 * 399)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    frames, n = model.frames(audio, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        hidden, _ = network(frames, n)
        predicted = model.head(hidden[:, ::7])
    (predicted.float() - frames[:, ::7]).abs().mean().backward()
    optimizer.step()

said = estimate(model, 400 * n_items, 400, half=half)
before = resident("VmRSS")
step(1)  # what the libraries take for themselves
warm = resident("VmHWM")
step(n_items)
print(said.total, resident("VmHWM") - before, warm - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("precision", "n_items"), [("full", 12), ("half", 12)])
def test_what_is_said_is_what_is_taken_within_a_factor_of_two(precision: str, n_items: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STEP, precision, str(n_items)], capture_output=True, text=True, check=True
    )
    said, taken, _ = map(int, ran.stdout.split())
    assert taken / 2 < said < 2 * taken, f"{said / 2**20:.0f} MiB said, {taken / 2**20:.0f} MiB taken"
