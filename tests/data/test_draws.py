"""Draws are what they claim to be: uniform or normal, independent, and a function of their name alone."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from phonaut.data.draws import mix, normal, nth_key, uniform

KEYS = np.arange(20_000, dtype=np.uint64)  # neighbouring keys: the worst that a hash can be given


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_the_hash_is_splitmix64() -> None:
    # First outputs for state 1234567, as published with the reference implementation (Vigna, splitmix64.c).
    states = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("n", [1, 3])
def test_uniform_draws_are_uniform(n: int) -> None:
    draws = uniform(KEYS, seed=1, epoch=2, stream="a", n=n)
    assert draws.min() >= 0
    assert draws.max() < 1
    for column in draws.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_normal_draws_are_normal() -> None:
    draws = normal(KEYS, seed=1, epoch=2, stream="a", n=3)
    assert draws.shape == (len(KEYS), 3)
    for column in draws.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    assert abs(correlation(draws[:, 0], draws[:, 1])) < 0.03
    assert abs(correlation(draws[:, 0] ** 2, draws[:, 1] ** 2)) < 0.03  # a pair shares its radius, yet is independent


def test_neighbouring_names_have_nothing_in_common() -> None:
    draws = uniform(KEYS, seed=1, epoch=2, stream="a", n=2)
    assert abs(correlation(draws[1:], draws[:-1])) < 0.03
    assert abs(correlation(draws[:, 1], draws[:, 0])) < 0.03
    assert len(np.unique(draws)) == draws.size
    others = {
        "next epoch": uniform(KEYS, seed=1, epoch=3, stream="a", n=2),
        "next seed": uniform(KEYS, seed=2, epoch=2, stream="a", n=2),
        "seed and epoch swapped": uniform(KEYS, seed=2, epoch=1, stream="a", n=2),
        "next stream": uniform(KEYS, seed=1, epoch=2, stream="b", n=2),
        "next part": uniform(nth_key(KEYS, np.ones(len(KEYS), np.int64)), seed=1, epoch=2, stream="a", n=2),
    }
    for name, other in others.items():
        assert abs(correlation(other, draws)) < 0.03, name
        assert not np.isin(other, draws).any(), name


def test_pairs_of_draws_fill_the_square() -> None:
    draws = uniform(KEYS, seed=0, epoch=0, stream="a", n=2)
    counts, _, _ = np.histogram2d(draws[:, 0], draws[:, 1], bins=20, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_a_draw_does_not_depend_on_its_company() -> None:
    together = uniform(KEYS, seed=5, epoch=1, stream="x", n=4)
    order = np.random.default_rng(0).permutation(len(KEYS))
    assert (uniform(KEYS[order], seed=5, epoch=1, stream="x", n=4) == together[order]).all()
    assert (uniform(KEYS[7:8], seed=5, epoch=1, stream="x", n=2) == together[7:8, :2]).all()
    assert (
        normal(KEYS[7:8], seed=5, epoch=1, stream="x", n=3) == normal(KEYS, seed=5, epoch=1, stream="x", n=5)[7:8, :3]
    ).all()


def test_draws_are_those_of_plain_integer_arithmetic() -> None:
    def word_of(text: str) -> int:
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    def splitmix64(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    key = word_of("bed/00176480_nohash_0")
    state = splitmix64(key ^ word_of("3/14/level"))
    expected = [(splitmix64((state + i * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53 for i in (1, 2)]
    draws = uniform(np.array([key], np.uint64), seed=3, epoch=14, stream="level", n=2)
    assert draws.tolist() == [expected]


def test_part_zero_keeps_the_key_of_its_cut() -> None:
    assert (nth_key(KEYS, np.zeros(len(KEYS), np.int64)) == KEYS).all()


def test_keys_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"uint64, got int64: reinterpret"):
        uniform(np.arange(3), seed=0, epoch=0, stream="a")  # type: ignore[arg-type]
