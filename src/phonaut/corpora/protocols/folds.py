"""Cross-validation by speaker: every speaker is tested in one fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import by_hash
from phonaut.corpora.protocols.base import Listing, Plan, Protocol
from phonaut.corpora.protocols.rooms import dealt


@dataclass(frozen=True, kw_only=True)
class Folds(Protocol):
    """Speakers are dealt out to folds in the order of a hash of their ids.

    One fold is tested; half of the speakers of the next one validate, so that training loses few.

    Args:
        n_folds: how many.
        fold: the one that is tested, from 0.
    """

    name: ClassVar[str] = "folds"
    n_folds: int = 5
    fold: int = 0

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        problems = super().option_problems()
        if self.n_folds < 3:
            problems.append(
                f"protocol.n_folds={self.n_folds}: must be >= 3, to train, choose and test on different speakers"
            )
        elif not 0 <= self.fold < self.n_folds:
            problems.append(
                f"protocol.fold={self.fold}: with protocol.n_folds={self.n_folds} it is from 0 to {self.n_folds - 1}"
            )
        return problems

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the speakers.

        Raises:
            ValueError: speakers are not known, to be told apart, or fewer than folds.
        """
        speakers = by_hash(self.check_speakers(listing).speakers)
        if len(speakers) < self.n_folds:
            raise ValueError(f"{len(speakers)} speakers are too few for protocol.n_folds={self.n_folds}")
        split_of, following = {}, (self.fold + 1) % self.n_folds
        for i, speaker in enumerate(speakers):
            nth, fold = divmod(i, self.n_folds)
            validates = fold == following and nth % 2 == 0
            split_of[speaker] = "test" if fold == self.fold else "validation" if validates else "train"
        note = (
            f"fold {self.fold} of {self.n_folds}: {len(speakers)} speakers, each tested in one fold; no speaker is in "
            "two splits; validation is half of the next fold"
        )
        plan = Plan(lambda utterance: split_of[utterance.speaker], [note], listing.corpus.shares)
        return dealt(plan, listing, self.fold, self.n_folds)
