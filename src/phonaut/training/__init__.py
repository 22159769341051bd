"""Training loops, all on Lightning's Trainer: gradient descent, EM, hybrid, self-supervised, embeddings, generators."""

from phonaut.training.em import EM
from phonaut.training.generation import Generation
from phonaut.training.gradient import SpeechClassifier
from phonaut.training.hybrid import Hybrid
from phonaut.training.representation import Representation
from phonaut.training.speakers import SpeakerEmbedding

__all__ = ["EM", "Generation", "Hybrid", "Representation", "SpeakerEmbedding", "SpeechClassifier"]
