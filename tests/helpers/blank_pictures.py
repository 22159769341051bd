"""TensorBoard's pictures left blank: a tenth of a second each, that few tests look at."""

from __future__ import annotations

from typing import Any

import numpy as np


def leave_blank() -> None:
    """From now on figures keep their names in TensorBoard and are not drawn."""
    from torch.utils.tensorboard import writer

    writer.figure_to_image = blank


def draw() -> None:
    """From now on they are drawn."""
    from torch.utils.tensorboard import _utils, writer

    writer.figure_to_image = _utils.figure_to_image


def blank(figures: Any, close: bool = True) -> np.ndarray:
    """In place of a figure."""
    from matplotlib import pyplot

    for figure in figures if isinstance(figures, list) else [figures]:
        pyplot.close(figure)
    return np.zeros((3, 8, 8), dtype=np.uint8)
