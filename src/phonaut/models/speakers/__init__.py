"""Systems of speaker verification: what they are trained on, voiceprints, scores of trials."""

from typing import TYPE_CHECKING

from phonaut.models.speakers.utterances import Utterances

if TYPE_CHECKING:
    from phonaut.models.speakers.system import VerificationSystem

__all__ = ["Utterances", "VerificationSystem"]


def __getattr__(name: str) -> object:
    # Systems need torch; a store of speakers, which holds utterances, does not.
    if name != "VerificationSystem":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from phonaut.models.speakers.system import VerificationSystem

    return VerificationSystem
