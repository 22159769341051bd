"""Losses of simple guesses against loops over frames."""

import numpy as np
import pytest
import torch

from phonaut.models.guesses import guess_losses
from phonaut.models.objectives import APC, DrawKey, Mockingjay, Objective, Tera

LENGTHS = (23, 9)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "objective", [Mockingjay(mask_prob=0.4, mask_length=3), Tera(mask_frequency=0.8), APC(n_future=4)]
)
def test_guesses_cost_what_a_loop_over_frames_and_features_says(objective: Objective) -> None:
    torch.manual_seed(0)
    lengths = torch.tensor(LENGTHS)
    frames = torch.randn(2, 23, 5)
    key = DrawKey(np.array([3, 4], np.uint64), 0, 0, "validation")
    task = objective.task(frames, lengths, key, n_bands=1, stack_size=1)
    found = guess_losses(frames, lengths, task)
    for b, n in enumerate(LENGTHS):
        x, masked = frames[b, :n].numpy(), task.target_mask[b, :n].numpy()
        hidden = np.zeros(5, bool) if task.bins is None else task.bins[b].numpy()
        sums = {"mean": 0.0, "neighbour": 0.0}
        count = 0
        for t in range(n):
            for d in range(5):
                if not (masked[t] or hidden[d]):
                    continue
                count += 1
                truth, mean = x[t + task.n_future, d], x[:, d].mean()
                visible = [t] if task.n_future else [u for u in range(n) if not masked[u]]
                near = mean if hidden[d] or not visible else x[min(visible, key=lambda u: (abs(u - t), u)), d]
                sums["mean"] += abs(truth - mean)
                sums["neighbour"] += abs(truth - near)
        for name, total in sums.items():
            np.testing.assert_allclose(found[name][b].numpy(), [total, count], rtol=1e-5)
