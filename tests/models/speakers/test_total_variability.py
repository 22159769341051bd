"""i-vectors against block matrices of whole recordings, and EM of total variability."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from phonaut.arrays import Array
from phonaut.models.speakers.total_variability import (
    TotalVariability,
    em_step,
    expectations,
    minimally_divergent,
    packed,
    unpacked,
)

K, D, R = 3, 2, 4


def model(rng: np.random.Generator, kind: str, rank: int = R) -> TotalVariability:
    root = rng.standard_normal((K, D, D))
    full = root @ root.transpose(0, 2, 1) + np.eye(D)
    covariances = full if kind == "full" else rng.uniform(0.5, 2.0, (K, D))
    return TotalVariability(rng.standard_normal((K, D)), rng.standard_normal((K, D, rank)), covariances)


def recordings(
    rng: np.random.Generator, of: TotalVariability, n: int, frames: int
) -> tuple[list[tuple[Array, Array]], Array, Array, Array]:
    """Frames with their components, drawn from a model, and the statistics of all."""
    full = of.covariances if of.covariances.ndim == 3 else of.covariances[:, :, None] * np.eye(D)
    drawn, counts, sums, scatter = [], np.zeros((n, K)), np.zeros((n, K, D)), np.zeros((K, D, D))
    for b in range(n):
        component, y = rng.integers(0, K, frames), rng.standard_normal(of.rank)
        means = of.offsets + of.loadings @ y
        x = np.array([rng.multivariate_normal(means[c], full[c]) for c in component])
        drawn.append((x, component))
        for c in range(K):
            inside = x[component == c]
            counts[b, c], sums[b, c] = len(inside), inside.sum(axis=0)
            scatter[c] += inside.T @ inside
    return drawn, counts, sums, scatter if of.covariances.ndim == 3 else np.diagonal(scatter, axis1=1, axis2=2).copy()


def density(of: TotalVariability, x: Array, component: Array) -> float:
    """Log-density of the frames of a recording, stacked into one Gaussian vector."""
    full = of.covariances if of.covariances.ndim == 3 else of.covariances[:, :, None] * np.eye(D)
    loadings = np.concatenate([of.loadings[c] for c in component])
    noise = np.zeros((x.size, x.size))
    for t, c in enumerate(component):
        noise[t * D : (t + 1) * D, t * D : (t + 1) * D] = full[c]
    mean = np.concatenate([of.offsets[c] for c in component])
    return float(multivariate_normal(mean, noise + loadings @ loadings.T).logpdf(x.ravel()))


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full"])
@pytest.mark.parametrize("rank", [3, 4])
def test_posteriors_are_those_of_block_matrices(kind: str, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    of = model(rng, kind, rank)
    n, f = rng.uniform(0, 9, (5, K)), rng.standard_normal((5, K, D))
    monkeypatch.setattr("phonaut.models.speakers.total_variability.BLOCK_CELLS", 2 * rank * rank)
    found = of.posterior(n, f)
    for b in range(5):
        tall = of.loadings.reshape(K * D, rank)
        inverse, weight = np.zeros((K * D, K * D)), np.zeros((K * D, K * D))
        for c in range(K):
            rows = slice(c * D, (c + 1) * D)
            s = of.covariances[c] if kind == "full" else np.diag(of.covariances[c])
            inverse[rows, rows] = np.linalg.inv(s)
            weight[rows, rows] = n[b, c] * np.eye(D)
        precision = np.eye(rank) + tall.T @ weight @ inverse @ tall
        mean = np.linalg.inv(precision) @ tall.T @ inverse @ (f[b].ravel() - weight @ of.offsets.ravel())
        np.testing.assert_allclose(found.means[b], mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.covariances[b], np.linalg.inv(precision), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(of.ivectors(n, f), found.means, rtol=1e-12, atol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full"])
def test_the_likelihood_is_that_of_all_frames_as_one_gaussian_vector(kind: str) -> None:
    rng = np.random.default_rng(1)
    of = model(rng, kind)
    drawn, n, f, scatter = recordings(rng, of, 4, 7)
    constant = 0.5 * n.sum() * D * np.log(2 * np.pi)
    expected = sum(density(of, x, component) for x, component in drawn)
    assert em_step(of, n, f, scatter)[1] - constant == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["diag", "full"])
@pytest.mark.parametrize("divergence", [False, True])
@pytest.mark.parametrize("of_covariances", [False, True])
def test_no_step_lowers_the_likelihood(kind: str, divergence: bool, of_covariances: bool) -> None:
    rng = np.random.default_rng(2)
    _, n, f, scatter = recordings(rng, model(rng, kind), 40, 30)
    now = model(rng, kind, rank=2)
    history = []
    for _ in range(15):
        now, likelihood = em_step(now, n, f, scatter if of_covariances else None, minimum_divergence=divergence)
        history.append(likelihood)
    assert (np.diff(history) >= -1e-9 * abs(history[0])).all()
    assert history[-1] > history[0] + 1.0


def test_minimum_divergence_makes_the_prior_standard_and_changes_no_density() -> None:
    rng = np.random.default_rng(3)
    of = model(rng, "diag")
    drawn, n, f, _ = recordings(rng, model(rng, "diag"), 30, 10)
    found = expectations(of, n, f)
    turned = minimally_divergent(of, found.mean, found.second)
    spread = found.second - np.outer(found.mean, found.mean)
    root = np.linalg.inv(np.linalg.cholesky(spread))
    y = of.posterior(n, f)
    z, covariances = (y.means - found.mean) @ root.T, root @ y.covariances @ root.T
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(covariances.mean(axis=0) + z.T @ z / len(z), np.eye(R), atol=1e-10)
    # The density with y ~ N(mean, spread) is that of the turned model with a standard one.
    wide = TotalVariability(of.offsets + of.loadings @ found.mean, of.loadings @ np.linalg.cholesky(spread),
                            of.covariances)  # fmt: skip
    assert density(turned, *drawn[0]) == pytest.approx(density(wide, *drawn[0]), rel=1e-10)
    assert expectations(turned, n, f).log_likelihood >= found.log_likelihood


def test_after_convergence_the_posteriors_average_to_the_prior() -> None:
    rng = np.random.default_rng(4)
    _, n, f, _ = recordings(rng, model(rng, "diag", rank=1), 60, 20)
    now = model(rng, "diag", rank=1)
    for _ in range(60):
        now, _ = em_step(now, n, f)
    found = expectations(now, n, f)
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-3)
    np.testing.assert_allclose(found.second, np.eye(1), atol=1e-3)


def test_loadings_are_recovered() -> None:
    rng = np.random.default_rng(5)
    truth = TotalVariability(np.zeros((K, D)), 2 * rng.standard_normal((K, D, 2)), np.full((K, D), 0.3))
    n = np.full((3000, K), 20.0)
    y = rng.standard_normal((3000, 2))
    means = np.einsum("kdr,br->bkd", truth.loadings, y)
    f = 20.0 * (means + np.sqrt(0.3 / 20) * rng.standard_normal(means.shape))
    now = TotalVariability(np.zeros((K, D)), rng.standard_normal((K, D, 2)), truth.covariances)
    for _ in range(20):
        now, _ = em_step(now, n, f)
    found, true = now.loadings.reshape(-1, 2), truth.loadings.reshape(-1, 2)
    np.testing.assert_allclose(found @ found.T, true @ true.T, rtol=0, atol=0.05 * np.abs(true @ true.T).max())
    np.testing.assert_allclose(now.offsets, 0.0, atol=0.15)


def test_a_component_without_frames_does_not_vary() -> None:
    rng = np.random.default_rng(6)
    of = model(rng, "diag")
    _, n, f, scatter = recordings(rng, of, 10, 10)
    n[:, 1], f[:, 1], scatter[1] = 0.0, 0.0, 0.0
    trained, likelihood = em_step(of, n, f, scatter)
    assert np.isfinite(likelihood)
    assert (trained.loadings[1] == 0).all()
    np.testing.assert_array_equal(trained.offsets[1], of.offsets[1])
    np.testing.assert_array_equal(trained.covariances[1], of.covariances[1])


def test_order_and_batch_change_nothing() -> None:
    rng = np.random.default_rng(7)
    of = model(rng, "full")
    n, f = rng.uniform(0, 9, (6, K)), rng.standard_normal((6, K, D))
    whole, order = of.ivectors(n, f), rng.permutation(6)
    np.testing.assert_allclose(of.ivectors(n[order], f[order]), whole[order], rtol=1e-12, atol=1e-14)
    for b in range(6):
        np.testing.assert_allclose(of.ivectors(n[b : b + 1], f[b : b + 1])[0], whole[b], rtol=1e-12, atol=1e-14)
    assert of.ivectors(n[:0], f[:0]).shape == (0, R)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_packing_keeps_symmetric_matrices(rank: int) -> None:
    root = np.random.default_rng(8).standard_normal((3, rank, rank))
    matrices = root + root.transpose(0, 2, 1)
    assert packed(matrices).shape == (3, rank * (rank + 1) // 2)
    np.testing.assert_array_equal(unpacked(packed(matrices), rank), matrices)
