"""The synthetic speakers: which voices of espeak-ng they have, and what is each one's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

# Ten variants of espeak-ng 1.52 a line: those that train, validate and test. All can be understood: of ten words of
# each, eight to ten were recognised by dynamic time warping to other variants. Of those that sound almost the same one
# is here, and those that are rather alike train.
BLOCKS = (
    ("m1, f2, Mike, m3, linda, Gene, max", "f4", "m2, f1"),
    ("m6, aunty, rob, robert, f5, Michael, gustave", "m4", "antonio, Andrea"),
    ("adam, Reed, anika, m7, Nguyen, edward, john", "sandro", "m5, david"),
    ("grandma, klatt4, boris, iven, Marco, croak, grandpa", "Annie", "Jacky, belinda"),
    ("benjamin, mike2, Diogo, steph, ed, Mario, caleb", "Mr serious", "Storm, pablo"),
    ("Andy, pedro, shelby, travis, ian, klatt, Denis", "marcelo", "victor, m8"),
    ("kaukovalta, AnxiousAndy, paul, f3, klatt3, zac, iven4", "Alex", "quincy, Tweaky"),
)
WOMEN = "f1 f2 f3 f4 f5 Andrea Annie anika aunty belinda linda steph shelby grandma zac"

ACCENTS = {"en-us": "en-us", "en-gb": "en"}  # accent -> espeak-ng's voice
ORDER = [
    (variant, split)
    for block in BLOCKS
    for split, variants in zip(("train", "validation", "test"), block, strict=True)
    for variant in variants.split(", ")
]
MIN_SPEAKERS = len(ORDER) // len(BLOCKS)
MAX_SPEAKERS = 2 * len(ORDER)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A synthetic speaker.

    Attributes:
        name: unique: the variant and the accent.
        split: where this voice is heard, when splits are by speaker.
        accent: `en-us` or `en-gb`.
        voice: of espeak-ng.
        tract: factor on all frequencies, as by a vocal tract shorter by it; time is divided by it.
        rate_wpm: habitual words a minute, before `tract`.
        pitch: habitual pitch, relative to the voice.
        pitch_range: habitual liveliness.
    """

    name: str
    split: str
    accent: str
    voice: str
    tract: float
    rate_wpm: int
    pitch: int
    pitch_range: int


def generator(seed: int, name: str) -> np.random.Generator:
    """The random numbers of `name`: they do not depend on what else is drawn."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def speakers(n: int, seed: int) -> list[Speaker]:
    """The first `n` speakers, of whom 70 % train, 10 % validate and 20 % test; no variant is in two splits.

    Each variant speaks as two people, once with each accent: their vocal tracts differ by 8 to 16 %, and pitch, rate
    and liveliness are drawn anew. The second ones come after all first ones.
    """
    return [_speaker(i % len(ORDER), i // len(ORDER), seed) for i in range(n)]


def _speaker(index: int, person: int, seed: int) -> Speaker:
    variant, split = ORDER[index]
    woman = variant in WOMEN.split()
    shared = generator(seed, f"variant/{variant}")
    # Women's variants have raised formants already.
    longer = shared.uniform(0.86, 0.93) if woman else shared.uniform(0.88, 0.98)
    shorter = longer * (shared.uniform(1.08, 1.12) if woman else shared.uniform(1.10, 1.16))
    accent = list(ACCENTS)[(index + person) % 2]
    name = f"{variant.replace(' ', '_').lower()}_{accent[-2:]}"
    draws = generator(seed, f"speaker/{name}")
    return Speaker(
        name=name,
        split=split,
        accent=accent,
        voice=f"{ACCENTS[accent]}+{variant}",
        tract=float((longer, shorter)[(int(shared.integers(2)) + person) % 2]),
        rate_wpm=int(draws.integers(145, 200)),
        pitch=int(draws.integers(32, 66)),
        pitch_range=int(draws.integers(30, 75)),
    )
