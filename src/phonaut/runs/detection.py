"""The test on long sound: how many words a run misses, and how many it hears where nobody says one."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.data.prepared import PreparedCorpus
from phonaut.deploy.detection import Track
from phonaut.deploy.listening import Listener
from phonaut.deploy.thresholds import hits, thresholds
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
from phonaut.runs.listening import THRESHOLD, digest_of
from phonaut.runs.load import LoadedRun, load
from phonaut.runs.mining import check_unheard
from phonaut.runs.run import DETECTION_FILE, Run
from phonaut.runs.streams import INSERTIONS, MINUTES, DetectionTest, Heard, check_labels, fresh, hear
from phonaut.tasks import build
from phonaut.tasks.classification import find_files, own_corpus

PROTOCOL = "detection"
MOST_ERRORS = 8  # of each kind, in a stream like that of MLPerf Tiny
RATES = (0.1, 0.5, 1.0)  # false alarms an hour at which misses are told


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
    for own in filter(None, (test.streams, test.validation_streams)):
        check_labels(own)
    tested = [folder for folder in (test.streams, test.validation_streams, test.negatives) if folder is not None]
    check_unheard(loaded.config.negatives.folder, tested, progress)
    prepared = None
    if test.streams is None or test.validation_streams is None:
        config = copy.deepcopy(loaded.config)
        find_files(config, list(overrides))
        prepared = own_corpus(config, loaded.folder)
        build.check_same_recordings(loaded.corpus, prepared, "train again, or name streams= and validation_streams=")
    elif overrides:
        raise ValueError(f"{overrides[0]} has no effect where streams= and validation_streams= are given")
    kept = threshold_of(loaded, test, prepared, listener, progress)
    name = PROTOCOL if test.streams is None else f"{PROTOCOL}_{test.streams.resolve().name}"
    heard = hear(loaded, test, prepared, "test", progress)
    if heard is None:
        raise ValueError(f"{loaded.folder}: its test split holds none of {', '.join(listener.detector.words)}")
    rates, about = scored(heard, listener, kept["value"] if kept else THRESHOLD)
    if test.streams is None and test.minutes in (None, MINUTES) and sum(heard.duration_s) == 60 * MINUTES:
        about["mlperf"] = mlperf(about, len(heard.events))
    before: dict[str, Any] = read_json(loaded.folder / DETECTION_FILE, {})
    streams = before.get("streams", {}) | {name: about}
    write_json(loaded.folder / DETECTION_FILE, {"threshold": kept, "streams": streams})
    figures = {key: rate.as_dict() for key, rate in rates.items()}
    write_json(loaded.folder / "metrics.json", loaded.run.metrics | {name: figures})
    return loaded.run, name


# --- the threshold


def threshold_of(
    loaded: LoadedRun,
    test: DetectionTest,
    prepared: PreparedCorpus | None,
    listener: Listener,
    progress: Callable[[str], None],
) -> dict[str, Any] | None:
    """The threshold that `detection.json` keeps, chosen on validation streams; None: no word of the run is in them."""
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
        "how": f"chosen on validation streams for {in_words(test.per_hour)}",
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


def in_words(per_hour: float) -> str:
    """A rate.

    >>> in_words(1.0), in_words(0.5)
    ('1 false alarm an hour', '0.5 false alarms an hour')
    """
    return f"{per_hour:g} false alarm{'s' * (per_hour != 1)} an hour"


def upper(n: int, hours: float) -> float:
    """The 95 % upper bound of a rate after `n` events in some hours; of none, `RULE_OF_THREE / hours`."""
    from scipy.special import gammaincinv

    return float(gammaincinv(n + 1, 0.95)) / hours if n else RULE_OF_THREE / hours


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
    """The time in which no word of the run is said.

    Raises:
        ValueError: there is none.
    """
    begin, duration = np.array(heard.begin_s), np.array(heard.duration_s)
    said = (np.array([one.start_s for one in heard.events]), np.array([one.end_s for one in heard.events]))
    time = time_without((begin, begin + duration), said)
    if not time.total:
        raise ValueError(f"words are said all the time in {', '.join(heard.names)}: there is none for false alarms")
    return time


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
    curve = curve_of(track, events, listener.detector.refractory_s)
    rates = {"misses": misses(missed, events.speaker)} if len(missed) else {}
    rates["false_alarms_per_hour"] = false_alarms_per_hour(at_s[false], time)
    if len(missed):
        rates |= at_rates(curve, track, events, hours, listener.detector.refractory_s)
    snr: Sequence[float | None] = heard.snr_db or [None] * len(heard.events)
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
        **({} if len(missed) else {"from": from_where(curve, hours)}),
        "missed": [
            {"word": heard.events[i].word, **heard.where(heard.events[i].start_s), "speaker": heard.events[i].speaker,
             "snr_db": snr[i]} for i in np.flatnonzero(missed).tolist()
        ],
        "false_alarms": [
            {"word": words[found.word[d]], **heard.where(float(at_s[d])),
             "probability": round(float(track.probabilities[found.row[d], found.word[d]]), 4),
             "said": said_at(heard, float(at_s[d]))} for d in np.flatnonzero(false)
        ],
    }  # fmt: skip
    return rates, about


def limits(hours: float) -> list[tuple[str, float, str]]:
    """Rates of false alarms for which there are hours enough, and else none at all: name, number, and in words."""
    enough = [rate for rate in RATES if hours >= RULE_OF_THREE / rate]
    found = [(f"{rate:g}_per_hour", rate * hours, f"at most {in_words(rate)}") for rate in enough]
    if len(enough) < len(RATES):
        bound = f"no false alarm in {hours:.3g} h: fewer than {RULE_OF_THREE / hours:.3g} an hour (95 %, upper bound)"
        found.append(("no_false_alarm", 0.0, bound))
    return found


def from_where(curve: Curve, hours: float) -> list[dict[str, Any]]:
    """The lowest threshold at which false alarms are as few as each of `limits`, and few at all above it."""
    worst = np.maximum.accumulate(curve.false[::-1])[::-1]
    return [
        {"threshold": float(curve.threshold[may[0]]), "how": how}
        for _, n_false, how in limits(hours)
        if len(may := np.flatnonzero(worst <= n_false))
    ]


def at_rates(curve: Curve, track: Track, events: Events, hours: float, refractory_s: float) -> dict[str, Estimate]:
    """Misses at rates of false alarms for which there are hours enough, and else without any false alarm."""
    rates = {}
    for name, n_false, method in limits(hours):
        at = chosen(curve, n_false)
        if at is None:
            continue
        found = hits(track, float(curve.threshold[at]), refractory_s)
        pairs = matched(track.end_s[found.row], found.word, events)
        estimate = misses(~np.isin(np.arange(len(events.word)), pairs), events.speaker)
        rates[f"misses/{name}"] = estimate._replace(
            method=f"{method}; threshold {curve.threshold[at]:.3g}, read off this stream"
        )
    return rates


def said_at(heard: Heard, at_s: float) -> str:
    """What was said at the time of a false alarm; empty: nothing."""
    near = [one.word for one in (*heard.events, *heard.others) if one.start_s <= at_s <= one.end_s + NEAR_S]
    return near[-1] if near else ""


def thinned(curve: Curve) -> dict[str, list[float]]:
    """The points of a curve at which an error comes or goes."""
    pairs = np.stack([curve.missed, curve.false])
    changes = np.concatenate([[True], (np.diff(pairs, axis=1) != 0).any(axis=0)])
    return {name: column[changes].tolist() for name, column in curve._asdict().items()}


def mlperf(about: Mapping[str, Any], n: int) -> dict[str, Any] | None:
    """Whether a stream like that of MLPerf Tiny's streaming wake word is passed; None: it has other numbers."""
    if n != INSERTIONS:
        return None
    return {"most": MOST_ERRORS, "passed": max(about["n_missed"], about["n_false_alarms"]) <= MOST_ERRORS}
