"""Numbers that are written for people do not say more, or other, than was measured."""

import math

import pytest

from phonaut.metrics import Estimate
from phonaut.reports import text


@pytest.mark.parametrize("n", [300, 1001, 4000, 40_000, 900_000])
def test_one_error_never_looks_like_perfection_nor_one_hit_like_nothing(n: int) -> None:
    assert float(text.percent((n - 1) / n).split()[0]) < 100
    assert float(text.percent(1 / n).split()[0]) > 0


def test_no_more_decimals_are_written_than_that_takes() -> None:
    assert text.percent(0.99983) == "99.98 %"
    assert text.percent(0.99931) == "99.9 %"


def test_perfection_and_nothing_look_like_themselves() -> None:
    assert text.percent(1.0) == "100.0 %"
    assert text.percent(0.0) == "0.0 %"


def test_what_was_not_measured_is_a_dash() -> None:
    assert text.percent(math.nan) == "–"
    assert text.interval(Estimate(math.nan, 0.0, 1.0, 0)) == "–"


def test_units_carry_over_where_rounding_reaches_the_next() -> None:
    assert text.short(999_999) == "1 M"
    assert text.short(999) == "999"
    assert text.seconds(59.97) == "1 min 0 s"
    assert text.seconds(3599.6) == "1 h 0 min"


def test_a_model_is_never_shown_as_certain() -> None:
    assert text.probability(1.0) == "> 99.9 %"
    assert text.probability(0.0) == "< 0.1 %"
    assert text.probability(0.5) == "50.0 %"
