"""Divided by recording, speakers shared: for one person's own device."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import Cuts, balanced_cuts, hash_percent
from phonaut.corpora.protocols.base import Listing, Plan, ProtocolByShares
from phonaut.corpora.protocols.validation import unit


@dataclass(frozen=True, kw_only=True)
class ByRecording(ProtocolByShares):
    """Divided by a hash of the recording; utterances of one recording stay together.

    Args:
        balance: move the cuts where validation or test would get nothing or more than twice its share.
    """

    name: ClassVar[str] = "by_recording"
    balance: bool = True

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the hashes of recordings."""
        shares = self.shares(listing.corpus)
        cuts = Cuts(shares.dev, shares.dev + shares.test)
        if self.balance:
            cuts = balanced_cuts(array("d", (hash_percent(unit(u)) for u in listing)), shares.dev, shares.test)
        note = f"divided by a hash of the recording ({shares}): the speakers of the test are in training too"
        return Plan(lambda utterance: cuts.split(unit(utterance)), [note], shares)
