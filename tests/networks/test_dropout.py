"""Dropout by random bits: the distribution of PyTorch's, the same mask in the gradient, the generator's seed."""

import numpy as np
import pytest
import torch

from phonaut.networks.dropout import Dropout, clear_, keep_bits, rounded


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_each_number_stays_with_the_stated_probability_on_its_own(p: float) -> None:
    n = 1_000_000
    bits = keep_bits(n, p, np.random.Generator(np.random.SFC64(0)))
    assert set(bits.unique().tolist()) == {-1, 0}
    stays = bits.numpy() == -1
    q = 1 - rounded(p)
    assert abs(stays.mean() - q) < 4 * (q * (1 - q) / n) ** 0.5
    for lag in (1, 2, 3, 4, 8):  # also within and between the words that four draws come in
        both = (stays[:-lag] & stays[lag:]).mean()
        variance = q**2 * (1 - q**2) + 2 * (q**3 - q**4)  # each number is in two pairs
        assert abs(both - q**2) < 4 * (variance / n) ** 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_what_stays_is_what_it_was(dtype: torch.dtype) -> None:
    x = torch.randn(7, 11).to(dtype)
    bits = keep_bits(77, 0.4, np.random.Generator(np.random.SFC64(1)))
    expected = torch.where(bits.view(7, 11) == -1, x, torch.zeros((), dtype=dtype))
    assert torch.equal(clear_(x.clone(), bits), expected)


def test_the_gradient_goes_through_the_same_mask() -> None:
    x = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y / x).detach(), rtol=1e-12, atol=0)
    assert 0.2 < float((y == 0).double().mean()) < 0.4


def test_the_mean_stays_and_the_seed_of_pytorch_decides() -> None:
    dropout, x = Dropout(0.25), torch.ones(400, 400)
    torch.manual_seed(3)
    first = dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(dropout(x), first)
    assert float(first.mean()) == pytest.approx(1.0, abs=5 * (0.25 / 0.75 / 160_000) ** 0.5)


def test_nothing_is_dropped_outside_training_or_at_zero() -> None:
    x = torch.randn(3, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not Dropout(1.0)(x).any()
