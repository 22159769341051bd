"""Cross-validation in which each fold tests one speaker, whom training does not hear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.protocols.base import Listing, Plan, ProtocolByShares
from phonaut.corpora.protocols.rooms import dealt
from phonaut.corpora.protocols.validation import with_validation


@dataclass(frozen=True, kw_only=True)
class LeaveOneSpeakerOut(ProtocolByShares):
    """The test set is one speaker; validation is cut from the others.

    Args:
        fold: the speaker, counted from 0 in alphabetical order.
    """

    name: ClassVar[str] = "leave_one_speaker_out"
    fold: int = 0

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the speakers.

        Raises:
            ValueError: speakers are not known, to be told apart, or there is no such fold.
        """
        names = sorted(self.check_speakers(listing).speakers)
        if not 0 <= self.fold < len(names) or len(names) < 2:
            folds = ", ".join(f"{i} {name}" for i, name in enumerate(names))
            raise ValueError(f"protocol.fold={self.fold}: the corpus has these folds: {folds}")
        tested = names[self.fold]
        plan = with_validation(
            lambda utterance: "test" if utterance.speaker == tested else "train",
            set(names) - {tested},
            {tested},
            listing,
            self.shares(listing.corpus),
            f"leave one speaker out, fold {self.fold}: the test set is all of {tested}, who is in no other split",
        )
        return dealt(plan, listing, self.fold, len(names))
