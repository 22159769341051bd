"""A corpus that trains in seconds: three pure tones, spoken by eight 'speakers' of their own level and detuning."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
TONES_HZ = {"low": 300.0, "middle": 900.0, "high": 2500.0}


def write_tones(folder: Path, n_speakers: int = 8, n_takes: int = 4, words: dict[str, float] = TONES_HZ) -> Path:
    rng = np.random.default_rng(0)
    seconds = np.arange(RATE // 2) / RATE
    for word, hz in words.items():
        (folder / word).mkdir(parents=True)
        for speaker in range(n_speakers):
            for take in range(n_takes):
                tone = 0.2 * np.sin(2 * np.pi * hz * (1 + 0.02 * speaker) * seconds)
                audio = tone + 0.01 * rng.standard_normal(len(seconds))
                soundfile.write(folder / word / f"s{speaker}_{take}.wav", audio.astype(np.float32), RATE)
    return folder


def typed(*words: str) -> list[str]:
    """Words of a command, of each key the last alone: a key that is typed twice is refused."""
    return list({word.partition("=")[0]: word for word in words}.values())


def run_settings(tones: Path, *, small: bool = False) -> list[str]:
    """Overrides of a run on the tones that takes a second or two."""
    splits = ["[s1]", "[s2]"] if small else ["[s5]", "[s6,s7]"]
    return [
        "dataset=folder",
        f"dataset.data_folder={tones}",
        f"protocol.validation_speakers={splits[0]}",
        f"protocol.test_speakers={splits[1]}",
        "batch_size=8",
        "trainer.max_epochs=4",
        "trainer.accelerator=cpu",
        "features.n_mels=20",
        "features.n_mfcc=10",
        "recipe=none",  # a recording is one tone, and CMVN would leave nothing of it
    ]
