"""Systems that compare frames with the states that they are aligned to: shared by phone and sentence HMMs.

Background models are trained by embedded re-estimation (`phonaut.hmm.embedded`). An enrolled model is the background's
means, moved by MAP adaptation towards the frames of its takes, each take aligned to what it says. With posteriors
`gamma_t(s)` of the claimed phrase's states under the background models, a recording of T frames has the scores

    speaker = 1/T sum_t sum_s gamma_t(s) [log p(x_t | s, speaker) - log p(x_t | s, background)]
    phrase  = 1/T [log p(x | claimed phrase) - max log p(x | another phrase)]        both under the background models

Source: Reynolds, Quatieri and Dunn 2000 (MAP, ratios); Zeinali, Sameti and Burget 2017, "HMM-based phrase-independent
i-vector extractor for text-dependent speaker verification" (states in place of a mixture's components).
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm import inference
from phonaut.hmm.embedded import Batch, PhoneModels, variance_prior
from phonaut.hmm.emissions.mixture import NEGLIGIBLE, MixtureEmissions
from phonaut.hmm.utterance_graph import groups
from phonaut.models.speakers.phrase_units import ANY, UnitGraphs
from phonaut.models.speakers.streams import stream
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.utterances import Utterances

log = logging.getLogger(__name__)

BLOCK_CELLS = 2**22  # densities of frames under components, and of frames under models, that are held: 32 MB
SEPARATOR = "\x1f"  # of names in a tensor
UNITS = "units"  # column of references: the phrase of their graph

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


class Adapted(NamedTuple):
    """How the means of models of one phrase differ from the background's, by states `(S, R, M)` of R models.

    Attributes:
        states: of the phrase, `(S,)`.
        linear: `(mu' - mu) / sigma^2`, `(S, D, R, M)`.
        constant: `-(mu' - mu)(mu' + mu) / 2 sigma^2`, summed over dimensions, `(S, R, M)`.
    """

    states: Index
    linear: Tensor
    constant: Tensor


class AlignedStates(VerificationSystem):
    """Scores of frames against the states that they are aligned to.

    A sub-class says what the units of a phrase are (`phrases`, `make_graphs`).

    Args:
        n_features: D.
        n_states: of a unit, left to right.
        n_mix: most Gaussians of a state; one is not split where it has fewer than 20 frames.
        n_flat: EM steps of single Gaussians from an even division of each recording.
        n_iter: EM steps before the first split and after each.
        training: `forward_backward`: posteriors of all paths; `viterbi`: the best path.
        relevance_factor: frames that the background is worth in MAP adaptation of means.
        alignment: along which recordings are scored, and enrolled.
        alignment_stream: features that recordings are aligned by.
        score_stream: features that are scored; where it is another, its Gaussians are estimated from the posteriors of
            the aligned ones, in one pass.
        n_static: columns of the features that are no deltas; None: all.
        n_competitors: phrases of the background that the claimed one is compared with; 0: any units.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER, PHRASE)
    RULES: ClassVar = {
        **dict.fromkeys(("n_states", "n_mix", "n_flat", "n_iter", "n_static"), within(1, 10_000)),
        "relevance_factor": within(0, 1e6, beyond=True),
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
        relevance_factor: float = 3.0,
        alignment: Literal["forward_backward", "viterbi"] = "forward_backward",
        alignment_stream: Stream = "cmvn",
        score_stream: Stream = "as_is",
        n_static: int | None = None,
        n_competitors: int = 50,
    ) -> None:
        super().__init__(n_features)
        self.n_states, self.n_mix, self.n_flat, self.n_iter = n_states, n_mix, n_flat, n_iter
        self.best_path_trains, self.best_path = training == "viterbi", alignment == "viterbi"
        self.relevance_factor, self.n_competitors = relevance_factor, n_competitors
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

    # --- enrolment

    def state_statistics(self, utterances: Utterances, phrases: Sequence[str] | None = None) -> tuple[Array, Array]:
        """Baum-Welch statistics of each utterance about the means of the Gaussians that score.

            N_k = sum_t gamma_t(s) p(m | s, x_t)        F_k = sum_t gamma_t(s) p(m | s, x_t) (x_t - mu_k)

        Args:
            utterances: B of them.
            phrases: that they are aligned to; None: what they say.

        Returns:
            N `(B, K)` and F `(B, K, D)` of all K Gaussians with a weight, `gaussians` in their order.
        """
        said = self.phrases(utterances) if phrases is None else phrases
        there = self.scoring.weights_.ravel() > 0
        n, first = self._statistics(utterances, said)
        return n[:, there], first[:, there]

    def claims_of(self, utterances: Utterances) -> dict[str, str]:
        """The units of each phrase that utterances say, by its name."""
        return dict(sorted(zip(map(str, utterances["phrase"]), self.phrases(utterances), strict=True)))

    def gaussians(self) -> tuple[Array, Array]:
        """Means and variances of all Gaussians with a weight, `(K, D)` each."""
        there = self.scoring.weights_ > 0
        return self.scoring.means_[there], self.scoring.covars_[there]

    def _statistics(self, utterances: Utterances, phrases: Sequence[str]) -> tuple[Array, Array]:
        means = self.scoring.means_.reshape(-1, self.scoring.means_.shape[2])
        n_mix, (k, d) = self.scoring.n_mix, means.shape
        n, first = np.zeros((len(utterances), k)), np.zeros((len(utterances), k, d))
        for block in self.blocks_of(utterances):
            for run in self.runs(block, np.arange(len(block.which)), [phrases[b] for b in block.which]):
                gamma = self.models.occupation(run.batch, run.rows, self.best_path).gamma
                row, state = np.nonzero(gamma > NEGLIGIBLE)
                frame = run.frame[row]
                shares = torch.softmax(block.joint[frame, state], dim=1).numpy()
                shares *= (gamma[row, state] * run.share[row])[:, None]
                of = np.repeat(np.arange(len(run.which)), run.batch.lengths)[row]
                component = (of * k + state * n_mix)[:, None] + np.arange(n_mix)
                shape, where = (len(run.which) * k, len(block.frames)), (component.ravel(), np.repeat(frame, n_mix))
                weights = csr_array((shares.ravel(), where), shape=shape)
                counts = np.asarray(weights.sum(axis=1)).reshape(-1, k)
                rows = block.which[run.which]
                n[rows] = counts
                sums = np.asarray(weights @ block.frames.numpy()).reshape(-1, k, d)
                first[rows] = sums - counts[:, :, None] * means
        return n, first

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """Means adapted to all takes of a model, in the states of its phrase, or of all units if takes say several."""
        phrases = self.phrases(represented)
        means = self.scoring.means_.reshape(-1, self.scoring.means_.shape[2])
        numbers, first_take = np.unique(model, return_index=True)
        claimed, adapted = [], []
        for number in numbers:  # a model at a time: statistics of all Gaussians are many numbers
            takes = np.flatnonzero(model == number)
            said = [phrases[b] for b in takes]
            phrase = said[0] if len(set(said)) == 1 else ANY
            claimed.append(phrase)
            adapted.append(self.adapted_means(represented.select(takes), said, means, phrase))
        columns = {name: column[first_take] for name, column in represented.columns.items()}
        lengths = np.array([len(part) for part in adapted], np.int64)
        more = {"model": numbers.astype(np.int64), UNITS: np.array(claimed)}
        return Utterances(np.concatenate(adapted), lengths, {**columns, **more})

    def adapted_means(self, takes: Utterances, said: Sequence[str], means: Array, phrase: str) -> Array:
        """Means of the Gaussians of a phrase, adapted to takes; `(S M, D)`."""
        n, first = (part.sum(axis=0) for part in self._statistics(takes, said))
        new = means + first / (n + self.relevance_factor)[:, None]
        result: Array = new[self.components(phrase)]
        return result

    def components(self, phrase: str) -> Index:
        """The Gaussians of a phrase's states, `(S M,)`."""
        n_mix = self.scoring.n_mix
        return (self.graphs.states(phrase)[:, None] * n_mix + np.arange(n_mix)).ravel()

    # --- scores

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Ratio along the alignment to the claimed phrase, and how much better that fits than another phrase.

        Of several references of a model, the best counts. A recording without frames has the scores 0.
        """
        return self._scores(references, tested, model, recording, with_phrase=True)

    def speaker_scores(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> Array:
        """The ratios for speakers."""
        return self._scores(references, tested, model, recording, with_phrase=False)[SPEAKER]

    def _scores(
        self, references: Utterances, tested: Utterances, model: Index, recording: Index, *, with_phrase: bool
    ) -> dict[str, Array]:
        first = np.searchsorted(references["model"], model, side="left")
        count = np.searchsorted(references["model"], model, side="right") - first
        trial = np.repeat(np.arange(len(model)), count)
        reference = np.arange(len(trial)) - np.repeat(np.cumsum(count) - count, count) + first[trial]
        scores = self.reference_scores(
            references, tested, reference, np.asarray(recording)[trial], with_phrase=with_phrase
        )
        result = {}
        for name, values in scores.items():
            best = np.full(len(model), -np.inf)
            np.maximum.at(best, trial, values)
            result[name] = best
        return result

    def reference_scores(
        self,
        references: Utterances,
        tested: Utterances,
        reference: Index,
        recording: Index,
        *,
        with_phrase: bool = True,
    ) -> dict[str, Array]:
        """Scores of N pairs of a reference and a recording, by their numbers."""
        names, claimed = np.unique(references[UNITS], return_inverse=True)
        speaker, phrase = np.zeros(len(reference)), np.zeros(len(reference))
        adapted, place = self.adapted_by_phrase(references, names, claimed)
        tried, row_of = np.unique(recording, return_inverse=True)
        order = np.argsort(row_of, kind="stable")
        bounds = np.searchsorted(row_of[order], np.arange(len(tried) + 1))
        for block in self.blocks_of(tested.select(tried)):
            local = np.full(len(tried), -1)
            local[block.which] = np.arange(len(block.which))
            pairs = np.concatenate([order[bounds[b] : bounds[b + 1]] for b in block.which])
            utterance, of = local[row_of[pairs]], reference[pairs]
            if with_phrase:
                phrase[pairs] = self.phrase_scores(block, utterance, names, claimed[of])
            speaker[pairs] = self.block_speaker_scores(block, utterance, names, claimed[of], adapted, place[of])
        return {SPEAKER: speaker, PHRASE: phrase}

    def adapted_by_phrase(
        self, references: Utterances, names: NDArray[Any], claimed: Index
    ) -> tuple[list[Adapted], Index]:
        """What differs from the background in the references of each phrase, and the place of each among them."""
        n_mix, d = self.scoring.n_mix, self.scoring.means_.shape[2]
        adapted, place, starts = [], np.zeros(len(references), np.int64), references.starts
        for number, name in enumerate(names):
            rows = np.flatnonzero(claimed == number)
            place[rows] = np.arange(len(rows))
            states = self.graphs.states(str(name))
            old, variance = (torch.from_numpy(value[states]) for value in (self.scoring.means_, self.scoring.covars_))
            size = len(states) * n_mix
            frames = np.stack([references.frames[starts[row] : starts[row] + size] for row in rows])
            new = torch.from_numpy(frames.astype(np.float64)).view(len(rows), len(states), n_mix, d)
            linear = (new - old) / variance
            constant = -0.5 * (linear * (new + old)).sum(dim=3)
            adapted.append(Adapted(states, linear.permute(1, 3, 0, 2), constant.transpose(0, 1)))
        return adapted, place

    def phrase_scores(self, block: Block, utterance: Index, names: NDArray[Any], claimed: Index) -> Array:
        """`1/T [log p(x | claimed) - max log p(x | other)]` of pairs of an utterance and a claimed phrase, `(N,)`."""
        n = len(block.which)
        pairs, pair_of = np.unique(np.stack([utterance, claimed]), axis=1, return_inverse=True)
        own = self.likelihoods(block, pairs[0], [str(names[c]) for c in pairs[1]])[pair_of.ravel()]
        others = [*self.competitors, *([ANY] if len(self.competitors) < 2 else [])]
        every = self.likelihoods(block, np.repeat(np.arange(n), len(others)), others * n).reshape(n, len(others))
        same = np.array([[str(name) == other for other in others] for name in names])[claimed]
        against = np.where(same, -np.inf, every[utterance]).max(axis=1)
        # Nothing but the claimed phrase is known: then that is all there is to say.
        return np.where(np.isfinite(against), own - against, 0.0)

    def block_speaker_scores(
        self,
        block: Block,
        utterance: Index,
        names: NDArray[Any],
        claimed: Index,
        adapted: Sequence[Adapted],
        place: Index,
    ) -> Array:
        """Log-likelihood ratios along the alignment to the claimed phrase of pairs `(N,)`.

        Args:
            block: the recordings.
            utterance: place of each pair's recording in the block, `(N,)`.
            names: phrases.
            claimed: number of each pair's phrase, `(N,)`.
            adapted: models of each phrase.
            place: of each pair's model among those of its phrase, `(N,)`.
        """
        result = np.zeros(len(utterance))
        pairs, pair_of = np.unique(np.stack([utterance, claimed]), axis=1, return_inverse=True)
        pair_of = pair_of.ravel()
        order = np.argsort(pair_of, kind="stable")
        bounds = np.searchsorted(pair_of[order], np.arange(pairs.shape[1] + 1))
        for run in self.runs(block, pairs[0], [str(names[c]) for c in pairs[1]]):
            gamma = self.models.occupation(run.batch, run.rows, self.best_path).gamma * run.share[:, None]
            edges = np.concatenate([[0], np.cumsum(run.batch.lengths)])
            for b, pair in enumerate(run.which):  # all models of the phrase at once
                trials = order[bounds[pair] : bounds[pair + 1]]
                part = slice(edges[b], edges[b + 1])
                found = self.ratios(block, run.frame[part], gamma[part], adapted[pairs[1, pair]], place[trials])
                result[trials] = found / block.lengths[pairs[0, pair]]
        return result

    def ratios(self, block: Block, index: Index, gamma: Array, models: Adapted, which: Index) -> Array:
        """`sum_t sum_s gamma_t(s) [log p(x_t | s, model) - log p(x_t | s)]` of a recording and n models, `(n,)`.

        As only means differ, a ratio is `log sum_m p(m | s, x) exp(x . linear_m + constant_m)`.

        Args:
            block: the recordings.
            index: frames of this one in the block, `(T,)`.
            gamma: posteriors of all states, `(T, P)`.
            models: those of the phrase.
            which: of them.
        """
        row, state = np.nonzero(gamma > NEGLIGIBLE)
        by_state = np.argsort(state, kind="stable")
        row, state = row[by_state], np.searchsorted(models.states, state[by_state])
        n = np.bincount(state, minlength=len(models.states))
        slot = np.arange(len(row)) - (np.cumsum(n) - n)[state]
        frame, shape = index[row], (len(models.states), int(n.max(initial=1)))
        x = block.frames.new_zeros(*shape, block.frames.shape[1])
        x[state, slot] = block.frames[frame]
        shares = block.joint.new_zeros(*shape, block.joint.shape[2])
        shares[state, slot] = torch.log_softmax(block.joint[frame, models.states[state]], dim=1)
        weight = x.new_zeros(shape)
        weight[state, slot] = torch.from_numpy(gamma[row, models.states[state]])
        parts = []
        size = max(1, BLOCK_CELLS // shares.numel())
        for some in np.split(which, range(size, len(which), size)):
            linear, constant = models.linear[:, :, some], models.constant[:, some]
            away = torch.bmm(x, linear.flatten(2)).view(*shape, *constant.shape[1:]) + constant[:, None]
            logs = (away + shares[:, :, None]).logsumexp(dim=3)  # (S, F, n)
            parts.append((logs * weight[:, :, None]).sum(dim=(0, 1)))
        return np.asarray(torch.cat(parts).numpy())

    def size(self, n_frames: int) -> tuple[int, int]:
        """Numbers of all Gaussians, and two products of each with a frame."""
        n = sum(value.numel() for name, value in self.tensors().items() if not name.startswith("units:"))
        return n, 2 * n_frames * self.scoring.means_.size

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


@dataclass(frozen=True, eq=False)
class StateAlignment:
    """Gives frames to the Gaussians of states, for i-vectors: by what a recording says, or is claimed to say.

    Attributes:
        system: trained.
        phrases: units of each phrase by name, as `AlignedStates.claims_of` finds them.
    """

    system: AlignedStates
    phrases: Mapping[str, str]

    @property
    def claims(self) -> tuple[str, ...]:
        """Names of the phrases."""
        return tuple(self.phrases)

    @property
    def means(self) -> Array:
        """`(K, D)`."""
        return self.system.gaussians()[0]

    @property
    def covariances(self) -> Array:
        """Variances `(K, D)`."""
        return self.system.gaussians()[1]

    def statistics(self, utterances: Utterances, claim: str | None = None) -> tuple[Array, Array]:
        """Occupancies `(B, K)` and first-order sums about the means `(B, K, D)`, aligned to a claim, or to the text."""
        phrases = None if claim is None else [self.phrases[claim]] * len(utterances)
        return self.system.state_statistics(utterances, phrases)


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
