"""Reconstructions of a pre-trained encoder: masked input, prediction and truth as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri, png, read_samples
from phonaut.reports.record import Record
from phonaut.reports.sections import Section


@dataclass(frozen=True)
class Example:
    """A recording as pictures, PNGs in data URIs, the lowest feature at the bottom.

    Attributes:
        name: of the cut.
        seen: masked input of the encoder; a dark line below marks the frames that count.
        predicted: output of the head.
        truth: unmasked frames.
        n_frames: number of frames.
    """

    name: str
    seen: str
    predicted: str
    truth: str
    n_frames: int


def render(record: Record) -> Section | None:
    """The section; None where there are no examples."""
    shown = read_samples(record.run, pictures)
    return Section(rendered("reconstructions.html", {"examples": shown}), {"examples": "Examples"}) if shown else None


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
