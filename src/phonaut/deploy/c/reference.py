"""What the written C gives, by the interpreter behind the front end in fixed point: bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonaut.deploy.c.writer import Written
from phonaut.deploy.fixed_front_end import FixedFrontEnd
from phonaut.deploy.interpreter import Interpreter, Whole


class Reference:
    """The reference of what was written.

    Args:
        written: what `write_c` gave.
        interpreter: of the program.
        front_end: before it.
    """

    def __init__(self, written: Written, interpreter: Interpreter, front_end: FixedFrontEnd) -> None:
        self.written, self.interpreter, self.front_end = written, interpreter, front_end

    def classify(self, clip: NDArray[np.int16]) -> Whole:
        """Scores `(C,)` of one recording `(S,)`."""
        levels = self.front_end(clip)
        if self.written.streams:
            return np.asarray(self.interpreter.stream(levels, self.written.window)[-1])
        return self.interpreter.scores(levels)

    def stream(self, samples: NDArray[np.int16]) -> Whole:
        """All rows of scores `(N, C)` of a stream that begins."""
        written, rows = self.written, self.front_end.stream_rows(samples)
        if written.streams:
            return self.interpreter.stream(self.front_end.levels(rows), written.window)
        ends = range(written.n_frames, len(rows) + 1, written.every)
        levels = (self.front_end.levels(rows[end - written.n_frames : end]) for end in ends)
        found = [self.interpreter.scores(one) for one in levels]
        return np.array(found, dtype=np.int64).reshape(-1, self.interpreter.program.n_classes)
