"""Types of the arrays that most rooms compute with, and a choice among rows."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def spread(n: int, most: int) -> Index:
    """Up to `most` of `n` things, evenly spread.

    >>> spread(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
