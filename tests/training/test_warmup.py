"""The schedule: up in a straight line, down in a straight line, stretched when training is."""

import pytest
import torch

from phonaut.training.warmup import Warmup


def rates(total: int, share: float, lr: float = 0.4) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr)
    scheduler = Warmup(optimizer, total, share)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_it_rises_to_the_rate_of_the_optimizer_and_falls_to_nothing() -> None:
    found = rates(1000, 0.07)
    expected = [0.4 * min((k + 1) / 70, (1000 - k) / 930, 1.0) for k in range(1000)]
    assert found == pytest.approx(expected)
    assert max(found) == pytest.approx(0.4)
    assert found[-1] == pytest.approx(0.4 / 930)


def test_without_warm_up_it_only_falls() -> None:
    assert rates(4, 0.0) == pytest.approx([0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(("total", "share"), [(0, 0.1), (10, 1.0), (10, -0.1)])
def test_impossible_plans_are_refused(total: int, share: float) -> None:
    with pytest.raises(ValueError, match="share is from 0"):
        rates(max(total, 0), share) if total else Warmup(torch.optim.SGD([torch.ones(1)], lr=1.0), total, share)
