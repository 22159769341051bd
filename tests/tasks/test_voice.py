"""Voices of training speakers, and recordings that are changed as frames were converted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.voices import RATE, by_autocorrelation, voice
from phonaut.features.spectral import MelSpectrogram
from phonaut.files import read_json
from phonaut.models.generators import CVAE
from phonaut.models.window_model import WindowModel
from phonaut.tasks import voice as voices
from phonaut.tasks.voice import pitch_of_value, pitches, revoiced

pytest.importorskip("pyworld")

F0 = {"ann": 210, "bob": 110, "eva": 230, "kim": 150}


def prepared() -> Any:
    """Two recordings of each; nobody knows what kim is."""
    names = sorted(F0)
    table = SimpleNamespace(speaker=np.repeat(np.arange(4), 2), speakers=names,
                            audio=lambda row, start, stop: voice(F0[names[row // 2]])[:stop])  # fmt: skip
    genders = {"ann": "f", "bob": "m", "eva": "f"}
    return SimpleNamespace(utterances=lambda split: table, genders=genders, sample_rate=RATE)


def test_the_pitch_of_a_speaker_and_of_a_gender_is_that_of_their_recordings_and_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pitches(prepared())
    assert sorted(found) == ["gender:f", "gender:m", *(f"speaker:{name}" for name in sorted(F0))]
    for name, f0 in F0.items():
        assert np.exp(found[f"speaker:{name}"].mean) == pytest.approx(f0, rel=0.02)
    assert found["gender:f"].mean == pytest.approx(np.log([210, 230]).mean(), abs=0.02)
    assert found["gender:m"] == found["speaker:bob"]
    kept = pitch_of_value(tmp_path, prepared(), "gender", "f")
    assert kept == found["gender:f"]
    assert read_json(tmp_path / voices.FILE, {})["speaker:bob"] == list(found["speaker:bob"])
    monkeypatch.setattr(voices, "pitches", lambda _: pytest.fail("found again"))
    assert pitch_of_value(tmp_path, prepared(), "gender", "f") == kept
    assert pitch_of_value(tmp_path, prepared(), "label", "a") is None
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"of speaker=bon has a voice; did you mean bob\?"):
        pitch_of_value(tmp_path, prepared(), "speaker", "bon")


def test_a_recording_is_changed_as_much_as_frames_are_and_not_at_all_where_they_are_not() -> None:
    front_end = MelSpectrogram(n_mels=40, n_fft=512, win_length=400, log="natural", top_db=None, f_min=0.0)
    model = WindowModel(
        front_end, CVAE(n_features=40, window_frames=8, channels=(2, 2, 2), hidden_size=4, latent_size=2)
    )
    x = voice(120).astype(np.float32)
    frames = front_end(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0][0]
    louder = frames.clone()
    louder[:, 20:] += 2 * np.log(4)  # of powers, above some 1.6 kHz
    same, changed = (revoiced(model, x, frames.numpy(), after.numpy()) for after in (frames, louder))
    assert by_autocorrelation(same) == pytest.approx(120, rel=0.02)

    def bands(audio: np.ndarray) -> torch.Tensor:
        made = front_end(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[0][0]
        return made[10:-10].mean(dim=0)

    apart = (bands(same) - bands(x))[:20] - (bands(same) - bands(x))[:20].mean()
    assert apart.abs().mean() < 0.35, "nepers of powers, but for the gain"
    gain = bands(changed) - bands(same)
    assert gain[24:34].mean() - gain[4:16].mean() == pytest.approx(2 * np.log(4), abs=0.5)
