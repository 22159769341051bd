"""What is trained, from waveform to scores: front end, encoder, network; or one density per class."""

from phonaut.models.class_densities import ClassDensities
from phonaut.models.dnnhmm import DNNHMM
from phonaut.models.fitted import Fitted, Majority, Templates
from phonaut.models.representation_model import RepresentationModel
from phonaut.models.speech_model import SpeechModel

__all__ = ["DNNHMM", "ClassDensities", "Fitted", "Majority", "RepresentationModel", "SpeechModel", "Templates"]
