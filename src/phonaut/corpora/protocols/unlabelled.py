"""Training and validation without a test, by speaker: for pre-training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import Shares, hash_percent, speakers_to_validate
from phonaut.corpora.protocols.base import Listing, Plan, Protocol, known_speakers
from phonaut.corpora.protocols.validation import some


@dataclass(frozen=True, kw_only=True)
class Unlabelled(Protocol):
    """Each speaker trains or validates.

    Speakers of a mix are named `<corpus>/<speaker>`: of each corpus that can spare some, some validate, or one of all.

    Args:
        validation_pct: per cent of each corpus's speakers who are validated on.
    """

    name: ClassVar[str] = "unlabelled"
    validation_pct: float = 10.0

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        wrong = f"protocol.validation_pct={self.validation_pct}: above 0 and below 100"
        return super().option_problems() if 0 < self.validation_pct < 100 else [*super().option_problems(), wrong]

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the speakers.

        Raises:
            ValueError: speakers are not known, or there are not two.
        """
        parts: dict[str, list[str]] = {}
        for speaker in sorted(known_speakers(listing).speakers):
            part, slash, name = speaker.partition("/")
            parts.setdefault(part + slash if slash else "", []).append(name if slash else speaker)
        n = sum(map(len, parts.values()))
        validating = {
            part + name
            for part, names in parts.items()
            for name in speakers_to_validate(names, (), self.validation_pct)
        }
        if n < 2:
            raise ValueError(
                f"{n} speakers are left in dataset={listing.corpus.name}; two are needed: one to train on and one to "
                "validate on"
            )
        if not validating:
            _, part, name = min((hash_percent(name), part, name) for part, names in parts.items() for name in names)
            validating = {part + name}
        note = f"divided by speaker: {len(validating)} of {n} validate, {some(validating, 12)}"
        shares = Shares(100 - self.validation_pct, self.validation_pct, 0)
        return Plan(lambda u: "validation" if u.speaker in validating else "train", [note], shares)
