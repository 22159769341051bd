"""A trained run that listens: what hears, smooths and detects, as it follows from the run."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phonaut.data.classes import is_word
from phonaut.deploy.detection import Detection, Detector
from phonaut.deploy.listening import Listener
from phonaut.deploy.microphone import microphone_sound
from phonaut.deploy.pipe import pipe_sound
from phonaut.deploy.scores import LEAST_S, Scores, StatefulScores, WindowedScores
from phonaut.deploy.smoothing import MovingAverage, WordChain
from phonaut.deploy.sound import Sound, file_sound
from phonaut.deploy.streaming import StreamingModel, why_no_stream
from phonaut.features.frames import Frames
from phonaut.files import composed, read_json
from phonaut.runs.run import DETECTION_FILE
from phonaut.tasks.classification import Classification

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun

WINDOW_MS = 1000.0  # where the corpus of a run has clips of no certain length
HOP_MS = 100.0
THRESHOLD = 0.65
LEAST_MS, LONGEST_MS = 1000 * LEAST_S, 60_000.0
MICROPHONE, PIPE = "mic", "-"


def listener_of(
    run: LoadedRun,
    *,
    smoothing: Literal["mean", "hmm"] = "mean",
    smoothing_ms: float = 300.0,
    threshold: float | None = None,
    refractory_ms: float = 1000.0,
    window_ms: float | None = None,
    hop_ms: float | None = None,
    keywords: Sequence[str] = (),
) -> tuple[Listener, str]:
    """A listener for the words of a run, and how it listens, in words.

    Args:
        run: of keyword spotting: causal models go on from hop to hop, all others hear each window anew.
        smoothing: of scores: their mean over `smoothing_ms`, or a chain of words and fillers over them.
        smoothing_ms: see `MovingAverage` and `WordChain`.
        threshold: of the smoothed probability; None: the one that `phonaut evaluate RUN protocol=detection` chose for
            the same settings and weights, else 0.65.
        refractory_ms: after a detection, in which there is no other.
        window_ms: that a score hears; None: that of the run, else as long as the clips of training.
        hop_ms: from one window to the next; None: 100.
        keywords: words to listen for; none: all.

    Raises:
        ValueError: the run spots no words, or a setting is out of range or has no effect.
    """
    config, classes = run.config, list(run.about.get("classes", []))
    if not isinstance(run.task, Classification) or config.target != "keyword":
        what = config.target if isinstance(run.task, Classification) else type(run.task).__name__.lower()
        raise ValueError(f"{run.folder} is of {what}, and spots no words: listen takes a run with target=keyword")
    if isinstance(run.model.front_end, Frames):
        raise ValueError(f"{run.folder} takes frames in place of audio, and hears nothing: train with features=mfcc")
    words = [c for c, name in enumerate(classes) if is_word(name)]
    if not words:
        raise ValueError(f"{run.folder} has no words to listen for: its classes are {', '.join(classes)}")
    keywords = list(map(composed, keywords))
    if strange := [name for name in keywords if name not in classes or not is_word(name)]:
        raise ValueError(f"keywords={','.join(strange)}: {run.folder} knows {', '.join(classes[c] for c in words)}")
    words = [c for c in words if not keywords or classes[c] in keywords]
    if not 0 <= smoothing_ms <= LONGEST_MS:
        raise ValueError(f"smoothing_ms={smoothing_ms:g}: must be from 0 to {LONGEST_MS:g}")
    if window_ms is None:
        window_ms = config.window_ms
    if window_ms is None:
        window_ms = 1000 * run.clip_s if run.clip_s else WINDOW_MS
    elif not LEAST_MS <= window_ms <= LONGEST_MS:
        raise ValueError(f"window_ms={window_ms:g}: must be from {LEAST_MS:g} to {LONGEST_MS:g}")
    scores: Scores
    problem = why_no_stream(run.model)
    if problem is None:
        if hop_ms is not None:
            raise ValueError(f"hop_ms= is of models that hear each window anew, and {run.folder} goes on from hop to "
                             "hop: leave it out")  # fmt: skip
        scores = StatefulScores(StreamingModel(run.model, window_ms=window_ms))
        how = f"hop by hop, a score every {1000 * scores.shift_s:g} ms over the last {window_ms:g} ms"
    else:
        scores = WindowedScores(run.model, window_ms=window_ms, hop_ms=HOP_MS if hop_ms is None else hop_ms)
        how = f"the last {window_ms:g} ms again every {1000 * scores.shift_s:g} ms, since {problem.split(': ')[0]}"
    times = {"shift_s": scores.shift_s, "smoothing_s": smoothing_ms / 1000}
    smooth = MovingAverage(words, **times) if smoothing == "mean" else WordChain(words, len(classes), **times)
    names = [classes[c] for c in words]
    about = {"window_s": (window_ms + smoothing_ms) / 1000, "refractory_s": refractory_ms / 1000}
    settings = {"smoothing": smoothing, "smoothing_ms": smoothing_ms, "refractory_ms": refractory_ms,
                "window_ms": window_ms, "shift_ms": 1000 * scores.shift_s, "words": names}  # fmt: skip
    if threshold is None:
        threshold, whence = chosen_threshold(run.folder, settings)
        how = f"{how}; threshold {threshold:.3g}, {whence}"
    detector = Detector(names, threshold=threshold, **about)
    return Listener(scores, smooth, detector, int(run.model.front_end.sample_rate), settings), how


def chosen_threshold(folder: Path, settings: Mapping[str, Any]) -> tuple[float, str]:
    """The threshold of a run under some settings, and where it is from, in words."""
    kept: dict[str, Any] = read_json(folder / DETECTION_FILE, {})
    chosen = kept.get("threshold")
    if chosen is None:
        return THRESHOLD, f"that of every run: phonaut evaluate {folder} protocol=detection chooses one"
    if chosen["weights"] != digest_of(folder / "model.safetensors"):
        return THRESHOLD, f"that of every run: the weights of {folder} are not those that one was chosen for"
    if other := [key for key, value in settings.items() if chosen["settings"].get(key) != value]:
        return THRESHOLD, f"that of every run: one was chosen with other {' and '.join(other)}"
    return float(chosen["value"]), f"{chosen['how']} ({DETECTION_FILE} of the run)"


def digest_of(path: Path) -> str:
    """A hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def sound_of(source: str, sample_rate: int, pcm_rate: int | None = None) -> Sound:
    """The sound of a file, of standard input (`-`) or of the microphone (`mic`), once it has begun.

    Args:
        source: which.
        sample_rate: that is wanted, Hz.
        pcm_rate: of bare samples from standard input, Hz.

    Raises:
        ValueError: there is none, or `pcm_rate` has no effect.
        OSError: it has ended already.
    """
    if source != PIPE and pcm_rate is not None:
        raise ValueError(f"sample_rate= is of bare samples from standard input (-), and {source} says its own")
    if source == MICROPHONE:
        sound = microphone_sound(sample_rate, lambda text: print(text, file=sys.stderr, flush=True))
    elif source != PIPE:
        sound = file_sound(Path(source), sample_rate)
    elif sys.stdin.isatty():
        raise ValueError("standard input is a terminal: send sound into it (arecord -f S16_LE -r 16000 | phonaut ...)")
    else:
        sound = pipe_sound(sys.stdin.buffer, sample_rate, pcm_rate)  # type: ignore[arg-type]
    return itertools.chain(list(itertools.islice(sound, 1)), sound)


def detections(listener: Listener, sound: Sound) -> Iterator[Detection]:
    """What a listener detects in sound, as soon as it does."""
    for block in sound:
        yield from listener.step(block)
    yield from listener.end()
