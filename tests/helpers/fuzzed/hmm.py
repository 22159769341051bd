"""Readers of saved estimators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from helpers.fuzz import Reader
from phonaut.hmm import GMM, GMMHMM, GaussianHMM, GenHMM

FRAMES = np.random.default_rng(0).standard_normal((24, 2))


def fitted() -> list[Any]:
    small = {"random_state": 0, "n_iter": 2}
    return [
        GMM(2, random_state=0, tol=1.0).fit(FRAMES),
        GaussianHMM(2, "full", **small).fit(FRAMES),
        GMMHMM(2, 2, transmat_prior=np.full((2, 2), 2.0), **small).fit(FRAMES),
        GenHMM(2, n_couplings=1, n_hidden=2, n_passes=1, **small).fit(FRAMES),
    ]


def without_checksum(path: Path) -> None:
    """As files of before checksums are: damage of arrays gets as far as the checks of parameters."""
    with safe_open(path, framework="np") as file:
        arrays, kind = {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["phonaut"])  # noqa: SIM118
    del kind["checksum"]
    save_file(arrays, path, metadata={"phonaut": json.dumps(kind)})


def files(folder: Path) -> list[Path]:
    paths = []
    for model in fitted():
        for name in ("old", "new"):
            paths.append(folder / f"{type(model).__name__}.{name}.safetensors")
            model.save(paths[-1])
        without_checksum(paths[-2])
    return paths


def loaded(path: Path) -> float:
    """The score that a model gives, so that what was read is put to use."""
    classes: dict[str, Any] = {"GMM": GMM, "GaussianHMM": GaussianHMM, "GMMHMM": GMMHMM, "GenHMM": GenHMM}
    model = classes[path.name.split(".")[0]].load(path)
    # A device that is not there, or a seed that is none, is the user's to give; the parameters are the file's.
    model.device = "cpu"
    return float(model.score(FRAMES))


READERS = {"estimator": Reader(files, loaded)}
