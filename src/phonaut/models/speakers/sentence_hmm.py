"""Sentence HMMs: each phrase is a left-to-right model of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
import torch

from phonaut.arrays import Array, Index
from phonaut.models.speakers.aligned_states import UNITS, AlignedStates
from phonaut.models.speakers.phrase_units import ANY, UNKNOWN, UnitGraphs
from phonaut.models.speakers.state_models import Block, Stream, Training, emissions_of
from phonaut.models.speakers.utterances import Utterances

OWN_STEPS = 3  # of adaptation of a phrase that the background has not
TAKEN = (ANY, UNKNOWN)  # names that mean something else


class SentenceHMM(AlignedStates):
    """Left-to-right models of the background's phrases, MAP per model, ratios along alignments.

    Phrases have the names of the column `phrase`, or their text where that is empty. A model of a phrase that the
    background has not is adapted from states that all have the background's mean, with posteriors of its own: EM with
    the prior of MAP. Its recordings are aligned by the adapted means.

    Args:
        n_features: D.
        n_states: of a phrase.
        n_mix: most Gaussians of a state.
        **others: of `AlignedStates`.
    """

    def __init__(
        self,
        *,
        n_features: int,
        n_states: int = 10,
        n_mix: int = 2,
        n_flat: int = 5,
        n_iter: int = 4,
        training: Literal["forward_backward", "viterbi"] = "forward_backward",
        relevance_factor: float = 3.0,
        alignment: Literal["forward_backward", "viterbi"] = "forward_backward",
        alignment_stream: Stream = "cmvn",
        score_stream: Stream = "as_is",
        n_static: int | None = None,
        n_competitors: int = 50,
    ) -> None:
        super().__init__(
            n_features=n_features,
            n_states=n_states,
            n_mix=n_mix,
            n_flat=n_flat,
            n_iter=n_iter,
            training=training,
            relevance_factor=relevance_factor,
            alignment=alignment,
            alignment_stream=alignment_stream,
            score_stream=score_stream,
            n_static=n_static,
            n_competitors=n_competitors,
        )
        self._own: Array | None = None  # means of the unknown phrase, of one model

    def phrases(self, utterances: Utterances) -> list[str]:
        """The name of each phrase as one word; `?` where the background, once it is there, has it not."""
        said = np.where(utterances["phrase"] == "", utterances["text"], utterances["phrase"])
        words = ["_".join(str(name).split()) for name in said]
        names = [f"{word}_" if word in TAKEN else word or ANY for word in words]
        if not hasattr(self, "graphs"):
            return names
        known = set(self.graphs.units)
        return [name if name in known else UNKNOWN for name in names]

    def units(self, phrases: Sequence[str]) -> list[str]:
        """All phrases, and the one that is not known."""
        return [*super().units(phrases), UNKNOWN] if phrases else []

    def make_graphs(self, units: Sequence[str]) -> tuple[UnitGraphs, Index]:
        """Graphs of one unit."""
        return UnitGraphs(units, self.n_states), np.arange(len(units) * self.n_states)

    def begin(self, background: Utterances, seed: int) -> None:
        """Divide each recording evenly among the states of its phrase."""
        vars(self).pop("graphs", None)
        super().begin(background, seed)

    def finish(self, data: Training) -> None:
        """Estimate the Gaussians that score; the unknown phrase stays in its states as long as others do."""
        loops = self.models.self_loop.reshape(-1, self.n_states).copy()
        loops[-1] = loops[:-1].mean()
        self.models.self_loop = loops.ravel()
        super().finish(data)

    # --- phrases that the background has not

    @contextmanager
    def taken_for_unknown(self, means: Array) -> Iterator[None]:
        """While it lasts, the unknown phrase is that of one model, with its means `(S M, D)`."""
        self._own = means
        try:
            yield
        finally:
            self._own = None

    def blocks(self, aligned: Utterances, scored: Utterances) -> Iterator[Block]:
        """Utterances with the densities of their frames, of the unknown phrase by what it is taken for."""
        for block in super().blocks(aligned, scored):
            if self._own is None:
                yield block
                continue
            states, background = self.graphs.states(UNKNOWN), self.scoring
            own = emissions_of(background.weights_[states], self._own.reshape(len(states), -1, self._own.shape[1]),
                               background.covars_[states], np.asarray(background.covars_weight))  # fmt: skip
            logs = block.logs.clone()
            logs[:, states] = torch.from_numpy(own.log_prob(block.frames.numpy()))
            yield block._replace(logs=logs)

    def adapted_means(self, takes: Utterances, said: Sequence[str], means: Array, phrase: str) -> Array:
        """Means adapted to takes; those of an unknown phrase with posteriors that follow from them, step by step."""
        adapted = super().adapted_means(takes, said, means, phrase)
        for _ in range(OWN_STEPS if phrase == UNKNOWN else 0):
            with self.taken_for_unknown(adapted):
                adapted = super().adapted_means(takes, said, means, phrase)
        return adapted

    def reference_scores(
        self,
        references: Utterances,
        tested: Utterances,
        reference: Index,
        recording: Index,
        *,
        with_phrase: bool = True,
    ) -> dict[str, Array]:
        """Scores of pairs; a reference whose phrase the background has not is aligned to by itself."""
        own = references[UNITS][reference] == UNKNOWN
        parts: list[tuple[Any, Array | None]] = [(np.flatnonzero(~own), None)] if not own.all() else []
        for row in np.unique(reference[own]):
            parts.append((np.flatnonzero(own & (reference == row)), references.of(row).astype(np.float64)))
        result = {name: np.zeros(len(reference)) for name in self.scores}
        for which, means in parts:
            with nullcontext() if means is None else self.taken_for_unknown(means):
                found = super().reference_scores(
                    references, tested, reference[which], recording[which], with_phrase=with_phrase
                )
            for name, values in found.items():
                result[name][which] = values
        return result
