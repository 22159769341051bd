"""Codes of a generator's training windows: where each speaker, class and gender lies among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array, spread
from phonaut.files import read_arrays, write_arrays
from phonaut.names import did_you_mean, some

if TYPE_CHECKING:
    from phonaut.data.frame_windows import WindowData
    from phonaut.models.window_model import WindowModel

FILE = "latents.npz"
N_KEPT = 4000  # codes
ATTRIBUTES = ("label", "speaker", "gender")
MOST = {"gender": 2, "speaker": 10, "label": 12}  # directions that are compared
N_RANDOM = 1000  # directions, for what is small among them


def write_latents(folder: Path, model: WindowModel, data: WindowData) -> None:
    """Keep mean codes of each label, speaker and gender of the training windows, and some codes by themselves."""
    windows, table = data.windows("train"), data.prepared.utterances("train")
    codes = []
    with torch.inference_mode():
        for batch in map(model.windows, windows.batches()):
            codes.append(model.network.encode(batch.frames, batch.condition).numpy())
    found = np.concatenate(codes)
    genders = data.prepared.genders
    speakers = [table.speaker_name(row) for row in windows.row.tolist()]
    columns = {
        "label": np.array([data.labels[code] if code >= 0 else "" for code in windows.labels.tolist()], np.str_),
        "speaker": np.array(speakers, np.str_),
        "gender": np.array([genders.get(name, "") for name in speakers], np.str_),
    }
    kept = spread(len(found), N_KEPT)
    arrays: dict[str, NDArray[Any]] = {"codes": found[kept]}
    for attribute, column in columns.items():
        names = np.unique(column[column != ""])
        arrays[f"of/{attribute}"] = column[kept]
        arrays[f"names/{attribute}"] = names
        arrays[f"means/{attribute}"] = np.array(
            [found[column == name].mean(axis=0) for name in names], np.float32
        ).reshape(len(names), found.shape[1])
        arrays[f"counts/{attribute}"] = np.array([int((column == name).sum()) for name in names], np.int64)
    write_arrays(folder / FILE, arrays)


class Latents:
    """The mean codes that a run keeps.

    Args:
        folder: of the run.

    Raises:
        ValueError: it keeps none, or the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        if not path.exists():
            raise ValueError(f"{folder} keeps no codes of its training windows: its generator has no encoder")
        self.arrays = read_arrays(path)
        wanted = ["codes", *(f"{part}/{name}" for part in ("names", "means") for name in ATTRIBUTES)]
        if missing := [name for name in wanted if name not in self.arrays]:
            raise ValueError(f"{path} is damaged: it has no {', '.join(missing)}")

    def names(self, attribute: str) -> list[str]:
        """The values of an attribute that training windows have."""
        found: list[str] = self.arrays[f"names/{attribute}"].tolist()
        return found

    def mean(self, attribute: str, name: str) -> Array:
        """The mean code of the training windows of a value, `(Z,)`.

        Raises:
            ValueError: no window has it.
        """
        names = self.names(attribute)
        if name not in names:
            near = did_you_mean(name, names)
            raise ValueError(f"no training window has {attribute}={name}{near}; they have {some(names)}")
        mean: Array = self.arrays[f"means/{attribute}"][names.index(name)].astype(np.float64)
        return mean

    def directions(self) -> tuple[list[str], Array]:
        """From the mean of all windows to that of a gender, a speaker, a label, as of Hsu et al. 2017: `(A, Z)`.

        Those with most windows; of two genders there is one direction, from one to the other.
        """
        names, found = list[str](), list[Array]()
        centre = self.arrays["codes"].mean(axis=0)
        for attribute, most in MOST.items():
            values, means = self.names(attribute), self.arrays[f"means/{attribute}"].astype(np.float64)
            counts = self.arrays.get(f"counts/{attribute}", np.ones(len(values)))
            if attribute == "gender":
                if len(values) == 2:
                    names.append(f"{values[0]} to {values[1]}")
                    found.append(means[1] - means[0])
                continue
            kept = np.sort(np.argsort(-counts, kind="stable")[:most])
            if len(values) > 1:
                names += [f"{attribute} {values[k]}" for k in kept]
                found += [means[k] - centre for k in kept]
        return names, np.array(found).reshape(len(found), self.arrays["codes"].shape[1])

    def random_cosines(self) -> Array:
        """`|cos|` between pairs of random directions that vary as codes do, `(N,)`: what is small among attributes.

        Differences of means of random windows are such directions; of codes that vary in few directions, even these
        are near each other.
        """
        codes = self.arrays["codes"].astype(np.float64)
        drawn = np.random.default_rng(0).standard_normal((2 * N_RANDOM, len(codes))) @ (codes - codes.mean(axis=0))
        a, b = drawn[:N_RANDOM], drawn[N_RANDOM:]
        norms = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
        cosines: Array = np.abs((a * b).sum(axis=1)) / np.maximum(norms, np.finfo(float).tiny)
        return cosines

    def move(self, attribute: str, origin: str | None, target: str) -> Array:
        """From the mean of one value to that of another, `(Z,)`; None: from that of all windows."""
        start = self.arrays["codes"].mean(axis=0) if origin is None else self.mean(attribute, origin)
        return np.asarray(self.mean(attribute, target) - start, dtype=np.float64)
