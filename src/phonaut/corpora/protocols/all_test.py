"""Every recording is tested: a trained model is tried on recordings that nothing is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import Shares
from phonaut.corpora.protocols.base import Listing, Plan, Protocol


@dataclass(frozen=True, kw_only=True)
class AllTest(Protocol):
    """Every recording is in the test split."""

    name: ClassVar[str] = "all_test"

    def plan(self, listing: Listing) -> Plan:
        """Nothing is decided."""
        return Plan(lambda utterance: "test", ["all recordings are test recordings"], Shares(0, 0, 100))
