"""Alignments by phone models of our own, trained on the very recordings that they align."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from phonaut.alignment.frames import Framed, framed, front_end
from phonaut.alignment.lexicon import Pronunciations
from phonaut.alignment.utterances import Aligned, Utterance
from phonaut.corpora.base import Phone
from phonaut.data.prepared import PreparedCorpus
from phonaut.hmm.chains import Index
from phonaut.hmm.embedded import UnitHMM
from phonaut.hmm.sentences import Sentence, sentence_of
from phonaut.hmm.topology import Topology, alternatives, bakis, sentence, sequence

SILENCE = "SIL"
Report = Callable[[int, int, float], None]


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


class Task(NamedTuple):
    """Utterances that can be aligned, and what they are composed of.

    Attributes:
        utterances: B of them.
        lines: their chains.
        frames: theirs.
        unit: number of each phone.
        first: number of the first state of each phone.
    """

    utterances: list[Utterance]
    lines: list[Line]
    frames: Framed
    unit: dict[str, int]
    first: Index


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
        report: is told of each EM step: components of a state, the step, the log-likelihood per frame.

    Raises:
        ValueError: EM made the models worse.
    """
    recipe = recipe or Recipe()
    found = {one.id: Aligned(one.id, reason=reason) for one in wanted if (reason := problem(one, lexicon))}
    task, failed = task_of(prepared, [one for one in wanted if one.id not in found], lexicon, recipe)
    found |= {one.id: one for one in failed}
    if task.utterances:
        paths, scores = trained(task, lexicon, start, recipe, report).decode(
            task.frames.frames, task.frames.lengths, [line.sentence for line in task.lines]
        )
        for b, (one, line, path) in enumerate(zip(task.utterances, task.lines, paths, strict=True)):
            phones, words = segments(path, line, one.words, task.frames, b) if np.isfinite(scores[b]) else ((), ())
            reason = "" if phones else "no path through its phones has a probability"
            found[one.id] = Aligned(one.id, tuple(phones), tuple(words), reason)
    return [found[one.id] for one in wanted]


def problem(one: Utterance, lexicon: Pronunciations) -> str | None:
    """Why an utterance cannot be aligned, if it is known from its words."""
    if not one.words:
        return "it has no transcript"
    unknown = [word for word in dict.fromkeys(one.words) if word not in lexicon]
    return f"no pronunciation is known of {', '.join(unknown)}" if unknown else None


def task_of(
    prepared: PreparedCorpus, wanted: Sequence[Utterance], lexicon: Pronunciations, recipe: Recipe
) -> tuple[Task, list[Aligned]]:
    """Frames and chains of utterances; and those that are too short for their phones."""
    frames = framed(prepared, wanted, front_end(prepared.sample_rate))
    shortest = [recipe.n_states * sum(min(map(len, lexicon[word])) for word in one.words) for one in wanted]
    fits = frames.lengths >= shortest
    failed = [
        Aligned(one.id, reason=f"it has {n} frames, and its phones need {least}")
        for one, n, least, fit in zip(wanted, frames.lengths, shortest, fits, strict=True)
        if not fit
    ]
    usable = [one for one, fit in zip(wanted, fits, strict=True) if fit]
    spoken = {phone for one in usable for word in one.words for variant in lexicon[word] for phone in variant}
    unit = {name: number for number, name in enumerate(sorted(spoken | {SILENCE}))}
    first = recipe.n_states * np.arange(len(unit))
    lines = [line_of(one.words, lexicon, unit, first, recipe) for one in usable]
    return Task(usable, lines, frames if fits.all() else frames.only(fits), unit, first), failed


def trained(
    task: Task,
    lexicon: Pronunciations,
    start: Mapping[str, Sequence[Phone]] | None,
    recipe: Recipe,
    report: Report | None,
) -> UnitHMM:
    """Models of all phones, from a start on, with more and more components."""
    frames, n_states = task.frames, recipe.n_states
    labels = []
    for b, one in enumerate(task.utterances):
        if start is None:
            phones = [SILENCE, *(phone for word in one.words for phone in lexicon[word][0]), SILENCE]
            labels.append(equal_parts(phones, int(frames.lengths[b]), task.unit, task.first, n_states))
        else:
            labels.append(known_parts(start.get(one.id, ()), b, frames, task.unit, task.first, n_states))
    model = UnitHMM([n_states] * len(task.unit))
    model.start(frames.frames, np.concatenate(labels))
    sentences = [line.sentence for line in task.lines]
    for doubling in range(recipe.n_doublings + 1):
        if doubling:
            model.divide()
        n_iter = recipe.n_flat if start is None and not doubling else recipe.n_iter
        tell = None if report is None else partial(report, 2**doubling)
        model.fit(frames.frames, frames.lengths, sentences, n_iter=n_iter, tol=recipe.tol, report=tell)
    return model
