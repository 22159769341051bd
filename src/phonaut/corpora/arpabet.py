"""ARPAbet phones and their times from the phoneme events of espeak-ng.

The phones are the 39 of the CMU Pronouncing Dictionary without stress, and `SIL` for pauses. espeak-ng says where each
of its phonemes begins, with four habits that are put right here:

- The closure of a stop comes before its event, as digital silence. Phoneticians count it with the stop.
- Some vowels have a second phone in them (`A@` in *car*: AA R). They are divided where the formants turn: in the
  middle, after a diphthong at two thirds.
- An *l* between a vowel and a consonant sounds as the end of that vowel, and its event comes after its sound.
- `;`, the glide between two vowels, is no phone of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.synthetic.espeak import Speech

SILENCE = "SIL"
GLIDE = ";"
STRESS_MARKS = "',%="
CLOSED = frozenset(["P", "B", "T", "D", "K", "G", "CH", "JH"])
DIPHTHONGS = frozenset(["AY", "AW", "OY", "EY", "OW"])
VOWELS = frozenset(["AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW"]) | DIPHTHONGS

QUIET = 0.006  # of the peak: above espeak's echo turned down to 1/256, below its weakest consonant (f, 0.7 % rms)
MIN_CLOSURE_S = 0.005
MIN_L_S = 0.015  # a shorter one is the last cycle of the vowel
ONSET_S = 0.002  # a burst may begin so much before its event
L_SHARE = 0.45  # of a vowel, where the second formant has gone down to that of the l (0.31 to 0.5 in eight words)


def _table(entries: str) -> dict[str, tuple[str, ...]]:
    words = entries.split()
    return {mnemonic: tuple(phones.split("+")) for mnemonic, phones in zip(words[::2], words[1::2], strict=True)}


COMMON = _table("""
    p P  b B  t T  t# T  t2 T  d D  k K  g G  ? T  x K  tS CH  dZ JH
    f F  v V  T TH  D DH  s S  z Z  S SH  Z ZH  h HH
    m M  n N  n- N  N NG  l L  l# L  l/ L  l/2 L  r R  r- R  r/ R  j Y  w W  w# W
    i: IY  i IY  I IH  I2 IH  I# IH  E EH  a AE  A: AA  0 AA  O2 AA  O AO  O: AO
    V AH  @ AH  @2 AH  @5 AH  @- AH  a# AH  U UH  u: UW  3: ER
    eI EY  aI AY  OI OY  aU AW  oU OW  @L AH+L  i@ IY+AH
""")
# espeak-ng's own IPA names for these vowels, in its phoneme files ph_english_us and ph_english, have the second phone.
BY_ACCENT = {
    "en-us": _table(
        "aa AE  3 ER  A@ AA+R  O@ AO+R  o@ AO+R  e@ EH+R  i@3 IH+R  U@ UH+R  aI@ AY+AH  aI3 AY+ER  aU@ AW+ER"
    ),
    "en-gb": _table("aa AA  3 AH  A@ AA  O@ AO  o@ AO  e@ EH  i@3 IY+AH  U@ UH+AH  aI@ AY+AH  aI3 AY+AH  aU@ AW+AH"),
}


class Span(NamedTuple):
    """A phone and its samples, `start <= i < end`."""

    label: str
    start: int
    end: int


def align(speech: Speech, accent: str) -> list[Span]:
    """The phones of `speech`, without gaps from its first sample to its last.

    Args:
        speech: what espeak-ng said, echo turned down.
        accent: a key of `BY_ACCENT`.

    Returns:
        Spans of at least one sample; what comes before the first phone and the pauses are `SIL`.

    Raises:
        ValueError: espeak-ng used a phoneme that English words do not have.
    """
    spans = _label(speech, COMMON | BY_ACCENT[accent])
    spans = _close_stops(spans, speech.samples, speech.sample_rate)
    spans = _sound_l(spans, speech.sample_rate)
    merged: list[Span] = []
    for span in spans:
        if span.end == span.start:
            continue
        if merged and merged[-1].label == span.label == SILENCE:
            merged[-1] = merged[-1]._replace(end=span.end)
        else:
            merged.append(span)
    return merged


def _label(speech: Speech, table: dict[str, tuple[str, ...]]) -> list[Span]:
    """Spans from event to event, with vowels divided."""
    n = len(speech.samples)
    events = [(start, name.strip(STRESS_MARKS)) for start, name in speech.events]
    events = [(start, name) for start, name in events if name != GLIDE]
    ends = [start for start, _ in events[1:]] + [n]
    following = [name for _, name in events[1:]] + ["_"]
    spans = [Span(SILENCE, 0, events[0][0] if events else n)]
    for (start, name), end, after in zip(events, ends, following, strict=True):
        if name.startswith("_"):
            spans.append(Span(SILENCE, start, end))
            continue
        phones = table.get(name)
        if phones is None:
            raise ValueError(f"espeak-ng used its phoneme {name!r}, which has no ARPAbet phone; take another word")
        if phones[-1] == "R" and table.get(after) == ("R",):
            phones = phones[:-1]  # before a vowel the r is a phoneme of its own
        spans += _divide(phones, start, end)
    return spans


def _divide(phones: Sequence[str], start: int, end: int) -> list[Span]:
    """`phones` from `start` to `end`; a diphthong is given twice the time of another."""
    weights = np.cumsum([0] + [1 + (len(phones) > 1 and phone in DIPHTHONGS) for phone in phones])
    cuts = start + (end - start) * weights // weights[-1]
    return [Span(phone, int(a), int(b)) for phone, a, b in zip(phones, cuts[:-1], cuts[1:], strict=True)]


def _close_stops(spans: list[Span], samples: NDArray[np.int16], sample_rate: int) -> list[Span]:
    """Begin each stop that follows a phone where the silence before it begins."""
    level = np.abs(samples.astype(np.int32))
    loud = np.flatnonzero(level > QUIET * max(1, level.max(initial=0)))
    result: list[Span] = []
    for span in spans:
        # Behind it there may be an l that begins in this very silence.
        if span.label in CLOSED and result and result[-1].label != SILENCE:
            before = np.searchsorted(loud, span.start - int(ONSET_S * sample_rate))
            closure = int(loud[before - 1]) + 1 if before else 0
            if span.start - closure >= MIN_CLOSURE_S * sample_rate:
                result = [Span(s.label, min(s.start, closure), min(s.end, closure)) for s in result]
                span = span._replace(start=closure)
        result.append(span)
    return result


def _sound_l(spans: list[Span], sample_rate: int) -> list[Span]:
    """Give each l that has no sound of its own the end of the vowel before it."""
    result: list[Span] = []
    for span in spans:
        silent = span.end - span.start < MIN_L_S * sample_rate
        if span.label == "L" and silent and result and result[-1].label in VOWELS:
            vowel = result[-1]
            turn = vowel.end - int(L_SHARE * (vowel.end - vowel.start))
            result[-1] = vowel._replace(end=turn)
            span = span._replace(start=turn)
        result.append(span)
    return result
