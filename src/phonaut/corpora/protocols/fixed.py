"""One fixed split by speaker, so that an encoder can be pre-trained on those who are not tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import by_hash
from phonaut.corpora.protocols.base import Listing, Plan, Protocol
from phonaut.corpora.protocols.rooms import cut


@dataclass(frozen=True, kw_only=True)
class Fixed(Protocol):
    """The first speakers in the order of a hash of their ids are tested, the next validated, all others trained on.

    Args:
        n_test_speakers: who are tested.
        n_validation_speakers: who are validated on.
    """

    name: ClassVar[str] = "fixed"
    n_test_speakers: int = 10
    n_validation_speakers: int = 5

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        counts = {"n_test_speakers": self.n_test_speakers, "n_validation_speakers": self.n_validation_speakers}
        wrong = [f"protocol.{key} must be >= 1, got {value}" for key, value in counts.items() if value < 1]
        return [*super().option_problems(), *wrong]

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the speakers.

        Raises:
            ValueError: speakers are not known, to be told apart, or too few.
        """
        speakers = by_hash(self.check_speakers(listing).speakers)
        n_test, n_validation = self.n_test_speakers, self.n_validation_speakers
        n_train = len(speakers) - n_test - n_validation
        if n_train < 1:
            raise ValueError(
                f"{len(speakers)} speakers are too few for protocol=fixed, which tests {n_test} and validates "
                f"{n_validation}: type protocol=folds"
            )
        splits = ["test"] * n_test + ["validation"] * n_validation + ["train"] * n_train
        split_of = dict(zip(speakers, splits, strict=True))
        note = f"one fixed split by speaker: {n_train} train, {n_validation} validate, {n_test} test"
        shares = listing.corpus.shares
        plan = Plan(lambda utterance: split_of[utterance.speaker], [f"{note}; no speaker is in two splits"], shares)
        return cut(plan, listing, shares.dev, shares.test)
