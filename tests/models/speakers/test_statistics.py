"""Statistics of recordings against sums over frames, one by one."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from phonaut.hmm.emissions import MixtureEmissions
from phonaut.models.speakers.statistics import utterance_statistics
from phonaut.models.speakers.utterances import Utterances

K, D = 3, 2


def mixture(rng: np.random.Generator, kind: str) -> MixtureEmissions:
    emissions = MixtureEmissions(1, K, covariance_type=kind)  # type: ignore[arg-type]
    root = rng.standard_normal((1, K, D, D))
    full = root @ root.transpose(0, 1, 3, 2) + np.eye(D)
    emissions.weights_, emissions.means_ = rng.dirichlet(np.ones(K))[None], 2 * rng.standard_normal((1, K, D))
    emissions.covars_ = full if kind == "full" else rng.uniform(0.5, 2.0, (1, K, D))
    emissions.check()
    return emissions


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["diag", "full"])
def test_they_are_sums_over_frames(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    emissions, lengths = mixture(rng, kind), np.array([5, 0, 17, 1, 8])
    utterances = Utterances(rng.standard_normal((31, D)).astype(np.float32), lengths)
    monkeypatch.setattr("phonaut.models.speakers.statistics.PIECE_FRAMES", 7)  # some are cut
    monkeypatch.setattr("phonaut.models.speakers.statistics.BLOCK_CELLS", 2 * 7 * K)
    n, f = utterance_statistics(emissions, utterances)
    for b in range(5):
        count, total = np.zeros(K), np.zeros((K, D))
        for x in utterances.of(b).astype(np.float64):
            p = np.array([
                emissions.weights_[0, c] * multivariate_normal(
                    emissions.means_[0, c],
                    emissions.covars_[0, c] if kind == "full" else np.diag(emissions.covars_[0, c]),
                ).pdf(x)
                for c in range(K)
            ])  # fmt: skip
            count += p / p.sum()
            total += (p / p.sum())[:, None] * (x - emissions.means_[0])
        np.testing.assert_allclose(n[b], count, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(f[b], total, rtol=1e-9, atol=1e-10)


def test_order_and_company_change_nothing() -> None:
    rng = np.random.default_rng(1)
    emissions, lengths = mixture(rng, "diag"), rng.integers(0, 30, 12)
    utterances = Utterances(rng.standard_normal((lengths.sum(), D)).astype(np.float32), lengths)
    n, f = utterance_statistics(emissions, utterances)
    order = rng.permutation(12)
    for rows in (order, np.array([3])):
        some = utterance_statistics(emissions, utterances.select(rows))
        np.testing.assert_allclose(some[0], n[rows], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(some[1], f[rows], rtol=1e-11, atol=1e-12)
