"""Phrases as strings of units, and the chains that they are: units are phones, letters or whole phrases, by name.

A phrase is written as text, so that it can stand in a column: units of a pronunciation are divided by spaces, its
variants by tabs, words by line feeds. A unit is no more than a name, which may tell its neighbours as well. The name
`*` stands for what is not known: any units, one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phonaut.arrays import Index
from phonaut.data.lexicon import Pronunciations, words_of
from phonaut.hmm.topology import (
    Arc,
    Topology,
    alternatives,
    graph,
    optional,
    sequence,
    start_probabilities,
    transition_probabilities,
)
from phonaut.hmm.utterance_graph import UtteranceGraph, utterance_graph

SILENCE = "SIL"
ANY = "*"
UNKNOWN = "?"  # a phrase that the background has not
PAUSE = 0.5  # probability of each silence that may be there
END_OF_ANY = 0.1  # probability that any units end after one of them
SKIP = 0.1  # probability of passing over a state, where that is allowed


def units_of(text: str, lexicon: Pronunciations | None = None) -> str:
    """The units of a text: phones of all pronunciations, or letters where there is no lexicon.

    >>> units_of("Ya\u2019ani", None), units_of("", None), units_of("a b", {"A": [("AH",), ("EY",)]})
    ("Y A ' A N I", '*', 'AH\\tEY\\n*')
    """
    said = []
    for word in words_of(text.replace("_", " ")):
        if lexicon is None:
            said.append(" ".join(word))
        else:
            said.append("\t".join(" ".join(phones) for phones in lexicon.get(word, ())) or ANY)
    return "\n".join(said) or ANY


def names_in(phrase: str) -> set[str]:
    """The names of all units of a phrase."""
    return set(phrase.split())


def unit_topology(n_states: int, *, skips: bool = False) -> Topology:
    """A unit without its self-loops, left to right; `skips`: a state may be passed over (Bakis)."""
    one, two = (transition_probabilities("left_to_right", n_states + 1, skips=n, self_loop=0.0) for n in (0, 1))
    further = np.triu(two, 2) > 0
    matrix = np.where(further.any(axis=1, keepdims=True), np.where(further, SKIP, (1 - SKIP) * one), one)
    matrix = matrix if skips else one
    return Topology(start_probabilities("first", n_states), matrix[:-1, :-1], matrix[:-1, -1])


class UnitGraphs:
    """Graphs of phrases, made once each.

    Args:
        units: names of all, `(U,)`.
        n_states: of each.
        skips: states may be passed over.
        wrap_silence: there may be silence before and after a phrase; the unit `SIL` is one of the units then.
        word_silence: likewise between words.
    """

    def __init__(
        self,
        units: Sequence[str],
        n_states: int,
        *,
        skips: bool = False,
        wrap_silence: bool = False,
        word_silence: bool = False,
    ) -> None:
        self.units, self.n_states, self.skips = tuple(units), n_states, skips
        self.wrap_silence, self.word_silence = wrap_silence, word_silence
        self.number: Mapping[str, int] = {name: u for u, name in enumerate(self.units)}
        self.first: Index = n_states * np.arange(len(self.units))
        self.topology = unit_topology(n_states, skips=skips)
        self.any_of = [u for u, name in enumerate(self.units) if name not in (SILENCE, UNKNOWN)]
        self._made: dict[str, UtteranceGraph] = {}
        self._any: Topology | None = None

    def knows(self, phrase: str) -> bool:
        """True for a phrase of known units alone."""
        return names_in(phrase) <= self.number.keys()

    def __getitem__(self, phrase: str) -> UtteranceGraph:
        """The graph of a phrase; a unit that is not known is any."""
        if phrase not in self._made:
            self._made[phrase] = self._composed(phrase)
        return self._made[phrase]

    def _composed(self, phrase: str) -> UtteranceGraph:
        pause = optional(self.topology, PAUSE)
        parts: list[Topology] = []
        phones: list[int] = []

        def say(part: Topology, units: Sequence[int]) -> None:
            parts.append(part)
            phones.extend(units)

        for number, word in enumerate(phrase.split("\n")):
            if self.wrap_silence if number == 0 else self.word_silence:
                say(pause, [self.number[SILENCE]])
            variants = [variant.split() for variant in word.split("\t")]
            said = [sequence(*(self._part(name) for name in variant)) for variant in variants]
            say(alternatives(said), [u for variant in variants for name in variant for u in self._units(name)])
        if self.wrap_silence:
            say(pause, [self.number[SILENCE]])
        return utterance_graph(sequence(*parts), phones, self.first)

    def _units(self, name: str) -> list[int]:
        return [self.number[name]] if name in self.number else self.any_of

    def _part(self, name: str) -> Topology:
        return self.topology if name in self.number else self.any

    @property
    def any(self) -> Topology:
        """Any units but silence, one after another, each another than the one before."""
        if self._any is None:
            n = len(self.any_of)
            more = 1 - END_OF_ANY if n > 1 else 0.0
            arcs: list[Arc] = [(None, u, 1 / n) for u in range(n)]
            arcs += [(u, None, 1 - more) for u in range(n)]
            arcs += [(u, v, more / (n - 1)) for u in range(n) for v in range(n) if u != v]
            self._any = graph([self.topology] * n, arcs)
        return self._any

    def shortest(self, phrase: str) -> int:
        """Frames of the shortest path through a phrase."""
        least = (self.n_states + 1) // 2 if self.skips else self.n_states
        return least * sum(min(len(variant.split()) for variant in word.split("\t")) for word in phrase.split("\n"))

    def evenly(self, phrase: str, n_frames: int) -> Index:
        """States of the frames by an even division among those of the first pronunciations, `(T,)`."""
        named = [name for word in phrase.split("\n") for name in word.split("\t")[0].split()]
        named = [SILENCE, *named, SILENCE] if self.wrap_silence else named
        first = self.first[[self.number[name] for name in named]]
        states = (first[:, None] + np.arange(self.n_states)).ravel()
        return np.asarray(states[np.arange(n_frames) * len(states) // max(n_frames, 1)])

    def within(self, phrase: str, path: Index) -> Index:
        """States of the frames by an even division within each unit that a path through the graph passes, `(T,)`."""
        node, emission = self[phrase].node[path], self[phrase].emission[path]
        begins = np.diff(node, prepend=-1) != 0
        run = np.cumsum(begins) - 1
        length = np.bincount(run)
        place = np.arange(len(path)) - np.flatnonzero(begins)[run]
        label: Index = emission // self.n_states * self.n_states + place * self.n_states // length[run]
        return label

    def states(self, phrase: str) -> Index:
        """The states that a phrase has, each once, in ascending order."""
        return np.unique(self[phrase].emission)


def shared_loops(n_units: int, n_states: int, silence: int | None, per_unit: bool) -> Index:
    """Which self-loop each state has, `(P,)`: one of its own, or that of its place in all units but silence."""
    own = np.arange(n_units * n_states)
    if per_unit:
        return own
    shared = own % n_states
    return np.where(own // n_states == silence, n_states + shared, shared) if silence is not None else shared
