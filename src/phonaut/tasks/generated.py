"""What a run of generation keeps to be seen and heard: draws of its prior, test recordings rebuilt and converted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import spread
from phonaut.features.loudness import level_for, playable
from phonaut.tasks.conversion import Change, Conversion, change_of
from phonaut.tasks.latents import Latents

if TYPE_CHECKING:
    from phonaut.data.frame_windows import WindowData
    from phonaut.models.speech_model import SpeechModel
    from phonaut.models.window_model import WindowModel

N_DRAWN = 24  # windows that are seen
N_SOUNDING = 12  # of them are heard
N_RECORDINGS = 3
SAMPLES = 360_000  # of all that is heard: less than 1 MB on a page
PAUSE_S = 0.15  # between windows that are heard one after another


def drawn(model: WindowModel, seed: int, draw: Callable[[Tensor], Tensor] | None = None) -> dict[str, NDArray[Any]]:
    """Windows of the generator's own prior, as the front end gives frames, `(n, T, D)`; of no class where it has them.

    Of a conditional generator each is drawn for the next of its classes and speakers. In place of the prior, `draw`
    may give windows for conditions, `(n, K) -> (n, T, D)`.
    """
    n, unknown = N_DRAWN, torch.full((N_DRAWN,), -1)
    labels = torch.arange(n) % len(model.labels) if model.labels else unknown
    speakers = torch.arange(n) % len(model.speakers) if model.speakers else unknown
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        condition = model.condition(labels, speakers)
        windows = model.network.sample(n, condition, rng) if draw is None else draw(condition)
        frames: NDArray[np.float32] = model.restored(windows).numpy()
    names = [model.labels[code] if code >= 0 else "" for code in labels.tolist()]
    return {"sampled": frames, "sampled_names": np.array(names, np.str_)}


def heard(model: WindowModel, data: WindowData, latents: Latents | None, sampled: NDArray[Any]) -> dict[str, Any]:
    """Sounds as samples of 16 bits, all at one loudness; or the reason why there are none.

    Args:
        model: that is trained.
        data: of its corpus.
        latents: mean codes of its training windows; None: it has no encoder.
        sampled: windows that it drew, `(n, T, D)`.
    """
    if why_not := model.inaudible or ("" if data.prepared.frames is None else "this corpus has frames, and no sound"):
        return {"heard/why_not": np.array(why_not, np.str_)}
    rate = int(model.front_end.sample_rate)
    sounds: dict[str, NDArray[np.float32]] = {}
    names, changes = [], []
    sounds["sampled"] = one_after_another(model, sampled[:N_SOUNDING])[: SAMPLES // 4]
    rows = chosen_rows(data) if latents is not None else []
    table = data.prepared.utterances("test")
    for i, row in enumerate(rows):
        assert latents is not None
        longest = SAMPLES * 3 // 4 // (3 * len(rows))
        audio = table.audio(row, 0, min(int(table.n_samples[row]), longest))
        with torch.inference_mode():
            frames = model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[0][0]
        name, change = conversion(model, latents, data, table.speaker_name(row))
        sounds[f"{i}/original"] = playable(audio, rate, level_dbfs=level_for(audio, rate))
        unchanged = None if change is None else change.heard
        sounds[f"{i}/reconstructed"] = model.audio(model.rebuilt(frames, heard=unchanged).numpy(), phase_of=audio)
        if change is not None:
            made = model.rebuilt(frames, **change._asdict())
            sounds[f"{i}/converted"] = model.audio(made.numpy(), phase_of=audio)
        names.append(f"{table.id(row)}")
        changes.append(name)
    arrays: dict[str, Any] = {
        "heard/rate": np.array(rate),
        "heard/names": np.array(names, np.str_),
        "heard/changes": np.array(changes, np.str_),
    }
    return arrays | {f"heard/{name}": np.rint(one * 32767).astype(np.int16) for name, one in sounds.items()}


def one_after_another(model: SpeechModel, windows: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Audio `(S,)` of windows `(T, D)`, with pauses after each."""
    pause = np.zeros(round(PAUSE_S * model.front_end.sample_rate), np.float32)
    return np.concatenate([part for one in windows for part in (model.audio(one), pause)])


def chosen_rows(data: WindowData) -> list[int]:
    """Some test utterances with windows, of as many speakers as there are."""
    rows = np.unique(data.windows("test").row)
    if not len(rows):
        return []
    table = data.prepared.utterances("test")
    speakers = np.array([table.speaker_name(row) for row in rows.tolist()], np.str_)
    firsts = np.sort(rows[np.unique(speakers, return_index=True)[1]])
    of = firsts if len(firsts) >= N_RECORDINGS else rows
    found: list[int] = of[spread(len(of), N_RECORDINGS)].tolist()
    return found


def conversion(model: WindowModel, latents: Latents, data: WindowData, speaker: str) -> tuple[str, Change | None]:
    """To what a recording of a speaker is converted for the page, and how; None where there is nothing else.

    To the other gender where genders are known, else to the voice of a speaker of training.
    """
    for attribute, truth in (("gender", data.prepared.genders.get(speaker, "")), ("speaker", speaker)):
        names = latents.names(attribute)
        others = [name for name in names if name != truth]
        if len(names) < 2 or (attribute == "gender" and truth not in names):
            continue
        source = f"{attribute}:{truth}" if truth in names else None
        target = Conversion(f"{attribute}:{others[0]}")
        return f"{attribute} {others[0]}", change_of(model, latents, target, source=source)
    return "", None
