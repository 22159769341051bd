"""The embedded default corpus: keywords and sentences by synthetic speakers, so that everything runs offline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from phonaut.checks import at_least, refuse, within
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.synthetic.prompts import PHRASES, SENTENCES
from phonaut.corpora.synthetic.synthesis import Recipe, generate, read
from phonaut.corpora.synthetic.voices import MAX_SPEAKERS, MIN_SPEAKERS, speakers
from phonaut.data.utterance import Phone, Utterance

MIN_SESSIONS = 3  # one to train, one to choose, one to test
MAX_SENTENCES = min(len(pool) for pool in SENTENCES.values())


class SyntheticCorpus(Corpus):
    """Speech of espeak-ng in simulated rooms, with word, speaker, sentence, transcript and phone times.

    `target=keyword` has the keywords; `phone` and `speaker` have the sentences. All is made on first use and kept in
    the cache.

    Args:
        target: what is classified; it decides what is spoken and how it is divided.
        words: the keywords, in the order of the classes.
        n_speakers: 10 to 140, of whom 70 % train, 10 % validate and 20 % test where splits are by voice.
        n_takes: recordings of each keyword by each speaker, each in another room.
        n_sessions: of each speaker who reads sentences: each session has its room and its noise.
        n_sentences: sentences that a speaker reads in each session, all of them different.
        n_phrases: phrases that every speaker repeats in each session, for work on known sentences.
        snr_low_db, snr_high_db: speech over noise.
        rt60_low_s, rt60_high_s: reverberation time of the rooms.
        clip_s: seconds of a keyword clip; null: as it is.
        seed: of the corpus, not of the training: runs with other seeds are tested on the same clips.

    Raises:
        ValueError: a value is not possible.
    """

    name = "synthetic"
    RULES: ClassVar = {"clip_s": within(0.01, 3600), "seed": at_least(0)}
    targets: ClassVar[tuple[str, ...]] = ("keyword", "phone", "speaker")
    published_split: ClassVar[bool] = True

    def __init__(
        self,
        *,
        target: str = "keyword",
        words: Sequence[str] = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
        n_speakers: int = 140,
        n_takes: int = 2,
        n_sessions: int = 4,
        n_sentences: int = 2,
        n_phrases: int = 2,
        snr_low_db: float = 10.0,
        snr_high_db: float = 30.0,
        rt60_low_s: float = 0.1,
        rt60_high_s: float = 0.6,
        clip_s: float | None = 1.0,
        seed: int = 0,
    ) -> None:
        refuse(target_problems(target, SyntheticCorpus))
        _check_number("n_speakers", n_speakers, MIN_SPEAKERS, MAX_SPEAKERS)
        _check_number("n_takes", n_takes, 1, 1000)
        _check_number("n_sessions", n_sessions, MIN_SESSIONS, 100)
        _check_number("n_phrases", n_phrases, 0, len(PHRASES))
        _check_number("n_sentences", n_sentences, 1, MAX_SENTENCES // n_sessions)
        _check_range("snr_low_db", snr_low_db, "snr_high_db", snr_high_db, -20.0, 100.0)
        _check_range("rt60_low_s", rt60_low_s, "rt60_high_s", rt60_high_s, 0.01, 5.0)
        self.target = target
        self.clip_s = clip_s if target == "keyword" else None
        self._words = _checked_words(words)
        contents: dict[str, Any] = (
            {"words": tuple(self._words), "n_sessions": n_takes}
            if target == "keyword"
            else {"n_sessions": n_sessions, "n_sentences": n_sentences, "n_phrases": n_phrases}
        )
        self.recipe = Recipe(
            **contents,
            n_speakers=n_speakers,
            snr_db=(float(snr_low_db), float(snr_high_db)),
            rt60_s=(float(rt60_low_s), float(rt60_high_s)),
            seed=seed,
        )

    def words(self) -> list[str] | None:
        """The keywords, in the order of the configuration."""
        return list(self._words) if self.target == "keyword" else None

    def utterances(self) -> Iterator[Utterance]:
        """Every recording of the target, sorted by id; made first where they are not there.

        Raises:
            ValueError: espeak-ng is missing (with what to type) or failed, a word cannot be said, the disk is full.
        """
        folder = generate(self.recipe)
        for entry in read(folder):
            split = self._split(entry)
            if split is None:
                continue
            yield Utterance(
                id=entry["id"],
                path=folder / f"{entry['id']}.wav",
                split=split,
                speaker=entry["speaker"],
                word=entry["word"],
                text=entry["text"],
                phones=tuple(Phone(*phone) for phone in entry["phones"]),
                sentence=entry["sentence"],
                session=entry["session"],
            )

    def _split(self, entry: dict[str, Any]) -> str | None:
        """The split of a recording; None: this target leaves it out."""
        if self.target == "speaker":
            number = int(entry["session"].rpartition("_")[2])
            return {self.recipe.n_sessions - 1: "test", self.recipe.n_sessions - 2: "validation"}.get(number, "train")
        if self.target == "phone" and entry["sentence"].startswith("phrase"):
            return None  # read by all: training would hear the words of the test
        return str(entry["split"])

    def title(self) -> str:
        """The words or sentences."""
        what = f"{len(self.recipe.words)} keywords" if self.target == "keyword" else "sentences"
        return f"synthetic speech, {what}"

    def official(self) -> str:
        """By voice; by session, where speakers are told apart."""
        recipe = self.recipe
        if self.target == "speaker":
            return (
                f"split by session: all {recipe.n_speakers} speakers are in all splits; of {recipe.n_sessions} "
                "sessions the last is tested and the one before validated"
            )
        splits = [speaker.split for speaker in speakers(recipe.n_speakers, recipe.seed)]
        n = {split: splits.count(split) for split in SENTENCES}
        by_voice = (
            f"split by voice: {n['train']} voices train, {n['validation']} validate and {n['test']} test; no variant "
            "of espeak-ng is in two splits"
        )
        if self.target == "keyword":
            return by_voice
        return (
            f"{by_voice}, and no sentence is in two splits; the phrases that everyone reads are left out; phones are "
            "the 39 of ARPAbet and SIL"
        )

    def notes(self) -> list[str]:
        """The limits of the figures."""
        return [
            "synthetic voices in simulated rooms show that the whole chain works; they do not tell how well people "
            "would be recognised"
        ]


def _checked_words(words: Sequence[object]) -> list[str]:
    """The keywords as they were given; every mistake that can be seen without saying them is refused."""
    if isinstance(words, str):
        raise ValueError(f"dataset.words is a list; type dataset.words=[{words},...]")
    for word in words:
        if isinstance(word, bool):
            raise ValueError("dataset.words has a word that YAML reads as true or false: write it in quotes, 'yes'")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9' -]*", str(word)):
            raise ValueError(f"dataset.words are English: letters a to z, digits, spaces, ' and -; received {word!r}")
    names = [str(word) for word in words]
    if len(names) < 2 or len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"dataset.words needs two different words or more; received {names}")
    return names


def _check_number(key: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"dataset.{key} is a whole number from {low} to {high}; received {value}")


def _check_range(low_key: str, low: float, high_key: str, high: float, least: float, most: float) -> None:
    if not least <= low <= high <= most:
        raise ValueError(
            f"dataset.{low_key} <= dataset.{high_key}, both from {least:g} to {most:g}; received {low:g} and {high:g}"
        )
