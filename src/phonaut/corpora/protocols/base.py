"""The base class of protocols, and a corpus that one of them has divided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from phonaut.checks import refuse, within
from phonaut.corpora.base import Corpus
from phonaut.corpora.hashing import Shares
from phonaut.data.trials import TrialList
from phonaut.data.utterance import SILENCE, SPLITS, Utterance


class Plan(NamedTuple):
    """The outcome of a protocol.

    Attributes:
        split: the split of an utterance; None: it has none, and is refused.
        notes: sentences that say how it was decided.
        shares: by which recordings of noise are divided in time.
        trials: lists of verification, by split.
    """

    split: Callable[[Utterance], str | None]
    notes: list[str]
    shares: Shares
    trials: Mapping[str, TrialList] = MappingProxyType({})


@dataclass
class Survey:
    """Counts over the utterances of a corpus; its size grows with speakers and sessions, not with recordings."""

    n: int = 0
    speakers: Counter[str] = field(default_factory=Counter)
    splits: set[str] = field(default_factory=set)  # official ones
    splits_of: dict[str, set[str]] = field(default_factory=dict)  # by speaker
    sessions: dict[str, set[str]] = field(default_factory=dict)  # by speaker
    n_without_speaker: int = 0
    n_without_session: int = 0
    rooms: set[str] = field(default_factory=set)  # in which nobody speaks

    def add(self, utterance: Utterance) -> None:
        """Count an utterance."""
        speaker = utterance.speaker
        self.n += 1
        if utterance.split is not None:
            self.splits.add(utterance.split)
        if utterance.word == SILENCE:
            self.rooms.add(speaker or utterance.id)
            return
        if not speaker:
            self.n_without_speaker += 1
            return
        self.speakers[speaker] += 1
        if utterance.split is not None:
            self.splits_of.setdefault(speaker, set()).add(utterance.split)
        if utterance.session is not None:
            self.sessions.setdefault(speaker, set()).add(utterance.session)
        else:
            self.n_without_session += 1

    def speakers_in(self, split: str) -> set[str]:
        """The speakers of an official split."""
        return {speaker for speaker, splits in self.splits_of.items() if split in splits}

    def shared(self) -> dict[str, set[str]]:
        """The speakers who are in more than one official split, and in which."""
        return {speaker: splits for speaker, splits in sorted(self.splits_of.items()) if len(splits) > 1}


class Listing:
    """The utterances of a corpus as protocols read them, once or several times.

    Args:
        corpus: the adapter.
        target: `keyword`, `phone`, `speaker`, or `text` for transcripts.
    """

    def __init__(self, corpus: Corpus, target: str) -> None:
        self.corpus, self.target = corpus, target

    def __iter__(self) -> Iterator[Utterance]:
        return self.corpus.utterances()

    @cached_property
    def survey(self) -> Survey:
        """Counts over all utterances; a pass over the corpus, the first time.

        Raises:
            ValueError: there are none.
        """
        survey = Survey()
        for utterance in self:
            survey.add(utterance)
        if not survey.n:
            raise ValueError(f"dataset={self.corpus.name} has no recordings")
        return survey


class Protocol(ABC):
    """Divides the utterances of any corpus that carries what it takes."""

    name: ClassVar[str]
    RULES: ClassVar = {
        **dict.fromkeys(("train_pct", "dev_pct", "test_pct", "validation_pct"), within(0, 100, beyond=True)),
        **dict.fromkeys(("fold", "n_folds", "n_test_speakers", "n_validation_speakers"), within(0, 1e6)),
    }

    def __post_init__(self) -> None:
        refuse(self.option_problems())

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        return []

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """All problems of the options, for the check of a configuration."""
        try:
            cls(**options)
        except ValueError as error:
            return [str(error)]
        return []

    @abstractmethod
    def plan(self, listing: Listing) -> Plan:
        """Decide the split of every utterance, after as many passes over the corpus as that takes.

        Memory grows by no more than some tens of bytes an utterance.

        Raises:
            ValueError: the utterances lack what this protocol needs; the message names protocols that do without.
        """

    def divide(self, corpus: Corpus, target: str | None = None) -> Divided:
        """The corpus, divided; it is read when the result is.

        Args:
            corpus: the adapter.
            target: of the run, where the adapter does not have its own.
        """
        return Divided(corpus, self, corpus.target or target or "keyword")

    def check_speakers(self, listing: Listing) -> Survey:
        """Refuse a corpus that cannot be divided by speaker.

        Raises:
            ValueError: speakers are to be told apart, or are not known.
        """
        if listing.target == "speaker":
            raise ValueError(
                f"target=speaker needs every speaker in training, protocol={self.name} keeps some out: type "
                "protocol=within_speakers"
            )
        return known_speakers(listing)


@dataclass(frozen=True, kw_only=True)
class ProtocolByShares(Protocol):
    """A protocol that divides by shares of the corpus, or cuts one from training where it is missing.

    Args:
        train_pct: per cent of what is divided; null: as usual for the corpus, 80.
        dev_pct: per cent for validation; null: 10.
        test_pct: per cent; null: 10.

    Raises:
        ValueError: a value is not possible.
    """

    train_pct: float | None = None
    dev_pct: float | None = None
    test_pct: float | None = None

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        given = [share for share in (self.train_pct, self.dev_pct, self.test_pct) if share is not None]
        return Shares(*given).problems() if len(given) == len(SPLITS) else []

    def shares(self, corpus: Corpus) -> Shares:
        """Per cent of the corpus for each split: as given, else as usual for the corpus.

        Raises:
            ValueError: they do not add up to 100.
        """
        usual = corpus.shares
        if self.train_pct is None and self.dev_pct is None and self.test_pct is None:
            return usual
        pairs = ((self.train_pct, usual.train), (self.dev_pct, usual.dev), (self.test_pct, usual.test))
        shares = Shares(*(other if share is None else share for share, other in pairs))
        refuse(shares.problems())
        return shares


class Divided:
    """A corpus divided by a protocol: what preparation reads.

    Args:
        corpus: the adapter.
        protocol: that divides it.
        target: of the run.
    """

    def __init__(self, corpus: Corpus, protocol: Protocol, target: str) -> None:
        self.corpus, self.protocol, self.target = corpus, protocol, target

    @property
    def name(self) -> str:
        """Of the corpus."""
        return self.corpus.name

    @property
    def clip_s(self) -> float | None:
        """Length of a clip, seconds."""
        return self.corpus.clip_s

    @cached_property
    def plan(self) -> Plan:
        """The protocol's decisions."""
        return self.protocol.plan(Listing(self.corpus, self.target))

    @property
    def genders(self) -> Mapping[str, str]:
        """`f` or `m` of each speaker whose gender is known."""
        return self.corpus.genders()

    @property
    def trials(self) -> Mapping[str, TrialList]:
        """Lists of verification trials by split, of recordings by their ids; none where the protocol makes none."""
        return self.plan.trials

    def assigned(self) -> Iterator[Utterance]:
        """Every utterance of the corpus with its split; where speakers are not known, each counts as one."""
        for utterance in self.corpus.utterances():
            split = self.plan.split(utterance)
            if split is None:
                self.corpus.refuse(utterance.path, "its split is none of train, validation, test")
                continue
            complete = self.corpus.complete(utterance)
            if complete is not None:
                yield replace(complete, split=split, speaker=utterance.speaker or utterance.id)

    def utterances(self) -> Iterator[Utterance]:
        """The utterances that are used, and noise beside them."""
        return self.corpus.select(self)

    def words(self) -> list[str] | None:
        """The order of the keyword classes where it is fixed."""
        return self.corpus.words()

    def notes(self) -> list[str]:
        """The protocol, then what the corpus has to say."""
        first, *more = self.plan.notes
        title = self.corpus.title()
        return [f"{title}; {first}" if title else first, *more, *self.corpus.notes()]

    def refused(self) -> list[dict[str, str]]:
        """Files that were refused while listing."""
        return self.corpus.refused()


def known_speakers(listing: Listing) -> Survey:
    """The survey of a corpus whose speakers are known.

    Raises:
        ValueError: they are not.
    """
    survey = listing.survey
    if survey.n_without_speaker:
        by_recording = "; protocol=by_recording divides by recording without asking who speaks"
        hint = by_recording if listing.target != "speaker" else ""
        raise ValueError(f"who speaks is not known: {listing.corpus.speaker_hint()}{hint}")
    if not survey.speakers:
        raise ValueError(f"all {survey.n} recordings are silence: nobody speaks whom they could be divided by")
    return survey
