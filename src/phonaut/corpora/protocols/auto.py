"""The default: as the corpus says, as its utterances say, or by speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from phonaut.corpora.hashing import balanced_cuts, hash_percent
from phonaut.corpora.options import as_list
from phonaut.corpora.protocols.base import Listing, Plan, Protocol, ProtocolByShares
from phonaut.corpora.protocols.by_recording import ByRecording
from phonaut.corpora.protocols.by_speaker import BySpeaker
from phonaut.corpora.protocols.official import Official
from phonaut.corpora.protocols.rooms import cut
from phonaut.corpora.protocols.validation import some, with_validation
from phonaut.corpora.protocols.within_speakers import WithinSpeakers
from phonaut.data.utterance import Utterance


@dataclass(frozen=True, kw_only=True)
class Auto(ProtocolByShares):
    """The protocol that the corpus and the target ask for.

    1. Lists of speakers, where they are given.
    2. The corpus's default (`Corpus.default_protocol`).
    3. The official split, where utterances carry one; missing parts are cut from training. Where `target=speaker` and
       a speaker of the test is not in training, each speaker's recordings are divided in its place.
    4. With `target=speaker`, within speakers; else by speaker.

    Args:
        validation_speakers: see `BySpeaker`.
        test_speakers: likewise.
        shared_speakers: see `Official`.
    """

    name: ClassVar[str] = "auto"
    validation_speakers: Sequence[object] | str | None = None
    test_speakers: Sequence[object] | str | None = None
    shared_speakers: bool = False

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        return [*super().option_problems(), *BySpeaker.problems(**self._lists())]

    def plan(self, listing: Listing) -> Plan:
        """As the protocol that is taken."""
        return self.resolve(listing).plan(listing)

    def resolve(self, listing: Listing) -> Protocol:
        """The protocol that is taken."""
        shares: dict[str, Any] = {key: getattr(self, key) for key in ("train_pct", "dev_pct", "test_pct")}
        if as_list(self.test_speakers):
            return BySpeaker(**shares, **self._lists())
        default = listing.corpus.default_protocol(listing.target)
        if isinstance(default, Official):
            return replace(default, **shares, shared_speakers=self.shared_speakers)
        if default is not None:
            return replace(default, **shares) if isinstance(default, ProtocolByShares) else default
        survey = listing.survey
        training, testing = survey.speakers_in("train"), survey.speakers_in("test")
        if listing.target == "speaker" and not (testing and testing <= training):
            return WithinSpeakers(**shares)
        if "train" not in survey.splits:
            return BySpeaker(**shares)
        if "test" in survey.splits:
            return Official(**shares, shared_speakers=self.shared_speakers)
        return CutTest(**shares) if len(training) > 1 else ByRecording(**shares)

    def _lists(self) -> dict[str, Any]:
        return {"validation_speakers": self.validation_speakers, "test_speakers": self.test_speakers}


@dataclass(frozen=True, kw_only=True)
class CutTest(ProtocolByShares):
    """The official split where it has no test part: some speakers of the training part are tested."""

    name: ClassVar[str] = "auto"

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the official splits of the speakers."""
        survey, shares = listing.survey, self.shares(listing.corpus)
        training = survey.speakers_in("train")
        cuts = balanced_cuts(map(hash_percent, training), 0, shares.test)
        testing = {name for name in training if cuts.split(name) == "test"}
        shared = (training - testing) & survey.speakers_in("validation")
        who = f"{len(shared)} speakers are in training and validation" if shared else "no speaker is in two splits"
        note = f"the test is cut from training by speaker: {some(testing, 50)}; {who}"

        def split(utterance: Utterance) -> str | None:
            return "test" if utterance.speaker in testing else utterance.split

        if "validation" in survey.splits:
            return Plan(split, [note], shares)
        plan = with_validation(split, training - testing, testing, listing, shares, note)
        return cut(plan, listing, shares.dev, shares.test)
