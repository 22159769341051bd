"""Long sound that a run is tested on: streams built of its corpus, or recordings with labels; and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from phonaut.checks import refuse
from phonaut.corpora.event_labels import Said, check_times, labelled
from phonaut.corpora.noise import NoiseRecordings
from phonaut.data.augmentation.noise import SLOPES
from phonaut.data.draws import hash_of
from phonaut.data.preparation.audio import BadRecordingError, duration_s
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.streams import GAP_S, Background, Stream, built, made, recorded
from phonaut.data.utterance import SILENCE
from phonaut.deploy.detection import Track
from phonaut.deploy.listening import Listener
from phonaut.deploy.sound import file_sound
from phonaut.deploy.thresholds import joined
from phonaut.metrics.spotting import NEAR_S
from phonaut.runs.listening import THRESHOLD, listener_of
from phonaut.runs.load import LoadedRun

MINUTES, INSERTIONS = 20.0, 50  # of MLPerf Tiny's streaming wake word (v1.3)
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


def fresh(loaded: LoadedRun, test: DetectionTest) -> tuple[Listener, str]:
    """A listener that has heard nothing."""
    return listener_of(loaded, **{"threshold": THRESHOLD, **test.listening})


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
        return heard_in_files(loaded, test, folder, split, progress)
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
    low, high = test.snr_db
    stream = built(table, targets, others, background, minutes=minutes, snr_db=(low, high), seed=test.seed)
    speakers = len({one.speaker for one in stream.insertions if one.is_event})
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
            raise ValueError(
                f"noise=recorded: {prepared.name} keeps no noise for the test; negatives=FOLDER names some"
            )
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


def check_labels(folder: Path) -> None:
    """Refuse labelled recordings that cannot be used, before hours of them are heard.

    Raises:
        ValueError: a recording has no labels, or labels beyond its end, or is none.
    """
    for path, said in labelled(folder):
        try:
            check_times(path, said, duration_s(path))
        except BadRecordingError as error:
            raise ValueError(f"{path}: {error}") from error


def heard_in_files(
    loaded: LoadedRun, test: DetectionTest, folder: Path, split: str, progress: Callable[[str], None]
) -> Heard:
    """What the run hears in labelled recordings; in those that are tested it may be that nobody says a word.

    Raises:
        ValueError: none of the words that are said there is one of the run, or none is said and a threshold is to be
            chosen.
    """
    tracks, begins, durations, names = list[Track](), list[float](), list[float](), list[str]()
    events, others = list[Said](), list[Said]()
    begin = 0.0
    files = list(labelled(folder))
    words = set(fresh(loaded, test)[0].detector.words)
    named = sorted({one.word for _, said in files for one in said})
    if named and not words.intersection(named):
        raise ValueError(f"{folder}: its labels name {', '.join(named)}, and none of {', '.join(sorted(words))}")
    if not named and split == "validation":
        raise ValueError(f"{folder}: its labels name no words, and a threshold is chosen by what it misses too: "
                         "name it by streams=, and let validation speech choose")  # fmt: skip
    if not named:
        progress(f"no word is said in {folder}: false alarms are told, and no misses")
    if unknown := [word for word in named if word not in words]:
        progress(f"no words of the run, and false alarms where they are detected: {', '.join(unknown)}")
    for path, said in files:
        progress(f"listening to {path}")
        listener, _ = fresh(loaded, test)
        track = listener.track(file_sound(path, listener.sample_rate))
        tracks.append(track)
        begins.append(begin)
        durations.append(listener.heard_s)
        names.append(path.name)
        for one in said:
            moved = Said(one.word, begin + one.start_s, begin + one.end_s, one.speaker or path.stem)
            (events if one.word in words else others).append(moved)
        begin += listener.heard_s + listener.detector.refractory_s + 2 * NEAR_S + 1.0
    about = [f"{len(files)} recordings in {folder}, {sum(durations) / 60:.3g} minutes, {len(events)} words and "
             f"{len(others)} others"]  # fmt: skip
    return Heard(joined(tracks, begins), begins, durations, names, events, others, None, about, "")
