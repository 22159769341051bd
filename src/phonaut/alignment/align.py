"""A corpus aligned by one or two aligners, and what these say of each other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from phonaut.alignment import phone_hmm, pocket
from phonaut.alignment.differences import Differences, differences
from phonaut.alignment.lexicon import lexicon_of
from phonaut.alignment.output import Folder, Journal, Times, hash_of
from phonaut.alignment.utterances import Aligned, Utterance, known_phones, utterances
from phonaut.data.lexicon import Pronunciations
from phonaut.data.prepared import PreparedCorpus
from phonaut.files import locked

ALIGNERS = {"pocketsphinx": ("pocketsphinx",), "hmm": ("hmm",), "both": ("pocketsphinx", "hmm")}
SAMPLE_RATE = 16_000  # of pocketsphinx's model
VERSION = 2  # of what is written; another one is made again
MOST_NAMED = 10  # words without a pronunciation
EVERY_S = 10.0  # a line of progress
JOURNAL = ".pocketsphinx.jsonl"

Tell = Callable[[str], None]


class Result(NamedTuple):
    """Result of aligning a corpus.

    Attributes:
        folder: that everything lies in.
        n_utterances: of the corpus.
        aligners: that were asked for.
        differences: between them, and from the phones that the corpus knows.
        again: all of it was there already.
        seconds: that each aligner took; no part of the files, so that the same settings give the same ones.
    """

    folder: Folder
    n_utterances: int
    aligners: tuple[str, ...]
    differences: list[Differences]
    again: bool
    seconds: dict[str, float]


def align(
    prepared: PreparedCorpus,
    *,
    output: Path,
    aligner: str = "both",
    lexicon: Path | None = None,
    n_jobs: int = 2,
    tell: Tell = print,
) -> Result:
    """Align all utterances of a corpus that have a transcript.

    Args:
        prepared: the corpus, at 16 kHz.
        output: where files go; what is there and was made with the same settings is not made again.
        aligner: `pocketsphinx`; `hmm`, our own phone models from an even division of each utterance; `both`: our own
            from pocketsphinx's alignment.
        lexicon: lines `WORD P1 P2 ...`; words that it lacks are looked up in pocketsphinx's dictionary, if its phones
            are English.
        n_jobs: processes of pocketsphinx.
        tell: is told how it goes.

    Raises:
        ValueError: an option is impossible, the aligner is not installed, or nothing can be aligned.
    """
    problems = [] if aligner in ALIGNERS else [f"aligner={aligner} is none of {', '.join(ALIGNERS)}"]
    names = ALIGNERS.get(aligner, ())
    if n_jobs < 1:
        problems.append(f"n_jobs={n_jobs}: at least 1")
    if "pocketsphinx" in names and (lacking := pocket.missing()):
        problems.append(f"{lacking}; aligner=hmm works without it, with lexicon=FILE or the corpus's own")
    if prepared.sample_rate != SAMPLE_RATE:
        problems.append(f"audio must be at {SAMPLE_RATE} Hz, for that is what pocketsphinx knows; "
                        f"got {prepared.sample_rate}")  # fmt: skip
    if problems:
        raise ValueError("; ".join(problems))
    wanted = list(utterances(prepared))
    words = Counter(word for one in wanted for word in one.words)
    said = lexicon_of(lexicon, words.keys(), tell)
    unknown = Counter({word: n for word, n in words.items() if word not in said})
    if unknown:
        n = sum(bool(unknown.keys() & set(one.words)) for one in wanted)
        some = ", ".join(f"{word} {k}" for word, k in unknown.most_common(MOST_NAMED))
        tell(f"words without a pronunciation, in {n} of {len(wanted)} utterances: {len(unknown)}, {some}")
    output.mkdir(parents=True, exist_ok=True)
    with locked(output / ".lock", wait=False):
        return Work(Folder(output, prepared), wanted, said, n_jobs, tell).run(names)


class Work:
    """The steps of `align`."""

    def __init__(
        self, folder: Folder, wanted: Sequence[Utterance], lexicon: Pronunciations, n_jobs: int, tell: Tell
    ) -> None:
        self.folder, self.wanted, self.lexicon, self.n_jobs, self.tell = folder, wanted, lexicon, n_jobs, tell
        self.prepared = folder.prepared
        self.basis = hash_of(VERSION, self.prepared.folder.name, {word: lexicon[word] for word in sorted(lexicon)})

    def run(self, names: tuple[str, ...]) -> Result:
        """Align, compare, and write what is not there."""
        keys = self.keys(names)
        seconds: dict[str, float] = {}
        there = {name: self.folder.key(name) == keys[name] for name in names}
        for name in names:
            if there[name]:
                self.tell(f"{name}: {self.folder.path / name}.ctm is there, made with the same settings")
                continue
            began, about = time.monotonic(), dict[str, Any]()
            if name == "pocketsphinx":
                found = self.by_pocketsphinx(keys[name])
            else:
                found, about = self.by_hmm(self.folder.phones("pocketsphinx") if len(names) > 1 else None)
            if not any(one.phones for one in found):
                first = next((f"{one.id}: {one.reason}" for one in found), "it has no utterances")
                raise ValueError(f"{name} could align none of {len(found)} utterances of {self.prepared.name}; {first}")
            seconds[name] = time.monotonic() - began
            self.folder.write(name, keys[name], found, self.wanted, about)
            (self.folder.path / JOURNAL).unlink(missing_ok=True)
        whole = hash_of(keys)
        again = all(there.values()) and self.folder.figures.get("key") == whole
        phones = {name: self.folder.phones(name) for name in names}
        known = {one.id: own for one in self.wanted if (own := known_phones(self.prepared, one))}
        between = self.compared(({"known": known} if known else {}) | phones)
        if not again:
            words = {name: self.folder.words(name) for name in names}
            tiers = [(f"{what} ({name})", times) for name in names for what, times in
                     (("words", words[name]), ("phones", phones[name]))]  # fmt: skip
            self.folder.write_textgrids(self.wanted, tiers + ([("phones (known)", known)] if known else []))
            self.folder.finish(whole, [one.as_dict() for one in between])
        return Result(self.folder, len(self.wanted), names, between, again, seconds)

    def keys(self, names: Sequence[str]) -> dict[str, str]:
        """Keys of what each alignment depends on."""
        keys = {}
        if "pocketsphinx" in names:
            keys["pocketsphinx"] = hash_of(self.basis, version("pocketsphinx"), pocket.SEARCH)
        if "hmm" in names:
            keys["hmm"] = hash_of(self.basis, asdict(phone_hmm.TrainingConfig()), keys.get("pocketsphinx"))
        return keys

    def by_pocketsphinx(self, key: str) -> list[Aligned]:
        """In several processes; a run that was killed goes on where it stopped."""
        journal = Journal(self.folder.path / JOURNAL, key)
        rest = [one for one in self.wanted if one.id not in journal.done]
        if journal.done:
            self.tell(f"pocketsphinx: {len(journal.done)} utterances are there from a run that was stopped")
        found, told = dict(journal.done), time.monotonic()
        for part in pocket.align(self.prepared, rest, self.lexicon, self.n_jobs):
            journal.add(part)
            found |= {one.id: one for one in part}
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                self.tell(f"pocketsphinx: {len(found)} of {len(self.wanted)} utterances")
        return [found[one.id] for one in self.wanted]

    def by_hmm(self, start: Times | None) -> tuple[list[Aligned], dict[str, Any]]:
        """From an alignment, or from nothing; with the log-likelihood per frame of each EM step."""
        history: list[float] = []

        def step(size: int, number: int, value: float) -> None:
            history.append(round(value, 4))
            self.tell(f"hmm, {size} components a state, step {number}: log-likelihood {value:.4f} a frame")

        found = phone_hmm.align(self.prepared, self.wanted, self.lexicon, start, report=step)
        return found, {"recipe": asdict(phone_hmm.TrainingConfig()), "log_likelihood_per_frame": history}

    def compared(self, alignments: dict[str, Times]) -> list[Differences]:
        """Every two of them."""
        speaker = {one.id: one.speaker for one in self.wanted}
        pairs = combinations(alignments.items(), 2)
        found = (differences(a, b, speaker, (first, second)) for (first, a), (second, b) in pairs)
        return [one for one in found if one is not None]
