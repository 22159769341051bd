"""Training loops, all on Lightning's Trainer, and the model they train: front end, normaliser, encoder, network."""

from phonaut.modules.speech_classifier import SpeechClassifier
from phonaut.modules.speech_model import SpeechModel

__all__ = ["SpeechClassifier", "SpeechModel"]
