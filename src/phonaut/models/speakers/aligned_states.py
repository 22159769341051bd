"""Systems that compare frames with the states that they are aligned to: shared by phone and sentence HMMs.

The background models are those of `phonaut.models.speakers.state_models`. An enrolled model is the background's
means, moved by MAP adaptation towards the frames of its takes, each take aligned to what it says. With posteriors
`gamma_t(s)` of the claimed phrase's states under the background models, a recording of T frames has the scores

    speaker = 1/T sum_t sum_s gamma_t(s) [log p(x_t | s, speaker) - log p(x_t | s, background)]
    phrase  = 1/T [log p(x | claimed phrase) - max log p(x | another phrase)]        both under the background models

Source: Reynolds, Quatieri and Dunn 2000 (MAP, ratios); Zeinali, Sameti and Burget 2017, "HMM-based phrase-independent
i-vector extractor for text-dependent speaker verification" (states in place of a mixture's components).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import within
from phonaut.hmm.emissions.mixture import NEGLIGIBLE
from phonaut.models.speakers.phrase_units import ANY
from phonaut.models.speakers.state_models import Block, StateModels
from phonaut.models.speakers.system import PHRASE, SPEAKER
from phonaut.models.speakers.utterances import Utterances

BLOCK_CELLS = 2**22  # densities of frames under models that are held: 32 MB
UNITS = "units"  # column of references: the phrase of their graph


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


class AlignedStates(StateModels):
    """Scores of frames against the states that they are aligned to.

    Args:
        n_features: D.
        relevance_factor: frames that the background is worth in MAP adaptation of means.
        alignment: along which recordings are scored, and enrolled.
        **options: of `StateModels`.
    """

    scores: ClassVar[tuple[str, ...]] = (SPEAKER, PHRASE)
    RULES: ClassVar = {**StateModels.RULES, "relevance_factor": within(0, 1e6, beyond=True)}

    def __init__(
        self,
        *,
        n_features: int,
        relevance_factor: float = 3.0,
        alignment: Literal["forward_backward", "viterbi"] = "forward_backward",
        **options: Any,
    ) -> None:
        super().__init__(n_features=n_features, **options)
        self.relevance_factor, self.best_path = relevance_factor, alignment == "viterbi"

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
