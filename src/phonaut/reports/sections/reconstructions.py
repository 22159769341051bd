"""Reconstructions of a pre-trained encoder: masked input, prediction and truth as pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.metrics import Estimate
from phonaut.models.guesses import MEAN, NEIGHBOUR
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri, png, read_samples
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.reports.sections.mistakes import Sound, excerpt, find

LONGEST_S = 15.0  # of what is played of a recording


@dataclass(frozen=True)
class Example:
    """A recording as pictures, PNGs in data URIs, the lowest feature at the bottom.

    Attributes:
        name: of the cut.
        seen: masked input of the encoder; a dark line below marks the frames that count.
        predicted: output of the head.
        truth: unmasked frames.
        n_frames: number of frames.
        sound: the recording; None where the audio has gone.
    """

    name: str
    seen: str
    predicted: str
    truth: str
    n_frames: int
    sound: Sound | None = None


@dataclass(frozen=True)
class Guess:
    """The loss of a simple guess, and what it is."""

    what: str
    rate: Estimate


def render(record: Record) -> Section | None:
    """The section; None where there are no examples."""
    shown, no_sound = with_sounds(record, read_samples(record.run, pictures))
    if not shown:
        return None
    loss = record.main.rates.get("loss")
    content = {"examples": shown, "no_sound": no_sound, "loss": loss, "guesses": guesses(record) if loss else []}
    return Section(rendered("reconstructions.html", content), {"examples": "Examples"})


def guesses(record: Record) -> list[Guess]:
    """What guesses without a network would lose on the same frames; none of runs that did not write it down."""
    ahead = "n_future" in (record.run.config.objective or {})
    words = {MEAN: "the mean frame of the recording",
             NEIGHBOUR: "the present frame" if ahead else "the nearest frame that is not hidden"}  # fmt: skip
    stored = record.run.model.get("guesses", {})
    return [Guess(words[name], Estimate(**stored[name])) for name in words if name in stored]


def with_sounds(record: Record, shown: list[Example]) -> tuple[list[Example], str]:
    """Examples with their recordings, and the reason where they cannot be played."""
    if record.prepared is None or not shown:
        return shown, record.why_not
    if record.prepared.frames is not None:
        return shown, "this corpus has frames, and no sound"
    table = record.prepared.utterances("validation")
    rows = find(table, [one.name for one in shown])
    try:
        sounds = {
            name: excerpt(table, row, 0.0, table.n_samples[row] / table.sample_rate, len(shown), longest_s=LONGEST_S)
            for name, row in rows.items()
        }
    except (ValueError, OSError) as error:  # damaged since: the pictures stand without it
        return shown, str(error)
    gone = "" if sounds else f"{record.prepared.folder} holds another corpus than the one that was seen"
    return [replace(one, sound=sounds.get(one.name)) for one in shown], gone


def pictures(arrays: dict[str, NDArray[Any]]) -> list[Example]:
    """Pictures of the arrays of `samples.npz`."""
    ends = np.cumsum(arrays["lengths"])[:-1]
    parts = {name: np.split(arrays[name], ends) for name in ("seen", "predicted", "truth", "chosen")}
    names = [str(name) for name in arrays["cuts"].tolist()]
    return [
        Example(name, picture(seen, chosen), picture(predicted, chosen), picture(truth, chosen), len(seen))
        for name, seen, predicted, truth, chosen in zip(names, *parts.values(), strict=True)
    ]


def picture(frames: NDArray[Any], chosen: NDArray[np.bool_]) -> str:
    """Normalised frames `(T, D)` as a picture, with a line below that is dark at the frames that count."""
    levels = np.clip((frames.astype(np.float64) + 2.0) / 5.0, 0, 1)  # from -2 to 3 standard deviations
    line = np.repeat(chosen[None].astype(np.float64), max(1, frames.shape[1] // 40), axis=0)
    return data_uri("image/png", png(np.concatenate([levels.T[::-1], line])))
