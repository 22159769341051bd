"""A language of tones: each phone is a sound of its own, so that when it is spoken is known to the sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from phonaut.data.utterance import SPLITS, Phone, Utterance

RATE = 16_000
TONES_HZ = {"A": (300, 900), "E": (500, 2000), "S": (3000, 5500), "M": (200, 400), "O": (700, 1300)}
LEXICON = {"AMS": ["A M S"], "SEM": ["S E M"], "MOSE": ["M O S E"], "OA": ["O A", "O E"], "MES": ["M E S"]}
WORDS = tuple(LEXICON)


def write_lexicon(path: Path, without: Sequence[str] = ()) -> Path:
    """The pronunciations, with stress marks and a line for each variant."""
    said = [f"{word}\t{phones}" for word, variants in LEXICON.items() for phones in variants if word not in without]
    path.write_text("\n".join(said) + "\n", encoding="utf-8")
    return path


def spoken(words: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, list[Phone]]:
    """Words with silence around them and sometimes between, and the times of their phones."""
    labels = ["SIL"]
    for word in words:
        variants = LEXICON[word]
        labels += [*variants[rng.integers(len(variants))].split(), *(["SIL"] if rng.random() < 0.3 else [])]
    labels += ["SIL"] if labels[-1] != "SIL" else []
    parts, phones, at = [], [], 0
    for label in labels:
        n = int(rng.integers(1280, 2880))
        t = np.arange(n) / RATE
        tones = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in TONES_HZ.get(label, ()))
        parts.append(0.1 * tones + 0.002 * rng.standard_normal(n))
        phones.append(Phone(label, at / RATE, (at + n) / RATE))
        at += n
    return np.concatenate(parts), phones


class Tones:
    """A corpus of sentences of tones, with times of their phones or without.

    Args:
        folder: where recordings are written.
        n: sentences.
        known: the corpus knows the times of phones.
        texts: of the first sentences, in place of what is said.
        name: of the corpus.
    """

    clip_s: float | None = None

    def __init__(
        self, folder: Path, n: int = 24, *, known: bool = True, texts: Sequence[str] = (), name: str = "tones"
    ) -> None:
        self.name, self.truth = name, dict[str, list[Phone]]()
        self.list: list[Utterance] = []
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for i in range(n):
            words = list(rng.choice(WORDS, size=3))
            audio, phones = spoken(words, rng)
            path = folder / f"s{i}.wav"
            soundfile.write(path, audio, RATE, subtype="PCM_16")
            text = texts[i] if i < len(texts) else " ".join(words).lower()
            self.truth[f"speaker {i % 3}/s{i}"] = phones
            self.list.append(
                Utterance(f"speaker {i % 3}/s{i}", path, SPLITS[i // 3 % 3], f"speaker {i % 3}", text=text,
                     phones=tuple(phones) if known else ())
            )  # fmt: skip

    def utterances(self) -> Iterator[Utterance]:
        yield from self.list

    def words(self) -> list[str] | None:
        return None

    def notes(self) -> list[str]:
        return ["tones"]

    def refused(self) -> list[dict[str, str]]:
        return []
