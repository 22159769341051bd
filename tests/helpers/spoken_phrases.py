"""Takes of phrases by speakers: a phrase is a course of sounds, a speaker an offset of the statics, both planted."""

import numpy as np

from phonaut.models.speakers import Utterances

N_STATIC, N_FEATURES = 4, 12


def takes(
    speakers: range, phrases: range, n_takes: int, *, n_sounds: int = 6, offset: float = 0.5, seed: int = 0
) -> Utterances:
    """Rows by speaker, phrase and take; a sound lasts 2 to 6 frames."""
    frames, lengths, columns = [], [], []
    for speaker in speakers:
        voice = np.zeros(N_FEATURES)
        voice[:N_STATIC] = offset * np.random.default_rng((1, speaker)).standard_normal(N_STATIC)
        for phrase in phrases:
            course = np.random.default_rng((2, phrase)).standard_normal((n_sounds, N_FEATURES))
            for take in range(n_takes):
                rng = np.random.default_rng((3, seed, speaker, phrase, take))
                sounds = np.repeat(course, rng.integers(2, 7, n_sounds), axis=0)
                frames.append(sounds + voice + 0.3 * rng.standard_normal(sounds.shape))
                lengths.append(len(sounds))
                columns.append((f"{speaker}-{phrase}-{take}", f"s{speaker}", f"p{phrase}"))
    ids, names, words = (np.array(column) for column in zip(*columns, strict=True))
    every = np.concatenate(frames).astype(np.float32)
    return Utterances(every, np.array(lengths), {"id": ids, "speaker": names, "phrase": words})


def all_against_all(models: int, recordings: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of model and recording of every trial."""
    model, recording = (number.ravel() for number in np.indices((models, recordings)))
    return model, recording


def separation(targets: np.ndarray, others: np.ndarray) -> float:
    """How often a target scores above another, in pairs."""
    return float((targets[:, None] > others).mean())
