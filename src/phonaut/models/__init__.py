"""Models from waveform to scores: front end, encoder, network; or one density per class."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonaut.models.dnnhmm import DNNHMM
    from phonaut.models.em_classifier import DTWTemplates, EMClassifier, Majority
    from phonaut.models.generative_classifier import GenerativeClassifier
    from phonaut.models.prototypes import Prototypes
    from phonaut.models.representation_model import RepresentationModel
    from phonaut.models.speech_model import SpeechModel

__all__ = [
    "DNNHMM",
    "DTWTemplates",
    "EMClassifier",
    "GenerativeClassifier",
    "Majority",
    "Prototypes",
    "RepresentationModel",
    "SpeechModel",
]


_MODULES = {
    "DNNHMM": "dnnhmm",
    "DTWTemplates": "em_classifier",
    "EMClassifier": "em_classifier",
    "GenerativeClassifier": "generative_classifier",
    "Majority": "em_classifier",
    "Prototypes": "prototypes",
    "RepresentationModel": "representation_model",
    "SpeechModel": "speech_model",
}


def __getattr__(name: str) -> object:
    # Each when it is asked for: to answer for one recording, densities and numba need not be loaded.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
