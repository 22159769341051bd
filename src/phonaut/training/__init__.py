"""Training loops, all on Lightning's Trainer: gradient descent, EM, hybrid, self-supervised, embeddings, generators."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonaut.training.em import EM
    from phonaut.training.generation import Generation
    from phonaut.training.gradient import SpeechClassifier
    from phonaut.training.hybrid import Hybrid
    from phonaut.training.representation import Representation
    from phonaut.training.speakers import SpeakerEmbedding

__all__ = ["EM", "Generation", "Hybrid", "Representation", "SpeakerEmbedding", "SpeechClassifier"]


_MODULES = {
    "EM": "em",
    "Generation": "generation",
    "Hybrid": "hybrid",
    "Representation": "representation",
    "SpeakerEmbedding": "speakers",
    "SpeechClassifier": "gradient",
}


def __getattr__(name: str) -> object:
    # Each when it is asked for: a trained run answers without Lightning, which takes longer to load than PyTorch.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
