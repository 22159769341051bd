"""The noise test: a trained model on test recordings with noise, at several signal-to-noise ratios.

The noise is added to whole recordings before the front end, at the SNR of the whole recording (`add_noise` says how it
is measured), and to nothing that the model was trained on. Its draws are functions of a fixed seed and the utterance:
all runs hear the same noise, at every SNR the same stretch of it at another level.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.checks import refuse
from phonaut.corpora.noise import NoiseRecordings
from phonaut.data.augmentation.mixing import NOISE_KINDS, RECORDED
from phonaut.data.datamodule import SpeechData
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import UtteranceTable
from phonaut.files import read_json, write_json

NOISE_FILE = "noise.json"
WIDEST_DB = 100.0  # beyond, float32 has nothing left of the softer one


@dataclass(frozen=True)
class NoiseTest:
    """Noises and SNRs of a test.

    Attributes:
        kinds: of noise: `white`, `pink`, `brown`, `blue`, `recorded`.
        snr_db: signal-to-noise ratios.
        folder: recordings for `recorded`; None: those that the corpus keeps for the test.

    Raises:
        ValueError: a kind is unknown, or an SNR is no number; all at once.
    """

    kinds: tuple[str, ...]
    snr_db: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
    folder: Path | None = None

    def __post_init__(self) -> None:
        problems = []
        unknown = [kind for kind in self.kinds if kind not in NOISE_KINDS]
        if unknown or not self.kinds:
            problems.append(f"noise is some of {', '.join(NOISE_KINDS)}, got {', '.join(unknown) or 'none'}")
        wrong = [snr for snr in self.snr_db if not (math.isfinite(snr) and abs(snr) <= WIDEST_DB)]
        if wrong or not self.snr_db:
            got = ", ".join(f"{snr:g}" for snr in wrong) or "none"
            problems.append(f"snr_db is from -{WIDEST_DB:g} to {WIDEST_DB:g}, got {got}")
        if self.folder is not None and RECORDED not in self.kinds:
            problems.append(f"noise_folder={self.folder} is for noise={RECORDED}")
        refuse(problems)

    @property
    def conditions(self) -> list[tuple[str, str, float]]:
        """Name, kind and SNR of each condition, such as `white_10_db`; those named twice once."""
        pairs = dict.fromkeys((kind, snr) for kind in self.kinds for snr in sorted(self.snr_db))
        return [(condition(kind, snr_db), kind, snr_db) for kind, snr_db in pairs]

    def recordings(self, data: SpeechData) -> UtteranceTable | None:
        """The noise for `recorded`; None where that is not asked for.

        Raises:
            ValueError: there is none.
        """
        if RECORDED not in self.kinds:
            return None
        if self.folder is not None:
            return prepare(NoiseRecordings(self.folder), sample_rate=int(data.prepared.sample_rate)).utterances(
                "noise_test"
            )
        table = data.prepared.utterances("noise_test")
        if not len(table):
            raise ValueError(
                f"noise={RECORDED} needs recordings of noise, and {data.prepared.name} keeps none for the test: "
                "noise_folder=FOLDER names some of yours, noise=white needs none"
            )
        return table


def about_noise(file: Path, split: str, test: NoiseTest, table: UtteranceTable | None, *, add: bool) -> None:
    """Write down which noise a split was scored in, so that two runs can be asked whether theirs was the same.

    Args:
        file: `noise.json` of the run: split -> kind of noise -> source and digest.
        split: name of the predictions.
        test: the conditions.
        table: recordings of noise, or None.
        add: keep what the file says of other kinds of noise for this split.
    """
    entries: dict[str, Any] = {kind: {"made": True} for kind in test.kinds if kind != RECORDED}
    if table is not None:
        digest = hashlib.blake2b(digest_size=8)
        for row in range(len(table)):
            digest.update(np.ascontiguousarray(table.audio(row)).tobytes())
        entries[RECORDED] = {
            "from": str(test.folder.resolve()) if test.folder else table.corpus.name,
            "seconds": round(float(table.n_samples.sum()) / table.sample_rate, 1),
            "digest": digest.hexdigest(),
        }
    splits: dict[str, Any] = read_json(file, {})
    splits[split] = (splits.get(split, {}) if add else {}) | entries
    write_json(file, splits)


def condition(kind: str, snr_db: float) -> str:
    """The name of a condition.

    >>> condition("white", 10.0), condition("recorded", -2.5)
    ('white_10_db', 'recorded_-2.5_db')
    """
    return f"{kind}_{snr_db:g}_db"


def parsed(name: str) -> tuple[str, float] | None:
    """Kind and SNR of a condition by its name; None where it is no condition of a noise test.

    >>> parsed("white_10_db"), parsed("noise_10_db"), parsed("far")
    (('white', 10.0), ('noise', 10.0), None)
    """
    parts = name.split("_")
    if len(parts) != 3 or parts[2] != "db":
        return None
    try:
        return parts[0], float(parts[1])
    except ValueError:
        return None
