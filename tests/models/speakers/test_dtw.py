"""Templates of speakers against plain loops, and against what was planted in synthetic takes."""

import numpy as np
import pytest

from helpers.spoken_phrases import N_FEATURES, N_STATIC, all_against_all, separation, takes
from phonaut.models.speakers import Utterances
from phonaut.models.speakers.dtw import DTW


def numbers(column: np.ndarray) -> np.ndarray:
    return np.unique(column, return_inverse=True)[1]


def enrolled(system: DTW, n_takes: int = 3) -> tuple[Utterances, Utterances, np.ndarray, np.ndarray]:
    """References of 3 speakers x 2 phrases, and others' and their own recordings, and who says what in both."""
    kept = system.represent(takes(range(3), range(2), n_takes))
    names = np.char.add(kept["speaker"], kept["phrase"])
    return (
        system.enrol(kept, numbers(names)),
        system.represent(takes(range(3), range(2), 3, seed=1)),
        np.unique(names),
        kept["speaker"],
    )


def plain(x: np.ndarray, y: np.ndarray, distance: str, band: int | None) -> float:
    """Cell by cell."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, m = len(x), len(y)
    reach = n + m if band is None else max(band, abs(n - m))
    cost = np.full((n + 1, m + 1), np.inf)
    for i, j in np.ndindex(n, m):
        if abs(i - j) <= reach:
            a, b = x[i], y[j]
            d = 1 - a @ b / np.sqrt((a @ a) * (b @ b)) if distance == "cosine" else np.sqrt(((a - b) ** 2).sum())
            steps = (cost[i, j] + 2 * d, cost[i, j + 1] + d, cost[i + 1, j] + d)
            cost[i + 1, j + 1] = d if i == j == 0 else min(steps)
    return float(cost[n, m] / (n + m))


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("combine", "distance", "band"),
    [("mean", "cosine", None), ("min", "euclidean", 3), ("mean_nearest", "cosine", None)],
)
def test_scores_are_those_of_plain_loops(combine: str, distance: str, band: int | None) -> None:
    system = DTW(n_features=N_FEATURES, combine=combine, distance=distance, band=band)  # type: ignore[arg-type]
    enrol, test = takes(range(2), range(1), 3), takes(range(2), range(1), 1, seed=1)
    model = np.array([0, 1, 0, 0, 1, 1])
    references = system.enrol(system.represent(enrol), model)
    found = system.score(references, system.represent(test), *all_against_all(2, 2))
    normalised = [[(x - x.mean(axis=0)) / x.std(axis=0) for x in map(of.of, range(len(of)))] for of in (enrol, test)]
    for name, (templates, recordings) in (
        ("speaker", [[of.of(row)[:, :N_STATIC] for row in range(len(of))] for of in (enrol, test)]),
        ("phrase", normalised),
    ):
        expected = []
        for m, recording in zip(*all_against_all(2, 2), strict=True):
            away = sorted(
                plain(recordings[recording], templates[r], distance, band) for r in np.flatnonzero(model == m)
            )
            expected.append(-np.mean(away[: {"mean": 3, "min": 1, "mean_nearest": 2}[combine]]))
        np.testing.assert_allclose(found[name], expected, rtol=1e-4)


@pytest.mark.oracle
def test_a_planted_voice_is_found_by_one_score_and_a_planted_phrase_by_the_other() -> None:
    system = DTW(n_features=N_FEATURES)
    references, tested, names, _ = enrolled(system)
    model, recording = all_against_all(len(names), len(tested))
    found = system.score(references, tested, model, recording)
    said = np.char.add(tested["speaker"], tested["phrase"])[recording]
    own = said == names[model]
    voice = np.array([name[:2] for name in names])[model] == tested["speaker"][recording]
    phrase = np.array([name[2:] for name in names])[model] == tested["phrase"][recording]
    assert separation(found["speaker"][own], found["speaker"][phrase & ~voice]) > 0.95
    assert separation(found["phrase"][own], found["phrase"][voice & ~phrase]) == 1.0
    assert separation(found["phrase"][own], found["phrase"][phrase & ~voice]) < 0.95  # normalised: the voice is gone


@pytest.mark.parametrize("combine", ["mean", "min", "mean_nearest"])
def test_order_and_batch_change_nothing(combine: str) -> None:
    system = DTW(n_features=N_FEATURES, combine=combine)  # type: ignore[arg-type]
    references, tested, names, _ = enrolled(system)
    model, recording = all_against_all(len(names), len(tested))
    whole = system.score(references, tested, model, recording)
    some = np.random.default_rng(0).permutation(len(model))[:40]
    rows = recording[some]
    alone = system.score(references, tested.select(rows), model[some], np.arange(len(some)))
    enrol = takes(range(3), range(2), 3)
    back = np.arange(len(enrol))[::-1]
    owner = numbers(np.char.add(enrol["speaker"], enrol["phrase"]))
    other = system.enrol(system.represent(enrol.select(back)), owner[back])
    turned = system.score(other, tested, model, recording)
    for name in system.scores:
        np.testing.assert_array_equal(alone[name], whole[name][some])
        np.testing.assert_allclose(turned[name], whole[name], rtol=1e-12)


def test_models_of_fewer_takes_are_scored_by_those_they_have() -> None:
    one, several = (DTW(n_features=N_FEATURES, combine=combine) for combine in ("mean", "mean_nearest"))  # type: ignore[arg-type]
    enrol, model = one.represent(takes(range(1), range(2), 2)), np.array([0, 1, 1, 1])
    test = one.represent(takes(range(2), range(1), 1, seed=1))
    trials = np.array([0, 0]), np.array([0, 1])
    found = [system.score(system.enrol(enrol, model), test, *trials)["speaker"] for system in (one, several)]
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"combine": "max"}, "combine must be"),
        ({"distance": "l1"}, "cosine or euclidean"),
        ({"phrase_stream": "delta"}, "stream must be"),
        ({"n_static": 13}, "from 1 to the 12 features"),
    ],
)
def test_options_that_there_are_not_are_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        DTW(n_features=N_FEATURES, **options)  # type: ignore[arg-type]
