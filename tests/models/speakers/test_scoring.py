"""Cohorts, normalisation and inputs of a fusion, beside loops that say what each is."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.toy_verifier import ToyVerifier, cosine
from phonaut.data.trials import TrialList
from phonaut.models.speakers import Utterances
from phonaut.models.speakers.scoring import Cohort, Enrolled, fusion_inputs, normalised, raw_scores

PHRASES = ("no", "yes")


def spoken(speakers: list[str], n_takes: int, seed: int, phrases: tuple[str, ...] = PHRASES) -> Utterances:
    rng = np.random.default_rng(seed)
    keys = [(who, phrase, take) for who in speakers for phrase in phrases for take in range(n_takes)]
    lengths = rng.integers(8, 14, len(keys))
    offset = {who: rng.standard_normal(4) for who in speakers}
    frames = np.concatenate(
        [offset[who] + rng.standard_normal((n, 4)) for (who, *_), n in zip(keys, lengths, strict=True)]
    )
    return Utterances(
        frames.astype(np.float32),
        lengths.astype(np.int64),
        {
            "id": np.array([f"{who}/{phrase}/{take}" for who, phrase, take in keys]),
            "speaker": np.array([who for who, *_ in keys]),
            "phrase": np.array([phrase for _, phrase, _ in keys]),
            "speech_s": lengths / 100,
        },
    )


@pytest.fixture(scope="module")
def system() -> ToyVerifier:
    toy = ToyVerifier(n_features=4)
    toy.begin(spoken(["b1", "b2", "b3"], 3, 0), 0)
    while not toy.done:
        toy.step()
    return toy


@pytest.fixture(scope="module")
def cohort(system: ToyVerifier) -> Cohort:
    return Cohort.of(system, system.represent(spoken(["b1", "b2", "b3"], 3, 0)), n_takes=2, n_speakers=20)


def enrolled_and_tested(system: ToyVerifier) -> tuple[Enrolled, Utterances, TrialList]:
    everything = spoken(["anna", "bert"], 4, 1)
    take = np.tile(np.arange(4), 4)
    model = np.repeat(np.arange(4), 4)
    enrolled = Enrolled.of(system, system.represent(everything.select(take < 2)), model[take < 2])
    tested = system.represent(everything.select(take >= 2))
    pairs = np.array([(m, r) for m in range(4) for r in range(8)])
    condition = [2 * (r // 4 != m // 2) + (r // 2 % 2 != m % 2) for m, r in pairs]
    ids = everything["id"]
    trials = TrialList(
        {f"m{m}": tuple(ids[(model == m) & (take < 2)]) for m in range(4)},
        tuple(ids[take >= 2]),
        pairs[:, 0].astype(np.int32),
        pairs[:, 1].astype(np.int32),
        np.array(condition, np.int8),
    )
    return enrolled, tested, trials


def test_a_cohort_has_the_first_takes_of_each_phrase_by_each_speaker(cohort: Cohort) -> None:
    assert sorted(cohort.recordings["id"]) == sorted(
        f"b{b}/{phrase}/{take}" for b in (1, 2, 3) for phrase in PHRASES for take in (0, 1)
    )
    assert sorted(cohort.model_phrase) == ["no"] * 3 + ["yes"] * 3
    again = Cohort.from_arrays(cohort.arrays())
    assert again.arrays().keys() == cohort.arrays().keys()
    assert all((again.arrays()[name] == array).all() for name, array in cohort.arrays().items())


def test_of_many_speakers_a_cohort_has_some_of_each_phrase(system: ToyVerifier) -> None:
    many = Cohort.of(system, system.represent(spoken([f"s{i}" for i in range(9)], 2, 3)), n_takes=1, n_speakers=4)
    assert sorted(many.model_phrase) == ["no"] * 4 + ["yes"] * 4


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["z", "t", "s", "as"])
def test_normalised_scores_are_those_of_a_loop_over_the_cohort_of_the_claimed_phrase(
    system: ToyVerifier, cohort: Cohort, kind: str
) -> None:
    enrolled, tested, trials = enrolled_and_tested(system)
    model, recording = trials.model.astype(int), trials.recording.astype(int)
    raw = raw_scores(system, enrolled.references, tested, model, recording)["speaker"]
    found, _ = normalised(system, cohort, enrolled, tested, model, recording, raw, kind, top_n=2)
    for i, (m, r) in enumerate(zip(model, recording, strict=True)):
        phrase = enrolled.phrase[m]
        z = [
            float(cosine(enrolled.references["level"][m][None], level[None])[0])
            for level, said in zip(cohort.recordings["level"], cohort.recordings["phrase"], strict=True)
            if said == phrase
        ]
        t = [
            float(cosine(level[None], tested["level"][r][None])[0])
            for level, said in zip(cohort.references["level"], cohort.model_phrase, strict=True)
            if said == phrase
        ]
        if kind == "as":
            z, t = sorted(z)[-2:], sorted(t)[-2:]
        of = {"z": (raw[i] - np.mean(z)) / np.std(z), "t": (raw[i] - np.mean(t)) / np.std(t)}
        expected = of[kind] if kind in of else (of["z"] + of["t"]) / 2
        assert found[i] == pytest.approx(expected, rel=1e-9)


def test_a_phrase_that_nobody_of_the_cohort_says_is_normalised_by_all_of_it(
    system: ToyVerifier, cohort: Cohort
) -> None:
    enrolled, tested, trials = enrolled_and_tested(system)
    unknown = Enrolled(enrolled.references, np.array(["maybe"] * 4), enrolled.speech_s)
    model, recording = trials.model.astype(int), trials.recording.astype(int)
    raw = raw_scores(system, enrolled.references, tested, model, recording)["speaker"]
    found, _ = normalised(system, cohort, unknown, tested, model, recording, raw, "z")
    everybody = cosine(np.repeat(enrolled.references["level"][:1], len(cohort.recordings), 0),
                       cohort.recordings["level"])  # fmt: skip
    assert found[0] == pytest.approx((raw[0] - everybody.mean()) / everybody.std())


def test_models_of_several_phrases_claim_none(system: ToyVerifier) -> None:
    everything = system.represent(spoken(["anna"], 2, 1))
    enrolled = Enrolled.of(system, everything, np.array([0, 0, 0, 1]))
    assert enrolled.phrase.tolist() == ["", "yes"]
    assert enrolled.speech_s[0] == pytest.approx(everything["speech_s"][:3].mean())


def test_phrase_scores_are_not_normalised_and_lengths_are_inputs(system: ToyVerifier, cohort: Cohort) -> None:
    enrolled, tested, trials = enrolled_and_tested(system)
    inputs = fusion_inputs(system, cohort, enrolled, tested, trials, normalization="s")
    raw = raw_scores(system, enrolled.references, tested, trials.model.astype(int), trials.recording.astype(int))
    assert (inputs["phrase"] == raw["phrase"]).all()
    assert not np.allclose(inputs["speaker"], raw["speaker"])
    bare = fusion_inputs(system, None, enrolled, tested, trials, normalization="none", durations=False)
    assert list(bare) == ["speaker", "phrase"]
    assert (bare["speaker"] == raw["speaker"]).all()


def test_what_scores_are_normalised_by_are_inputs_where_that_is_asked_for(system: ToyVerifier, cohort: Cohort) -> None:
    enrolled, tested, trials = enrolled_and_tested(system)
    inputs = fusion_inputs(system, cohort, enrolled, tested, trials, normalization="s", cohort_scores=True)
    sides = ("enrolled", "tested")
    assert set(inputs) >= {f"cohort {what} {side}" for what in ("mean", "deviation") for side in sides}
    model, recording = trials.model.astype(int), trials.recording.astype(int)
    raw = raw_scores(system, enrolled.references, tested, model, recording)["speaker"]
    for i, (m, r) in enumerate(zip(model, recording, strict=True)):
        said = cohort.recordings["phrase"] == enrolled.phrase[m]
        z = cosine(np.repeat(enrolled.references["level"][m][None], said.sum(), 0), cohort.recordings["level"][said])
        models = cohort.references["level"][cohort.model_phrase == enrolled.phrase[m]]
        t = cosine(models, np.repeat(tested["level"][r][None], len(models), 0))
        found = [inputs[f"cohort {what} {side}"][i] for side in sides for what in ("mean", "deviation")]
        assert found == pytest.approx([z.mean(), z.std(), t.mean(), t.std()], rel=1e-9)
        by_hand = ((raw[i] - found[0]) / found[1] + (raw[i] - found[2]) / found[3]) / 2
        assert inputs["speaker"][i] == pytest.approx(by_hand)
    assert "cohort mean tested" not in fusion_inputs(system, cohort, enrolled, tested, trials, normalization="s")


def test_order_and_number_of_trials_at_once_change_nothing(
    system: ToyVerifier, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled, tested, trials = enrolled_and_tested(system)
    whole = fusion_inputs(system, cohort, enrolled, tested, trials, normalization="as", top_n=2)
    monkeypatch.setattr("phonaut.models.speakers.scoring.AT_ONCE", 7)
    order = np.random.default_rng(0).permutation(len(trials))
    mixed = TrialList(
        trials.enrolment, trials.recordings, trials.model[order], trials.recording[order], trials.condition[order]
    )
    parts = fusion_inputs(system, cohort, enrolled, tested, mixed, normalization="as", top_n=2)
    for name, column in whole.items():
        np.testing.assert_allclose(parts[name], column[order], rtol=1e-12)
