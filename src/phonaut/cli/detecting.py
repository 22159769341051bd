"""Options of commands that detect words along sound: what is scored is what listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from phonaut.cli.options import Command, option

LISTENING = ("keywords", "smoothing", "smoothing_ms", "refractory_ms", "window_ms", "hop_ms")


@dataclass(frozen=True)
class Detecting(Command):
    """How a run listens."""

    keywords: tuple[str, ...] = option((), "words to listen for", otherwise="all that the run knows")
    smoothing: Literal["mean", "hmm"] = option(
        "mean", "mean: of the probabilities over smoothing_ms; hmm: a Markov chain of words and what is between them"
    )
    smoothing_ms: float = option(300.0, "of the mean; of the chain, how far scores count as one", least=0)
    refractory_ms: float = option(1000.0, "time after a word in which there is no other", least=0)
    window_ms: float | None = option(
        None, "sound that a score hears", otherwise="that of the run, the clips of training, or 1000"
    )
    hop_ms: float | None = option(None, "from one window to the next, where each is heard anew", otherwise="100")

    @property
    def listening(self) -> dict[str, Any]:
        """As `listener_of` takes it."""
        return {name: getattr(self, name) for name in LISTENING}
