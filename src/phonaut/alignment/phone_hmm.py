"""Alignments by phone models of our own, trained on the very recordings that they align."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from phonaut.alignment.features import Framed, framed, front_end
from phonaut.alignment.lexicon import Pronunciations
from phonaut.alignment.utterances import Aligned, Utterance
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Phone
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
        n_flat: EM steps of single Gaussians from an even division, where no alignment is known to start from; theirs
            is then the start, for states within a phone have gone astray by then.
        silence_probability: of each place between words.
        tol: nats a frame; a step that gains less is the last before the next doubling.
    """

    n_states: int = 3
    n_doublings: int = 2
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
    frames = framed(prepared, wanted, front_end(round(prepared.sample_rate)))
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
    frames, sentences = task.frames, [line.sentence for line in task.lines]
    model = UnitHMM([recipe.n_states] * len(task.unit))

    def fit(n_iter: int, n_mix: int = 1) -> None:
        tell = None if report is None else partial(report, n_mix)
        model.fit(frames.frames, frames.lengths, sentences, n_iter=n_iter, tol=recipe.tol, report=tell)

    if start is None:
        model.start(frames.frames, np.concatenate([evenly(task, b, lexicon, recipe) for b in range(len(sentences))]))
        fit(recipe.n_flat)
        paths, _ = model.decode(frames.frames, frames.lengths, sentences)
        start = {
            one.id: segments(path, line, one.words, frames, b)[0]
            for b, (one, line, path) in enumerate(zip(task.utterances, task.lines, paths, strict=True))
        }
    known = [start.get(one.id, ()) for one in task.utterances]
    model.start(frames.frames, np.concatenate([by_phones(task, b, own, recipe) for b, own in enumerate(known)]))
    for doubling in range(recipe.n_doublings + 1):
        if doubling:
            model.divide()
        fit(recipe.n_iter, 2**doubling)
    return model


def evenly(task: Task, b: int, lexicon: Pronunciations, recipe: Recipe) -> Index:
    """States of the frames of an utterance that is divided evenly among the states of its phones."""
    phones = [SILENCE, *(phone for word in task.utterances[b].words for phone in lexicon[word][0]), SILENCE]
    states = [int(task.first[task.unit[name]]) + state for name in phones for state in range(recipe.n_states)]
    n = int(task.frames.lengths[b])
    return np.asarray(states)[np.arange(n) * len(states) // n]


def by_phones(task: Task, b: int, phones: Sequence[Phone], recipe: Recipe) -> Index:
    """States of the frames of an utterance whose phones have times: each phone is divided evenly among its states."""
    frames = task.frames
    label = np.full(int(frames.lengths[b]), -1)
    centre_s = frames.offset_s + np.arange(len(label)) * frames.shift_s
    for phone in phones:
        inside = np.flatnonzero((centre_s >= phone.start_s) & (centre_s < phone.end_s))
        if phone.label in task.unit:
            part = np.arange(len(inside)) * recipe.n_states // max(1, len(inside))
            label[inside] = task.first[task.unit[phone.label]] + part
    return label
