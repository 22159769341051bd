"""Codes of a generator's training windows: where each speaker, class and gender lies among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.data.frame_windows import spread
from phonaut.files import read_arrays, write_arrays
from phonaut.names import did_you_mean

if TYPE_CHECKING:
    from phonaut.data.frame_windows import WindowData
    from phonaut.models.window_model import WindowModel

FILE = "latents.npz"
N_KEPT = 4000  # codes
ATTRIBUTES = ("label", "speaker", "gender")


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
            shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "") or "none"
            raise ValueError(f"no training window has {attribute}={name}{did_you_mean(name, names)}; they have {shown}")
        mean: Array = self.arrays[f"means/{attribute}"][names.index(name)].astype(np.float64)
        return mean

    def move(self, attribute: str, origin: str | None, target: str) -> Array:
        """From the mean of one value to that of another, `(Z,)`; None: from that of all windows."""
        start = self.arrays["codes"].mean(axis=0) if origin is None else self.mean(attribute, origin)
        return np.asarray(self.mean(attribute, target) - start, dtype=np.float64)
