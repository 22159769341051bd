"""Alignments by pocketsphinx, with the English model that it carries: words first, then the phones of these words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from phonaut.alignment.utterances import Aligned, Utterance, problem, samples
from phonaut.data.lexicon import VARIANT, Pronunciations
from phonaut.data.phone_labels import PHONES
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Phone

RATE = 16_000  # Hz, of its model
FRAME_S = 0.01
# The model's windows are 25.6 ms long and start every 10 ms: the middle of frame t lies 12.8 ms after its start, so
# that the border between two frames is 7.8 ms after the start of the second.
BORDER_S = 0.0128 - FRAME_S / 2
AT_ONCE = 20  # utterances that a process is given
# Wide beams, for what does not fit well is to be aligned and not given up; and no search of the lattice for a better
# path afterwards, which fails on a quarter of what it is given where there is but one path. Cepstra are normalised over
# each utterance, not over those before it, for these depend on which process it falls to.
SEARCH = {"beam": 1e-64, "pbeam": 1e-64, "wbeam": 1e-48, "bestpath": False, "cmn": "batch"}


def missing() -> str | None:
    """Say what to install where pocketsphinx is missing."""
    try:
        import pocketsphinx  # noqa: F401
    except ImportError:
        return "aligner=pocketsphinx needs the optional extra: pip install 'phonaut[align]'"
    return None


class Aligner:
    """A decoder with the pronunciations of a corpus.

    Args:
        prepared: the recordings, at 16 kHz.
        lexicon: how words are said; it stands in the place of the decoder's own dictionary.
    """

    def __init__(self, prepared: PreparedCorpus, lexicon: Pronunciations) -> None:
        from pocketsphinx import Decoder

        self.prepared, self.lexicon = prepared, lexicon
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".dict") as file:
            file.writelines(dictionary_lines(lexicon))
            file.flush()
            self.decoder: Any = Decoder(lm=None, dict=file.name, loglevel="FATAL", **SEARCH)

    def align(self, utterance: Utterance) -> Aligned:
        """The phones and words of an utterance, or why there are none."""
        if reason := problem(utterance, self.lexicon) or self.problem(utterance):
            return Aligned(utterance.id, reason=reason)
        words = [word.lower() for word in utterance.words]
        audio = samples(self.prepared, utterance)
        sound = (np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes()
        self.decoder.reinit_feat()  # else it knows the noise of the utterances before this one
        try:
            self.decoder.set_align_text(" ".join(words))
            self.listen(sound)
            self.decoder.set_alignment()
            self.listen(sound)
            said = [
                (word.name, [(phone.name, phone.start, phone.duration) for phone in word])
                for word in self.decoder.get_alignment()
            ]
        except (RuntimeError, TypeError):
            return Aligned(utterance.id, reason="pocketsphinx finds no path through the words")
        phones = timed([phone for _, parts in said for phone in parts], len(audio) / RATE)
        spans = [
            (VARIANT.sub("", name).upper(), parts[0][1], sum(n for _, _, n in parts))
            for name, parts in said
            if name[0] not in "<[("  # silence and noises
        ]
        return Aligned(utterance.id, phones, timed(spans, len(audio) / RATE, whole=False))

    def problem(self, utterance: Utterance) -> str | None:
        """Why words with pronunciations are unknown to the decoder: of none, its model has all phones."""
        unknown = [word for word in utterance.words if self.decoder.lookup_word(word.lower()) is None]
        if not unknown:
            return None
        lacking = sorted({phone for said in self.lexicon[unknown[0]] for phone in said} - set(PHONES))
        return f"pocketsphinx's model of English has no phone {', '.join(lacking)}, as {unknown[0]} needs"

    def listen(self, sound: bytes) -> None:
        """Run a pass over an utterance."""
        self.decoder.start_utt()
        try:
            self.decoder.process_raw(sound, full_utt=True)
        finally:
            self.decoder.end_utt()


def dictionary_lines(lexicon: Pronunciations) -> Iterator[str]:
    """The lines of a dictionary of pocketsphinx."""
    for word, says in lexicon.items():
        for n, phones in enumerate(says, 1):
            yield f"{word.lower()}{f'({n})' if n > 1 else ''} {' '.join(phones)}\n"


def timed(found: Sequence[tuple[str, int, int]], duration_s: float, *, whole: bool = True) -> tuple[Phone, ...]:
    """Phones with times in seconds from `(name, first frame, frames)`; noises are silence, and silences are joined.

    Args:
        found: by pocketsphinx.
        duration_s: of the recording.
        whole: the first begins with the recording, and the last ends with it.
    """
    phones: list[Phone] = []
    for name, first, n in found:
        label = "SIL" if name.startswith("+") else name
        start_s, end_s = (min(frame * FRAME_S + BORDER_S, duration_s) for frame in (first, first + n))
        if whole and not phones:
            start_s = 0.0
        if phones and label == "SIL" and phones[-1].label == "SIL":
            phones[-1] = Phone("SIL", phones[-1].start_s, end_s)
        elif end_s > start_s:
            phones.append(Phone(label, start_s, end_s))
    if whole and phones:
        phones[-1] = Phone(phones[-1].label, phones[-1].start_s, duration_s)
    return tuple(phones)


_aligner: list[Aligner] = []  # of a worker process


def _begin(prepared: PreparedCorpus, lexicon: Pronunciations) -> None:
    _aligner[:] = [Aligner(prepared, lexicon)]


def _align_some(part: Sequence[Utterance]) -> list[Aligned]:
    return [_aligner[0].align(utterance) for utterance in part]


def align(
    prepared: PreparedCorpus, wanted: Sequence[Utterance], lexicon: Pronunciations, n_jobs: int
) -> Iterator[list[Aligned]]:
    """Align utterances in `n_jobs` processes, some at a time, in their order."""
    parts: Iterable[Sequence[Utterance]] = [wanted[i : i + AT_ONCE] for i in range(0, len(wanted), AT_ONCE)]
    context = get_context("spawn")
    with ProcessPoolExecutor(n_jobs, context, initializer=_begin, initargs=(prepared, dict(lexicon))) as pool:
        yield from pool.map(_align_some, parts)


__all__ = ["Aligner", "align", "missing", "timed"]
