"""Forced alignment by phone models that are trained on the recordings that they align."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from phonaut.alignment.features import Framed, framed, front_end
from phonaut.alignment.utterances import Aligned, Utterance, problem
from phonaut.arrays import Index
from phonaut.data.lexicon import Pronunciations
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Phone
from phonaut.hmm.embedded import PhoneModels
from phonaut.hmm.topology import Topology, alternatives, bakis, sentence, sequence
from phonaut.hmm.utterance_graph import UtteranceGraph, utterance_graph

SILENCE = "SIL"
Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingConfig:
    """Training of phone models.

    Attributes:
        n_states: of a phone, left to right.
        n_splits: of the mixture of each state: one component becomes `2 ** n_splits`.
        n_iter: EM steps before the first split and after each.
        n_flat: EM steps of single Gaussians from a flat start, where no alignment is known to start from; theirs
            is then the start, for states within a phone have gone astray by then.
        silence_probability: of each place between words.
        tol: nats a frame; a step that gains less is the last before the next split.
    """

    n_states: int = 3
    n_splits: int = 2
    n_iter: int = 5
    n_flat: int = 15
    silence_probability: float = 0.5
    tol: float = 1e-3


class Decoding(NamedTuple):
    """Decoding graph of an utterance, with its phones and words.

    Attributes:
        graph: the chain.
        phone: of each node.
        word: number of the word that each node belongs to; -1: silence.
    """

    graph: UtteranceGraph
    phone: tuple[str, ...]
    word: tuple[int, ...]


def decoding_of(
    words: Sequence[str], lexicon: Pronunciations, unit: Mapping[str, int], first: Index, config: TrainingConfig
) -> Decoding:
    """The graph of words with all their pronunciations, and optional silence before, between and after them."""
    model = bakis(config.n_states, self_loop=0.0)
    said = [lexicon[word] for word in words]
    parts: list[list[Topology]] = [
        [alternatives([sequence(*[model] * len(phones)) for phones in variants])] for variants in said
    ]
    composed = sentence(parts, model, config.silence_probability)
    nodes = [(SILENCE, -1)]
    for number, variants in enumerate(said):
        nodes += [(phone, number) for phones in variants for phone in phones]
        nodes.append((SILENCE, -1))
    phone, word = zip(*nodes, strict=True)
    return Decoding(utterance_graph(composed, [unit[name] for name in phone], first), phone, word)


def segments(
    path: Index, decoding: Decoding, words: Sequence[str], frames: Framed, b: int
) -> tuple[list[Phone], list[Phone]]:
    """Phones and words with their times, from the best path through an utterance."""
    node = decoding.graph.node[path]
    first = np.flatnonzero(np.concatenate([[True], node[1:] != node[:-1]]))
    begin_s = frames.border_s(first, b)
    end_s = np.append(begin_s[1:], frames.durations_s[b])
    phones: list[Phone] = []
    spoken: list[tuple[int, float, float]] = []
    for n, start, end in zip(node[first], begin_s, end_s, strict=True):
        phones.append(Phone(decoding.phone[n], float(start), float(end)))
        number = decoding.word[n]
        if number >= 0 and spoken and spoken[-1][0] == number:
            spoken[-1] = (number, spoken[-1][1], float(end))
        elif number >= 0:
            spoken.append((number, float(start), float(end)))
    return phones, [Phone(words[number], start, end) for number, start, end in spoken]


class Alignable(NamedTuple):
    """Utterances that can be aligned, with their graphs and frames.

    Attributes:
        utterances: B of them.
        decodings: their graphs.
        frames: of all.
        unit: number of each phone.
        first: number of the first state of each phone.
    """

    utterances: list[Utterance]
    decodings: list[Decoding]
    frames: Framed
    unit: dict[str, int]
    first: Index


def align(
    prepared: PreparedCorpus,
    wanted: Sequence[Utterance],
    lexicon: Pronunciations,
    start: Mapping[str, Sequence[Phone]] | None = None,
    config: TrainingConfig | None = None,
    report: Report | None = None,
) -> list[Aligned]:
    """Train phone models on utterances, and align these with them.

    Args:
        prepared: the recordings.
        wanted: what is aligned.
        lexicon: pronunciations of words.
        start: phones with times, by utterance, to start from; None: a flat start.
        config: training of the models.
        report: called at each EM step: components of a state, the step, the log-likelihood per frame.
    """
    config = config or TrainingConfig()
    found = {one.id: Aligned(one.id, reason=reason) for one in wanted if (reason := problem(one, lexicon))}
    task, failed = alignable(prepared, [one for one in wanted if one.id not in found], lexicon, config)
    found |= {one.id: one for one in failed}
    if task.utterances:
        paths, scores = trained(task, lexicon, start, config, report).decode(
            task.frames.frames, task.frames.lengths, [decoding.graph for decoding in task.decodings]
        )
        for b, (one, decoding, path) in enumerate(zip(task.utterances, task.decodings, paths, strict=True)):
            phones, words = segments(path, decoding, one.words, task.frames, b) if np.isfinite(scores[b]) else ((), ())
            reason = "" if phones else "no path through its phones has a probability"
            found[one.id] = Aligned(one.id, tuple(phones), tuple(words), reason)
    return [found[one.id] for one in wanted]


def alignable(
    prepared: PreparedCorpus, wanted: Sequence[Utterance], lexicon: Pronunciations, config: TrainingConfig
) -> tuple[Alignable, list[Aligned]]:
    """Frames and chains of utterances; and those that are too short for their phones."""
    frames = framed(prepared, wanted, front_end(round(prepared.sample_rate)))
    shortest = [config.n_states * sum(min(map(len, lexicon[word])) for word in one.words) for one in wanted]
    fits = frames.lengths >= shortest
    failed = [
        Aligned(one.id, reason=f"it has {n} frames, and its phones need {least}")
        for one, n, least, fit in zip(wanted, frames.lengths, shortest, fits, strict=True)
        if not fit
    ]
    usable = [one for one, fit in zip(wanted, fits, strict=True) if fit]
    spoken = {phone for one in usable for word in one.words for variant in lexicon[word] for phone in variant}
    unit = {name: number for number, name in enumerate(sorted(spoken | {SILENCE}))}
    first = config.n_states * np.arange(len(unit))
    decodings = [decoding_of(one.words, lexicon, unit, first, config) for one in usable]
    return Alignable(usable, decodings, frames if fits.all() else frames.only(fits), unit, first), failed


def trained(
    task: Alignable,
    lexicon: Pronunciations,
    start: Mapping[str, Sequence[Phone]] | None,
    config: TrainingConfig,
    report: Report | None,
) -> PhoneModels:
    """Models of all phones, from a start on, with more and more components."""
    frames, graphs = task.frames, [decoding.graph for decoding in task.decodings]
    model = PhoneModels([config.n_states] * len(task.unit))

    def fit(n_iter: int, n_mix: int = 1) -> None:
        tell = None if report is None else partial(report, n_mix)
        model.fit(frames.frames, frames.lengths, graphs, n_iter=n_iter, tol=config.tol, report=tell)

    if start is None:
        model.initialize(
            frames.frames, np.concatenate([flat_start(task, b, lexicon, config) for b in range(len(graphs))])
        )
        fit(config.n_flat)
        paths, _ = model.decode(frames.frames, frames.lengths, graphs)
        start = {
            one.id: segments(path, decoding, one.words, frames, b)[0]
            for b, (one, decoding, path) in enumerate(zip(task.utterances, task.decodings, paths, strict=True))
        }
    known = [start.get(one.id, ()) for one in task.utterances]
    model.initialize(frames.frames, np.concatenate([by_phones(task, b, own, config) for b, own in enumerate(known)]))
    for split in range(config.n_splits + 1):
        if split:
            model.split_mixtures()
        fit(config.n_iter, 2**split)
    return model


def flat_start(task: Alignable, b: int, lexicon: Pronunciations, config: TrainingConfig) -> Index:
    """States of the frames of an utterance by uniform segmentation among the states of its phones."""
    phones = [SILENCE, *(phone for word in task.utterances[b].words for phone in lexicon[word][0]), SILENCE]
    states = [int(task.first[task.unit[name]]) + state for name in phones for state in range(config.n_states)]
    n = int(task.frames.lengths[b])
    return np.asarray(states)[np.arange(n) * len(states) // n]


def by_phones(task: Alignable, b: int, phones: Sequence[Phone], config: TrainingConfig) -> Index:
    """States of the frames of an utterance whose phones have times: uniform segmentation within each phone."""
    frames = task.frames
    label = np.full(int(frames.lengths[b]), -1)
    centre_s = frames.offset_s + np.arange(len(label)) * frames.shift_s
    for phone in phones:
        inside = np.flatnonzero((centre_s >= phone.start_s) & (centre_s < phone.end_s))
        if phone.label in task.unit:
            part = np.arange(len(inside)) * config.n_states // max(1, len(inside))
            label[inside] = task.first[task.unit[phone.label]] + part
    return label
