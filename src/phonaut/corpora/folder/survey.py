"""A first pass over a user's recordings: classes and speakers as their names tell them, and plain mistakes in these."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from phonaut.data.utterance import SILENCE, Utterance


@dataclass
class NameSurvey:
    """Counts of classes and speakers; its size grows with these, not with recordings."""

    n: int = 0
    speakers: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    n_without_speaker: int = 0
    n_named_like_word: int = 0  # the speaker's name is the class
    example: str = ""

    def add(self, utterance: Utterance, text: str, speaker: str | None) -> None:
        """Count an utterance; `text` is what its speaker is read from. Of silence the class alone counts."""
        word = utterance.word
        if word is not None:
            self.words[word] += 1
        if word == SILENCE:
            return
        self.n += 1
        self.example = self.example or text
        if not speaker:
            self.n_without_speaker += 1
            return
        self.speakers[speaker] += 1
        self.n_named_like_word += word is not None and speaker.casefold() == word.casefold()

    def all_different(self) -> bool:
        """True where every recording has a speaker of its own."""
        return self.n > 1 and len(self.speakers) == self.n - self.n_without_speaker

    def guess_problem(self) -> str | None:
        """The reason why speakers that were guessed from file names plainly are none, if there is one."""
        if self.n_without_speaker > 0.5 * self.n:
            return "most have none"
        if self.all_different():
            return f"it is different for all {self.n} recordings"
        return "it is their class" if self.n_named_like_word > 0.9 * self.n else None

    def merge_spellings(self) -> tuple[dict[str, str], list[str]]:
        """Make classes that differ in case alone one class.

        Returns:
            Spelling -> class for those that were merged, and a sentence for each class.
        """
        spellings: dict[str, list[str]] = {}
        for word in sorted(self.words):
            spellings.setdefault(word.casefold(), []).append(word)
        merged: dict[str, str] = {}
        notes = []
        for folded, words in spellings.items():
            if len(words) > 1:
                merged |= dict.fromkeys(words, folded)
                self.words[folded] = sum(self.words.pop(word) for word in words)
                notes.append(f"{' and '.join(words)} differ in case alone: they are one class, {folded}")
        return merged, notes

    def check_words(self) -> None:
        """Refuse what is no keyword spotting: one class, or sentences.

        Raises:
            ValueError: with what to do.
        """
        n = sum(self.words.values())
        if len(self.words) == 1:
            raise ValueError(
                f"all {n} recordings are of one class ({next(iter(self.words))}): there is nothing to tell it "
                "from. Add recordings of other words, or of noise, as a class of their own (a folder beside it); or, "
                "where the file names have the class, say so: dataset.word_pattern='^([^_]+)_'"
            )
        if len(self.words) > max(50, n // 2):
            raise ValueError(
                f"{len(self.words):,} different texts in {n:,} recordings are sentences, not keywords; type "
                "target=speaker, or give each recording the word that is its class"
            )

    def speaker_note(self, pattern: str | None, *, guessed: bool) -> str:
        """Say where speakers are read.

        Args:
            pattern: the regular expression that read the speaker, if one did.
            guessed: nobody said who speaks.
        """
        if guessed and self.guess_problem():
            return "who speaks is not known: each recording counts as a speaker of its own"
        speaker = next(iter(self.speakers), "")
        if guessed:
            return (
                f"the speaker is what stands before the first _ of the file name: {speaker} in {self.example}; "
                f"{len(self.speakers)} speakers. If that is not who speaks: dataset.speaker_pattern=..."
            )
        how = f"dataset.speaker_pattern='{pattern}'" if pattern else "the table"
        alone = ", each with one recording" if self.all_different() else ""
        return f"the speaker is read by {how}: {speaker} in {self.example}; {len(self.speakers)} speakers{alone}"
