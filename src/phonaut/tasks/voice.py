"""Conversion with pitch: WORLD changes a recording as frames were converted, and to the pitch of training speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array, spread
from phonaut.data.prepared import PreparedCorpus
from phonaut.features.inversion import magnitudes
from phonaut.features.loudness import level_for, playable
from phonaut.features.spectral import Spectrogram
from phonaut.features.world import Pitch, changed, fundamental, missing, pitch_of
from phonaut.files import read_json, write_json
from phonaut.models.window_model import WindowModel
from phonaut.names import did_you_mean

FILE = "pitch.json"
N_RECORDINGS = 10  # of each speaker
LONGEST_S = 10.0  # of each of them
FLOOR = 1e-4  # of the largest magnitude of a recording, below which frames change nothing


def revoiced(
    model: WindowModel,
    audio: NDArray[np.float32],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    *,
    source: Pitch | None = None,
    target: Pitch | None = None,
) -> NDArray[np.float32]:
    """A recording `(S,)` by WORLD, its envelope changed as much as frames are by a conversion; ready to be heard.

    Args:
        model: a generator.
        audio: the recording, `(S,)`.
        before: its frames, reconstructed, `(T, D)`.
        after: its frames, converted, `(T, D)`.
        source: its pitch; None: as it is found.
        target: the pitch that it gets; None: the same.

    Raises:
        ValueError: what is generated cannot be heard, or WORLD is not installed.
    """
    if model.inaudible:
        raise ValueError(f"what is generated cannot be heard: {model.inaudible}")
    front_end = model.front_end
    assert isinstance(front_end, Spectrogram)
    n = front_end.n_features // (1 + front_end.options.deltas)
    frames = torch.from_numpy(np.stack([before, after])[:, :, :n])
    first, second = magnitudes(front_end, frames).double().numpy()
    floor = max(FLOOR * float(first.max(initial=0.0)), float(np.finfo(np.float32).tiny))
    made = changed(
        audio,
        int(front_end.sample_rate),
        ratio=np.log((second + floor) / (first + floor)),
        ratio_times=front_end.frame_offset_s + front_end.frame_shift_s * np.arange(len(before)),
        source=source,
        target=target,
    )
    return playable(made, front_end.sample_rate, level_dbfs=level_for(audio, front_end.sample_rate))


def pitch_of_value(folder: Path, prepared: PreparedCorpus, attribute: str, name: str) -> Pitch | None:
    """The pitch of a training speaker, or of all of a gender; None: it is of a label, which has none.

    It is found with WORLD the first time that it is asked for, and kept in `pitch.json` of the run.

    Args:
        folder: of the run.
        prepared: its corpus.
        attribute: `speaker`, `gender` or `label`.
        name: of the speaker, or `f` or `m`.

    Raises:
        ValueError: WORLD is not installed, nobody of that name is in training, or none of them has a voice.
    """
    if attribute == "label":
        return None
    if why_not := missing():
        raise ValueError(why_not)
    found = read_json(folder / FILE, dict[str, list[float]]())
    if f"{attribute}:{name}" not in found:
        found = {key: list(pitch) for key, pitch in pitches(prepared).items()}
        write_json(folder / FILE, found)
    if f"{attribute}:{name}" not in found:
        names = [key.partition(":")[2] for key in found if key.startswith(f"{attribute}:")]
        raise ValueError(f"no training recording of {attribute}={name} has a voice{did_you_mean(name, names)}")
    mean, deviation = found[f"{attribute}:{name}"]
    return Pitch(mean, deviation)


def pitches(prepared: PreparedCorpus) -> dict[str, Pitch]:
    """The pitch of each training speaker and gender, by some recordings of each speaker."""
    table, of = prepared.utterances("train"), dict[str, list[Array]]()
    rate = int(prepared.sample_rate)
    for code in np.unique(table.speaker[table.speaker >= 0]).tolist():
        rows, name = np.flatnonzero(table.speaker == code), table.speakers[code]
        f0 = [fundamental(table.audio(row, 0, round(LONGEST_S * rate)), rate)[0]
              for row in rows[spread(len(rows), N_RECORDINGS)].tolist()]  # fmt: skip
        of.setdefault(f"speaker:{name}", []).extend(f0)
        if gender := prepared.genders.get(name):
            of.setdefault(f"gender:{gender}", []).extend(f0)
    every = {key: pitch_of(np.concatenate(f0)) for key, f0 in of.items()}
    return {key: pitch for key, pitch in every.items() if pitch is not None}
