"""Long sound made of a corpus: words with gaps between them, laid into noise, a block at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.data.augmentation.noise import shaped
from phonaut.data.draws import hash_of
from phonaut.data.prepared import UtteranceTable
from phonaut.features.loudness import LEVEL_DBFS, SILENCE_DBFS, level_of

BLOCK_S = 10.0  # of a stream, in memory at once
GAP_S = 4.0  # least time between two words
FADE_S = 0.5  # from one stretch of made noise to the next
STRETCH_S = 60.0  # of made noise

Audio = NDArray[np.float32]
Background = Callable[[int, int], Audio]  # from a sample on, so many


class Insertion(NamedTuple):
    """A recording in a stream.

    Attributes:
        row: of the table.
        start: in the stream, samples.
        n_samples: of it, without zeros around it.
        gain: that it is multiplied by.
        snr_db: above the background.
        word: that it says.
        speaker: who does.
        is_event: it is to be detected.
    """

    row: int
    start: int
    n_samples: int
    gain: float
    snr_db: float
    word: str
    speaker: str
    is_event: bool


@dataclass(frozen=True)
class Stream:
    """Sound with words in it.

    Attributes:
        table: of the words.
        background: under them.
        n_samples: in all.
        insertions: in the order of time.
        level_dbfs: of the background.
    """

    table: UtteranceTable
    background: Background
    n_samples: int
    insertions: Sequence[Insertion]
    level_dbfs: float

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.table.sample_rate)

    @property
    def digest(self) -> str:
        """A hash of what is said when, and of the beginning of the background."""
        about = [(self.table.id(one.row), one.start, round(one.gain, 6)) for one in self.insertions]
        beginning = np.rint(32768 * self.background(0, min(self.n_samples, self.sample_rate))).astype(np.int64)
        return hashlib.blake2b(repr((about, self.n_samples)).encode() + beginning.tobytes(), digest_size=8).hexdigest()

    def sound(self) -> Iterator[Audio]:
        """Blocks of samples `(S,)`."""
        size, waiting = int(BLOCK_S * self.sample_rate), 0
        for begin in range(0, self.n_samples, size):
            block = self.background(begin, min(size, self.n_samples - begin))
            while waiting < len(self.insertions):
                one = self.insertions[waiting]
                if one.start >= begin + len(block):
                    break
                first, last = max(one.start, begin), min(one.start + one.n_samples, begin + len(block))
                clip = spoken(self.table, one.row)[first - one.start : last - one.start]
                block[first - begin : last - begin] += np.float32(one.gain) * clip
                if one.start + one.n_samples > begin + len(block):
                    break
                waiting += 1
            yield block


def spoken(table: UtteranceTable, row: int) -> Audio:
    """An utterance without the zeros that it was padded with."""
    before = int(table.before[row])
    return table.audio(row, before, before + int(table.valid[row]))


def built(
    table: UtteranceTable,
    events: Index,
    others: Index,
    background: Background,
    *,
    minutes: float,
    snr_db: tuple[float, float],
    seed: int,
) -> Stream:
    """A stream in which recordings are laid at random times over a background of one level.

    Gaps are exponential, and `GAP_S` long at least: what is left of the stream beside recordings and least gaps is
    divided as times of a Poisson process divide it. The level of a recording, of its active parts, is that of the
    background and an SNR drawn evenly from `snr_db`. The background is as loud as makes the recordings about as loud
    as they were, or `LEVEL_DBFS` at most.

    Args:
        table: of recordings.
        events: rows to be detected.
        others: rows that are not.
        background: of 0 dBFS.
        minutes: that it lasts.
        snr_db: lowest and highest.
        seed: of all draws.

    Raises:
        ValueError: it is too short for so many recordings.
    """
    rate = int(table.sample_rate)
    rng = np.random.default_rng([seed, hash_of(table.split)])
    rows = rng.permutation(np.concatenate([events, others]))
    clips = [spoken(table, int(row)) for row in rows]
    levels = np.array([max(level_of(clip, rate).dbfs, SILENCE_DBFS) for clip in clips])
    lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
    n_samples = round(60 * minutes * rate)
    left = n_samples - int(lengths.sum()) - (len(rows) + 1) * round(GAP_S * rate)
    if left < 0:
        raise ValueError(f"minutes={minutes:g}: too short for {len(rows)} recordings, {lengths.sum() / rate:.0f} s in "
                         f"all, with {GAP_S:g} s between them")  # fmt: skip
    gaps = rng.exponential(size=len(rows) + 1)
    before = np.cumsum(gaps / gaps.sum() * left)[:-1].astype(np.int64)
    starts = before + np.arange(1, len(rows) + 1) * round(GAP_S * rate) + np.cumsum(lengths) - lengths
    snr = rng.uniform(*snr_db, size=len(rows))
    level = min(float(np.median(levels)), LEVEL_DBFS) - sum(snr_db) / 2
    gains = 10 ** ((level + snr - levels) / 20)
    told = set(events.tolist())
    insertions = [
        Insertion(int(row), int(start), int(n), float(gain), float(one), str(table.word_name(row)),
                  table.speaker_name(row), int(row) in told)
        for row, start, n, gain, one in zip(rows, starts, lengths, gains, snr, strict=True)
    ]  # fmt: skip
    scale = np.float32(10 ** (level / 20))
    return Stream(table, lambda start, n: scale * background(start, n), n_samples, insertions, level)


# --- backgrounds


def made(kind: str, sample_rate: int, seed: int) -> Background:
    """Gaussian noise without end or repetition, of power 1; white or pink."""
    stretch, fade = round(STRETCH_S * sample_rate), round(FADE_S * sample_rate)
    rise = np.sqrt(np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32))
    kept: dict[int, Audio] = {}

    def noise(number: int) -> Audio:
        if number not in kept:
            if len(kept) > 1:
                kept.pop(min(kept))
            white = np.random.default_rng([seed, number, hash_of(kind)]).standard_normal(stretch + fade)
            audio = shaped(white, kind)
            audio[:fade] *= rise
            audio[stretch:] *= np.sqrt(1 - rise**2)
            kept[number] = audio
        return kept[number]

    def background(start: int, n: int) -> Audio:
        out = np.zeros(n, np.float32)
        for number in range(max(0, (start - fade) // stretch), (start + n - 1) // stretch + 1):
            first = number * stretch
            begin, stop = max(start, first), min(start + n, first + stretch + fade)
            if begin < stop:
                out[begin - start : stop - start] += noise(number)[begin - first : stop - first]
        return out

    return background


def recorded(table: UtteranceTable, part: tuple[float, float]) -> tuple[Background, float]:
    """Recordings laid end to end, from one part of their time to another, again and again; and seconds of that.

    One gain for all brings the median level of blocks of ten seconds to 0 dBFS.

    Raises:
        ValueError: they hold nothing but silence.
    """
    ends = np.cumsum(table.n_samples)
    first, last = (round(float(one) * int(ends[-1])) for one in part)
    size = int(BLOCK_S * table.sample_rate)

    def read(at: int, n: int) -> Audio:
        parts, n_left = [], n
        while n_left:
            row = int(np.searchsorted(ends, at, side="right"))
            begin = at - int(ends[row] - table.n_samples[row])
            take = min(n_left, int(ends[row]) - at, last - at)
            parts.append(table.audio(row, begin, begin + take))
            n_left, at = n_left - take, at + take if at + take < last else first
        return np.concatenate(parts)

    blocks = range(first, last, size)
    if last - first < table.sample_rate:
        raise ValueError(f"{table.corpus.name} is too short: a stream needs a second of background for each split")
    levels = [level_of(read(at, min(size, last - at)), table.sample_rate).dbfs for at in blocks]
    heard = [level for level in levels if level >= SILENCE_DBFS]
    if not heard:
        raise ValueError(f"{table.corpus.name} holds nothing but silence, and no background")
    gain = np.float32(10 ** (-float(np.median(heard)) / 20))
    return lambda start, n: gain * read(first + start % (last - first), n), (last - first) / table.sample_rate
