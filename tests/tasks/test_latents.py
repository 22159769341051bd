"""Directions of attributes among codes, and how near random ones are to each other."""

from __future__ import annotations

from math import gamma, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.files import write_arrays
from phonaut.metrics.generation import direction_cosines
from phonaut.tasks.latents import ATTRIBUTES, FILE, Latents

pytestmark = pytest.mark.oracle


def kept(folder: Path, codes: np.ndarray, **values: dict[str, np.ndarray]) -> Latents:
    """Mean codes of the values of attributes, as a run keeps them."""
    arrays: dict[str, Any] = {"codes": codes.astype(np.float32)}
    for attribute in ATTRIBUTES:
        means = values.get(attribute, {})
        arrays[f"names/{attribute}"] = np.array([*means], np.str_)
        arrays[f"means/{attribute}"] = np.array([*means.values()], np.float32).reshape(len(means), codes.shape[1])
        arrays[f"counts/{attribute}"] = np.arange(len(means), 0, -1)
    write_arrays(folder / FILE, arrays)
    return Latents(folder)


def test_directions_go_from_the_mean_of_all_to_that_of_a_value_and_from_one_gender_to_the_other(tmp_path: Path) -> None:
    x, y, z = np.eye(3)
    centre = np.array([1.0, 2.0, 3.0])
    latents = kept(
        tmp_path, np.tile(centre, (4, 1)),
        speaker={"anna": centre + 2 * x, "bert": centre - x}, gender={"f": centre + y, "m": centre - y},
        label={"a": centre + x + z, "b": centre + z, **{f"rare{i}": centre for i in range(20)}},
    )  # fmt: skip
    names, directions = latents.directions()
    assert names[:5] == ["f to m", "speaker anna", "speaker bert", "label a", "label b"]
    assert len(names) == 1 + 2 + 12, "of many labels, those with most windows"
    np.testing.assert_allclose(directions[:5], [-2 * y, 2 * x, -x, x + z, z], atol=1e-6)
    cosines = direction_cosines(directions[:5])
    np.testing.assert_allclose(cosines[1], [0, 1, 1, sqrt(0.5), 0], atol=1e-6)


def test_an_attribute_of_one_value_has_no_direction(tmp_path: Path) -> None:
    latents = kept(tmp_path, np.zeros((3, 2)), speaker={"anna": np.ones(2)}, gender={"f": np.ones(2)})
    names, directions = latents.directions()
    assert names == []
    assert directions.shape == (0, 2)


@pytest.mark.parametrize("varying", [2, 16])
def test_random_directions_are_as_near_as_in_the_dimensions_in_which_codes_vary(varying: int, tmp_path: Path) -> None:
    """Of directions that are spread evenly over a sphere, E|cos| = Gamma(Z / 2) / (sqrt(pi) Gamma((Z + 1) / 2))."""
    codes = np.zeros((4000, 16))
    codes[:, :varying] = np.random.default_rng(0).standard_normal((4000, varying))
    found = kept(tmp_path, 5 + codes).random_cosines()
    expected = gamma(varying / 2) / (sqrt(pi) * gamma((varying + 1) / 2))
    assert found.mean() == pytest.approx(expected, rel=0.06)
    assert found.max() <= 1.0 + 1e-9
