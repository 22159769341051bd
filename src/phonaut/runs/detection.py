"""The test on long sound: how many words a run misses, and how many it hears where nobody says one."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from phonaut.checks import refuse
from phonaut.corpora.event_labels import Said, check_times, labelled
from phonaut.corpora.noise import SILENCE, NoiseRecordings
from phonaut.data.augmentation.noise import SLOPES
from phonaut.data.draws import hash_of
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.streams import GAP_S, Background, Stream, built, made, recorded
from phonaut.deploy.listening import Listener
from phonaut.deploy.sound import file_sound
from phonaut.deploy.thresholds import Track, hits, joined, thresholds
from phonaut.files import read_json, sweep, write_json
from phonaut.metrics.intervals import Estimate
from phonaut.metrics.spotting import (
    NEAR_S,
    RULE_OF_THREE,
    Curve,
    Events,
    Time,
    chosen,
    false_alarms_per_hour,
    matched,
    misses,
    time_without,
)
from phonaut.runs.evaluation import copied
from phonaut.runs.listening import DETECTION_FILE, THRESHOLD, digest_of, listener_of
from phonaut.runs.load import LoadedRun, load
from phonaut.runs.run import Run
from phonaut.tasks import build
from phonaut.tasks.classification import find_files, own_corpus

PROTOCOL = "detection"
MINUTES, INSERTIONS = 20.0, 50  # of MLPerf Tiny's streaming wake word (v1.3)
MOST_ERRORS = 8  # likewise, of each kind
RATES = (0.1, 0.5, 1.0)  # false alarms an hour at which misses are told
RECORDED = "recorded"
LEAST_NOISE_S = 120.0  # of a corpus's own noise, to be the background unless another one is asked for
HALVES = {"validation": (0.0, 0.5), "test": (0.5, 1.0)}  # of the time of recorded backgrounds


@dataclass(frozen=True)
class DetectionTest:
    """Streams in which words are to be detected.

    Attributes:
        per_hour: false alarms an hour for which the threshold is chosen.
        minutes: of each built stream; None: 20, or as long as the negatives last.
        insertions: words to be detected in each, and as many others; fewer where the split has fewer recordings.
        snr_db: of words over the background, from and to.
        noise: the background: `white`, `pink`, or `recorded` (what the corpus keeps for the test); None: recorded
            where the corpus keeps two minutes, else pink.
        negatives: a folder of recordings in which nobody says a word of the run: the background.
        streams: a folder of recordings with labels, which are tested in place of a built stream.
        validation_streams: likewise, on which the threshold is chosen.
        seed: of the built streams.
        listening: how the run listens, as `listener_of` takes it.

    Raises:
        ValueError: a number is out of range, or options exclude each other; all at once.
    """

    per_hour: float = 1.0
    minutes: float | None = None
    insertions: int = INSERTIONS
    snr_db: tuple[float, ...] = (5.0, 20.0)
    noise: str | None = None
    negatives: Path | None = None
    streams: Path | None = None
    validation_streams: Path | None = None
    seed: int = 0
    listening: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = (*SLOPES, RECORDED)
        problems = []
        if not 0 < self.per_hour < np.inf:
            problems.append(f"false_alarms={self.per_hour:g}: must be above 0")
        if self.minutes is not None and not 0 < self.minutes <= 60_000:
            problems.append(f"minutes={self.minutes:g}: must be above 0, and at most 60000")
        if self.insertions < 1:
            problems.append(f"insertions={self.insertions}: must be >= 1")
        if len(self.snr_db) != 2 or not -100 <= self.snr_db[0] <= self.snr_db[-1] <= 100:
            got = ",".join(f"{snr:g}" for snr in self.snr_db)
            problems.append(f"snr_db={got}: must be the lowest and the highest, such as 5,20")
        if self.noise is not None and self.noise not in kinds:
            problems.append(f"noise={self.noise}: of a stream, it is {', '.join(kinds[:-1])} or {kinds[-1]}")
        if self.noise is not None and self.negatives is not None:
            problems.append(f"noise={self.noise} and negatives={self.negatives} are both the background: give one")
        refuse(problems)


class Heard(NamedTuple):
    """What a run heard in streams.

    Attributes:
        track: of all streams, laid end to end with gaps.
        begin_s: of each stream in it.
        duration_s: of each stream.
        names: of the streams.
        events: what was to be detected, in the time of the track.
        others: what else was said.
        snr_db: of the events; None: it is not known.
        about: the streams in words.
        digest: of built streams; empty for recordings.
    """

    track: Track
    begin_s: list[float]
    duration_s: list[float]
    names: list[str]
    events: list[Said]
    others: list[Said]
    snr_db: list[float] | None
    about: list[str]
    digest: str

    def where(self, at_s: float) -> dict[str, Any]:
        """The stream of a time, and the time in it."""
        number = max(0, int(np.searchsorted(self.begin_s, at_s, side="right")) - 1)
        return {"stream": self.names[number], "at_s": round(at_s - self.begin_s[number], 2)}


def evaluate_detection(
    folder: Path | str,
    test: DetectionTest,
    overrides: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Run, str]:
    """Choose a threshold on validation streams, and test it on others; both are written into the run.

    Args:
        folder: the run. One that may not be written stays as it is, and the figures are added to a copy.
        test: streams and settings.
        overrides: where the run's corpus lies today, as `phonaut evaluate` takes it.
        progress: called with a line of text.

    Returns:
        The run, or the copy of it, and the name of the figures in `metrics.json` and `detection.json`.

    Raises:
        ValueError: the run spots no words, or streams cannot be made.
    """
    if not os.access(Run(folder).folder, os.W_OK):
        folder = copied(Run(folder).folder)
    loaded = load(folder)
    listener, how = fresh(loaded, test)
    progress(how)
    sweep(loaded.folder)
    prepared = None
    if test.streams is None or test.validation_streams is None:
        config = copy.deepcopy(loaded.config)
        find_files(config, list(overrides))
        prepared = own_corpus(config, loaded.folder)
        build.check_same_recordings(loaded.corpus, prepared, "train again, or name streams= and validation_streams=")
    elif overrides:
        raise ValueError(f"{overrides[0]} has no effect where streams= and validation_streams= are given")
    record = read_json(loaded.folder / DETECTION_FILE, {})
    record["threshold"] = threshold_of(loaded, test, prepared, listener, progress)
    threshold = THRESHOLD if record["threshold"] is None else record["threshold"]["value"]
    name = PROTOCOL if test.streams is None else f"{PROTOCOL}_{test.streams.resolve().name}"
    heard = hear(loaded, test, prepared, "test", progress)
    if heard is None:
        raise ValueError(f"{loaded.folder}: its test split holds none of {', '.join(listener.detector.words)}")
    rates, about = scored(heard, listener, threshold)
    if test.streams is None and test.minutes in (None, MINUTES) and sum(heard.duration_s) == 60 * MINUTES:
        about["mlperf"] = mlperf(about, len(heard.events))
    record.setdefault("streams", {})[name] = about
    write_json(loaded.folder / DETECTION_FILE, record)
    figures = {key: rate.as_dict() for key, rate in rates.items()}
    write_json(loaded.folder / "metrics.json", loaded.run.metrics | {name: figures})
    return loaded.run, name


def fresh(loaded: LoadedRun, test: DetectionTest) -> tuple[Listener, str]:
    """A listener that has heard nothing."""
    return listener_of(loaded, **{"threshold": THRESHOLD, **test.listening})


# --- the threshold


def threshold_of(
    loaded: LoadedRun,
    test: DetectionTest,
    prepared: PreparedCorpus | None,
    listener: Listener,
    progress: Callable[[str], None],
) -> dict[str, Any] | None:
    """The threshold that `detection.json` keeps: chosen on validation streams; None: there are none.

    Raises:
        ValueError: at every threshold there are too many false alarms.
    """
    heard = hear(loaded, test, prepared, "validation", progress)
    if heard is None:
        progress(f"no word of the run in its validation split: the threshold is {THRESHOLD:g}, that of every run")
        return None
    time, events = time_of(heard), events_of(heard, listener)
    curve = curve_of(heard.track, events, listener.detector.refractory_s)
    allowed = int(test.per_hour * time.total + 1e-9)
    at = chosen(curve, allowed)
    held = "" if at is not None else f"; no threshold has only {allowed}"
    at = len(curve.threshold) - 1 if at is None else at
    short = time.total < RULE_OF_THREE / test.per_hour
    n = int(curve.false[at])
    return {
        "value": float(curve.threshold[at]),
        "how": f"chosen on validation streams for {test.per_hour:g} false alarm{'s' * (test.per_hour != 1)} an hour",
        "per_hour": test.per_hour,
        "false_alarms": n,
        "allowed": allowed,
        "hours": time.total,
        "missed": int(curve.missed[at]),
        "n": len(heard.events),
        "note": (f"{time.total:.3g} h are less than 3 / {test.per_hour:g}: {n} bound the rate at "
                 f"{upper(n, time.total):.3g} an hour (95 %){held}" if short else held.removeprefix("; ")),
        "streams": heard.about,
        "digest": heard.digest,
        "settings": listener.settings,
        "weights": digest_of(loaded.folder / "model.safetensors"),
    }  # fmt: skip


def upper(n: int, hours: float) -> float:
    """The 95 % upper bound of a rate after `n` events in some hours; of none, `RULE_OF_THREE / hours`."""
    from scipy.special import gammaincinv

    return float(gammaincinv(n + 1, 0.95)) / hours if n else RULE_OF_THREE / hours


# --- streams


def hear(
    loaded: LoadedRun,
    test: DetectionTest,
    prepared: PreparedCorpus | None,
    split: str,
    progress: Callable[[str], None],
) -> Heard | None:
    """What the run hears in the streams of a split; None where no word of it is said there."""
    folder = test.streams if split == "test" else test.validation_streams
    if folder is not None:
        return heard_in_files(loaded, test, folder, progress)
    assert prepared is not None
    found = stream_of(loaded, test, prepared, split)
    if found is None:
        return None
    stream, about = found
    progress(f"listening to {stream.n_samples / stream.sample_rate / 60:.3g} minutes, {split}")
    listener, _ = fresh(loaded, test)
    rate = stream.sample_rate
    said = [Said(one.word, one.start / rate, (one.start + one.n_samples) / rate, one.speaker)
            for one in stream.insertions]  # fmt: skip
    return Heard(
        track=joined([listener.track(stream.sound())], [0.0]),
        begin_s=[0.0],
        duration_s=[stream.n_samples / rate],
        names=[split],
        events=[word for word, one in zip(said, stream.insertions, strict=True) if one.is_event],
        others=[word for word, one in zip(said, stream.insertions, strict=True) if not one.is_event],
        snr_db=[round(one.snr_db, 1) for one in stream.insertions if one.is_event],
        about=about,
        digest=stream.digest,
    )


def stream_of(
    loaded: LoadedRun, test: DetectionTest, prepared: PreparedCorpus, split: str
) -> tuple[Stream, list[str]] | None:
    """The stream of a split, and what it is in words; None where no word of the run is said there."""
    listener, _ = fresh(loaded, test)
    table = prepared.utterances(split)
    names = [table.word_name(row) for row in range(len(table))]
    words = set(listener.detector.words)
    rng = np.random.default_rng([test.seed, hash_of(split), 1])
    targets = rng.permutation(np.array([row for row, name in enumerate(names) if name in words], dtype=np.int64))
    rest = [row for row, name in enumerate(names) if name is not None and name not in words and name != SILENCE]
    if not len(targets):
        return None
    targets = targets[: test.insertions]
    others = rng.permutation(np.array(rest, dtype=np.int64))[: len(targets)]
    background, minutes, what = background_of(test, prepared, split)
    how = {"minutes": minutes, "snr_db": (test.snr_db[0], test.snr_db[1]), "seed": test.seed}
    stream = built(table, targets, others, background, **how)
    speakers = len({one.speaker for one in stream.insertions if one.is_event})
    low, high = test.snr_db
    return stream, [
        f"{minutes:.3g} minutes, {len(targets)} words of {speakers} {split} speakers and {len(others)} others, "
        f"exponential gaps of at least {GAP_S:g} s, {low:g} to {high:g} dB over the background, seed {test.seed}",
        what,
    ]


def background_of(test: DetectionTest, prepared: PreparedCorpus, split: str) -> tuple[Background, float, str]:
    """The background of a stream, how many minutes it is to last, and what it is in words."""
    rate, minutes = int(prepared.sample_rate), test.minutes or MINUTES
    noise = prepared.utterances("noise_test")
    if test.negatives is not None:
        table = prepare(NoiseRecordings(test.negatives, "negatives"), sample_rate=rate).utterances("noise_test")
        source = f"recordings in {test.negatives}"
    elif test.noise == RECORDED or (test.noise is None and noise.durations_s.sum() >= LEAST_NOISE_S):
        table, source = noise, "what the corpus keeps of its noise for the test"
        if not len(noise):
            raise ValueError(f"noise=recorded: {prepared.name} keeps no noise for the test; negatives=FOLDER names some")
    else:
        kind = test.noise or "pink"
        return made(kind, rate, hash_of(f"{test.seed}/{split}")), minutes, f"background: synthetic, {kind} noise"
    background, seconds = recorded(table, HALVES[split])
    if test.negatives is not None and test.minutes is None:
        minutes = max(minutes, seconds / 60)
    half = "first" if split == "validation" else "second"
    loops = 60 * minutes / seconds
    how = f"looped {loops:.1f} times" if loops > 1.001 else "none of it twice"
    return background, minutes, f"background: {source}, the {half} half of their time, {seconds / 60:.3g} min, {how}"


def heard_in_files(
    loaded: LoadedRun, test: DetectionTest, folder: Path, progress: Callable[[str], None]
) -> Heard:
    """What the run hears in labelled recordings.

    Raises:
        ValueError: recordings or labels cannot be used, or no word of the run is in them.
    """
    words: set[str] = set()
    tracks, begins, durations, names = list[Track](), list[float](), list[float](), list[str]()
    events, others = list[Said](), list[Said]()
    begin = 0.0
    files = list(labelled(folder))
    for path, said in files:
        progress(f"listening to {path}")
        listener, _ = fresh(loaded, test)
        words = set(listener.detector.words)
        track = listener.track(file_sound(path, listener.sample_rate))
        check_times(path, said, listener.heard_s)
        tracks.append(track)
        begins.append(begin)
        durations.append(listener.heard_s)
        names.append(path.name)
        for one in said:
            moved = Said(one.word, begin + one.start_s, begin + one.end_s, one.speaker or path.stem)
            (events if one.word in words else others).append(moved)
        begin += listener.heard_s + listener.detector.refractory_s + 2 * NEAR_S + 1.0
    if not events:
        named = ", ".join(sorted({one.word for one in others})) or "no words"
        raise ValueError(f"{folder}: its labels name {named}, and none of {', '.join(sorted(words))}")
    about = [f"{len(files)} recordings in {folder}, {sum(durations) / 60:.3g} minutes, {len(events)} words and "
             f"{len(others)} others"]  # fmt: skip
    return Heard(joined(tracks, begins), begins, durations, names, events, others, None, about, "")


# --- figures


def events_of(heard: Heard, listener: Listener) -> Events:
    """What was to be detected, as arrays."""
    number = {word: k for k, word in enumerate(listener.detector.words)}
    return Events(
        np.array([number[one.word] for one in heard.events], dtype=np.int64),
        np.array([one.start_s for one in heard.events]),
        np.array([one.end_s for one in heard.events]),
        np.array([one.speaker for one in heard.events], dtype=np.str_),
    )


def time_of(heard: Heard) -> Time:
    """The time in which no word of the run is said."""
    begin, duration = np.array(heard.begin_s), np.array(heard.duration_s)
    said = (np.array([one.start_s for one in heard.events]), np.array([one.end_s for one in heard.events]))
    return time_without((begin, begin + duration), said)


def curve_of(track: Track, events: Events, refractory_s: float) -> Curve:
    """Misses and false alarms at all thresholds that matter, each as the detector would have them."""
    at = thresholds(track)
    missed, false = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    for i, threshold in enumerate(at):
        found = hits(track, float(threshold), refractory_s)
        pairs = int((matched(track.end_s[found.row], found.word, events) >= 0).sum())
        missed[i], false[i] = len(events.word) - pairs, len(found.row) - pairs
    return Curve(at, missed, false)


def scored(heard: Heard, listener: Listener, threshold: float) -> tuple[dict[str, Estimate], dict[str, Any]]:
    """The figures of streams at a threshold and at rates of false alarms, and what `detection.json` keeps of them."""
    events, time = events_of(heard, listener), time_of(heard)
    track, words, hours = heard.track, listener.detector.words, time.total
    found = hits(track, threshold, listener.detector.refractory_s)
    at_s = track.end_s[found.row]
    of_event = matched(at_s, found.word, events)
    missed = ~np.isin(np.arange(len(events.word)), of_event)
    false = of_event < 0
    rates = {"misses": misses(missed, events.speaker),
             "false_alarms_per_hour": false_alarms_per_hour(at_s[false], time)}  # fmt: skip
    curve = curve_of(track, events, listener.detector.refractory_s)
    rates |= at_rates(curve, track, events, hours, listener.detector.refractory_s)
    snr = heard.snr_db or [None] * len(heard.events)
    about = {
        "about": heard.about,
        "digest": heard.digest,
        "threshold": threshold,
        "minutes": round(sum(heard.duration_s) / 60, 3),
        "hours": hours,
        "n": len(missed),
        "n_missed": int(missed.sum()),
        "n_false_alarms": int(false.sum()),
        "curve": thinned(curve),
        "missed": [
            {"word": heard.events[i].word, **heard.where(heard.events[i].start_s), "speaker": heard.events[i].speaker,
             "snr_db": snr[i]} for i in np.flatnonzero(missed)
        ],
        "false_alarms": [
            {"word": words[found.word[d]], **heard.where(float(at_s[d])),
             "probability": round(float(track.probabilities[found.row[d], found.word[d]]), 4),
             "said": said_at(heard, float(at_s[d]))} for d in np.flatnonzero(false)
        ],
    }  # fmt: skip
    return rates, about


def at_rates(curve: Curve, track: Track, events: Events, hours: float, refractory_s: float) -> dict[str, Estimate]:
    """Misses at rates of false alarms for which there are hours enough, and else without any false alarm."""
    rates = {}
    enough = [rate for rate in RATES if hours >= RULE_OF_THREE / rate]
    limits = [(f"misses/{rate:g}_per_hour", rate * hours, f"at most {rate:g} false alarms an hour") for rate in enough]
    if len(enough) < len(RATES):
        bound = f"no false alarm in {hours:.3g} h: fewer than {RULE_OF_THREE / hours:.3g} an hour (95 %, upper bound)"
        limits.append(("misses/no_false_alarm", 0.0, bound))
    for name, n_false, method in limits:
        at = chosen(curve, n_false)
        if at is None:
            continue
        found = hits(track, float(curve.threshold[at]), refractory_s)
        pairs = matched(track.end_s[found.row], found.word, events)
        estimate = misses(~np.isin(np.arange(len(events.word)), pairs), events.speaker)
        rates[name] = estimate._replace(method=f"{method}; threshold {curve.threshold[at]:.3g}, read off this stream")
    return rates


def said_at(heard: Heard, at_s: float) -> str:
    """What was said at the time of a false alarm; empty: nothing."""
    near = [one.word for one in (*heard.events, *heard.others) if one.start_s <= at_s <= one.end_s + NEAR_S]
    return near[-1] if near else ""


def thinned(curve: Curve) -> dict[str, list[float]]:
    """The points of a curve at which an error comes or goes."""
    pairs = np.stack([curve.missed, curve.false])
    changes = np.concatenate([[True], (np.diff(pairs, axis=1) != 0).any(axis=0)]) if len(curve.threshold) else []
    return {name: column[changes].tolist() for name, column in curve._asdict().items()}


def mlperf(about: Mapping[str, Any], n: int) -> dict[str, Any] | None:
    """Whether a stream like that of MLPerf Tiny's streaming wake word is passed; None: it has other numbers."""
    if n != INSERTIONS:
        return None
    return {"most": MOST_ERRORS, "passed": max(about["n_missed"], about["n_false_alarms"]) <= MOST_ERRORS}
