"""The gate of enrolment: which takes a speaker may be enrolled with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.checks import Rule, refuse, within
from phonaut.features.vad import Activity

FULL = 0.999  # of full scale: a sample that is clipped, where its neighbour is as well
LEAST_RANGE_DB = 6.0  # with less there is no speech at all: stationary noise has 1 dB, noise of rooms up to 6


class Heard(NamedTuple):
    """A recording as it was decoded.

    Attributes:
        name: of its file.
        audio: samples at the model's rate, in [-1, 1], `(S,)`.
        activity: speech in it.
    """

    name: str
    audio: NDArray[np.float32]
    activity: Activity

    @property
    def has_speech(self) -> bool:
        """Whether anything in it may be speech."""
        return bool(self.audio.any()) and self.activity.range_db >= LEAST_RANGE_DB


@dataclass(frozen=True)
class Gate:
    """Limits of what enrols a speaker; the defaults let single words of half a second pass.

    Attributes:
        min_speech_s: least speech of a take, seconds.
        min_total_s: least speech of all takes of a speaker, seconds.
        max_clipped: largest share of a take's samples that are clipped.
        min_range_db: least distance of speech from what is behind it.
        agreement: a take that the others would not accept as their speaker's is refused.

    Raises:
        ValueError: a limit cannot be.
    """

    min_speech_s: float = 0.15
    min_total_s: float = 0.4
    max_clipped: float = 0.002
    min_range_db: float = 10.0
    agreement: bool = True

    RULES: ClassVar[dict[str, Rule]] = {
        "min_speech_s": within(0, 3600),
        "min_total_s": within(0, 3600),
        "max_clipped": within(0, 1),
        "min_range_db": within(0, 200),
    }

    def __post_init__(self) -> None:
        asked = {name: getattr(self, name) for name in self.RULES}
        refuse(
            [f"{name} {self.RULES[name].text}, got {x}" for name, x in asked.items() if not self.RULES[name].holds(x)]
        )

    def problems(self, take: Heard) -> list[str]:
        """The problems of a take by itself, in words that follow its name."""
        found = []
        if not take.audio.any():
            return ["is silent"]
        if take.activity.range_db < self.min_range_db:
            found.append(f"has no speech that stands out: {take.activity.range_db:.0f} dB above what is behind it, "
                         f"and {self.min_range_db:g} are needed (min_range_db)")  # fmt: skip
        elif take.activity.speech_s < self.min_speech_s:
            found.append(f"has {take.activity.speech_s:.2f} s of speech, and {self.min_speech_s:g} are needed "
                         "(min_speech_s)")  # fmt: skip
        if (share := clipped(take.audio)) > self.max_clipped:
            found.append(f"is clipped: {share:.1%} of its samples are at full scale, and {self.max_clipped:.1%} may be "
                         "(max_clipped); record it with less gain")  # fmt: skip
        return found

    def problem_of_all(self, speech_s: Sequence[float]) -> str | None:
        """The problem of all takes together, by the speech in each."""
        if sum(speech_s) >= self.min_total_s:
            return None
        return (f"{len(speech_s)} take{'s' * (len(speech_s) != 1)} with {sum(speech_s):.2f} s of speech in all, and "
                f"{self.min_total_s:g} are needed (min_total_s)")  # fmt: skip


def clipped(audio: NDArray[np.floating]) -> float:
    """The share of samples at full scale, counted where two or more follow one another.

    >>> clipped(np.array([0.0, 1.0, 0.5, 1.0, 1.0, -1.0, 0.0, 0.0]))
    0.375
    """
    full = np.abs(audio) >= FULL
    pair = full[1:] & full[:-1]
    return float(np.mean(np.append(pair, False) | np.append(False, pair))) if len(audio) else 0.0
