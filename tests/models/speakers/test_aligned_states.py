"""Phone and sentence HMMs of verification: against sums over every path, on speakers and phrases that are planted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from phonaut.models.speakers import Utterances, aligned_states, state_models
from phonaut.models.speakers.aligned_states import AlignedStates, StateAlignment
from phonaut.models.speakers.phone_hmm import PhoneHMM
from phonaut.models.speakers.phrase_units import SKIP
from phonaut.models.speakers.sentence_hmm import SentenceHMM

RNG = np.random.default_rng
D = 3
PLACES = {letter: 4 * RNG(n).normal(size=(3, D)) for n, letter in enumerate("ABCDE")}
TEXTS = ("ab cd", "dea", "bec")
SMALL: dict[str, Any] = {"n_mix": 2, "n_flat": 3, "n_iter": 2, "alignment_stream": "as_is"}


def said(text: str, shift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each letter has three places, and a speaker is a shift of all."""
    places = [PLACES[letter][s] for letter in text.upper().replace(" ", "") for s in range(3)]
    return np.concatenate([place + shift + rng.normal(size=(rng.integers(1, 4), D)) for place in places])


def voice(speaker: int) -> np.ndarray:
    """Of the background, anything; from 20 on, three directions."""
    return RNG(1000 + speaker).normal(size=D) if speaker < 20 else 2.5 * np.eye(D)[speaker % D]


def corpus(speakers: range, takes: int, seed: int, texts: tuple[str, ...] = TEXTS) -> Utterances:
    """Every speaker says every text `takes` times; phrases have names that say nothing."""
    rng = RNG(seed)
    rows = [(s, text) for s in speakers for text in texts for _ in range(takes)]
    frames = [said(text, voice(s), rng) for s, text in rows]
    columns = {
        "speaker": np.array([f"s{s}" for s, _ in rows]),
        "phrase": np.array([f"p{text.replace(' ', '')}" for _, text in rows]),
        "text": np.array([text for _, text in rows]),
    }
    return Utterances(np.concatenate(frames).astype(np.float32), np.array([len(x) for x in frames]), columns)


def trained(system: AlignedStates, background: Utterances, seed: int = 0) -> list[float]:
    """Train; the log-likelihoods of EM steps."""
    system.begin(background, seed)
    steps = []
    while not system.done:
        steps.append(dict(system.step()))
    return [figures["log_likelihood"] for figures in steps if "log_likelihood" in figures]


def phones(**options: Any) -> PhoneHMM:
    """Phone HMMs of two states, so that a phrase has few paths."""
    return PhoneHMM(n_features=D, **{"silence_mix": 3, **SMALL, **options})


BACKGROUND = corpus(range(6), 2, 0)


# --- every path


def log_density(system: AlignedStates, x: np.ndarray) -> np.ndarray:
    """`log p(x_t | s)` of all states, `(T, P)`, by scipy."""
    tensors = {name: value.numpy() for name, value in system.tensors().items()}
    each = norm(tensors["states:means"], np.sqrt(tensors["states:variances"])).logpdf(x[:, None, None]).sum(axis=3)
    with np.errstate(divide="ignore"):
        return np.asarray(logsumexp(each + np.log(tensors["states:weights"]), axis=2))


def every_path(system: PhoneHMM, letters: str, n_frames: int) -> Iterator[tuple[list[int], float]]:
    """Every path through a word: silence or not at the ends, states of each letter, skips; and its probability."""
    loops, s = system.models.self_loop, system.n_states
    for before in (False, True):
        for after in (False, True):
            if (before or after) and not system.wrap_silence:
                continue
            units = ["SIL"] * before + list(letters) + ["SIL"] * after
            p = 0.25 if system.wrap_silence else 1.0
            states = [system.graphs.number[unit] * s + k for unit in units for k in range(s)]
            last_of_unit = [k == s - 1 for _ in units for k in range(s)]

            def moves(i: int, last_of_unit: list[bool] = last_of_unit) -> Iterator[tuple[int, float]]:
                if not system.skips or last_of_unit[i]:
                    yield i + 1, 1.0
                else:
                    yield i + 1, 1 - SKIP
                    yield i + 2, SKIP

            def from_here(
                i: int, t: int, p: float, path: list[int], states: list[int] = states, moves: Any = moves
            ) -> Iterator[tuple[list[int], float]]:
                path = [*path, states[i]]
                if t == n_frames - 1:
                    for j, q in moves(i):
                        if j == len(states):
                            yield path, p * (1 - loops[states[i]]) * q
                    return
                yield from from_here(i, t + 1, p * loops[states[i]], path)
                for j, q in moves(i):
                    if j < len(states):
                        yield from from_here(j, t + 1, p * (1 - loops[states[i]]) * q, path)

            yield from from_here(0, 0, p, [])


def enumerated(system: PhoneHMM, letters: str, x: np.ndarray) -> tuple[float, np.ndarray, list[int]]:
    """`log p(x)`, posteriors of all states `(T, P)`, and the best path."""
    logs = log_density(system, x)
    total, gamma, best = 0.0, np.zeros_like(logs), (0.0, [0])
    for path, p in every_path(system, letters, len(x)):
        weight = p * np.exp(logs[range(len(x)), path].sum())
        total += weight
        gamma[range(len(x)), path] += weight
        best = max(best, (weight, path))
    return float(np.log(total)), gamma / total, best[1]


def one(x: np.ndarray, text: str) -> Utterances:
    """An utterance."""
    return Utterances(x.astype(np.float32), np.array([len(x)]), {"text": np.array([text])})


OPTIONS = [{}, {"wrap_silence": False, "per_phone_weights": False}, {"skips": True, "training": "viterbi"}]


@pytest.fixture(scope="module", params=OPTIONS, ids=["plain", "shared", "skips"])
def system(request: pytest.FixtureRequest) -> PhoneHMM:
    """Trained on the background, with two states a phone, aligned and scored on the same features."""
    made = phones(n_states=2, score_stream="as_is", n_iter=1, **request.param)
    trained(made, BACKGROUND)
    return made


@pytest.mark.oracle
def test_likelihood_posteriors_and_best_path_are_those_of_all_paths(system: PhoneHMM) -> None:
    x = said("ab", np.zeros(D), RNG(3))[:7]
    total, gamma, path = enumerated(system, "AB", x.astype(np.float32).astype(np.float64))
    (block,) = system.blocks_of(one(x, "ab"))
    assert system.likelihoods(block, np.array([0]), ["A B"]) * len(x) == pytest.approx(total, rel=1e-9)
    (run,) = system.runs(block, np.array([0]), ["A B"])
    np.testing.assert_allclose(system.models.occupation(run.batch, run.rows).gamma, gamma, atol=1e-9)
    found = system.models.occupation(run.batch, run.rows, best_path=True)
    assert found.gamma.argmax(axis=1).tolist() == path
    assert (found.gamma.sum(axis=1) == 1).all()


@pytest.mark.oracle
@pytest.mark.parametrize("alignment", ["forward_backward", "viterbi"])
def test_map_and_ratio_are_loops_over_frames_states_and_components(system: PhoneHMM, alignment: str) -> None:
    system.best_path = alignment == "viterbi"
    take, test = (said("ab", np.full(D, 0.5), RNG(seed))[:7].astype(np.float32) for seed in (4, 5))
    weights, means, variances = (
        system.tensors()[f"states:{name}"].numpy() for name in ("weights", "means", "variances")
    )

    def aligned(x: np.ndarray) -> np.ndarray:
        _, gamma, path = enumerated(system, "AB", x.astype(np.float64))
        return np.eye(gamma.shape[1])[path] if system.best_path else gamma

    def density(x: np.ndarray, s: int, m: int, mean: np.ndarray) -> float:
        return float(weights[s, m] * norm(mean[s, m], np.sqrt(variances[s, m])).pdf(x).prod())

    states, mixes = range(len(means)), range(means.shape[1])
    n, first = np.zeros(weights.shape), np.zeros(means.shape)
    for t, row in enumerate(aligned(take)):
        for s in states:
            p = [density(take[t], s, m, means) for m in mixes]
            for m in mixes:
                n[s, m] += row[s] * p[m] / sum(p)
                first[s, m] += row[s] * p[m] / sum(p) * (take[t] - means[s, m])
    moved = means + first / (n + 3)[:, :, None]
    ratio = 0.0
    for t, row in enumerate(aligned(test)):
        for s in states:
            if row[s] > 0:
                new, old = (sum(density(test[t], s, m, mean) for m in mixes) for mean in (moved, means))
                ratio += row[s] * np.log(new / old)
    references = system.enrol(one(take, "ab"), np.array([0]))
    seen = system.graphs.states("A B")
    np.testing.assert_allclose(references.of(0).reshape(len(seen), -1, D), moved[seen], atol=1e-8)
    scores = system.score(references, one(test, ""), np.array([0]), np.array([0]))
    assert scores["speaker"][0] == pytest.approx(ratio / len(test), abs=1e-8)
    there = weights.ravel() > 0
    alignment_of = StateAlignment(system, {"pab": "A B"})
    for claim, text in (("pab", ""), (None, "ab")):
        found = alignment_of.statistics(one(take, text), claim)
        np.testing.assert_allclose(found[0][0], n.ravel()[there], atol=1e-8)
        np.testing.assert_allclose(found[1][0], first.reshape(-1, D)[there], atol=1e-8)
    assert alignment_of.means.shape == alignment_of.covariances.shape == (there.sum(), D)


def test_states_without_frames_keep_the_means_of_the_background(system: PhoneHMM) -> None:
    take = said("ab", np.ones(D), RNG(4))
    means = system.scoring.means_.reshape(-1, D)
    every = system.adapted_means(one(take, "ab"), ["A B"], means, "*")
    components = system.components("*")
    names = np.array(system.graphs.units)[components // (system.n_states * system.scoring.n_mix)]
    others = ~np.isin(names, ["A", "B", "SIL"])
    assert np.array_equal(every[others], means[components][others])
    assert (every[names == "A"] != means[components][names == "A"]).any()


def test_phrase_scores_are_the_claimed_likelihood_less_that_of_the_best_other(system: PhoneHMM) -> None:
    tested = corpus(range(30, 31), 1, 5)
    references = system.enrol(tested, np.arange(3))
    model, recording = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    found = system.score(references, tested, model, recording)["phrase"].reshape(3, 3)
    phrases = system.phrases(tested)
    each = np.empty((3, 3))
    for b in range(3):
        (block,) = system.blocks_of(tested.select([b]))
        each[:, b] = system.likelihoods(block, np.zeros(3, np.int64), phrases)
    for a in range(3):
        np.testing.assert_allclose(found[a], each[a] - np.delete(each, a, axis=0).max(axis=0), atol=1e-9)
    assert (np.diag(found) > 0).all()
    assert (found[~np.eye(3, dtype=bool)] < 0).all()


# --- training


@pytest.mark.parametrize("training", ["forward_backward", "viterbi"])
def test_each_stage_of_training_raises_the_likelihood(training: str) -> None:
    made = phones(n_iter=4, score_stream="as_is", training=training)
    history = trained(made, BACKGROUND)
    assert len(history) == made.n_em == 3 + 4 * 3
    for first in (0, 3, 7, 11):
        assert (np.diff(history[first : first + (3 if first == 0 else 4)]) > -1e-3).all()  # the priors have a say
    assert history[-1] > history[0] + 0.5


def test_the_papers_size_is_984_gaussians() -> None:
    made = PhoneHMM(n_features=D)
    made.set_units([f"P{n}" for n in range(39)] + ["SIL"])
    assert made.most_components().sum() == 984


def test_mixtures_are_split_up_to_their_numbers_and_no_further() -> None:
    made = phones(n_mix=3, silence_mix=1, n_iter=1, n_flat=1)
    trained(made, corpus(range(6), 6, 0))
    n = (made.models.emissions.weights_ > 0).sum(axis=1).reshape(-1, 3)
    assert (n[list(made.graphs.units).index("SIL")] == 1).all()
    assert n.max() == 3
    assert made.models.emissions.n_mix == 3
    np.testing.assert_allclose(made.models.emissions.weights_.sum(axis=1), 1)


def test_gaussians_of_another_stream_are_estimated_on_the_same_alignment() -> None:
    made = phones(n_mix=1, silence_mix=1, training="viterbi", score_stream="static", n_static=2)
    trained(made, BACKGROUND)
    assert made.scoring.means_.shape[2] == 2
    graphs = [made.graphs[phrase] for phrase in made.phrases(BACKGROUND)]
    paths, _ = made.models.decode(BACKGROUND.frames, BACKGROUND.lengths, graphs)
    label = np.concatenate([graph.emission[path] for graph, path in zip(graphs, paths, strict=True)])
    for state in range(made.models.n_distinct):
        if (label == state).any():
            mean = BACKGROUND.frames[label == state, :2].mean(axis=0)
            np.testing.assert_allclose(made.scoring.means_[state, 0], mean, atol=1e-4)


MODELS = [
    pytest.param(lambda: phones(), id="phones"),
    pytest.param(lambda: phones(posteriors="network", network_size=32, network_epochs=40), id="network"),
    pytest.param(lambda: SentenceHMM(n_features=D, n_states=5, **SMALL), id="sentences"),
]


@pytest.mark.parametrize("make", MODELS)
def test_a_run_that_was_stopped_goes_on_to_the_same_parameters_and_scores(make: Any) -> None:
    straight = make()
    trained(straight, BACKGROUND)
    n_steps = straight.n_em + straight.n_further
    for stop in (2, straight.n_em - 1, n_steps - 1):
        first = make()
        first.begin(BACKGROUND, 0)
        for _ in range(stop):
            first.step()
        again = make()
        again.begin(BACKGROUND, 0)
        again.load_state_dict({name: value.clone() for name, value in first.state_dict().items()}, strict=False)
        again.load_training_state(first.training_state())
        while not again.done:
            again.step()
        tensors = again.tensors()
        assert tensors.keys() == straight.tensors().keys()
        for name, value in straight.tensors().items():
            assert np.array_equal(tensors[name], value), name
    loaded = make()
    loaded.load_tensors(straight.tensors())
    tested = corpus(range(30, 32), 1, 5)
    trials = np.arange(6), np.arange(6)[::-1]
    expected = straight.score(straight.enrol(tested, np.arange(6)), tested, *trials)
    found = loaded.score(loaded.enrol(tested, np.arange(6)), tested, *trials)
    for name, values in expected.items():
        assert np.array_equal(found[name], values)


# --- trials


@pytest.mark.parametrize("make", MODELS)
def test_planted_speakers_and_phrases_are_told_apart(make: Any) -> None:
    made = make()
    trained(made, BACKGROUND)
    enrolled, tested = corpus(range(20, 23), 2, 1), corpus(range(20, 23), 2, 2)
    scores, (speaker, phrase) = scored(made, enrolled, tested)
    assert auc(scores["speaker"], speaker & phrase, ~speaker & phrase) > 0.9
    assert auc(scores["phrase"], speaker & phrase, speaker & ~phrase) > 0.95


def scored(made: AlignedStates, enrolled: Utterances, tested: Utterances) -> tuple[dict[str, np.ndarray], Any]:
    """All trials of a model for each speaker and phrase; whether speaker and phrase are the model's."""
    keys = np.char.add(enrolled["speaker"], enrolled["phrase"])
    _, first, of = np.unique(keys, return_index=True, return_inverse=True)
    model, recording = np.repeat(np.arange(len(first)), len(tested)), np.tile(np.arange(len(tested)), len(first))
    scores = made.score(made.enrol(made.represent(enrolled), of), made.represent(tested), model, recording)
    same = [enrolled[name][first][model] == tested[name][recording] for name in ("speaker", "phrase")]
    return scores, same


def auc(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """How often a positive trial has the higher score."""
    return float((scores[positive][:, None] > scores[negative]).mean())


@pytest.mark.parametrize("make", MODELS)
def test_neither_order_nor_blocks_nor_other_trials_change_a_score(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    trained(made, BACKGROUND)
    enrolled, tested = corpus(range(20, 22), 2, 1), corpus(range(20, 23), 1, 2)
    model, recording = RNG(0).integers(0, 3, 40), RNG(1).integers(0, len(tested), 40)
    of = np.repeat([0, 1, 2, 2], 3)
    references = made.enrol(enrolled, of)
    whole = made.score(references, tested, model, recording)
    order = RNG(2).permutation(len(tested))
    place = np.argsort(order)
    for module in (aligned_states, state_models):
        monkeypatch.setattr(module, "BLOCK_CELLS", 500)
    mixed = RNG(3).permutation(len(enrolled))
    again = made.score(made.enrol(enrolled.select(mixed), of[mixed]), tested.select(order), model, place[recording])
    one_by_one = [made.score(references, tested.select([r]), np.array([m]), np.array([0])) for m, r in
                  zip(model[:8], recording[:8], strict=True)]  # fmt: skip
    for name, values in whole.items():
        np.testing.assert_allclose(again[name], values, atol=1e-9)
        np.testing.assert_allclose([one[name][0] for one in one_by_one], values[:8], atol=1e-9)


@pytest.mark.parametrize("make", MODELS)
def test_what_is_short_unknown_or_empty_has_finite_scores(make: Any) -> None:
    made = make()
    trained(made, BACKGROUND)
    several = corpus(range(20, 21), 1, 1)
    strange = corpus(range(20, 21), 1, 1, ("aa", "eb"))
    strange = strange.replaced(text=np.array(["zz", "x e"]), phrase=np.array(["zz", "new"]))
    silent = one(np.zeros((5, D)), "").replaced(phrase=np.array([""]), speaker=np.array([""]))
    enrolled = Utterances.joined([several, strange, silent])
    references = made.enrol(enrolled, np.array([0, 0, 0, 1, 2, 3]))
    lengths = np.array([1, 0, 3, 50])
    frames = np.concatenate([100 * np.ones((1, D)), BACKGROUND.frames[:3], BACKGROUND.frames[:50]])
    tested = Utterances(frames.astype(np.float32), lengths)
    scores = made.score(references, tested, np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4))
    for values in scores.values():
        assert np.isfinite(values).all()
        assert (values[1::4] == 0).all()


@pytest.mark.parametrize(
    "made", [phones(), SentenceHMM(n_features=D, n_states=9, **SMALL)], ids=["phones", "sentences"]
)
def test_phrases_that_the_background_has_not_are_told_apart_too(made: AlignedStates) -> None:
    trained(made, BACKGROUND)
    for text in ("cab", "ede"):  # states of no phrase: a ratio against them is large where the phrase is right
        both = (text, "bec")
        scores, (speaker, phrase) = scored(
            made, corpus(range(20, 23), 2, 1, (text,)), corpus(range(20, 23), 2, 2, both)
        )
        assert auc(scores["speaker"], speaker & phrase, ~speaker & phrase) > (
            0.9 if isinstance(made, PhoneHMM) else 0.7
        )
        assert auc(scores["phrase"], speaker & phrase, speaker & ~phrase) > 0.95


def test_a_model_of_several_phrases_is_aligned_to_any() -> None:
    made = phones()
    trained(made, BACKGROUND)
    enrolled = corpus(range(20, 23), 1, 1)
    references = made.enrol(enrolled, np.repeat(np.arange(3), 3))
    assert references["units"].tolist() == ["*"] * 3
    tested = corpus(range(20, 23), 3, 2, ("cab", "ede"))
    model, recording = np.repeat(np.arange(3), len(tested)), np.tile(np.arange(len(tested)), 3)
    found = made.score(references, tested, model, recording)["speaker"]
    same = np.array(["s20", "s21", "s22"])[model] == tested["speaker"][recording]
    assert auc(found, same, ~same) > 0.9


def test_a_background_that_says_nothing_is_refused() -> None:
    silent = BACKGROUND.replaced(text=np.full(len(BACKGROUND), ""), phrase=np.full(len(BACKGROUND), ""))
    for made in (phones(), SentenceHMM(n_features=D, n_states=5, **SMALL)):
        with pytest.raises(ValueError, match="must have recordings with a text or a phrase"):
            made.begin(silent, 0)
    with pytest.raises(ValueError, match="none of these has as many frames"):
        phones(n_states=100).begin(BACKGROUND, 0)
    with pytest.raises(ValueError, match="are missing: units:names"):
        phones().load_tensors({})


@pytest.mark.parametrize("alignment", ["forward_backward", "viterbi"])
def test_a_recording_shorter_than_its_phrase_counts_each_of_its_frames_once(alignment: str) -> None:
    made = phones(alignment=alignment)
    trained(made, BACKGROUND)
    short = one(said("dea", np.zeros(D), RNG(0))[:5], "dea")
    n, first = made.state_statistics(short)
    assert n.sum() == pytest.approx(5)
    total = first + n[:, :, None] * made.gaussians()[0]
    np.testing.assert_allclose(total.sum(axis=(0, 1)), short.frames.sum(axis=0), rtol=1e-6)


def test_along_the_best_path_no_state_follows_itself_from_one_recording_to_the_next() -> None:
    made = phones(n_states=1, wrap_silence=False, word_silence=False, training="viterbi")
    pair = Utterances(RNG(0).normal(size=(5, D)).astype(np.float32), np.array([3, 2]), {"text": np.array(["a", "a"])})
    made.begin(pair, 0)
    graphs = [made.graphs["A"]] * 2
    found = made.models.e_step(pair.frames, pair.lengths, graphs, np.zeros(D), best_path=True)
    assert found.self_loops.tolist() == [3.0]
    assert found.occupancies.tolist() == [5.0]
