"""Windows of recordings without words that a run takes for one: negatives for the next training."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.disk import Refused, walk
from phonaut.deploy.detection import Track
from phonaut.deploy.listening import Listener
from phonaut.deploy.sound import file_sound
from phonaut.files import atomic_folder, expanded, text_lines, write_text
from phonaut.runs.listening import listener_of
from phonaut.runs.load import LoadedRun

LIST = "mined.csv"  # beside the clips


class Window(NamedTuple):
    """A window that was taken for a word.

    Attributes:
        recording: that it is in.
        start_s: seconds.
        end_s: seconds.
        word: that it was taken for.
        probability: of it, smoothed, at its highest.
    """

    recording: Path
    start_s: float
    end_s: float
    word: str
    probability: float


class Mined(NamedTuple):
    """What was collected.

    Attributes:
        windows: that were kept, the most probable first.
        n_found: that there were.
        hours: that were heard.
        threshold: of the probabilities.
        words: kept windows by what they were taken for.
        passed_over: recordings that could not be heard, and why.
    """

    windows: list[Window]
    n_found: int
    hours: float
    threshold: float
    words: Mapping[str, int]
    passed_over: list[str]


def mine(
    run: LoadedRun,
    folder: Path,
    output: Path,
    *,
    most: int = 100,
    threshold: float | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda text: None,
    **listening: Any,
) -> Mined:
    """Listen to recordings in which no word of a run is said, and write what is taken for one as clips and a list.

    A clip is as long as what a score hears, around the highest probability; no two of a recording overlap. Nothing is
    written where nothing is taken for a word.

    Args:
        run: of keyword spotting.
        folder: of the recordings, in sub-folders too.
        output: that is written: clips, and `mined.csv`, which says where each is from.
        most: clips, the most probable ones of all recordings.
        threshold: least probability; None: that with which `phonaut listen` listens.
        overwrite: replace what is there.
        progress: is told what is listened to.
        **listening: as `listener_of` takes it.

    Raises:
        ValueError: there are no recordings that can be heard, or `output` is there.
    """
    if output.exists() and not overwrite:
        raise ValueError(f"output={output} is there: name another folder, or overwrite=true")
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it is to hold recordings in which no word of the run is said")
    refused = Refused()
    paths = recordings_in(folder, refused)
    if not paths:
        raise ValueError(f"{folder} holds no recordings")
    found, heard_s, passed_over = list[Window](), 0.0, [f"{one['path']}: {one['reason']}" for one in refused.as_list()]
    n_found, listener = 0, listener_of(run, threshold=threshold, **listening)[0]
    progress(listener_of(run, threshold=threshold, **listening)[1])
    for path in paths:
        progress(f"listening to {path}")
        listener, _ = listener_of(run, threshold=threshold, **listening)
        try:
            track = listener.track(file_sound(path, listener.sample_rate))
        except ValueError as error:
            passed_over.append(str(error))
            continue
        heard_s += listener.heard_s
        here = taken_for_words(track, listener, path)
        n_found += len(here)
        found = sorted([*found, *here], key=attrgetter("probability"), reverse=True)[:most]
    if not heard_s:
        raise ValueError(f"nothing in {folder} can be heard; {passed_over[0]}")
    if found:
        with atomic_folder(output) as temporary:
            write(found, temporary, listener.sample_rate)
    words = Counter(one.word for one in found)
    return Mined(found, n_found, heard_s / 3600, listener.detector.threshold, words, passed_over)


def taken_for_words(track: Track, listener: Listener, path: Path) -> list[Window]:
    """The windows of a recording whose probability reaches the threshold, the most probable first; none overlap."""
    length_s, late_s = (listener.settings[key] / 1000 for key in ("window_ms", "smoothing_ms"))
    if not len(track.end_s):
        return []
    words, best = track.probabilities.argmax(axis=1), track.probabilities.max(axis=1)
    end_s = np.maximum(length_s, track.end_s - late_s / 2)  # the middle of what was smoothed
    left, found = np.where(best >= listener.detector.threshold, best, -1.0), list[Window]()
    while left[at := int(left.argmax())] >= 0:
        end, word = float(end_s[at]), listener.detector.words[words[at]]
        found.append(Window(path, end - length_s, end, word, float(best[at])))
        left[np.abs(end_s - end) < length_s] = -1.0
    return found


def write(windows: Sequence[Window], folder: Path, sample_rate: int) -> None:
    """Write clips, and the list of them."""
    import soundfile

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["clip", "recording", "start_s", "end_s", "word", "probability"])
    names = {window: f"{window.recording.stem}_{window.start_s:.2f}_{n:04d}.wav" for n, window in enumerate(windows)}
    for path in dict.fromkeys(window.recording for window in windows):
        mine = [window for window in windows if window.recording == path]
        for window, audio in zip(mine, cut(path, mine, sample_rate), strict=True):
            soundfile.write(folder / names[window], audio, sample_rate, subtype="PCM_16")
    for one in windows:
        times = [f"{time_s:.3f}" for time_s in (one.start_s, one.end_s)]
        table.writerow([names[one], one.recording.resolve(), *times, one.word, f"{one.probability:.4f}"])
    write_text(folder / LIST, text.getvalue())


def cut(path: Path, windows: Sequence[Window], sample_rate: int) -> list[NDArray[np.float32]]:
    """The samples of windows of a recording, which is read block by block; zeros beyond its end."""
    starts = [round(window.start_s * sample_rate) for window in windows]
    clips = [np.zeros(round((one.end_s - one.start_s) * sample_rate), np.float32) for one in windows]
    begin = 0
    for block in file_sound(path, sample_rate):
        for start, clip in zip(starts, clips, strict=True):
            first, last = max(start, begin), min(start + len(clip), begin + len(block))
            if first < last:
                clip[first - start : last - start] = block[first - begin : last - begin]
        begin += len(block)
    return clips


# --- what was trained on is not tested


def recordings_in(folder: Path, refused: Refused | None = None) -> list[Path]:
    """The recordings of a folder and of those in it."""
    return [folder / below / name for below, names in walk(folder, refused or Refused()) for name in names]


def heard_in_training(folder: Path) -> Iterator[Path]:
    """The recordings that negatives in a folder are, or were cut from, as their list says."""
    yield from (path.resolve() for path in recordings_in(folder))
    if (folder / LIST).is_file():
        yield from (Path(row["recording"]) for row in csv.DictReader(text_lines(folder / LIST)) if row.get("recording"))


def check_unheard(negatives: str | None, tested: Sequence[Path], tell: Callable[[str], None]) -> None:
    """Refuse a test on recordings that a run was trained on as negatives.

    Args:
        negatives: `negatives.folder` of the run; None: there is none.
        tested: folders of recordings.
        tell: is told where it cannot be known.

    Raises:
        ValueError: a folder has some.
    """
    if negatives is None or not tested:
        return
    if not expanded(negatives).is_dir():
        tell(f"negatives.folder={negatives} has gone: whether the run was trained on what it is tested on is not known")
        return
    trained = set(heard_in_training(expanded(negatives)))
    for folder in tested:
        if known := sorted(path.name for path in recordings_in(folder) if path.resolve() in trained):
            more = f" and {len(known) - 3} more" if len(known) > 3 else ""
            raise ValueError(f"{folder} has recordings that the run was trained on as negatives, {', '.join(known[:3])}"
                             f"{more}: test on others")  # fmt: skip
