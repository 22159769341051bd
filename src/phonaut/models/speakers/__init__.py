"""Systems of speaker verification: what they are trained on, voiceprints, scores of trials."""

from phonaut.models.speakers.system import VerificationSystem
from phonaut.models.speakers.utterances import Utterances

__all__ = ["Utterances", "VerificationSystem"]
