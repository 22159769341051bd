"""Batches by frames: even in size, little padding, in an order of (seed, epoch), shared among processes, weighted."""

import numpy as np
import pytest

from phonaut.data.sampler import FrameSampler


def padding(sampler: FrameSampler) -> float:
    """Share of the frames of an epoch's batches that are padding."""
    held = sum(int(sampler.sizes[batch].max()) * len(batch) for batch in sampler.batches())
    return 1 - sum(int(sampler.sizes[batch].sum()) for batch in sampler.batches()) / max(held, 1)


def read_aloud(n: int = 6000) -> np.ndarray:
    """Lengths as LibriSpeech has them, 80 frames a second: most of 11 to 17 s, fewer short ones."""
    rng = np.random.default_rng(0)
    seconds = np.where(rng.random(n) < 0.75, rng.triangular(10, 15, 17, n), rng.uniform(1.4, 11, n))
    return (80 * seconds).astype(np.int64)


def test_batches_have_as_many_frames_and_hold_every_recording_once() -> None:
    lengths = read_aloud()
    sampler = FrameSampler(lengths, 4800, seed=0, shuffle=True)
    batches = list(sampler)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == len(sampler) == -(-lengths.sum() // 4800)
    for batch in batches:
        assert abs(lengths[batch].sum() - 4800) < lengths[batch].max()


@pytest.mark.parametrize("lengths", [read_aloud(), np.random.default_rng(1).lognormal(6.2, 0.5, 4000).clip(80, 1400)])
def test_less_than_a_twentieth_is_padding(lengths: np.ndarray) -> None:
    for epoch in range(3):
        sampler = FrameSampler(lengths, 4800, seed=0, shuffle=True)
        sampler.set_epoch(epoch)
        assert padding(sampler) < 0.05
    assert padding(FrameSampler(lengths, 4800, seed=0, shuffle=False)) < 0.02


def test_an_order_belongs_to_seed_and_epoch_and_may_be_taken_up_anywhere() -> None:
    lengths = read_aloud(300)

    def order(seed: int, epoch: int, start: int = 0) -> list[list[int]]:
        sampler = FrameSampler(lengths, 4800, seed=seed, shuffle=True)
        sampler.set_epoch(epoch)
        sampler.start = start
        return [batch.tolist() for batch in sampler]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    assert order(0, 3, start=5) == order(0, 3)[5:]


def test_processes_share_each_batch_and_get_as_many() -> None:
    lengths = read_aloud(300)
    whole = list(FrameSampler(lengths, 4800, seed=0, shuffle=True))
    shares = [list(FrameSampler(lengths, 4800, seed=0, shuffle=True, rank=r, world_size=2)) for r in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert all(len(part) for part in parts)
        assert sorted(np.concatenate(parts).tolist()) == sorted(batch.tolist())


def test_a_weight_says_how_often_a_recording_comes_and_epochs_are_equally_long() -> None:
    lengths, weights = np.full(400, 500), np.repeat([2.0, 0.25, 1.0, 1.5], 100)
    keys = np.arange(400, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    total = np.zeros(400)
    n_batches = set()
    for epoch in range(40):
        sampler = FrameSampler(lengths, 5000, seed=0, shuffle=True, weights=weights, keys=keys)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        n_batches.add(len(batches))
        times = np.bincount(np.concatenate(batches), minlength=400)
        assert [times[i : i + 100].sum() for i in range(0, 400, 100)] == [200, 25, 100, 150]
        total += times
    assert n_batches == {len(sampler)} == {48}
    assert (total[:100] == 80).all()
    quarter = total[100:200]
    assert quarter.min() > 0, "in the long run, every recording comes"
    assert abs(quarter.mean() - 10) < 1e-9


def test_one_long_recording_is_a_batch_and_none_is_no_epoch() -> None:
    assert [b.tolist() for b in FrameSampler([9000], 4800, seed=0, shuffle=True)] == [[0]]
    assert list(FrameSampler([], 4800, seed=0, shuffle=True)) == []


@pytest.mark.parametrize(
    ("lengths", "batch_frames", "world_size", "message"),
    [([100], 0, 1, "batch_frames must be >= 1"), ([100], 50, 2, "cannot be divided among 2 processes")],
)
def test_what_cannot_be_is_refused(lengths: list[int], batch_frames: int, world_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameSampler(lengths, batch_frames, seed=0, shuffle=True, world_size=world_size)
