"""Normalised scores are those of a loop over trials and their cohorts."""

import numpy as np
import pytest

from phonaut.metrics.score_normalization import cohort_statistics, s_norm, t_norm, z_norm

rng = np.random.default_rng(0)
SCORES, MODELS, TESTS = rng.normal(size=(4, 6)), rng.normal(size=(4, 30)), rng.normal(size=(6, 25))
SAME_MODEL, SAME_TEST = rng.random((4, 30)) < 0.6, rng.random((6, 25)) < 0.6


def loop(row: np.ndarray, member: np.ndarray, top_n: int | None) -> tuple[float, float]:
    kept = sorted((x for x, m in zip(row, member, strict=True) if m), reverse=True)[:top_n]
    mean = sum(kept) / len(kept)
    return mean, (sum((x - mean) ** 2 for x in kept) / len(kept)) ** 0.5


@pytest.mark.oracle
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("top_n", [None, 2, 10, 18, 25, 300])
def test_matrices_and_lists_of_trials_are_normalised_like_single_ones(masked: bool, top_n: int | None) -> None:
    of_models, of_tests = (SAME_MODEL, SAME_TEST) if masked else (None, None)
    enrolled = cohort_statistics(MODELS, member=of_models, top_n=top_n)
    tested = cohort_statistics(TESTS, member=of_tests, top_n=top_n)
    both = s_norm(SCORES, enrolled[:, None], tested)
    z, t = z_norm(SCORES, enrolled[:, None]), t_norm(SCORES, tested)
    for m in range(4):
        for r in range(6):
            mean_e, deviation_e = loop(MODELS[m], SAME_MODEL[m] if masked else np.ones(30), top_n)
            mean_t, deviation_t = loop(TESTS[r], SAME_TEST[r] if masked else np.ones(25), top_n)
            single = (SCORES[m, r] - mean_e) / deviation_e, (SCORES[m, r] - mean_t) / deviation_t
            assert (z[m, r], t[m, r]) == pytest.approx(single, rel=1e-10)
            assert both[m, r] == pytest.approx(sum(single) / 2, rel=1e-10)
    model, recording = np.array([3, 0, 3]), np.array([5, 2, 0])
    listed = s_norm(SCORES[model, recording], enrolled[model], tested[recording])
    np.testing.assert_allclose(listed, both[model, recording], rtol=1e-12)


def test_a_cohort_of_each_phrase_broadcasts_over_recordings() -> None:
    phrase_of = np.arange(25) % 3
    of_phrases = cohort_statistics(TESTS[:, None], member=phrase_of == np.arange(3)[:, None])
    assert of_phrases.mean.shape == (6, 3)
    np.testing.assert_allclose(of_phrases.mean[2, 1], TESTS[2, phrase_of == 1].mean())
    np.testing.assert_allclose(of_phrases.deviation[5, 2], TESTS[5, phrase_of == 2].std())


def test_scale_and_offset_of_a_model_are_taken_back_and_nothing_is_clamped() -> None:
    scale, offset = np.array([[1.0], [1e3], [1e-3], [5.0]]), np.array([[0.0], [-7e3], [3.0], [1e4]])
    plain = z_norm(SCORES, cohort_statistics(MODELS, top_n=8)[:, None])
    moved = z_norm(scale * SCORES + offset, cohort_statistics(scale * MODELS + offset, top_n=8)[:, None])
    np.testing.assert_allclose(moved, plain, atol=1e-8)
    assert z_norm([-np.inf, 1e300], cohort_statistics(MODELS[0])).tolist()[0] == -np.inf


def test_who_is_no_member_may_have_any_score() -> None:
    spoilt = np.where(SAME_MODEL, MODELS, np.nan)
    for top_n in (None, 5):
        here = cohort_statistics(spoilt, member=SAME_MODEL, top_n=top_n)
        there = cohort_statistics(MODELS, member=SAME_MODEL, top_n=top_n)
        np.testing.assert_array_equal(here.mean, there.mean)
        np.testing.assert_array_equal(here.deviation, there.deviation)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("cohort", "options", "message"),
    [
        ([[1.0, 2.0], [1.0, np.nan]], {}, "must be finite; got one that is not in row 1$"),
        ([[1.0, 2.0], [-np.inf, 1.0]], {}, "must be finite; got one that is not in row 1$"),
        ([[1.0, 2.0], [3.0, 3.0]], {}, "must differ from one another; got equal ones in row 1$"),
        ([[0.1, 0.1, 0.1]], {}, "must differ"),
        ([[1.0, 2.0, 2.0]], {"top_n": 2}, "must differ"),
        ([[1.0], [2.0]], {}, "at least two; got fewer in row 0$"),
        (np.empty((2, 0)), {}, "at least two; got fewer in row 0$"),
        ([[1.0, 2.0], [1.0, 3.0]], {"member": [[True, True], [True, False]]}, "at least two; got fewer in row 1$"),
        (np.ones((2, 3, 1)), {}, "row 0, 0$"),
        ([1.0, 2.0], {"top_n": 1}, "top_n must be >= 2.* got 1"),
        (1.0, {}, "axis of the cohort"),
    ],
)
def test_cohorts_that_normalise_nothing_are_refused(cohort: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cohort_statistics(cohort, **options)  # type: ignore[arg-type]
