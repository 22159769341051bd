"""What is swept is read in Hydra's grammar; what has nothing to choose from is refused."""

import pytest

from phonaut.runs.sweeps.searches import Grid
from phonaut.runs.sweeps.space import Span, Values, divided


def test_words_are_divided_into_constants_and_what_is_swept() -> None:
    words = ["dataset=fsdd", "protocol.test_speakers=[a,b]", "seed=0,1", "a=range(3,10,3)", "b=interval(0,1)",
             "c=int(interval(1,8))", "d=tag(log,interval(1e-4,1))", "model=glob(tc-*)", "e=range(9,1,-2)"]  # fmt: skip
    constants, space = divided(words)
    assert constants == words[:2]
    seed, a, b, c, d, model, e = space
    assert seed == Values("seed", ("0", "1"))
    assert a == Span("a", 3, 9, 3, texts=("3", "6", "9"))
    assert (b, c.is_whole, d) == (Span("b", 0.0, 1.0), True, Span("d", 1e-4, 1.0, log=True))  # type: ignore[union-attr]
    assert model == Values("model", ("tc-res14", "tc-res8"))
    assert (e.low, e.high, e.step) == (3, 9, 2)  # type: ignore[union-attr]


def test_a_grid_takes_lists_and_ranges_and_refuses_intervals() -> None:
    _, space = divided(["a=range(3,8,2)", "b=x,y"])
    assert Grid(space).combinations[:3] == [["a=3", "b=x"], ["a=3", "b=y"], ["a=5", "b=x"]]
    with pytest.raises(ValueError, match="a: a grid takes values one by one, and an interval has too many"):
        Grid(divided(["a=interval(0,1)"])[1])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a=interval(2,1)", "a: from 2 to 1 there is nothing to choose"),
        ("a=tag(log,interval(0,1))", r"a: tag\(log, ...\) needs numbers above 0, got 0"),
        ("model=glob(zz*)", r"model=glob\(zz\*\) matches none of bc-res1"),
        ("a=range(3,3)", r"a=range\(3,3\) has no values"),
    ],
)
def test_what_has_nothing_to_choose_from_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divided([word])
