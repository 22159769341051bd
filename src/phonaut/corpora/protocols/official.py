"""The split that a corpus comes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phonaut.corpora.protocols.base import Listing, Plan, ProtocolByShares, known_speakers
from phonaut.corpora.protocols.validation import with_validation


@dataclass(frozen=True, kw_only=True)
class Official(ProtocolByShares):
    """As the corpus divides itself, or a user's table or folders do; missing validation is cut from training.

    A user's own split needs a training and a test part; of a published corpus, a part will do.

    Args:
        shared_speakers: accept a user's split that has speakers in several parts; those of published corpora are taken
            as they are.
    """

    name: ClassVar[str] = "official"
    shared_speakers: bool = False

    def plan(self, listing: Listing) -> Plan:
        """One pass, over the official splits of the speakers.

        Raises:
            ValueError: no training or test part; or, of a user's own split, a speaker in two parts.
        """
        corpus, survey, shares = listing.corpus, listing.survey, self.shares(listing.corpus)
        for part in ("train", "test"):
            if part not in survey.splits and not (corpus.published_split and survey.splits):
                there = ", ".join(sorted(survey.splits)) or "none of train, validation, test"
                hint = f"; {corpus.split_hint()}" if corpus.split_hint() and not survey.splits else ""
                raise ValueError(
                    f"the split of the data has no {part} part (it has {there}){hint}; type protocol=by_speaker to "
                    "divide anew by speaker, protocol=all_test to test on all of it"
                )
        training, testing = survey.speakers_in("train"), survey.speakers_in("test")
        shared = survey.shared()
        if not corpus.published_split:
            self._check(listing, training & testing, shared)
        who = f"{len(shared)} speakers are in more than one split" if shared else "no speaker is in two splits"
        if survey.n_without_speaker:
            training, who = set(), "whether speakers are shared is not known"
        note = f"{corpus.official()}; {who}"
        if "validation" in survey.splits or "test" not in survey.splits:  # a part of a published corpus
            return Plan(lambda utterance: utterance.split, [note], shares, corpus.trials())
        plan = with_validation(lambda utterance: utterance.split, training, testing, listing, shares, note)
        return plan._replace(trials=corpus.trials())

    def _check(self, listing: Listing, both: set[str], shared: dict[str, set[str]]) -> None:
        if listing.target == "speaker":
            if known_speakers(listing) and both:
                return
            raise ValueError(
                "target=speaker needs the speakers of the test in training, and the split of the data has none of them "
                "there; protocol=within_speakers divides each speaker's recordings anew"
            )
        if shared and not self.shared_speakers:
            speaker, where = next(iter(shared.items()))
            more = f", and {len(shared) - 1} more are in two splits" if len(shared) > 1 else ""
            raise ValueError(
                f"speaker {speaker} is in {' and '.join(sorted(where))}{more}: the test would not tell about new "
                "speakers. Type protocol=by_speaker to divide anew by speaker, or protocol.shared_speakers=true to "
                "keep the split and have this said in the report"
            )
