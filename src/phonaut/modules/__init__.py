"""Training loops, all on Lightning's Trainer, and the model they train: front end, normaliser, encoder, network."""

from phonaut.modules.class_densities import ClassDensities
from phonaut.modules.em import EM
from phonaut.modules.fitted import Fitted, Majority, Templates
from phonaut.modules.hybrid import DNNHMM, Hybrid
from phonaut.modules.representation import Representation
from phonaut.modules.representation_model import RepresentationModel
from phonaut.modules.speech_classifier import SpeechClassifier
from phonaut.modules.speech_model import SpeechModel

__all__ = [
    "DNNHMM",
    "EM",
    "ClassDensities",
    "Fitted",
    "Hybrid",
    "Majority",
    "Representation",
    "RepresentationModel",
    "SpeechClassifier",
    "SpeechModel",
    "Templates",
]
