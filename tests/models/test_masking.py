"""Masked positions match the stated statistics, recording by recording and whatever else is in the batch."""

from math import comb

import numpy as np
import pytest

from phonaut.data.draws import uniform
from phonaut.models.masking import ZERO, Draws, frequency_mask, time_mask


def draws(keys: np.ndarray, epoch: int = 0) -> Draws:
    return lambda stream, n: uniform(keys, seed=0, epoch=epoch, stream=stream, n=n)


def keys(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def runs_of(chosen: np.ndarray) -> list[tuple[int, int]]:
    """First frame and length of each stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize(("n_frames", "consecutive"), [(800, 7), (267, 3), (27, 3), (80, 7), (5, 7), (1, 3)])
def test_fifteen_per_cent_of_the_frames_are_masked_in_spans(n_frames: int, consecutive: int) -> None:
    n = 4000
    lengths = np.full(n, n_frames)
    mask = time_mask(lengths, draws(keys(n)), mask_length=consecutive)
    shares = mask.masked.mean(axis=1)
    assert abs(shares.mean() - 0.15) < 4 * shares.std() / n**0.5 + 1e-12
    run = min(consecutive, n_frames)
    for chosen in mask.masked[:200]:
        assert all(length % run == 0 for _, length in runs_of(chosen)), "runs are whole; two may touch"
    wanted = 0.15 * n_frames / run
    assert set((mask.masked.sum(axis=1) // run).tolist()) <= {int(wanted), int(wanted) + 1}


def test_any_layout_of_runs_is_as_likely_as_any_other() -> None:
    n, n_frames, run = 60_000, 9, 3
    # 0.15 * 9 / 3 runs at a share of 0.15; a share of 2 / 3 gives two runs, of which there are C(5, 2) layouts
    mask = time_mask(np.full(n, n_frames), draws(keys(n)), mask_prob=2 / 3 + 1e-9, mask_length=run)
    two = mask.masked[mask.masked.sum(axis=1) == 6]
    layouts, counts = np.unique(two, axis=0, return_counts=True)
    # runs at 0 and 3 look like runs that touch elsewhere only if they cover the same frames, which they never do
    assert len(layouts) == comb(5, 2)
    expected = len(two) / len(layouts)
    assert ((counts - expected) ** 2 / expected).sum() < 27.9, "chi-squared of 9 degrees, p = 0.001"


def test_of_the_runs_four_fifths_become_zero_and_a_tenth_is_replaced() -> None:
    n, n_frames, run = 3000, 700, 7
    mask = time_mask(np.full(n, n_frames), draws(keys(n)), mask_length=run)
    own = np.arange(n_frames)
    first = mask.masked & ~np.roll(mask.masked, 1, axis=1)  # of a stretch; runs that touch would need their own starts
    lone = [(i, start) for i in range(n) for start, length in runs_of(mask.masked[i]) if length == run]
    assert first.sum() >= len(lone)
    sources = np.array([mask.source[i, start : start + run] for i, start in lone])
    frames = np.array([own[start : start + run] for _, start in lone])
    zero = (sources == ZERO).all(axis=1)
    kept = (sources == frames).all(axis=1)
    replaced = ~zero & ~kept
    for found, share in ((zero.mean(), 0.8), (kept.mean(), 0.1 + 0.1 / (n_frames - run + 1)), (replaced.mean(), 0.1)):
        assert abs(found - share) < 4 * (share * (1 - share) / len(lone)) ** 0.5
    steps = np.diff(sources[replaced], axis=1)
    assert (steps == 1).all(), "a run is replaced by as many frames in a row"
    places = sources[replaced][:, 0]
    assert places.min() >= 0
    assert places.max() <= n_frames - run
    assert abs(places.mean() - (n_frames - run) / 2) < 4 * n_frames / 12**0.5 / len(places) ** 0.5


def test_what_is_not_masked_stays_and_padding_is_never_touched() -> None:
    lengths = np.array([50, 17, 1, 33])
    mask = time_mask(lengths, draws(keys(4)), mask_prob=0.5, mask_length=4)
    own = np.tile(np.arange(50), (4, 1))
    assert (mask.source[~mask.masked] == own[~mask.masked]).all()
    for i, n in enumerate(lengths):
        assert not mask.masked[i, n:].any()
        assert (mask.source[i, :n] < n).all()


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_no_share_and_every_share_can_be_laid_out(share: float) -> None:
    lengths = np.arange(1, 30)
    mask = time_mask(lengths, draws(keys(29)), mask_prob=share, mask_length=4)
    for i, n in enumerate(lengths.tolist()):
        run = min(4, n)
        assert mask.masked[i].sum() <= min(n, share * n + run)
        assert mask.masked[i].sum() >= min(share * n - run, n // run * run)
        assert not mask.masked[i, n:].any()


def test_a_mask_belongs_to_its_recording_and_epoch_alone() -> None:
    lengths = np.array([50, 90, 71])
    three = keys(3)
    together = time_mask(lengths, draws(three))
    for i in range(3):
        alone = time_mask(lengths[i : i + 1], draws(three[i : i + 1]))
        assert (together.masked[i, : lengths[i]] == alone.masked[0]).all()
        assert (together.source[i, : lengths[i]] == alone.source[0]).all()
    other = time_mask(lengths, draws(three, epoch=1))
    assert (other.source != together.source).any()


def test_blocks_of_features_have_all_widths_and_places_alike() -> None:
    n, n_bins = 40_000, 20
    hidden = frequency_mask(n, n_bins, draws(keys(n)), max_fraction=0.2)
    widths = hidden.sum(axis=1)
    counts = np.bincount(widths, minlength=6)
    assert counts[5] == 0
    assert (abs(counts[:5] / n - 0.2) < 4 * (0.16 / n) ** 0.5).all()
    assert all(len(runs_of(row)) <= 1 for row in hidden[:500]), "neighbours"
    starts = hidden[widths == 4].argmax(axis=1)
    counts = np.bincount(starts, minlength=17)
    assert len(counts) == 17
    expected = counts.sum() / 17
    assert ((counts - expected) ** 2 / expected).sum() < 39.3, "chi-squared of 16 degrees, p = 0.001"
