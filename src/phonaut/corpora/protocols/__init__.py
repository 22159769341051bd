"""Evaluation protocols: which utterance belongs to which split, for every corpus that carries what it takes."""

from phonaut.corpora.hashing import Shares
from phonaut.corpora.protocols.all_test import AllTest
from phonaut.corpora.protocols.auto import Auto
from phonaut.corpora.protocols.base import Divided, Plan, Protocol
from phonaut.corpora.protocols.by_recording import ByRecording
from phonaut.corpora.protocols.by_speaker import BySpeaker
from phonaut.corpora.protocols.enrolment import Enrolment
from phonaut.corpora.protocols.few import Few
from phonaut.corpora.protocols.fixed import Fixed
from phonaut.corpora.protocols.folds import Folds
from phonaut.corpora.protocols.leave_one_speaker_out import LeaveOneSpeakerOut
from phonaut.corpora.protocols.official import Official
from phonaut.corpora.protocols.trials import VerificationTrials
from phonaut.corpora.protocols.unlabelled import Unlabelled
from phonaut.corpora.protocols.within_speakers import WithinSpeakers

__all__ = [
    "AllTest",
    "Auto",
    "ByRecording",
    "BySpeaker",
    "Divided",
    "Enrolment",
    "Few",
    "Fixed",
    "Folds",
    "LeaveOneSpeakerOut",
    "Official",
    "Plan",
    "Protocol",
    "Shares",
    "Unlabelled",
    "VerificationTrials",
    "WithinSpeakers",
]
