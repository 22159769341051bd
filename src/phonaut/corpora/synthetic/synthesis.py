"""Makes the synthetic corpus, once, into the cache: who says what, spoken by espeak-ng and recorded in rooms."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import wave
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.arpabet import SILENCE, Span, align
from phonaut.corpora.synthetic.espeak import Request, Speech, speak
from phonaut.corpora.synthetic.prompts import PHRASES, SENTENCES
from phonaut.corpora.synthetic.reverberation import impulse_response, noise, record
from phonaut.corpora.synthetic.voices import Speaker, generator, speakers
from phonaut.data.preparation.progress import tracked
from phonaut.files import atomic_folder, cache_dir, locked, write_text

VERSION = 1  # of what is made from a recipe: part of the cache key
SAMPLE_RATE = 16000
CLIP = SAMPLE_RATE  # samples of a keyword recording; a longer word makes a longer recording
MARGIN_S = 0.05  # at least, around a word
LEVEL_DB = (-36.0, -18.0)
DIRECT_DB = (0.0, 12.0)
WORD_RATE = 0.8  # a word on its own is said more slowly than in a sentence
LEAD_S, TAIL_S = (0.1, 0.4), (0.2, 0.5)  # pauses around a sentence
MANIFEST = "utterances.jsonl"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the recordings.

    Attributes:
        words: keywords, each spoken once in each session.
        n_phrases: of `PHRASES`, each read by everyone once in each session.
        n_sentences: sentences of the speaker's split that are read in each session, all of them different.
        n_sessions: of each speaker; each has a room and a kind of noise.
        n_speakers: see `voices.speakers`.
        snr_db: speech over noise, lowest and highest; drawn for each utterance.
        rt60_s: reverberation time, shortest and longest; drawn for each session.
        seed: of all draws. The same seed gives the same bytes.
    """

    words: tuple[str, ...] = ()
    n_phrases: int = 0
    n_sentences: int = 0
    n_sessions: int = 1
    n_speakers: int = 10
    snr_db: tuple[float, float] = (10.0, 30.0)
    rt60_s: tuple[float, float] = (0.1, 0.6)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something that a speaker says in a session."""

    id: str
    speaker: Speaker
    session: str
    text: str
    word: str | None = None
    sentence: str | None = None


def plan(recipe: Recipe) -> list[Utterance]:
    """All utterances of a recipe, sorted by id."""
    utterances: list[Utterance] = []
    for speaker in speakers(recipe.n_speakers, recipe.seed):
        pool = SENTENCES[speaker.split]
        order = generator(recipe.seed, f"reads/{speaker.name}").permutation(len(pool))
        for number in range(recipe.n_sessions):
            session = f"{speaker.name}_{number}"
            for word in recipe.words:
                utterances.append(Utterance(f"{word}/{session}", speaker, session, word, word=word))
            first = number * recipe.n_sentences
            read = [(f"phrase{i}", PHRASES[i]) for i in range(recipe.n_phrases)]
            read += [(f"{speaker.split}{i}", pool[i]) for i in order[first : first + recipe.n_sentences]]
            for sentence, text in read:
                utterances.append(Utterance(f"{session}/{sentence}", speaker, session, text, sentence=sentence))
    return sorted(utterances, key=lambda utterance: utterance.id)


def generate(recipe: Recipe) -> Path:
    """The folder with the recordings of `recipe`, made now where it is not there or not whole.

    It is there whole or not at all, however the process ends; a second process waits for the first.

    Raises:
        EspeakError: espeak-ng is missing or failed.
        ValueError: a word has sounds that English lacks, or the disk is full.
    """
    digest = hashlib.sha256(json.dumps([VERSION, asdict(recipe)]).encode()).hexdigest()[:16]
    folder = cache_dir() / "synthetic" / digest
    if is_whole(folder):
        return folder
    with locked(folder.with_name(f"{digest}.lock")):
        if is_whole(folder):
            return folder
        for left_over in folder.parent.glob(f".{digest}.*"):  # of a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        try:
            with atomic_folder(folder) as temporary:
                _fill(temporary, recipe)
        except OSError as error:
            raise ValueError(
                f"the synthetic corpus could not be written to {folder.parent}: {error.strerror or error}. Free some "
                "space, or set PHONAUT_CACHE to a folder elsewhere, and run the same command again"
            ) from error
    return folder


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The manifest of `generate`, a mapping for each recording, sorted by id: the fields of `_entry`."""
    with (folder / MANIFEST).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def is_whole(folder: Path) -> bool:
    """True where the manifest is there and every recording has its size."""
    try:
        return all((folder / f"{entry['id']}.wav").stat().st_size == entry["size"] for entry in read(folder))
    except (OSError, ValueError, KeyError):
        return False


def _fill(folder: Path, recipe: Recipe) -> None:
    utterances = plan(recipe)
    logger.info("speaking %s utterances, once; they are kept in %s", f"{len(utterances):,}", folder.parent)
    steps = zip(utterances, speak([_request(utterance, recipe) for utterance in utterances]), strict=True)
    responses: dict[str, NDArray[np.float64]] = {}
    lines = []
    for utterance, speech in tracked(steps, "speaking", len(utterances)):
        samples, phones = _record(utterance, speech, recipe, responses)
        path = folder / f"{utterance.id}.wav"
        path.parent.mkdir(exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
        lines.append(json.dumps(_entry(utterance, phones, path.stat().st_size), ensure_ascii=False) + "\n")
    write_text(folder / MANIFEST, "".join(lines))


def _entry(utterance: Utterance, phones: list[Span], size: int) -> dict[str, Any]:
    return {
        "id": utterance.id,
        "speaker": utterance.speaker.name,
        "split": utterance.speaker.split,
        "session": utterance.session,
        "word": utterance.word,
        "sentence": utterance.sentence,
        "text": utterance.text,
        "phones": [[label, start / SAMPLE_RATE, end / SAMPLE_RATE] for label, start, end in phones],
        "size": size,
    }


def _request(utterance: Utterance, recipe: Recipe) -> Request:
    """One rendition by the speaker: up to a tenth slower or faster, a little higher or lower."""
    speaker = utterance.speaker
    rng = generator(recipe.seed, f"says/{utterance.id}")
    rate = speaker.rate_wpm * (1.0 if utterance.word is None else WORD_RATE)
    return Request(
        text=utterance.text,
        voice=speaker.voice,
        rate_wpm=round(rate * rng.uniform(0.9, 1.1)),
        pitch=speaker.pitch + int(rng.integers(-8, 9)),
        pitch_range=speaker.pitch_range + int(rng.integers(-10, 11)),
        seed=int(rng.integers(1, 2**31)),
    )


def _record(
    utterance: Utterance, speech: Speech, recipe: Recipe, responses: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.int16], list[Span]]:
    """The recording of an utterance and its phones; `responses` remembers the rooms of the sessions."""
    import soxr

    # Played faster by `tract`, all frequencies rise by it. The resampler is symmetric: it delays nothing.
    rate = speech.sample_rate * utterance.speaker.tract
    dry = soxr.resample(speech.samples.astype(np.float64) / 32768.0, rate, SAMPLE_RATE, quality="HQ")
    rng = generator(recipe.seed, f"recording/{utterance.id}")
    before, after = _pauses(len(dry), utterance, rng)
    dry = np.concatenate([np.zeros(before), dry, np.zeros(after)])

    try:
        spans = align(speech, utterance.speaker.accent)
    except ValueError as error:
        raise ValueError(f"dataset.words: {utterance.text!r} cannot be said in English: {error}") from error
    phones = _shift(spans, SAMPLE_RATE / rate, before, len(dry))
    spoken = np.zeros(len(dry), dtype=bool)
    for label, start, end in phones:
        spoken[start:end] = label != SILENCE

    room = generator(recipe.seed, f"room/{utterance.session}")
    colour = ("white", "pink")[int(room.integers(2))]
    if utterance.session not in responses:
        rt60_s = float(np.exp(room.uniform(*np.log(recipe.rt60_s))))
        responses[utterance.session] = impulse_response(rt60_s, room.uniform(*DIRECT_DB), SAMPLE_RATE, room)
    background = noise(colour, len(dry), SAMPLE_RATE, rng)
    snr_db, level_db = rng.uniform(*recipe.snr_db), rng.uniform(*LEVEL_DB)
    response = responses[utterance.session]
    return record(dry, spoken, response, background, snr_db=snr_db, level_db=level_db), phones


def _pauses(n: int, utterance: Utterance, rng: np.random.Generator) -> tuple[int, int]:
    """Samples before and after: a word stands anywhere in its clip, a sentence has some silence at both ends."""
    if utterance.word is None:
        return int(rng.uniform(*LEAD_S) * SAMPLE_RATE), int(rng.uniform(*TAIL_S) * SAMPLE_RATE)
    free = max(CLIP - n, int(2 * MARGIN_S * SAMPLE_RATE))
    before = int(rng.integers(free + 1))
    return before, free - before


def _shift(spans: list[Span], scale: float, offset: int, n: int) -> list[Span]:
    """Spans of the dry speech as spans of the recording, which has pauses around it."""
    cuts = [offset + round(span.start * scale) for span in spans]
    shifted = [Span(span.label, a, b) for span, a, b in zip(spans, cuts, [*cuts[1:], n], strict=True)]
    if shifted[0].label == SILENCE:
        shifted[0] = shifted[0]._replace(start=0)
    else:
        shifted.insert(0, Span(SILENCE, 0, offset))
    end = offset + round(spans[-1].end * scale)
    if shifted[-1].label != SILENCE:
        shifted[-1] = shifted[-1]._replace(end=end)
        shifted.append(Span(SILENCE, end, n))
    return [span for span in shifted if span.start < span.end]
