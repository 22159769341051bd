"""Precomputed frames in place of a front end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from phonaut.features.checking import type_problems
from phonaut.features.front_end import FrontEnd

NO_FRAMES = "features=frames goes with dataset=frames dataset.data_folder=FOLDER, which says how many features"


@dataclass(frozen=True, kw_only=True)
class FramesOptions:
    """Options of `Frames`; None: what the folder of the frames says.

    Attributes:
        n_features: of a frame.
        frame_shift_s: seconds from one frame to the next.
        frame_offset_s: centre of frame 0, seconds.
    """

    n_features: int | None = None
    frame_shift_s: float | None = None
    frame_offset_s: float | None = None

    def problems(self) -> list[str]:
        """All that is wrong with the values."""
        positive = {"n_features": self.n_features, "frame_shift_s": self.frame_shift_s}
        return type_problems(self) or [
            f"{key}={value}: must be > 0; leave it out, the folder of the frames says it"
            for key, value in positive.items()
            if value is not None and not 0 < value <= 1e6
        ]


class Frames(FrontEnd):
    """Frames that were computed before, in place of a front end: `forward` gives back what it gets.

    The keys are those of `FramesOptions`, all of which must be known here. A sample is a frame.

    Raises:
        ValueError: a number is missing or out of range.
    """

    Options: ClassVar[type[Any]] = FramesOptions

    def __init__(self, **options: Any) -> None:
        problems = self.problems(**options)
        if problems:
            raise ValueError("Frames: " + "\n".join(problems))
        given = FramesOptions(**options)
        if given.n_features is None or given.frame_shift_s is None or given.frame_offset_s is None:
            raise ValueError(NO_FRAMES)
        nn.Module.__init__(self)
        self._exact = {}
        self.n_features = given.n_features
        self.frame_shift_s, self.frame_offset_s = float(given.frame_shift_s), float(given.frame_offset_s)
        self.sample_rate = 1.0 / self.frame_shift_s

    def n_frames(self, audio_lengths: Tensor) -> Tensor:
        """The lengths themselves: a sample is a frame."""
        return audio_lengths

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `(B, T, D)` and their lengths `(B,)`, as they are.

        Raises:
            ValueError: they are not frames of D features.
        """
        if audio.ndim != 3 or audio.shape[2] != self.n_features:
            raise ValueError(f"frames must be (B, T, {self.n_features}), got {tuple(audio.shape)}")
        return audio, audio_lengths

    def extra_repr(self) -> str:
        """The numbers."""
        shift, offset = self.frame_shift_s, self.frame_offset_s
        return f"n_features={self.n_features}, frame_shift_s={shift:g}, frame_offset_s={offset:g}"
