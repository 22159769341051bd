"""The waveform itself, in windows."""

from __future__ import annotations

from typing import ClassVar

from phonaut.features.front_end import FrontEnd
from phonaut.features.options import FrontEndOptions, RawOptions


class Raw(FrontEnd):
    """Windows of `D = win_length` samples every `hop_length`: by default one sample a frame.

    The keys are those of `RawOptions`.
    """

    Options: ClassVar[type[FrontEndOptions]] = RawOptions
    options: RawOptions

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.n_features = self.options.win_length * (1 + self.options.deltas)
