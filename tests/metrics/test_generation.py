"""Measures of generated speech equal closed forms, or loops over all pairs, and intervals are as wide as chance is."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from phonaut.metrics import pairwise as pairs
from phonaut.metrics.discrepancy import mmd
from phonaut.metrics.generation import (
    copying,
    copying_estimate,
    direction_cosines,
    frechet_distance,
    frechet_estimate,
    inception_estimate,
    inception_score,
    log_spectral_distance,
    mel_cepstral_distortion,
    nearest,
    reconstruction_snr,
)
from phonaut.metrics.overlap import neighbours

pytestmark = pytest.mark.oracle


def draws(n: int, d: int, seed: int, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return mean + scale * np.random.default_rng(seed).standard_normal((n, d))


def pairwise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distances, one by one."""
    return np.array([[np.sqrt(sum((a - b) ** 2)) for b in y] for a in x])


@pytest.fixture(params=[2**21, 64])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All distances at once, and a few rows at a time."""
    monkeypatch.setattr(pairs, "BLOCK_CELLS", request.param)


def test_spectra_three_and_four_db_apart_are_as_far_as_the_root_mean_square() -> None:
    x = draws(5, 2, 0)
    assert log_spectral_distance(x, x + np.array([3.0, 4.0])) == pytest.approx(np.sqrt(12.5))
    one_frame = x + np.array([[3.0, 3.0], *[[0.0, 0.0]] * 4])
    assert log_spectral_distance(x, one_frame) == pytest.approx(3 / 5)  # a mean over frames


def test_the_ratio_to_noise_is_that_of_variances() -> None:
    x = draws(400, 3, 0, mean=50.0) * [1.0, 2.0, 3.0]
    assert reconstruction_snr(x, np.broadcast_to(x.mean(axis=0), x.shape)) == pytest.approx(
        0.0
    )  # the mean knows nothing
    assert reconstruction_snr(x, x + 0.1 * (x - x.mean(axis=0))) == pytest.approx(20.0)
    assert reconstruction_snr(x, x) == np.inf
    assert np.isnan(reconstruction_snr(np.ones((4, 2)), np.zeros((4, 2))))


def test_cepstral_distortion_is_the_rms_difference_of_the_spectra_in_db() -> None:
    """Parseval: of a log magnitude spectrum c_0 + sum c_d cos(d w), over the circle, its level left out."""
    a, b = draws(7, 13, 0, scale=0.1), draws(7, 13, 1, scale=0.1)
    w = 2 * np.pi * np.arange(256) / 256
    waves = np.stack([np.ones(256), *(np.cos(d * w) for d in range(1, 13))])
    difference = 20 / np.log(10) * (a - b) @ waves
    rms = np.sqrt(np.square(difference - difference.mean(axis=1, keepdims=True)).mean(axis=1)).mean()
    assert mel_cepstral_distortion(a, b) == pytest.approx(rms)
    path = np.array([[0, 0], [1, 0], [2, 1]])
    assert mel_cepstral_distortion(a, b, path) == pytest.approx(mel_cepstral_distortion(a[:3], b[[0, 0, 1]]))
    louder = b + np.eye(13)[0]
    assert mel_cepstral_distortion(a, louder) == pytest.approx(rms)


def test_the_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    """Of samples whitened to known moments: diagonal S = diag(4, 1), S' = diag(1, 9), means 3 and 4 apart; rotated."""
    rng = np.random.default_rng(0)

    def exactly(n: int, deviations: list[float]) -> np.ndarray:
        x = rng.standard_normal((n, 2))
        x -= x.mean(axis=0)
        return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (n - 1))).T * deviations

    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    x, y = exactly(500, [2, 1]) @ turn, (exactly(400, [1, 3]) + np.array([3, 4])) @ turn
    assert frechet_distance(x, y).value == pytest.approx(25 + (2 - 1) ** 2 + (1 - 3) ** 2)
    skewed = x @ np.array([[1.0, 0.9], [0.0, 0.4]])
    from scipy.linalg import sqrtm

    root = np.trace(sqrtm(np.cov(skewed.T) @ np.cov(y.T))).real
    wanted = np.square(skewed.mean(0) - y.mean(0)).sum() + np.trace(np.cov(skewed.T) + np.cov(y.T)) - 2 * root
    assert frechet_distance(skewed, y).value == pytest.approx(wanted)


@pytest.mark.peer
def test_the_frechet_distance_is_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.fid")
    import torch

    x, y = draws(300, 6, 0), draws(200, 6, 1, mean=0.5, scale=2.0)
    arguments = [torch.from_numpy(a) for one in (x, y) for a in (one.mean(axis=0), np.cov(one.T))]
    theirs = image._compute_fid(*arguments)
    assert frechet_distance(x, y).value == pytest.approx(float(theirs), rel=1e-9)


def test_the_bias_of_the_frechet_distance_is_seen_and_taken_away() -> None:
    found = [frechet_distance(draws(200, 16, 2 * i), draws(200, 16, 2 * i + 1)) for i in range(8)]
    value, unbiased = np.mean([f.value for f in found]), np.mean([f.unbiased for f in found])
    assert value > 0.5  # of one distribution
    assert abs(unbiased) < 0.2 * value
    assert all(f.bias == pytest.approx(f.value - f.unbiased) for f in found)
    assert found[0].n == 200


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_the_discrepancy_is_the_mean_over_all_pairs_of_different_items(kernel: Any) -> None:
    x, y = draws(9, 3, 0), draws(13, 3, 1, mean=0.7)
    together = np.concatenate([x, y])
    everything = pairwise(together, together)
    h = np.median([everything[i, j] for i in range(22) for j in range(i)])

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-sum((a - b) ** 2) / (2 * h * h)) if kernel == "rbf" else (a @ b / 3 + 1) ** 3)

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    found = mmd(x, y, kernel=kernel)
    assert found.value == pytest.approx(within_x + within_y - 2 * between)
    assert found.low < found.value < found.high
    assert found.n == 9


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_intervals_of_the_discrepancy_are_as_wide_as_draws_differ(kernel: Any, mean: float) -> None:
    """Of one distribution, where only pairs vary, and of two."""
    found = [mmd(draws(60, 4, 2 * i), draws(80, 4, 2 * i + 1, mean=mean), kernel=kernel) for i in range(300)]
    spread = np.std([f.value for f in found])
    said = np.sqrt(np.mean([((f.high - f.low) / 2 / 1.96) ** 2 for f in found]))
    assert 0.9 * spread < said < (1.4 if mean == 0.0 else 1.15) * spread
    if mean == 0.0:
        assert abs(np.mean([f.value for f in found])) < 4 * spread / np.sqrt(300)  # unbiased
        assert min(f.value for f in found) < 0


@pytest.mark.usefixtures("blocks")
def test_neighbourhoods_are_those_of_a_loop_over_all_pairs() -> None:
    real, generated, k = draws(30, 3, 0), draws(25, 3, 1, mean=1.2), 4
    reach = [sorted(row)[k] for row in pairwise(real, real)]
    reach_of_ours = [sorted(row)[k] for row in pairwise(generated, generated)]
    d = pairwise(real, generated)
    precision = np.mean([any(d[i, j] <= reach[i] for i in range(30)) for j in range(25)])
    recall = np.mean([any(d[i, j] <= reach_of_ours[j] for j in range(25)) for i in range(30)])
    density = sum(d[i, j] <= reach[i] for i in range(30) for j in range(25)) / (k * 25)
    coverage = np.mean([any(d[i, j] <= reach[i] for j in range(25)) for i in range(30)])
    found = neighbours(real, generated, k=k)
    assert found == pytest.approx((precision, recall, density, coverage, k))
    assert 0 < precision < 1
    assert 0 < coverage < 1


def test_coverage_of_one_distribution_is_what_k_says_and_a_lost_mode_shows() -> None:
    """Naeem et al. 2020, eq. 10: 1 - (M - 1)...(M - k) / ((2 M - 1)...(2 M - k))."""
    m, k = 1500, 5
    i = np.arange(1, k + 1)
    same = neighbours(draws(m, 8, 0), draws(m, 8, 1), k=k)
    assert same.coverage == pytest.approx(1 - np.prod((m - i) / (2 * m - i)), abs=0.02)
    assert same.density == pytest.approx(1, abs=0.1)
    two = np.concatenate([draws(300, 4, 2), draws(300, 4, 3, mean=30.0)])
    one = neighbours(two, draws(600, 4, 4))
    assert one.precision > 0.9
    assert one.recall < 0.55
    assert one.coverage < 0.55
    assert neighbours(two, two) == (1.0, 1.0, pytest.approx(1.2), 1.0, 5)  # an item is within its own ball


@pytest.mark.usefixtures("blocks")
def test_copies_of_training_data_are_nearer_than_what_was_held_out() -> None:
    training, held_out, new = draws(200, 5, 0), draws(50, 5, 1), draws(60, 5, 2)
    nearest = [np.median(pairwise(some, training).min(axis=1)) for some in (new, held_out)]
    fresh = copying(new, training, held_out)
    assert fresh[:3] == pytest.approx((nearest[0], nearest[1], nearest[0] / nearest[1]))
    assert 0.8 < fresh.ratio < 1.25
    assert fresh.nearer < 0.2
    copied = copying(training[:50] + 1e-3 * draws(50, 5, 3), training, held_out)
    assert copied.ratio < 0.01
    assert copied.nearer == 1.0


def test_intervals_of_the_frechet_distance_are_as_wide_as_draws_of_speakers_differ() -> None:
    """Items of a speaker are alike, which makes the distance vary far more than as many independent items would."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        speakers = np.repeat(np.arange(20), 10)
        real = rng.standard_normal((20, 2))[speakers] + 0.3 * rng.standard_normal((200, 2))
        found.append(frechet_estimate(real, speakers, 4 + rng.standard_normal((200, 2))))
    spread = np.std([one.value for one in found])
    half = np.mean([(one.high - one.low) / 2 for one in found])
    assert half / 1.96 == pytest.approx(spread, rel=0.3)
    last = frechet_distance(real, 4 + rng.standard_normal((200, 2)))
    assert found[-1].value == pytest.approx(last.value, rel=0.2)
    assert found[-1].n == 200


def test_copying_has_an_interval_about_its_ratio() -> None:
    training, unseen = draws(300, 3, 0), draws(80, 3, 1)
    made = training[:50] + 0.01
    ratio = copying(made, training, unseen).ratio
    found = copying_estimate(nearest(made, training), nearest(unseen, training), np.arange(80) // 4)
    assert found is not None
    assert found.value == pytest.approx(ratio)
    assert found.low <= ratio <= found.high < 0.2
    assert copying_estimate(np.zeros(3), np.zeros(4), np.arange(4)) is None, "a ratio to nothing"


def test_scores_of_classes_lie_between_one_and_their_number() -> None:
    assert inception_score(np.full((10, 4), 0.25)) == pytest.approx(1.0)
    assert inception_score(np.tile(np.eye(4), (5, 1))) == pytest.approx(4.0)
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    q = p.mean(axis=0)
    by_hand = np.exp(np.mean([sum(row * np.log(row / q)) for row in p]))
    assert inception_score(p) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="of sum 1 in each row"):
        inception_score(2 * p)


def test_the_interval_of_a_score_of_classes_is_that_of_resampled_items_or_of_whole_speakers() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5) * 0.3, 60)
    found = inception_estimate(p)
    drawn = [inception_score(p[rng.integers(60, size=60)]) for _ in range(3000)]
    assert found.value == pytest.approx(inception_score(p))
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    twins = inception_estimate(np.concatenate([p, p]), np.repeat(["a", "b"], 60))
    assert twins[:3] == pytest.approx([found.value] * 3), "whoever is drawn, the items are the same"


def test_cosines_are_those_of_angles_without_their_signs() -> None:
    found = direction_cosines(np.array([[2.0, 0.0], [0.0, 0.1], [-3.0, 3.0], [0.0, 0.0]]))
    half = np.sqrt(0.5)
    wanted = [[1, 0, half], [0, 1, half], [half, half, 1]]
    np.testing.assert_allclose(found[:3, :3], wanted, atol=1e-12)
    assert np.isnan(found[3]).all()


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    x, y = draws(40, 3, 0), draws(40, 3, 1)
    far = copying(x + 1e6, y + 1e6, y[:5] + 1e6 + 0.1)
    near = copying(x, y, y[:5] + 0.1)
    assert far[:3] == pytest.approx(near[:3], rel=1e-6)


def test_two_thousand_items_take_less_than_two_seconds_each() -> None:
    x, y = draws(2000, 128, 0), draws(2000, 128, 1, mean=0.1)
    for measure in (frechet_distance, mmd, neighbours):
        started = time.process_time()
        measure(x, y)  # type: ignore[operator]
        assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_spectral_distance(np.zeros((3, 2)), np.zeros((4, 2))), r"got \(3, 2\) and \(4, 2\)"),
        (lambda: mmd(np.zeros((9, 2)), np.zeros((9, 2)), kernel="cosine"), "kernel must be rbf or polynomial"),
        (lambda: mmd(np.zeros((3, 2)), np.zeros((9, 2))), "of 4 items at least"),
        (lambda: neighbours(np.zeros((9, 2)), np.zeros((5, 2))), "of 6 items at least"),
        (lambda: neighbours(np.zeros((9, 2)), np.zeros((5, 2)), k=0), "k must be at least 1; got 0"),
        (lambda: frechet_distance(np.full((9, 2), np.nan), np.zeros((9, 2))), "samples must be finite"),
        (lambda: copying(np.zeros((9, 2)), np.zeros((9, 3)), np.zeros((9, 3))), r"got \(9, 2\) and \(9, 3\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
