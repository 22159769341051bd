"""Angles between directions, as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WRITTEN = 12  # directions, above which cells have no numbers


def cosine_matrix(cosines: ArrayLike, names: Sequence[str]) -> Figure:
    """`|cos|` between directions, from white, at right angles, to black.

    Args:
        cosines: `(A, A)` in [0, 1]; NaN: there is no such direction.
        names: `(A,)`.
    """
    from matplotlib.figure import Figure

    matrix, n = np.asarray(cosines, dtype=np.float64), len(names)
    side = 1.8 + 0.3 * n
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, vmin=0.0, vmax=1.0, cmap="Greys")
    axes.set_xticks(range(n), names, rotation=90, fontsize=7)
    axes.set_yticks(range(n), names, fontsize=7)
    if n <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(image, ax=axes, label="|cos|", shrink=0.8)
    return figure
