"""Dynamic time warping against the enumeration of all alignments."""

import numpy as np
import pytest

from phonaut.densities.dtw import distances


def enumerated(x: np.ndarray, y: np.ndarray) -> float:
    """The least cost over every path of steps (1,1), (1,0), (0,1)."""
    d = np.sqrt(((x[:, None] - y) ** 2).sum(axis=2))

    def onward(i: int, j: int) -> float:
        if (i, j) == (len(x) - 1, len(y) - 1):
            return 0.0
        costs = []
        for di, dj, weight in ((1, 1, 2), (1, 0, 1), (0, 1, 1)):
            if i + di < len(x) and j + dj < len(y):
                costs.append(weight * d[i + di, j + dj] + onward(i + di, j + dj))
        return min(costs)

    return float((2 * d[0, 0] + onward(0, 0)) / (len(x) + len(y)))


@pytest.mark.oracle
def test_it_is_the_least_over_all_alignments() -> None:
    rng = np.random.default_rng(0)
    lengths, references = np.array([1, 4, 5]), np.array([3, 1, 5])
    x, y = (rng.standard_normal((n.sum(), 2)).astype(np.float32) for n in (lengths, references))
    found = distances(x, lengths, y, references)
    for b, one in enumerate(np.split(x, np.cumsum(lengths)[:-1])):
        for r, other in enumerate(np.split(y, np.cumsum(references)[:-1])):
            assert found[b, r] == pytest.approx(enumerated(one, other), rel=1e-5)


def test_speaking_slowly_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3)).astype(np.float32)
    slow = np.repeat(x, 3, axis=0)
    assert distances(slow, np.array([18]), x, np.array([6]))[0, 0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("lengths", "width", "why"), [([2, 2], 2, "add up"), ([5, 0], 2, "at least 1"), ([5], 3, "references 2")]
)
def test_what_makes_no_sense_is_refused(lengths: list[int], width: int, why: str) -> None:
    y = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match=why):
        distances(np.zeros((5, width), np.float32), np.array(lengths), y, np.array([2]))
