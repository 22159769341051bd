"""Background models of the states of phrases: trained by embedded re-estimation, and aligned to recordings.

What scores with them is `phonaut.models.speakers.aligned_states`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm import inference
from phonaut.hmm.embedded import Batch, PhoneModels, variance_prior
from phonaut.hmm.emissions.mixture import MixtureEmissions
from phonaut.hmm.utterance_graph import groups
from phonaut.models.speakers.phrase_units import ANY, UnitGraphs
from phonaut.models.speakers.streams import stream
from phonaut.models.speakers.system import VerificationSystem
from phonaut.models.speakers.utterances import Utterances

log = logging.getLogger(__name__)

BLOCK_CELLS = 2**22  # densities of frames under components that are held: 32 MB
SEPARATOR = "\x1f"  # of names in a tensor

Stream = Literal["as_is", "cmvn", "static", "static_cmvn"]


class Training(NamedTuple):
    """What background models are trained on: frames of both streams `(N, D)`, lengths `(B,)`, phrases and graphs."""

    aligned: NDArray[Any]
    scored: NDArray[Any]
    lengths: Index
    phrases: list[str]


class Block(NamedTuple):
    """Some utterances with densities of their frames.

    Attributes:
        which: their numbers, `(B,)`; none of them is empty.
        begin: first frame of each in the block, `(B,)`.
        lengths: `(B,)`.
        frames: of the stream that is scored, `(N, D)`.
        logs: log-likelihoods of the states that frames are aligned by, `(N, P)`.
        joint: `log w_m N(x_t; s, m)` of the components that score, `(N, P, M)`.
    """

    which: Index
    begin: Index
    lengths: Index
    frames: Tensor
    logs: Tensor
    joint: Tensor


class Run(NamedTuple):
    """Alignments that are made at once: of an utterance of a block to a phrase each.

    Attributes:
        which: their numbers, `(b,)`.
        frame: of the block that each of their rows is, `(M,)`: a recording that is shorter than the shortest path
            has each of its frames several times.
        share: what a row counts, 1 over how often its frame is there, `(M,)`.
        batch: their chains.
        rows: log-likelihoods of the rows in the states of their phrases, `(M, S)`.
    """

    which: Index
    frame: Index
    share: Array
    batch: Batch
    rows: Array


class StateModels(VerificationSystem):
    """Background models of the states of phrases.

    A sub-class says what the units of a phrase are (`phrases`, `make_graphs`).

    Args:
        n_features: D.
        n_states: of a unit, left to right.
        n_mix: most Gaussians of a state; one is not split where it has fewer than 20 frames.
        n_flat: EM steps of single Gaussians from an even division of each recording.
        n_iter: EM steps before the first split and after each.
        training: `forward_backward`: posteriors of all paths; `viterbi`: the best path.
        alignment_stream: features that recordings are aligned by.
        score_stream: features that are scored; where it is another, its Gaussians are estimated from the posteriors of
            the aligned ones, in one pass.
        n_static: columns of the features that are no deltas; None: all.
        n_competitors: phrases of the background that the claimed one is compared with; 0: any units.
    """

    RULES: ClassVar = {
        **dict.fromkeys(("n_states", "n_mix", "n_flat", "n_iter", "n_static"), within(1, 10_000)),
        "n_competitors": within(0, 1e6),
    }
    models: PhoneModels
    graphs: UnitGraphs

    def __init__(
        self,
        *,
        n_features: int,
        n_states: int,
        n_mix: int,
        n_flat: int = 10,
        n_iter: int = 4,
        training: Literal["forward_backward", "viterbi"] = "forward_backward",
        alignment_stream: Stream = "cmvn",
        score_stream: Stream = "as_is",
        n_static: int | None = None,
        n_competitors: int = 50,
    ) -> None:
        super().__init__(n_features)
        self.n_states, self.n_mix, self.n_flat, self.n_iter = n_states, n_mix, n_flat, n_iter
        self.best_path_trains, self.n_competitors = training == "viterbi", n_competitors
        self.alignment_stream, self.score_stream, self.n_static = alignment_stream, score_stream, n_static
        self.competitors: tuple[str, ...] = ()
        self.scored: MixtureEmissions | None = None  # None: those that align
        self._step, self._seed = 0, 0
        self._data: Training | None = None

    # --- what a sub-class says

    @abstractmethod
    def phrases(self, utterances: Utterances) -> list[str]:
        """The units of each utterance, as `phonaut.models.speakers.phrase_units` writes them."""

    @abstractmethod
    def make_graphs(self, units: Sequence[str]) -> tuple[UnitGraphs, Index]:
        """Graphs of phrases of these units, and which self-loop each state has."""

    def units(self, phrases: Sequence[str]) -> list[str]:
        """Names of the units that are trained, from phrases of the background."""
        return sorted({name for phrase in set(phrases) for name in phrase.split()})

    def most_components(self) -> Index:
        """Gaussians that each state may have, `(P,)`."""
        return np.full(self.models.n_distinct, self.n_mix)

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Divide each recording evenly among the states of what it says."""
        phrases = self.phrases(background)
        said = [phrase for phrase in phrases if ANY not in phrase.split()]
        self.set_units(self.units(said))
        shortest = {phrase: self.graphs.shortest(phrase) for phrase in set(said)}
        usable = [
            b
            for b, (phrase, n) in enumerate(zip(phrases, background.lengths, strict=True))
            if n and n >= shortest.get(phrase, np.inf)
        ]
        if not usable:
            raise ValueError(
                f"no recording of the background can be aligned: of {len(background)}, {len(said)} have a text whose "
                "units are known, and none of these has as many frames as it has states"
            )
        if len(usable) < len(background):
            log.warning("recordings of the background that have no text or too few frames for it, and are left out: "
                        "%d of %d", len(background) - len(usable), len(background))  # fmt: skip
        used = background.select(usable)
        kept = [phrases[b] for b in usable]
        self._data = Training(self.stream_of(used, self.alignment_stream).frames, self.stream_of(used).frames,
                              used.lengths, kept)  # fmt: skip
        known = sorted(set(kept))
        drawn = np.random.default_rng(seed).permutation(len(known))[: self.n_competitors]
        self.competitors = tuple(known[i] for i in sorted(drawn))
        labels = [self.graphs.evenly(phrase, n) for phrase, n in zip(kept, used.lengths, strict=True)]
        self.models.initialize(self._data.aligned, np.concatenate(labels))
        self.scored, self._step, self._seed = None, 0, seed

    def set_units(self, units: Sequence[str]) -> None:
        """Make models of units, without parameters."""
        if not units:
            raise ValueError("the background must have recordings with a text or a phrase; got none")
        self.graphs, tied = self.make_graphs(units)
        self.models = PhoneModels([self.n_states] * len(units), tied)

    def stream_of(self, utterances: Utterances, name: str | None = None) -> Utterances:
        """The utterances in a stream, by default that which is scored."""
        return stream(utterances, name or self.score_stream, self.n_static)

    @property
    def n_splits(self) -> int:
        """How often mixtures are split."""
        return int(np.ceil(np.log2(self.most_components().max())))

    @property
    def n_em(self) -> int:
        """EM steps."""
        return self.n_flat + self.n_iter * (self.n_splits + 1)

    @property
    def n_further(self) -> int:
        """Steps after those of EM."""
        return 0

    def step(self) -> Mapping[str, float]:
        """An EM step; at the end of each stage, mixtures are split, and after the first, states are divided anew."""
        assert self._data is not None
        figures = self.em_step(self._data) if self._step < self.n_em else self.further_step(self._step - self.n_em)
        self._step += 1
        if self.done:
            self.finish(self._data)
        return figures

    def em_step(self, data: Training) -> Mapping[str, float]:
        """The same."""
        graphs, models, k = [self.graphs[phrase] for phrase in data.phrases], self.models, self._step
        if k == self.n_flat:
            models.initialize(data.aligned, self.divided_anew(data))
        origin = data.aligned.mean(axis=0, dtype=np.float64)
        found = models.e_step(data.aligned, data.lengths, graphs, origin, best_path=self.best_path_trains)
        models.m_step(found)
        later = k + 1 - self.n_flat
        if later > 0 and later % self.n_iter == 0 and k + 1 < self.n_em:
            models.split_mixtures(self.most_components())
        return {"log_likelihood": found.log_prob / found.n_frames}

    def divided_anew(self, data: Training) -> Index:
        """States of all frames by an even division within the units that the best paths find, `(N,)`.

        States within a unit have gone astray by then.
        """
        graphs = [self.graphs[phrase] for phrase in data.phrases]
        paths, _ = self.models.decode(data.aligned, data.lengths, graphs)
        return np.concatenate([self.graphs.within(*pair) for pair in zip(data.phrases, paths, strict=True)])

    def further_step(self, k: int) -> Mapping[str, float]:
        """A step after those of EM."""
        raise NotImplementedError

    def finish(self, data: Training) -> None:
        """Estimate the Gaussians that score, where these are of another stream, from the posteriors of the aligned.

        Source: Young et al. 2006, "The HTK book", section 8.7 (single-pass retraining).
        """
        if self.score_stream == self.alignment_stream:
            return
        wide = data.scored.astype(np.float64)
        origin, aligned, shape = wide.mean(axis=0), self.models.emissions, (*self.models.emissions.weights_.shape, 1)
        variance = np.maximum(wide.var(axis=0), 1e-10)
        prior = variance_prior(variance)["covars_weight"]
        scored = emissions_of(aligned.weights_, np.tile(origin, shape), np.tile(variance, shape), prior)
        total: GaussianStatistics | None = None
        utterances = Utterances(data.aligned, data.lengths)
        for block in self.blocks(utterances, utterances):  # components of the aligned stream say who explains a frame
            frames = wide[utterances.starts[block.which[0]] :][: len(block.frames)]
            for run in self.runs(block, np.arange(len(block.which)), [data.phrases[b] for b in block.which]):
                gamma = self.models.occupation(run.batch, run.rows, self.best_path_trains).gamma
                joint = block.joint[run.frame].numpy()
                part = aligned.sparse_statistics(frames[run.frame], joint, gamma, origin)
                total = part if total is None else total + part
        assert total is not None
        scored.m_step(total)
        scored.weights_ = aligned.weights_
        self.scored = scored

    @property
    def done(self) -> bool:
        """All steps are made."""
        return self._data is not None and self._step >= self.n_em + self.n_further

    def training_state(self) -> dict[str, Any]:
        """The number of steps."""
        return {"step": self._step}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._step = int(state["step"])

    # --- densities and alignments

    @property
    def scoring(self) -> MixtureEmissions:
        """The background's Gaussians that score."""
        return self.models.emissions if self.scored is None else self.scored

    def alignment_logs(self, frames: Utterances) -> Tensor:
        """Log-likelihoods of states that frames are aligned by, `(N, P)`."""
        return torch.from_numpy(self.models.emissions.log_prob(frames.frames.astype(np.float64)))

    def blocks(self, aligned: Utterances, scored: Utterances) -> Iterator[Block]:
        """Utterances of both streams, some at a time, with the densities of their frames; empty ones are left out."""
        emissions = self.models.emissions if scored is aligned else self.scoring
        size = max(1, BLOCK_CELLS // emissions.weights_.size)
        there = np.flatnonzero(aligned.lengths)
        number = (np.cumsum(aligned.lengths[there]) - 1) // size
        for which in np.split(there, np.flatnonzero(np.diff(number)) + 1) if len(there) else ():
            x = scored.select(which).frames.astype(np.float64)
            joint = torch.from_numpy(emissions.component_log_prob(x))
            lengths = aligned.lengths[which]
            logs = self.alignment_logs(aligned.select(which))
            yield Block(which, np.cumsum(lengths) - lengths, lengths, torch.from_numpy(x), logs, joint)

    def blocks_of(self, utterances: Utterances) -> Iterator[Block]:
        """The same of utterances as they come."""
        yield from self.blocks(self.stream_of(utterances, self.alignment_stream), self.stream_of(utterances))

    def runs(self, block: Block, utterance: Index, phrases: Sequence[str]) -> Iterator[Run]:
        """Alignments of utterances, by their place in the block, to phrases, some at a time."""
        if not len(utterance):
            return
        n, begin = block.lengths[utterance], block.begin[utterance]
        shortest = {phrase: self.graphs.shortest(phrase) for phrase in set(phrases)}
        times = np.maximum(1, -(-np.array([shortest[phrase] for phrase in phrases]) // n))
        lengths = n * times
        n_states = np.array([self.graphs[phrase].n_states for phrase in phrases])
        for which in groups(n_states, lengths, block.logs.shape[1]):
            of = np.repeat(which, lengths[which])
            place = np.arange(len(of)) - np.repeat(np.cumsum(lengths[which]) - lengths[which], lengths[which])
            index = begin[of] + place // times[of]
            graphs = [self.graphs[phrases[b]] for b in which]
            batch = self.models.batch(which, np.empty((0, 0)), lengths[which], graphs)
            yield Run(which, index, 1.0 / times[of], batch, self.models.rows_of_states(batch, block.logs[index]))

    def likelihoods(self, block: Block, utterance: Index, phrases: Sequence[str]) -> Array:
        """Log-likelihood of a frame of utterances under phrases, one each: `1/T log p(x | phrase)`, `(B,)`."""
        result = np.zeros(len(utterance))
        for run in self.runs(block, utterance, phrases):
            chains, n = run.batch.chains, run.batch.lengths
            result[run.which] = inference.log_likelihood(run.rows, chains, n, chain=np.arange(len(n))) / n
        return result

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Mixtures and self-loops of all states; names of units and of competing phrases as bytes."""
        if not hasattr(self, "models"):
            return {}
        emissions = self.models.emissions
        found = {
            "units:names": as_bytes(self.graphs.units),
            "units:competitors": as_bytes(self.competitors),
            "states:self_loop": self.models.self_loop,
            **named("states", emissions),
        }
        if self.scored is not None:
            found |= named("score", self.scored)
        return {name: value if isinstance(value, Tensor) else torch.from_numpy(np.array(value)) for name, value in
                found.items()}  # fmt: skip

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set units, mixtures and self-loops."""
        needed = ("units:names", "units:competitors", *(f"states:{name}" for name in ("self_loop", *NAMES)))
        if missing := [name for name in needed if name not in tensors]:
            raise ValueError(f"parameters of {type(self).__name__} are missing: {', '.join(missing)}")
        self.set_units(as_texts(tensors["units:names"]))
        self.competitors = tuple(as_texts(tensors["units:competitors"]))
        arrays = {name: value.detach().cpu().double().numpy().copy() for name, value in tensors.items()
                  if name.startswith(("states:", "score:"))}  # fmt: skip
        self.models.self_loop = arrays["states:self_loop"]
        self.models.emissions = emissions_of(*(arrays[f"states:{name}"] for name in NAMES))
        self.scored = None
        if "score:means" in arrays:
            self.scored = emissions_of(*(arrays[f"score:{name}"] for name in NAMES))


NAMES = ("weights", "means", "variances", "prior")


def emissions_of(weights: Array, means: Array, variances: Array, prior: Array) -> MixtureEmissions:
    """Mixtures with these parameters; `prior`: scale of the prior of variances, `(D,)`."""
    alpha = variance_prior(prior)["covars_prior"]
    emissions = MixtureEmissions(len(weights), weights.shape[1], covars_prior=alpha, covars_weight=prior)  # type: ignore[arg-type]
    emissions.weights_, emissions.means_, emissions.covars_ = weights, means, variances
    emissions.check()
    return emissions


def named(prefix: str, emissions: MixtureEmissions) -> dict[str, Any]:
    """Parameters of mixtures by the names of tensors."""
    values = (emissions.weights_, emissions.means_, emissions.covars_, emissions.covars_weight)
    return {f"{prefix}:{name}": value for name, value in zip(NAMES, values, strict=True)}


def as_bytes(texts: Sequence[str]) -> Tensor:
    """Texts as a tensor.

    >>> as_texts(as_bytes(["A", "b c"]))
    ['A', 'b c']
    """
    return torch.from_numpy(np.frombuffer(SEPARATOR.join(texts).encode(), np.uint8).copy())


def as_texts(values: Tensor) -> list[str]:
    """The texts again; of no bytes, none."""
    text = bytes(values.cpu().numpy().tolist()).decode()
    return text.split(SEPARATOR) if text else []
