"""Alignments by phone models of our own, trained on the very recordings that they align."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from phonaut.alignment.frames import Framed, framed, front_end
from phonaut.alignment.lexicon import Pronunciations
from phonaut.alignment.utterances import Aligned, Utterance
from phonaut.corpora.base import Phone
from phonaut.data.prepared import PreparedCorpus
from phonaut.hmm.chains import Index
from phonaut.hmm.embedded import Sentence, UnitHMM, sentence_of
from phonaut.hmm.topology import Topology, alternatives, bakis, sentence, sequence

SILENCE = "SIL"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How phone models are trained.

    Attributes:
        n_states: of a phone, left to right.
        n_doublings: of the components of each state: one becomes `2 ** n_doublings`.
        n_iter: EM steps before the first doubling and after each.
        n_flat: those before the first doubling where no alignment is known to start from.
        silence_probability: of each place between words.
        tol: nats a frame; a step that gains less is the last before the next doubling.
    """

    n_states: int = 3
    n_doublings: int = 3
    n_iter: int = 5
    n_flat: int = 15
    silence_probability: float = 0.5
    tol: float = 1e-3


class Line(NamedTuple):
    """What an utterance may be: a chain, and what its parts are.

    Attributes:
        sentence: the chain.
        phone: of each node.
        word: number of the word that each node belongs to; -1: silence.
    """

    sentence: Sentence
    phone: tuple[str, ...]
    word: tuple[int, ...]


def line_of(
    words: Sequence[str], lexicon: Pronunciations, unit: Mapping[str, int], first: Index, recipe: Recipe
) -> Line:
    """Words with all their pronunciations, and silence that may be before, between and after them."""
    model = bakis(recipe.n_states, stay=0.0)
    said = [lexicon[word] for word in words]
    parts: list[list[Topology]] = [
        [alternatives([sequence(*[model] * len(phones)) for phones in variants])] for variants in said
    ]
    composed = sentence(parts, model, recipe.silence_probability)
    nodes = [(SILENCE, -1)]
    for number, variants in enumerate(said):
        nodes += [(phone, number) for phones in variants for phone in phones]
        nodes.append((SILENCE, -1))
    phone, word = zip(*nodes, strict=True)
    return Line(sentence_of(composed, [unit[name] for name in phone], first), phone, word)


def equal_parts(phones: Sequence[str], length: int, unit: Mapping[str, int], first: Index, n_states: int) -> Index:
    """States of the frames of an utterance that is divided evenly among the states of its phones."""
    states = [int(first[unit[name]]) + state for name in phones for state in range(n_states)]
    return np.asarray(states)[np.arange(length) * len(states) // max(1, length)]


def known_parts(
    phones: Sequence[Phone], b: int, frames: Framed, unit: Mapping[str, int], first: Index, n_states: int
) -> Index:
    """States of the frames of an utterance whose phones have times: each phone is divided evenly among its states."""
    label = np.full(int(frames.lengths[b]), -1)
    centre_s = frames.offset_s + np.arange(len(label)) * frames.shift_s
    for phone in phones:
        inside = np.flatnonzero((centre_s >= phone.start_s) & (centre_s < phone.end_s))
        if phone.label in unit:
            label[inside] = first[unit[phone.label]] + np.arange(len(inside)) * n_states // max(1, len(inside))
    return label


def segments(path: Index, line: Line, words: Sequence[str], frames: Framed, b: int) -> tuple[list[Phone], list[Phone]]:
    """Phones and words with their times, from the best path through an utterance."""
    node = line.sentence.node[path]
    first = np.flatnonzero(np.concatenate([[True], node[1:] != node[:-1]]))
    begin_s = frames.border_s(first, b)
    end_s = np.append(begin_s[1:], frames.durations_s[b])
    phones: list[Phone] = []
    spoken: list[tuple[int, float, float]] = []
    for n, start, end in zip(node[first], begin_s, end_s, strict=True):
        phones.append(Phone(line.phone[n], float(start), float(end)))
        number = line.word[n]
        if number >= 0 and spoken and spoken[-1][0] == number:
            spoken[-1] = (number, spoken[-1][1], float(end))
        elif number >= 0:
            spoken.append((number, float(start), float(end)))
    return phones, [Phone(words[number], start, end) for number, start, end in spoken]


def align(
    prepared: PreparedCorpus,
    wanted: Sequence[Utterance],
    lexicon: Pronunciations,
    start: Mapping[str, Sequence[Phone]] | None = None,
    recipe: Recipe | None = None,
    report: Report | None = None,
) -> list[Aligned]:
    """Train phone models on utterances, and align these with them.

    Args:
        prepared: the recordings.
        wanted: what is aligned.
        lexicon: pronunciations of words.
        start: phones with times, by utterance, to start from; None: every utterance is divided evenly at first.
        recipe: how the models are trained.
        report: is told of each EM step, in a sentence.

    Raises:
        ValueError: nothing can be aligned, or EM made the models worse.
    """
    recipe, tell = recipe or Recipe(), report or (lambda _: None)
    why = {one.id: reason for one in wanted if (reason := problem(one, lexicon))}
    usable = [one for one in wanted if one.id not in why]
    frames = framed(prepared, usable, front_end(prepared.sample_rate))
    shortest = np.array([recipe.n_states * sum(min(map(len, lexicon[w])) for w in one.words) for one in usable])
    fits = frames.lengths >= shortest
    for b in np.flatnonzero(~fits):
        why[usable[b].id] = f"it has {frames.lengths[b]} frames, and its phones need {shortest[b]}"
    if not fits.any():
        raise ValueError(f"nothing can be aligned: {len(why)} utterances of {len(wanted)}, {next(iter(why.items()))}")
    names = sorted({SILENCE, *chain.from_iterable(p for one in usable for w in one.words for p in lexicon[w])})
    unit = {name: n for n, name in enumerate(names)}
    model = UnitHMM([recipe.n_states] * len(names))
    inside = [b for b in range(len(usable)) if fits[b]]
    lines = [line_of(usable[b].words, lexicon, unit, model.first, recipe) for b in inside]
    chosen = chosen_frames(frames, fits)
    label = []
    for b, one in enumerate(usable[b] for b in inside):
        if start is not None and one.id in start:
            label.append(known_parts(start[one.id], b, chosen, unit, model.first, recipe.n_states))
        elif start is None:
            phones = [SILENCE, *chain.from_iterable(lexicon[word][0] for word in one.words), SILENCE]
            label.append(equal_parts(phones, int(chosen.lengths[b]), unit, model.first, recipe.n_states))
        else:
            label.append(np.full(int(chosen.lengths[b]), -1))
    model.start(chosen.frames, np.concatenate(label))
    sentences = [line.sentence for line in lines]
    for stage in range(recipe.n_doublings + 1):
        if stage:
            model.divide()
        steps = recipe.n_flat if stage == 0 and start is None else recipe.n_iter
        size = f"{2**stage} components a state"
        told = iter(range(1, steps + 1))
        model.fit(
            chosen.frames, chosen.lengths, sentences, n_iter=steps, tol=recipe.tol,
            report=lambda value, told=told, size=size: tell(f"{size}, step {next(told)}: {value:.4f} a frame"),
        )  # fmt: skip
    paths, scores = model.decode(chosen.frames, chosen.lengths, sentences)
    found: dict[str, Aligned] = {name: Aligned(name, reason=reason) for name, reason in why.items()}
    for b, (i, line, path) in enumerate(zip(inside, lines, paths, strict=True)):
        one = usable[i]
        if np.isfinite(scores[b]):
            found[one.id] = Aligned(one.id, *map(tuple, segments(path, line, one.words, chosen, b)))
        else:
            found[one.id] = Aligned(one.id, reason="no path through its phones has a probability")
    return [found[one.id] for one in wanted]


def problem(one: Utterance, lexicon: Pronunciations) -> str | None:
    """Why an utterance cannot be aligned, if it is known from its words."""
    if not one.words:
        return "it has no transcript"
    unknown = [word for word in dict.fromkeys(one.words) if word not in lexicon]
    return f"no pronunciation is known of {', '.join(unknown)}" if unknown else None


def chosen_frames(frames: Framed, which: np.ndarray) -> Framed:
    """The frames of some of the utterances."""
    if which.all():
        return frames
    rows = np.repeat(which, frames.lengths)
    return Framed(
        frames.frames[rows], frames.lengths[which], frames.durations_s[which], frames.shift_s, frames.offset_s
    )
