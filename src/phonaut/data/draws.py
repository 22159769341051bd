"""Random draws that belong to an utterance: functions of (seed, epoch, utterance, stream, index) and of nothing else.

A generator with a state gives each utterance what its place in the order happens to be worth. Here the state is the
name of the draw itself, hashed (a counter-based generator: Salmon et al. 2011, "Parallel random numbers: as easy as 1,
2, 3"). So order, batch size, workers, processes and resuming change no draw.

The hash is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: steps of the SplitMix64 counter


def mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: a bijection of 64 bits in which every input bit flips half of the output bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hash_of(text: str) -> int:
    """64 bits that are the same on every machine.

    >>> hash_of("bed/0_nohash_0")
    17712680856301673444
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


@lru_cache(maxsize=1024)
def origin(seed: int, epoch: int, stream: str) -> np.uint64:
    """One word for (seed, epoch, stream), to be joined with the keys."""
    return np.uint64(hash_of(f"{seed}/{epoch}/{stream}"))


def words(keys: NDArray[np.uint64], *, seed: int, epoch: int, stream: str, n: int = 1) -> NDArray[np.uint64]:
    """`(B, n)` random words of 64 bits; `uniform` says what the arguments are."""
    if keys.dtype != np.uint64:
        raise ValueError(f"keys of draws are uint64, got {keys.dtype}: reinterpret with keys.view(numpy.uint64)")
    start = mix(keys ^ origin(seed, epoch, stream))
    steps = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA))[None, :]
    return mix(start[:, None] + steps)


def uniform(keys: NDArray[np.uint64], *, seed: int, epoch: int, stream: str, n: int = 1) -> NDArray[np.float64]:
    """Uniform draws in [0, 1), of 53 bits.

    Args:
        keys: one per utterance, `(B,)` uint64: a hash of its id.
        seed: of the run.
        epoch: of training.
        stream: what the draw is for; draws of different streams are independent.
        n: draws per key; the first m of n draws are those of n = m.

    Returns:
        `(B, n)` float64.

    Raises:
        ValueError: keys of another type.

    >>> keys = np.array([1, 2, 3], dtype=np.uint64)
    >>> draws = uniform(keys, seed=0, epoch=7, stream="level")
    >>> bool((draws[1:] == uniform(keys[1:], seed=0, epoch=7, stream="level")).all())
    True
    """
    mantissas = words(keys, seed=seed, epoch=epoch, stream=stream, n=n) >> np.uint64(11)
    return mantissas.astype(np.float64) * 2.0**-53


def normal(keys: NDArray[np.uint64], *, seed: int, epoch: int, stream: str, n: int = 1) -> NDArray[np.float64]:
    """Standard normal draws `(B, n)` by the method of Box and Muller (1958); arguments as for `uniform`.

    `sqrt(-2 ln u) cos(2 pi v)` and `sqrt(-2 ln u) sin(2 pi v)` for each pair of uniform `u` in (0, 1] and `v`.
    """
    pairs = uniform(keys, seed=seed, epoch=epoch, stream=stream, n=2 * ((n + 1) // 2))
    radius = np.sqrt(-2.0 * np.log1p(-pairs[:, 0::2]))
    angle = 2.0 * np.pi * pairs[:, 1::2]
    draws = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return draws.reshape(len(keys), -1)[:, :n]


def nth_key(keys: NDArray[np.uint64], n: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of the parts of utterances, `(B,)`: part 0 has the key of its utterance, the others have further keys."""
    return keys + n.astype(np.uint64) * np.uint64(GOLDEN_GAMMA)
