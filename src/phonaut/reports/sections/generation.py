"""What a generator makes: windows beside their reconstructions, draws of its prior, codes in a plane, and players."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phonaut.files import read_arrays
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri, png, read_samples, spectrogram, wav
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.tasks.latents import ATTRIBUTES, FILE, Latents

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARPNESS = 100  # dots per inch
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sound:
    """Something to be heard.

    Attributes:
        title: what it is.
        audio: a WAV file, as data URI.
        picture: its spectrogram, as data URI.
        length_s: seconds.
    """

    title: str
    audio: str
    picture: str
    length_s: float


@dataclass(frozen=True)
class Made:
    """Pictures in data URIs and sounds.

    Attributes:
        grids: split -> its windows above their reconstructions, or alone where the generator has no encoder.
        shape: frames and features of a window.
        reconstructed: there are reconstructions.
        sampled: draws of the prior.
        sampled_for: classes that they were drawn for; empty where they were drawn for none.
        recordings: name, and sounds of a test recording.
        draws: sound of some draws, one after another; None where it cannot be heard.
        why_not: why nothing can be heard.
        top_khz: upper end of the spectrograms.
    """

    grids: dict[str, str]
    shape: tuple[int, int]
    reconstructed: bool
    sampled: str
    sampled_for: bool
    recordings: list[tuple[str, list[Sound]]]
    draws: Sound | None
    why_not: str
    top_khz: float


def render(record: Record) -> Section | None:
    """The section; None where the run kept no samples."""
    labels: list[str] = record.run.model.get("labels", [])
    made = read_samples(record.run, lambda arrays: [made_of(arrays, labels)])
    if not made or not made[0].grids:
        return None
    content = {
        "made": made[0],
        "codes": code_picture(record),
        "angles": angles(record),
        "prior": record.run.config.encoder.run is None,
    }
    links = {"windows": "Windows"} | ({"codes": "Codes"} if content["codes"] else {}) | {"sounds": "Sounds"}
    return Section(rendered("generation.html", content), links)


def made_of(arrays: dict[str, NDArray[Any]], labels: Sequence[str]) -> Made:
    """The arrays of `samples.npz` as pictures and sounds."""
    from phonaut.plots import window_grid

    grids, shape = {}, (0, 0)
    for split in SPLITS:
        if f"{split}/true" not in arrays:
            continue
        rows = {"true": arrays[f"{split}/true"]}
        shape = (rows["true"].shape[1], rows["true"].shape[2])
        if f"{split}/reconstructed" in arrays:
            rows["made"] = arrays[f"{split}/reconstructed"]
        titles = [labels[code] if 0 <= code < len(labels) else "" for code in arrays[f"{split}/label"].tolist()]
        grids[split] = picture(window_grid(rows, titles=titles))
    sampled = arrays.get("sampled")
    names = arrays["sampled_names"].tolist() if sampled is not None else []
    rate = int(arrays["heard/rate"]) if "heard/rate" in arrays else 0
    return Made(
        grids=grids,
        shape=shape,
        reconstructed=any(f"{split}/reconstructed" in arrays for split in SPLITS),
        sampled=picture(window_grid({"": sampled}, titles=names)) if sampled is not None else "",
        sampled_for=any(names),
        recordings=recordings_of(arrays, rate) if rate else [],
        draws=sound("drawn", arrays["heard/sampled"], rate) if rate else None,
        why_not=str(arrays.get("heard/why_not", "")),
        top_khz=min(8.0, rate / 2000),
    )


def recordings_of(arrays: dict[str, NDArray[Any]], rate: int) -> list[tuple[str, list[Sound]]]:
    """Name and sounds of each recording."""
    found = []
    changes = arrays["heard/changes"].tolist()
    for i, name in enumerate(arrays["heard/names"].tolist()):
        titles = {"original": "original", "reconstructed": "reconstructed", "converted": f"converted to {changes[i]}"}
        sounds = [
            sound(title, arrays[f"heard/{i}/{what}"], rate)
            for what, title in titles.items()
            if f"heard/{i}/{what}" in arrays
        ]
        found.append((str(name), sounds))
    return found


def sound(title: str, samples: NDArray[np.int16], rate: int) -> Sound:
    """Samples of 16 bits as a player."""
    audio = samples.astype(np.float32) / np.float32(32768)
    pixels = data_uri("image/png", png(spectrogram(audio, rate)))
    return Sound(title, data_uri("audio/wav", wav(audio, rate)), pixels, len(audio) / rate)


def picture(figure: Figure) -> str:
    """A figure as PNG in a data URI."""
    from phonaut.plots import png as drawn

    return data_uri("image/png", drawn(figure, dpi=SHARPNESS))


@dataclass(frozen=True)
class Angles:
    """`|cos|` between directions of attributes.

    Attributes:
        picture: all of them, as data URI.
        across: mean between a speaker and a label; None where one has no directions.
        random: mean between random directions.
        random_high: their 95 % quantile.
        size: of the codes.
    """

    picture: str
    across: float | None
    random: float
    random_high: float
    size: int


def angles(record: Record) -> Angles | None:
    """Angles between directions of attributes; None where the run keeps no codes, or there are fewer than two."""
    from phonaut.metrics.generation import direction_cosines
    from phonaut.plots import cosine_matrix

    if not (record.run.folder / FILE).exists():
        return None
    latents = Latents(record.run.folder)
    names, directions = latents.directions()
    if len(names) < 2:
        return None
    cosines, random = direction_cosines(directions), latents.random_cosines()
    of = {kind: [i for i, name in enumerate(names) if name.startswith(f"{kind} ")] for kind in ("speaker", "label")}
    across = cosines[np.ix_(of["speaker"], of["label"])]
    return Angles(
        picture(cosine_matrix(cosines, names)),
        float(np.nanmean(across)) if across.size and not np.isnan(across).all() else None,
        float(random.mean()),
        float(np.quantile(random, 0.95)),
        directions.shape[1],
    )


def code_picture(record: Record) -> str:
    """Codes of training windows in a plane, by label, speaker and gender; empty where the run keeps none.

    Raises:
        ValueError: the file is damaged.
    """
    from phonaut.plots import code_map

    path = record.run.folder / FILE
    if not path.exists():
        return ""
    arrays = read_arrays(path)
    try:
        groups = {name: arrays[f"of/{name}"].tolist() for name in ATTRIBUTES}
        return picture(code_map(arrays["codes"], groups))
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it") from error
