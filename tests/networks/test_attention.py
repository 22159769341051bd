"""Attention over packed sequences, against its formula: values, gradients, weights that are dropped."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.networks import attention as module
from phonaut.networks.attention import attention, batches_of_similar_length
from phonaut.networks.dropout import rounded

HEADS, WIDTH = 3, 4


def made(lengths: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(lengths), 3, HEADS, WIDTH, dtype=torch.float64, generator=generator).requires_grad_()


def by_formula(qkv: Tensor, lengths: Sequence[int], causal: bool) -> Tensor:
    """Query by query and key by key."""
    rows = []
    first = 0
    for n in lengths:
        for t in range(n):
            keys = range(first, first + (t + 1 if causal else n))
            heads = []
            for h in range(HEADS):
                scores = torch.stack([(qkv[first + t, 0, h] * qkv[s, 1, h]).sum() / WIDTH**0.5 for s in keys])
                weights = scores.exp() / scores.exp().sum()
                heads.append(sum(w * qkv[s, 2, h] for w, s in zip(weights, keys, strict=True)))
            rows.append(torch.cat(heads))
        first += n
    return torch.stack(rows)


@pytest.mark.oracle
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [[5], [4, 4, 4], [5, 3, 1, 6], [6, 6, 5, 1]])
def test_values_are_those_of_the_formula(lengths: list[int], causal: bool) -> None:
    qkv = made(lengths)
    expected = by_formula(qkv, lengths, causal)
    torch.testing.assert_close(attention(qkv, lengths, causal=causal), expected, rtol=0, atol=1e-12)
    # with a dropout that rounds to none, the other kernel
    torch.testing.assert_close(attention(qkv, lengths, dropout=1e-6, causal=causal), expected, rtol=0, atol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_with_dropped_weights_are_those_of_differences(causal: bool) -> None:
    lengths = [4, 3, 1]

    def seeded(qkv: Tensor) -> Tensor:
        torch.manual_seed(1)
        return attention(qkv, lengths, dropout=0.4, causal=causal)

    assert torch.autograd.gradcheck(seeded, (made(lengths),))


def test_weights_are_dropped_with_the_stated_probability() -> None:
    n, p = 300, 0.2
    qkv = torch.zeros(n, 3, 1, n, dtype=torch.float64)  # equal scores: each weight is 1 / n
    qkv[:, 2, 0] = torch.eye(n, dtype=torch.float64)  # and comes out as it is
    weights = attention(qkv, [n], dropout=p) * n * (1 - rounded(p))
    assert set(weights.round(decimals=9).unique().tolist()) == {0.0, 1.0}
    share = float(weights.mean())
    assert abs(share - (1 - p)) < 5 * (p * (1 - p) / n**2) ** 0.5
    by_row = weights.mean(dim=1).numpy()
    assert 0.5 < by_row.var() / (p * (1 - p) / n) < 1.5, "weights of a query are dropped one by one"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_how_much_is_worked_on_at_once_changes_no_value(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [9, 9, 8, 3]
    expected = attention(made(lengths), lengths)
    monkeypatch.setattr(module, "MAX_WEIGHTS", 1)
    assert list(batches_of_similar_length(lengths, HEADS)) == [[9], [9], [8], [3]]
    torch.testing.assert_close(attention(made(lengths), lengths), expected, rtol=0, atol=1e-12)
    mean = torch.stack([attention(made(lengths), lengths, dropout=dropout) for _ in range(400)]).mean(dim=0)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.4 if dropout else 1e-12)


def test_neighbours_of_like_length_are_taken_together_and_others_are_not() -> None:
    groups = list(batches_of_similar_length([100] * 5 + [95, 20, 19, 400], 4))
    assert groups == [[100, 100, 100, 100, 100, 95], [20, 19], [400]]
    assert [n for group in groups for n in group] == [100] * 5 + [95, 20, 19, 400]


def test_half_precision_is_near() -> None:
    lengths = [70, 64, 64]
    qkv = made(lengths).detach()
    for dropout in (0.0, 1e-6):
        half = attention(qkv.bfloat16(), lengths, dropout=dropout)
        assert half.dtype == torch.bfloat16
        np.testing.assert_allclose(half.double().numpy(), attention(qkv, lengths).numpy(), atol=0.03)
