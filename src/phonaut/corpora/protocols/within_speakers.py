"""Every speaker in all splits: for telling speakers apart."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import Cuts, balanced_cuts, hash_percent
from phonaut.corpora.protocols.base import Listing, Plan, ProtocolByShares, known_speakers
from phonaut.corpora.protocols.validation import unit
from phonaut.data.utterance import SPLITS, Utterance


@dataclass(frozen=True, kw_only=True)
class WithinSpeakers(ProtocolByShares):
    """Each speaker's sessions, or recordings where sessions are not known, are divided among the splits by a hash.

    A speaker of two recordings is not validated on, of one only trained on.
    """

    name: ClassVar[str] = "within_speakers"

    def plan(self, listing: Listing) -> Plan:
        """Two passes: over the sessions, then over the hashes of each speaker's sessions or recordings.

        Raises:
            ValueError: speakers are not known.
        """
        shares, survey = self.shares(listing.corpus), known_speakers(listing)
        is_known = not survey.n_without_session
        by_session = is_known and all(len(survey.sessions[speaker]) >= len(SPLITS) for speaker in survey.speakers)
        division = SpeakerDivision(shares.dev, shares.test)

        def part(utterance: Utterance) -> str:
            return utterance.session or "" if by_session else unit(utterance)

        for utterance in listing:
            division.add(utterance.speaker, part(utterance))
        what = "sessions" if by_session else "recordings"
        notes = [f"every speaker is in all splits: each speaker's {what} are divided among them ({shares})"]
        if is_known and not by_session:
            notes.append(f"sessions were not kept apart: some speakers have fewer than {len(SPLITS)}")
        n_few = sum(n < len(SPLITS) for n in survey.speakers.values())
        if n_few:
            notes.append(f"{n_few} speakers have fewer than {len(SPLITS)} recordings, too few to be in every split")
        return Plan(lambda utterance: division.split(utterance.speaker, part(utterance)), notes, shares)


class SpeakerDivision:
    """Cuts for each speaker: `add` every recording or session first, then ask `split`."""

    def __init__(self, dev_pct: float, test_pct: float) -> None:
        self._shares = (dev_pct, test_pct)
        self._positions: dict[str, array[float]] = {}
        self._cuts: dict[str, Cuts] = {}

    def add(self, speaker: str, unit: str) -> None:
        """Announce a recording or session of `speaker`."""
        self._positions.setdefault(speaker, array("d")).append(hash_percent(f"{speaker}/{unit}"))

    def split(self, speaker: str, unit: str) -> str:
        """The split of a recording or session that was announced."""
        cuts = self._cuts.get(speaker)
        if cuts is None:
            cuts = self._cuts[speaker] = balanced_cuts(self._positions.pop(speaker), *self._shares)
        return cuts.split(f"{speaker}/{unit}")
