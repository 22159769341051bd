"""MATLAB files as MATLAB writes them, of both versions that are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

CLASSES = {"float64": "double", "float32": "single"}


def write_v5(path: Path, variables: dict[str, Any], **options: Any) -> Path:
    scipy.io.savemat(path, variables, do_compression=True, **options)
    return path


def write_v73(path: Path, variables: dict[str, Any], **options: Any) -> Path:
    """HDF5 behind 512 bytes, axes in reverse, MATLAB's class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            values = np.atleast_2d(np.asarray(value))
            chunks = tuple(min(n, 32) for n in values.T.shape)
            dataset = file.create_dataset(name, data=values.T, chunks=chunks, compression="gzip", **options)
            dataset.attrs["MATLAB_class"] = np.bytes_(CLASSES.get(str(values.dtype), str(values.dtype)))
    with path.open("r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


WRITERS = {"v5": write_v5, "v7.3": write_v73}


def logmel(n_features: int = 12, seed: int = 0, n_utterances: tuple[int, int, int] = (8, 3, 3)) -> dict[str, Any]:
    """Variables of `Logmel_normalized_48Label_Framealigned.mat`, small: a few phones with means of their own."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((49, n_features)) * 3
    variables: dict[str, Any] = {}
    for name, n in zip(("train", "dev", "test"), n_utterances, strict=True):
        said = [[37, *rng.permutation([0, 40, 44, 15, 22]), 37] for _ in range(n)]
        labels = [np.repeat(phones, rng.integers(3, 12, len(phones))) for phones in said]
        every = np.concatenate(labels)
        variables[name] = means[every] + rng.standard_normal((len(every), n_features))
        variables[f"{name}len"] = np.array([[len(one)] for one in labels], float)
        variables[f"{name}_dict"] = every[:, None].astype(float)
    return variables
