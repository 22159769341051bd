"""Models from waveform to scores: front end, encoder, network; or one density per class."""

from phonaut.models.dnnhmm import DNNHMM
from phonaut.models.em_classifier import DTWTemplates, EMClassifier, Majority
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.representation_model import RepresentationModel
from phonaut.models.speech_model import SpeechModel

__all__ = [
    "DNNHMM",
    "DTWTemplates",
    "EMClassifier",
    "GenerativeClassifier",
    "Majority",
    "RepresentationModel",
    "SpeechModel",
]
