"""Divided by speaker: no speaker is in two splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.hashing import Cuts, Shares, balanced_cuts, hash_percent
from phonaut.corpora.options import as_list
from phonaut.corpora.protocols.base import Listing, Plan, ProtocolByShares, Survey
from phonaut.corpora.protocols.rooms import cut
from phonaut.corpora.protocols.validation import some, with_validation
from phonaut.data.utterance import SPLITS
from phonaut.names import match_ids


@dataclass(frozen=True, kw_only=True)
class BySpeaker(ProtocolByShares):
    """Divided by lists of speakers, or by a hash of the speaker.

    The hash is Google's of Speech Commands (Warden 2018, arXiv:1804.03209, section 6): new recordings and new speakers
    move nobody.

    Args:
        validation_speakers: in place of a share; 18 is 00000018.
        test_speakers: likewise. Given alone, validation is cut from training.
        balance: move the cuts where validation or test would get nothing or more than twice its share; false leaves
            them where the shares put them, as Speech Commands does.
    """

    name: ClassVar[str] = "by_speaker"
    validation_speakers: Sequence[object] | str | None = None
    test_speakers: Sequence[object] | str | None = None
    balance: bool = True

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        problems = super().option_problems()
        if as_list(self.validation_speakers) and not as_list(self.test_speakers):
            problems.append(
                "protocol.validation_speakers is given without protocol.test_speakers: name the speakers to test on too"
            )
        return problems

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the speakers; none where the cuts stay."""
        shares = self.shares(listing.corpus)
        if as_list(self.test_speakers):
            return cut(self._by_lists(listing, shares), listing, shares.dev, shares.test)
        if not self.balance and listing.target != "speaker":
            cuts = Cuts(shares.dev, shares.dev + shares.test)
            note = f"divided by a hash of the speaker ({shares}); no speaker is in two splits"
            return Plan(lambda utterance: cuts.split(utterance.speaker), [note], shares)
        return cut(self._by_hash(listing, shares), listing, shares.dev, shares.test)

    def _by_lists(self, listing: Listing, shares: Shares) -> Plan:
        everybody = set(self.check_speakers(listing).speakers)
        validating = set(match_ids(as_list(self.validation_speakers), everybody, "protocol.validation_speakers"))
        testing = set(match_ids(as_list(self.test_speakers), everybody, "protocol.test_speakers"))
        if validating & testing:
            raise ValueError(
                f"{', '.join(sorted(validating & testing))} in protocol.validation_speakers and in "
                "protocol.test_speakers: take out of one of them"
            )
        if everybody == validating | testing:
            raise ValueError(
                f"protocol.validation_speakers and protocol.test_speakers name all {len(everybody)} speakers: nobody "
                "is left to train on"
            )
        validation = f", validation {some(validating)}" if validating else ""
        note = (
            f"divided by speaker as listed: {len(everybody - testing - validating)} train{validation}, test "
            f"{some(testing)}; no speaker is in two splits"
        )
        split_of = dict.fromkeys(testing, "test") | dict.fromkeys(validating, "validation")
        if validating:
            return Plan(lambda utterance: split_of.get(utterance.speaker, "train"), [note], shares)
        return with_validation(
            lambda utterance: split_of.get(utterance.speaker, "train"),
            everybody - testing, testing, listing, shares, note,
        )  # fmt: skip

    def _by_hash(self, listing: Listing, shares: Shares) -> Plan:
        survey: Survey = self.check_speakers(listing)
        names = survey.speakers
        if len(names) < 2:
            raise ValueError(
                f"all {survey.n} recordings are of one speaker ({next(iter(names))}): nobody new is there to test on. "
                f"If more speak, {listing.corpus.speaker_hint()}. If it is one person, protocol=few tests each "
                "recording by a model of the others, protocol=by_recording divides by recording"
            )
        cuts = balanced_cuts(map(hash_percent, names), shares.dev, shares.test)
        counts = Counter(map(cuts.split, names))
        note = f"divided by a hash of the speaker ({shares}); no speaker is in two splits: " + ", ".join(
            f"{counts[split]} in {split}" for split in SPLITS
        )
        if len(names) > 2:
            return Plan(lambda utterance: cuts.split(utterance.speaker), [note], shares)
        testing = {name for name in names if cuts.split(name) == "test"}
        return with_validation(
            lambda utterance: cuts.split(utterance.speaker), set(names) - testing, testing, listing, shares, note
        )
