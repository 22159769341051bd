"""Every recording once an epoch, in batches that depend on seed and epoch and on nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonaut.data.sampler import BatchSampler


def sampler(n: int = 250, batch_size: int = 20, **arguments: object) -> BatchSampler:
    settings: dict[str, object] = {"seed": 1, "shuffle": True, **arguments}
    return BatchSampler(np.ones(n), np.full(n, 16000), batch_size, **settings)  # type: ignore[arg-type]


def lists(batches: BatchSampler) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@st.composite
def corpora(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    n_spans = rng.integers(0, draw(st.sampled_from([2, 5, 90])), n)
    return n_spans, rng.integers(1000, draw(st.sampled_from([1001, 90_000])), n)


@settings(max_examples=150, deadline=None)
@given(corpus=corpora(), batch_size=st.integers(1, 60), shuffle=st.booleans(), world_size=st.integers(1, 4))
def test_every_recording_comes_once_an_epoch_and_processes_share_every_batch(
    corpus: tuple[np.ndarray, np.ndarray], batch_size: int, shuffle: bool, world_size: int
) -> None:
    n = len(corpus[0])
    if n < world_size:
        return
    ranks = [BatchSampler(*corpus, batch_size, 3, shuffle, rank, world_size) for rank in range(world_size)]
    for epoch in range(3):
        for rank in ranks:
            rank.set_epoch(epoch)
        shares = [lists(rank) for rank in ranks]
        assert [len(share) for share in shares] == [len(ranks[0])] * world_size, "the same number of batches"
        assert sorted(row for share in shares for batch in share for row in batch) == list(range(n))
        assert all(batch for share in shares for batch in share), "no process is idle"
        if world_size == 2 and shuffle:  # two processes need two recordings a batch, and so does training on one
            alone = BatchSampler(*corpus, batch_size, 3, shuffle)
            alone.set_epoch(epoch)
            assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in lists(alone)]


def test_batches_are_exact_where_every_recording_has_one_span() -> None:
    assert [len(batch) for batch in sampler()] == [20] * 12 + [10]


@pytest.mark.parametrize(("n", "sizes"), [(41, [20, 21]), (42, [20, 20, 2]), (1, [1]), (0, [])])
def test_a_last_batch_of_one_recording_joins_the_one_before(n: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in sampler(n)] == sizes


def test_evaluation_keeps_the_last_recording_apart_and_the_order_of_the_corpus() -> None:
    batches = lists(sampler(41, shuffle=False))
    assert [len(batch) for batch in batches] == [20, 20, 1]
    assert [row for batch in batches for row in batch] == list(range(41))


def test_batch_size_counts_spans() -> None:
    rng = np.random.default_rng(0)
    n_spans = rng.integers(20, 60, 500)
    batches = BatchSampler(n_spans, np.full(500, 16000), 200, seed=0, shuffle=True)
    counts = np.array([n_spans[batch].sum() for batch in batches])
    assert len(counts) == -(-n_spans.sum() // 200)
    assert np.abs(counts[:-1] - 200).max() <= 60, "off by at most half a recording at either end"
    assert abs(np.cumsum(counts[:-2]) - 200 * np.arange(1, len(counts) - 1)).max() <= 30, "errors do not add up"


def test_the_number_of_batches_is_the_same_in_every_epoch() -> None:
    n_spans = np.random.default_rng(0).integers(1, 90, 300)
    batches = BatchSampler(n_spans, n_spans * 800, 100, seed=0, shuffle=True)
    for epoch in range(20):
        batches.set_epoch(epoch)
        assert len(list(batches)) == len(batches)


def test_the_order_belongs_to_seed_and_epoch() -> None:
    first, again, later, other = sampler(), sampler(), sampler(), sampler(seed=2)
    list(again)  # an epoch that was read leaves no trace
    later.set_epoch(1)
    assert lists(first) == lists(again)
    assert lists(first) != lists(later)
    assert lists(first) != lists(other)
    later.set_epoch(0)
    assert lists(first) == lists(later)


def test_shuffling_mixes_the_whole_corpus() -> None:
    batches = sampler(2000, 100)
    assert all(abs(batch.mean() - 1000) < 300 for batch in batches)


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_goes_on_from_any_batch(shuffle: bool) -> None:
    whole = lists(sampler(shuffle=shuffle))
    rest = sampler(shuffle=shuffle)
    rest.start = 5
    assert lists(rest) == whole[5:]
    assert len(rest) == len(whole), "the epoch is as long as it was"
    rest.set_epoch(0)
    assert lists(rest) == whole


@pytest.mark.parametrize("shuffle", [True, False])
def test_recordings_of_like_duration_share_a_batch(shuffle: bool) -> None:
    rng = np.random.default_rng(0)
    durations = rng.lognormal(10.5, 0.6, 3000).astype(np.int64)
    batches = BatchSampler(np.ones(3000), durations, 30, seed=0, shuffle=shuffle)

    def padded(parts: list[np.ndarray]) -> float:
        return sum(len(part) * durations[part].max() for part in parts) / durations.sum()

    assert padded(list(np.split(np.arange(3000), 100))) > 2.5, "plain batches are mostly padding"
    assert padded(list(batches)) < 1.25


def test_no_batch_mixes_the_longest_with_the_shortest() -> None:
    rng = np.random.default_rng(0)
    durations = rng.permutation(np.arange(1000, 4000))
    n_spans = rng.integers(1, 20, 3000)  # so that batches do not end where pools do
    for batch in BatchSampler(n_spans, durations, 200, seed=0, shuffle=True):
        assert durations[batch].max() - durations[batch].min() < 1500


def test_long_and_short_batches_come_in_random_order() -> None:
    durations = np.arange(1000, 4000)
    means = np.array([durations[batch].mean() for batch in BatchSampler(np.ones(3000), durations, 30, 0, True)])
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.3


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        sampler(batch_size=0)
    with pytest.raises(ValueError, match=r"3 recordings .* 4 processes; use trainer\.devices=3 or fewer"):
        sampler(3, world_size=4)
