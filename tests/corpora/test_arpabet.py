"""Phone times: exact where the answer is built into the input, and where speech itself tells, by espeak-ng."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from phonaut.corpora.arpabet import BY_ACCENT, COMMON, align
from phonaut.corpora.synthetic.espeak import Request, Speech, missing, speak
from phonaut.corpora.synthetic.prompts import PHRASES, SENTENCES
from phonaut.data.phone_labels import PHONES

CMU = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
needs_espeak = pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed")


def spoken(events: list[tuple[int, str]], n: int = 20000, silent: list[tuple[int, int]] | None = None) -> Speech:
    """A loud hum with the given events, and silence where it is asked for."""
    samples = np.full(n, 1000, dtype=np.int16)
    for start, end in silent or []:
        samples[start:end] = 0
    return Speech(samples, 20000, events)


def test_the_phones_are_those_of_the_cmu_dictionary() -> None:
    made = {phone for table in (COMMON, *BY_ACCENT.values()) for phones in table.values() for phone in phones}
    assert sorted(made) == sorted(PHONES) == sorted(CMU.split())


def test_spans_go_from_event_to_event_and_cover_all_samples() -> None:
    speech = spoken([(300, "n"), (2000, "'oU"), (9000, "_:"), (9500, "_")])
    assert align(speech, "en-us") == [("SIL", 0, 300), ("N", 300, 2000), ("OW", 2000, 9000), ("SIL", 9000, 20000)]


def test_a_stop_begins_with_its_closure() -> None:
    speech = spoken([(0, "'a"), (6000, "k"), (8000, "i:")], silent=[(5000, 6000)])
    assert align(speech, "en-us") == [("AE", 0, 5000), ("K", 5000, 8000), ("IY", 8000, 20000)]


def test_silence_before_a_stop_after_a_pause_is_the_pause() -> None:
    speech = spoken([(0, "'a"), (3000, "_:"), (6000, "k"), (8000, "i:")], silent=[(3000, 6000)])
    assert align(speech, "en-us")[1:3] == [("SIL", 3000, 6000), ("K", 6000, 8000)]


def test_silence_before_a_fricative_is_not_its_own() -> None:
    speech = spoken([(0, "'a"), (6000, "s"), (8000, "i:")], silent=[(5500, 6000)])
    assert align(speech, "en-us")[1] == ("S", 6000, 8000)


def test_an_l_without_sound_of_its_own_is_the_end_of_the_vowel() -> None:
    speech = spoken([(0, "'E"), (10000, "l"), (11000, "p")], silent=[(10000, 11000)])  # help
    assert align(speech, "en-us") == [("EH", 0, 5500), ("L", 5500, 10000), ("P", 10000, 20000)]
    speech = spoken([(0, "'E"), (10000, "l"), (10000, "f")])  # elf
    assert align(speech, "en-us") == [("EH", 0, 5500), ("L", 5500, 10000), ("F", 10000, 20000)]


def test_an_l_with_sound_of_its_own_keeps_it() -> None:
    assert align(spoken([(0, "'E"), (8000, "l"), (12000, "i")]), "en-us")[1] == ("L", 8000, 12000)


def test_american_vowels_end_in_their_r_and_british_ones_do_not() -> None:
    car = spoken([(0, "k"), (2000, "'A@"), (12000, "_:")])
    assert align(car, "en-us")[1:3] == [("AA", 2000, 7000), ("R", 7000, 12000)]
    assert align(car, "en-gb")[1] == ("AA", 2000, 12000)


def test_an_r_that_is_sounded_separately_is_not_counted_twice() -> None:
    speech = spoken([(0, "k"), (2000, "'A@"), (8000, "r-"), (10000, "I")])
    assert [label for label, _, _ in align(speech, "en-us")] == ["K", "AA", "R", "IH"]


def test_a_diphthong_has_twice_the_time_of_what_follows_in_it() -> None:
    assert align(spoken([(0, "'aI@"), (9000, "n")]), "en-us")[:2] == [("AY", 0, 6000), ("AH", 6000, 9000)]


def test_the_glide_between_two_vowels_belongs_to_the_first() -> None:
    assert align(spoken([(0, "i"), (3000, ";"), (4000, "@")]), "en-us") == [("IY", 0, 4000), ("AH", 4000, 20000)]


def test_a_phoneme_that_english_lacks_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'y:'"):
        align(spoken([(0, "y:")]), "en-us")


def hiss(audio: NDArray[np.float64], rate: int) -> tuple[float, float]:
    """When the longest stretch with most energy above 3.5 kHz begins and ends: an s, as a spectrogram shows it."""
    size = int(0.008 * rate)
    starts = np.arange(0, len(audio) - size, int(0.001 * rate))
    power = np.abs(np.fft.rfft(audio[starts[:, None] + np.arange(size)] * np.hanning(size))) ** 2
    high = np.fft.rfftfreq(size, 1 / rate) > 3500
    total = power.sum(1)
    hissing = (power[:, high].sum(1) > 0.5 * total) & (total > 1e-4 * total.max())
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hissing.astype(int), [0]])))
    begin, end = max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0])
    return (starts[begin] + size / 2) / rate, (starts[end - 1] + size / 2) / rate


@needs_espeak
@pytest.mark.oracle
@pytest.mark.parametrize(("voice", "accent"), [("en-us+m3", "en-us"), ("en+f2", "en-gb"), ("en-us+klatt4", "en-us")])
def test_an_s_is_where_the_spectrogram_shows_it(voice: str, accent: str) -> None:
    texts = ["yes", "see", "a sun", "ice"]
    for speech in speak([Request(text, voice, rate_wpm=rate) for text in texts for rate in (130, 220)]):
        begin, end = hiss(speech.samples / 32768, speech.sample_rate)
        (s,) = [span for span in align(speech, accent) if span.label == "S"]
        assert begin == pytest.approx(s.start / speech.sample_rate, abs=0.012)
        assert end == pytest.approx(s.end / speech.sample_rate, abs=0.012)


@needs_espeak
@pytest.mark.oracle
@pytest.mark.parametrize("voice", ["en-us+m1", "en-us+f3", "en-us+Andrea"])
def test_pauses_and_closures_are_quiet_and_vowels_are_loud(voice: str) -> None:
    (speech,) = speak([Request("Stop, take a cap up; keep it back.", voice)])
    level = np.abs(speech.samples.astype(float))
    spans = align(speech, "en-us")
    assert [span.start for span in spans] == [0, *[span.end for span in spans[:-1]]]
    assert spans[-1].end == len(level)
    inner = [span for span in spans[1:-1] if span.label == "SIL"]
    assert len(inner) == 2  # the comma and the semicolon
    for span in inner:
        assert level[span.start + 200 : span.end].max() < 0.01 * level.max()
    closures = [b for a, b in pairwise(spans) if b.label in "PK" and a.label in CMU.split()]
    assert len(closures) >= 6
    for span in closures:
        assert level[span.start + 20 : span.start + 250].max() < 0.01 * level.max()
    for span in spans:
        if span.label in ("AA", "EY", "AE", "AH", "IY"):
            assert np.sqrt(np.mean(level[span.start : span.end] ** 2)) > 0.03 * level.max()


@needs_espeak
@pytest.mark.parametrize(("voice", "accent"), [("en-us", "en-us"), ("en", "en-gb")])
def test_each_split_has_all_phones_in_both_accents(voice: str, accent: str) -> None:
    texts = [(split, text) for split, pool in SENTENCES.items() for text in pool] + [("phrases", p) for p in PHRASES]
    heard: dict[str, set[str]] = {}
    for (split, _), speech in zip(texts, speak([Request(text, voice) for _, text in texts]), strict=True):
        heard.setdefault(split, set()).update(span.label for span in align(speech, accent))
    for split in SENTENCES:
        assert heard[split] == {*CMU.split(), "SIL"}, split


def test_no_sentence_is_read_in_two_splits() -> None:
    texts = [text for pool in (*SENTENCES.values(), PHRASES) for text in pool]
    assert len(set(texts)) == len(texts)


@needs_espeak
def test_times_of_samples_agree_with_espeaks_own_milliseconds() -> None:
    """The exact field is marked as internal in espeak's header; the public one is in whole milliseconds."""
    import subprocess
    import sys

    from phonaut.corpora.synthetic import espeak_worker

    script = f"""
import runpy, ctypes
worker = runpy.run_path({espeak_worker.__file__!r}, run_name="worker")
library = worker["Library"]()
times = []
def hear(samples, n, events):
    i = 0
    while events[i].type:
        if events[i].type == 7:
            times.append((events[i].sample, events[i].audio_position))
        i += 1
    return 0
callback = worker["SynthCallback"](hear)
library._lib.espeak_SetSynthCallback(callback)
library.speak(dict(text="one two three", voice="en-us", rate_wpm=175, pitch=50, pitch_range=50, seed=1))
assert len(times) > 8 and all(abs(s / 22.05 - ms) <= 1 for s, ms in times), times
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
