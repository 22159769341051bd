"""Dynamic time warping against the enumeration of all alignments, plain loops, dtw-python, and warps that are known."""

import numpy as np
import pytest

from phonaut.densities.dtw import distances, pair_distances, path

LENGTHS, REFERENCES = np.array([1, 4, 5, 9]), np.array([3, 1, 5])


def sequences(lengths: np.ndarray, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((lengths.sum(), width)).astype(np.float32)


def split(frames: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return np.split(frames.astype(np.float64), np.cumsum(lengths)[:-1])


def local(x: np.ndarray, y: np.ndarray, distance: str) -> np.ndarray:
    if distance == "euclidean":
        return np.sqrt(((x[:, None] - y) ** 2).sum(axis=2))
    return np.array([[1 - a @ b / np.sqrt((a @ a) * (b @ b)) for b in y] for a in x])


def enumerated(d: np.ndarray, first_weight: float) -> float:
    """The least cost over every path of steps (1,1), (1,0), (0,1)."""
    n, m = d.shape

    def onward(i: int, j: int) -> float:
        if (i, j) == (n - 1, m - 1):
            return 0.0
        costs = []
        for di, dj, weight in ((1, 1, 2), (1, 0, 1), (0, 1, 1)):
            if i + di < n and j + dj < m:
                costs.append(weight * d[i + di, j + dj] + onward(i + di, j + dj))
        return min(costs)

    return float((first_weight * d[0, 0] + onward(0, 0)) / (n + m))


def recursion(d: np.ndarray, band: int | None) -> float:
    """Cell by cell, with what lies outside the band left out; the first cell counts once."""
    n, m = d.shape
    reach = n + m if band is None else max(band, abs(n - m))
    cost = {(0, 0): d[0, 0]}
    for i, j in np.ndindex(n, m):
        if (i, j) != (0, 0) and abs(i - j) <= reach:
            before = (((i - 1, j - 1), 2), ((i - 1, j), 1), ((i, j - 1), 1))
            cost[i, j] = min(cost.get(cell, np.inf) + weight * d[i, j] for cell, weight in before)
    return float(cost[n - 1, m - 1] / (n + m))


@pytest.mark.oracle
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("first_weight", [1.0, 2.0])
def test_it_is_the_least_over_all_alignments(distance: str, first_weight: float) -> None:
    x, y = sequences(LENGTHS[:3], 3, 0), sequences(REFERENCES, 3, 1)
    found = distances(x, LENGTHS[:3], y, REFERENCES, distance=distance, first_weight=first_weight)
    for b, one in enumerate(split(x, LENGTHS[:3])):
        for r, other in enumerate(split(y, REFERENCES)):
            assert found[b, r] == pytest.approx(enumerated(local(one, other, distance), first_weight), rel=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("band", [None, 0, 1, 3, 50])
def test_a_band_leaves_out_the_cells_beyond_it(distance: str, band: int | None) -> None:
    lengths, references = np.array([1, 7, 20, 33]), np.array([9, 1, 21])
    x, y = sequences(lengths, 5, 2), sequences(references, 5, 3)
    found = distances(x, lengths, y, references, distance=distance, band=band)
    for b, one in enumerate(split(x, lengths)):
        for r, other in enumerate(split(y, references)):
            expected = recursion(local(one, other, distance), band)
            assert found[b, r] == pytest.approx(expected, rel=1e-5)
            assert path(one, other, distance=distance, band=band)[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.oracle
def test_a_hidden_warp_is_found() -> None:
    rng = np.random.default_rng(4)
    i, j, hidden = 0, 0, [(0, 0)]
    while len(hidden) < 60:
        di, dj = ((1, 1), (1, 0), (0, 1))[rng.integers(3)]
        i, j = i + di, j + dj
        hidden.append((i, j))
    cells = np.array(hidden)
    # Frames that a run of the path joins are the same; all others differ.
    turns = (np.diff(cells, axis=0) == 1).all(axis=1)
    number = np.concatenate([[0], np.cumsum(turns)])
    first = rng.standard_normal((number[-1] + 1, 8))
    x, y = np.empty((i + 1, 8)), np.empty((j + 1, 8))
    x[cells[:, 0]], y[cells[:, 1]] = first[number], first[number]
    found, away = path(x, y)
    assert away == pytest.approx(0.0, abs=1e-6)
    # Within a run many paths cost nothing; which frames belong together is what was hidden.
    of_x, of_y = np.empty(i + 1, int), np.empty(j + 1, int)
    of_x[cells[:, 0]], of_y[cells[:, 1]] = number, number
    assert (of_x[found[:, 0]] == of_y[found[:, 1]]).all()
    steps = np.diff(found, axis=0)
    assert found[0].tolist() == [0, 0]
    assert found[-1].tolist() == [i, j]
    assert ((steps >= 0) & (steps <= 1)).all()
    assert steps.any(axis=1).all()


@pytest.mark.oracle
@pytest.mark.parametrize("band", [None, 2])
def test_the_path_costs_what_the_distance_says(band: int | None) -> None:
    x, y = sequences(np.array([19]), 4, 5), sequences(np.array([26]), 4, 6)
    cells, away = path(x, y, band=band)
    d = local(x.astype(np.float64), y.astype(np.float64), "euclidean")
    weights = np.append(1, np.diff(cells, axis=0).sum(axis=1))
    assert (weights * d[tuple(cells.T)]).sum() / 45 == pytest.approx(away, rel=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize(("n", "m", "band"), [(30, 41, None), (30, 41, 15), (28, 20, 3), (1, 5, None), (1, 1, None)])
def test_distance_and_path_are_dtw_pythons(n: int, m: int, band: int | None, distance: str) -> None:
    dtw = pytest.importorskip("dtw")
    x, y = (sequences(np.array([k]), 13, k).astype(np.float64) for k in (n, m + 100))
    y = y[:m]
    window = {} if band is None else {
        "window_type": "sakoechiba", "window_args": {"window_size": max(band, abs(n - m))}
    }  # fmt: skip
    peer = dtw.dtw(local(x, y, distance), step_pattern="symmetric2", **window)
    cells, away = path(x, y, distance=distance, band=band)
    assert away == pytest.approx(peer.normalizedDistance, rel=1e-5)
    np.testing.assert_array_equal(cells, np.stack([peer.index1, peer.index2], axis=1))


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_neither_order_nor_batch_changes_a_pair(distance: str) -> None:
    x, y = sequences(LENGTHS, 6, 7), sequences(REFERENCES, 6, 8)
    together = distances(x, LENGTHS, y, REFERENCES, distance=distance)
    which, reference = np.random.default_rng(0).integers((len(LENGTHS), len(REFERENCES)), size=(30, 2)).T
    listed = pair_distances(x, LENGTHS, y, REFERENCES, which, reference, distance=distance)
    np.testing.assert_array_equal(listed, together[which, reference])
    for b, one in enumerate(split(x, LENGTHS)):
        alone = distances(one, LENGTHS[[b]], y, REFERENCES, distance=distance)
        np.testing.assert_array_equal(alone[0], together[b])


def test_what_lies_above_a_bound_is_abandoned_and_nothing_else_changes() -> None:
    lengths = np.full(20, 15)
    x, y = sequences(lengths, 6, 9), sequences(lengths, 6, 10)
    y *= np.repeat(np.linspace(0.5, 5, len(lengths)), lengths)[:, None].astype(np.float32)
    plain = distances(x, lengths, y, lengths)
    bound = np.quantile(plain, 0.1)
    found = distances(x, lengths, y, lengths, abandon_above=bound)
    below = plain <= bound
    np.testing.assert_array_equal(found[below], plain[below])
    assert np.isinf(found).mean() > 0.3  # a row's least cell may be half of the distance, or less
    assert (np.isinf(found) | (found == plain)).all()


def test_speaking_slowly_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3)).astype(np.float32)
    slow = np.repeat(x, 3, axis=0)
    assert distances(slow, np.array([18]), x, np.array([6]))[0, 0] == pytest.approx(0.0, abs=1e-6)


def test_loudness_changes_no_cosine_and_a_frame_of_zeros_is_at_right_angles() -> None:
    x, n = sequences(np.array([6]), 3, 0), np.array([6])
    loud = distances(x, n, 1000 * x, n, distance="cosine")
    assert loud[0, 0] == pytest.approx(0.0, abs=1e-6)
    assert distances(np.zeros((1, 3)), np.array([1]), x[:1], np.array([1]), distance="cosine")[0, 0] == 0.5


@pytest.mark.parametrize(
    ("lengths", "width", "why"), [([2, 2], 2, "add up"), ([5, 0], 2, "at least 1"), ([5], 3, "references 2")]
)
def test_what_makes_no_sense_is_refused(lengths: list[int], width: int, why: str) -> None:
    y = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match=why):
        distances(np.zeros((5, width), np.float32), np.array(lengths), y, np.array([2]))


@pytest.mark.parametrize(
    ("options", "why"), [({"distance": "manhattan"}, "cosine or euclidean"), ({"band": -1}, "at least 0 frames")]
)
def test_an_option_out_of_range_is_refused(options: dict[str, object], why: str) -> None:
    x = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match=why):
        distances(x, np.array([2]), x, np.array([2]), **options)
    with pytest.raises(ValueError, match=why):
        path(x, x, **options)  # type: ignore[arg-type]
