"""Verification on any corpus: who enrols, who is tested, and with which takes; no speaker is in two splits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.hashing import Shares, balanced_cuts, hash_percent
from phonaut.corpora.options import as_list
from phonaut.corpora.protocols.base import Listing, Plan, Survey, known_speakers
from phonaut.corpora.protocols.by_speaker import BySpeaker
from phonaut.corpora.protocols.validation import some
from phonaut.data.draws import hash_of, words
from phonaut.data.trials import CONDITIONS, KINDS, TrialList
from phonaut.data.utterance import Utterance
from phonaut.names import match_ids

USUAL = Shares(50, 20, 30)  # background, development and evaluation; the latter say little of few speakers
BACKGROUND = "background"
LAST = 10**9  # of takes without an end
MOST = 50_000_000  # trials of a list
FEWEST_TO_CHOOSE = 5  # speakers, of whom two are tested whatever the shares: there is no impostor to one
TAKES_OF = ("recordings", "sessions")

Key = tuple[str, str]  # speaker and phrase; no phrase where any will do


class Takes(NamedTuple):
    """The recordings of a phrase by a speaker that enrol, and that are tested."""

    enrol: list[str]
    test: list[str]


@dataclass(frozen=True, kw_only=True)
class VerificationTrials(BySpeaker):
    """Background, development and evaluation speakers, and trials among those of development and of evaluation.

    Training is the background, validation the development, the test the evaluation, divided as by `BySpeaker`. A model
    is a speaker's phrase (a word, else a sentence), enrolled with its first takes, and tested against the other takes
    of everybody in its split: TC the speaker's own phrase, TW another phrase, IC and IW those of other speakers. What
    has too few takes is left out of the trials, and named.

    Of a corpus with lists of its own (RedDots), those are the test, whoever speaks in them, and its training part
    is the background: development, by background speakers who have takes enough, is all that is made then.

    Args:
        enrol_takes: takes of a phrase by a speaker that enrol, counted from 1: `1-3`, `1,3`, `2`.
        test_takes: likewise, those that are tested; `4-` is from 4 on; null: all others.
        takes: what is counted: `recordings`, in the order of session and id, or `sessions` of a speaker.
        text_dependent: false: a model is a speaker, takes are counted over all that is said, and trials are target or
            nontarget.
        balanced: for each model as many trials of each condition as it has targets, drawn; else all.
        turns: development by background speakers, who are left out of training in so many groups in turn, each with
            trials `turn_1`, `turn_2` ... among its speakers; 0: by speakers of its own, the validation.
        all_test: every speaker is tested, and nobody trains: of recordings that a trained run is to score.
        seed: of the draw.
    """

    name: ClassVar[str] = "trials"
    enrol_takes: str | int | Sequence[int] = "1-3"
    test_takes: str | int | Sequence[int] | None = None
    takes: str = "recordings"
    text_dependent: bool = True
    balanced: bool = False
    turns: int = 0
    all_test: bool = False
    seed: int = 0

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        problems = super().option_problems()
        if self.takes not in TAKES_OF:
            problems.append(f"protocol.takes is one of {', '.join(TAKES_OF)}; received {self.takes}")
        if self.turns < 0 or self.turns == 1:
            problems.append(f"protocol.turns must be 0 or >= 2, got {self.turns}")
        if self.all_test and (self.turns or as_list(self.test_speakers)):
            problems.append("protocol.all_test=true leaves nothing to divide: leave turns and test_speakers out")
        if self.turns and as_list(self.validation_speakers):
            problems.append("protocol.validation_speakers has no effect with protocol.turns; leave one of them out")
        try:
            enrol, test = ranges("enrol_takes", self.enrol_takes), ranges("test_takes", self.test_takes)
        except ValueError as error:
            return [*problems, str(error)]
        if not enrol:
            problems.append("protocol.enrol_takes names no take: 1-3 are the first three")
        both = [max(a.start, b.start) for a in enrol for b in test if max(a.start, b.start) < min(a.stop, b.stop)]
        if both:
            problems.append(f"take {min(both)} is in protocol.enrol_takes and in protocol.test_takes")
        return problems

    def shares(self, corpus: Any) -> Shares:
        """As given, else 50 / 20 / 30 %."""
        shares = super().shares(corpus)
        return USUAL if shares == corpus.shares and self.train_pct is None else shares

    def plan(self, listing: Listing) -> Plan:
        """Two passes: over the speakers, and over the takes of those who are not in training.

        Raises:
            ValueError: speakers are not known or too few, or nobody who is tested has takes enough.
        """
        survey = known_speakers(listing)
        if own := listing.corpus.trials():
            return self._beside(listing, survey, own)
        if len(survey.speakers) < 3 and not self.all_test:
            raise ValueError(
                f"protocol=trials needs 3 speakers, one for training, one for validation, one to test; there are "
                f"{len(survey.speakers)}"
            )
        division = self._division(listing, survey)
        turn_of = dict[str, str]()
        if self.turns:
            division, turn_of = self._with_turns(division, survey)
        found, left_out = self._takes(listing, division, turn_of)
        lists = {split: self._trials(takes) for split, takes in found.items() if takes}
        notes = [*division.notes, self._how(), *counted(lists), *left_out]
        if "test" not in lists:
            raise ValueError("; ".join(["protocol=trials has nothing to test", *left_out]))
        return division._replace(notes=notes, trials=lists)

    def _beside(self, listing: Listing, survey: Survey, own: Mapping[str, TrialList]) -> Plan:
        """The lists of the corpus as the test, and development by speakers of its background who have takes enough.

        Where there are none, nothing is made: the lists are scored all the same.

        Raises:
            ValueError: the corpus leaves nothing to train on, or options have no effect.
        """
        corpus, shares = listing.corpus, self.shares(listing.corpus)
        if as_list(self.test_speakers):
            raise ValueError(
                f"protocol.test_speakers has no effect: dataset={corpus.name} has lists of trials, which are the test"
            )
        if self.all_test:
            return Plan(lambda utterance: "test", [f"{corpus.official()}; all is tested"], shares, own)
        background, testing = survey.speakers_in("train"), survey.speakers_in("test")
        if not background:
            raise ValueError(f"{corpus.official()}; there is no such recording")
        training = Plan(lambda utterance: "train" if utterance.split == "train" else None, [], shares)
        found, left_out = self._takes(listing, training, dict.fromkeys(background, BACKGROUND))
        takes = found[BACKGROUND]
        # Speakers whom the test has not come first.
        able = sorted({name for name, _ in takes}, key=lambda name: (name in testing, hash_of(name)))
        if self.turns:
            n = min(self.turns, len(able) // 2)
            n = 0 if n == 1 and len(able) == len(background) else n  # nobody would be left to train on
            part_of = {name: f"turn_{i % n + 1}" for i, name in enumerate(able)} if n else {}
        else:
            n = min(max(2, round(len(background) * shares.dev / 100)), len(able), len(background) - 2)
            part_of = dict.fromkeys(able[:n], "validation") if n > 1 else {}
        parts = sorted(set(part_of.values()), key=natural)
        lists = {
            part: self._trials({key: takes[key] for key in takes if part_of.get(key[0]) == part}) for part in parts
        }
        both = len(background & testing)
        notes = [
            f"{corpus.official()}; {both} speakers are in both" if both else f"{corpus.official()}; nobody is in both"
        ]
        if part_of:
            how = f"left out in {len(parts)} turns" if self.turns else f"who do not train, {some(part_of)}"
            notes += [
                f"development by {len(part_of)} speakers of the background, {how}; {self._how()}",
                *counted(lists),
            ]
        else:
            notes.append(
                f"no development trials, so scores are not calibrated: fewer than 2 speakers of the background have "
                f"takes {self.enrol_takes} of a phrase and others to test"
            )

        def split(utterance: Utterance) -> str | None:
            is_left_out = utterance.split == "train" and not self.turns and utterance.speaker in part_of
            return "validation" if is_left_out else utterance.split

        return Plan(split, [*notes, *left_out], shares, {**lists, **own})

    def _division(self, listing: Listing, survey: Survey) -> Plan:
        """The speakers of each split; where only those of the test are listed, validation is cut from the others."""
        names: dict[str, Any] = {"validation_speakers": self.validation_speakers, "test_speakers": self.test_speakers}
        shares = self.shares(listing.corpus)
        if self.all_test:
            return Plan(lambda utterance: "test", [f"all {len(survey.speakers)} speakers are tested"], shares)
        if as_list(self.test_speakers) and not as_list(self.validation_speakers):
            testing = match_ids(as_list(self.test_speakers), set(survey.speakers), "protocol.test_speakers")
            rest = set(survey.speakers) - set(testing)
            cuts = balanced_cuts(map(hash_percent, rest), shares.dev_of_training(), 0)
            names["validation_speakers"] = sorted(name for name in rest if cuts.split(name) == "validation")
        train, dev, test = shares.by_split().values()
        divided = Listing(listing.corpus, "keyword")  # whatever the target, speakers are kept apart
        divided.survey = survey

        def divide() -> Plan:
            shared = BySpeaker(train_pct=train, dev_pct=dev, test_pct=test, balance=self.balance, **names)
            return shared.plan(divided)

        plan = divide()
        people = sorted(survey.speakers, key=hash_percent)
        testing = [name for name in people if plan.split(Utterance("", Path(), speaker=name)) == "test"]
        if len(testing) < 2 and len(people) >= FEWEST_TO_CHOOSE and not any(map(as_list, names.values())):
            names = {"test_speakers": people[-2:], "validation_speakers": people[-3:-2]}  # an impostor is another one
            plan = divide()
        return plan

    def _with_turns(self, division: Plan, survey: Survey) -> tuple[Plan, dict[str, str]]:
        """The division with all that is not tested in training, and the turn of each of its speakers.

        Raises:
            ValueError: there are too few speakers for so many turns.
        """

        def split(utterance: Utterance) -> str | None:
            found = division.split(utterance)
            return "train" if found == "validation" else found

        testing = {name for name in survey.speakers if split(Utterance("", Path(), speaker=name)) == "test"}
        background = sorted(set(survey.speakers) - testing, key=hash_of)
        if len(background) < 2 * self.turns:
            raise ValueError(
                f"protocol.turns={self.turns} leaves out so many groups of at least 2 background speakers, and there "
                f"are {len(background)}: use fewer turns, or 0 for speakers of development"
            )
        note = (
            f"divided by speaker: {len(background)} of the background, who are left out in {self.turns} turns for "
            f"development, {len(testing)} of the test, {some(testing)}; no speaker is in both"
        )
        turns = {name: f"turn_{i % self.turns + 1}" for i, name in enumerate(background)}
        return division._replace(split=split, notes=[note, *division.notes[1:]]), turns

    def _how(self) -> str:
        said = "phrases" if self.text_dependent else "speakers, whatever they say"
        tested = "all others" if self.test_takes is None else self.test_takes
        drawn = f"; as many of each condition as targets, drawn with seed {self.seed}" if self.balanced else ""
        return f"models of {said}, enrolled with {self.takes} {self.enrol_takes}, tested on {tested}{drawn}"

    def _takes(
        self, listing: Listing, division: Plan, turn_of: Mapping[str, str]
    ) -> tuple[dict[str, dict[Key, Takes]], list[str]]:
        """The takes of each phrase and speaker by split or turn, and sentences on those that are left out."""
        names = [*sorted(set(turn_of.values()), key=natural), "test"] if turn_of else ["validation", "test"]
        said: dict[str, dict[Key, list[tuple[str, str]]]] = {name: {} for name in names}
        n_without = 0
        for utterance in listing:
            split = division.split(utterance)
            split = turn_of[utterance.speaker] if turn_of and split == "train" else split
            if split not in said:
                continue
            phrase = phrase_of(utterance) if self.text_dependent else ""
            if phrase is None:
                n_without += 1
            else:
                key = (utterance.speaker, phrase)
                said[split].setdefault(key, []).append((utterance.session or "", utterance.id))
        sessions = (session for keys in said.values() for one in keys.values() for session, _ in one)
        if self.takes == "sessions" and not all(sessions):
            raise ValueError("protocol.takes=sessions needs the session of every recording; type takes=recordings")
        found: dict[str, dict[Key, Takes]] = {}
        few: list[Key] = []
        for split, keys in said.items():
            numbers = self._numbers(keys)
            found[split] = {}
            for key in sorted(keys, key=lambda one: (natural(one[0]), natural(one[1]))):
                takes = self._divided(keys[key], numbers)
                if takes is None:
                    few.append(key)
                else:
                    found[split][key] = takes
        return found, self._left_out(found, few, n_without)

    def _numbers(self, keys: Mapping[Key, list[tuple[str, str]]]) -> dict[str, int]:
        """The number of the take that each recording is, from 1."""
        numbers: dict[str, int] = {}
        sessions: defaultdict[str, set[str]] = defaultdict(set)
        for (speaker, _), recordings in keys.items():
            recordings.sort(key=lambda one: (natural(one[0]), natural(one[1]), one[1]))
            sessions[speaker].update(session for session, _ in recordings)
            numbers |= {name: number for number, (_, name) in enumerate(recordings, 1)}
        if self.takes == "recordings":
            return numbers
        order = {speaker: sorted(names, key=lambda one: (natural(one), one)) for speaker, names in sessions.items()}
        return {
            name: 1 + order[speaker].index(session)
            for (speaker, _), recordings in keys.items()
            for session, name in recordings
        }

    def _divided(self, recordings: list[tuple[str, str]], numbers: Mapping[str, int]) -> Takes | None:
        """The recordings that enrol and that are tested; None: there are too few."""
        enrol, test = ranges("enrol_takes", self.enrol_takes), ranges("test_takes", self.test_takes)
        takes = Takes([], [])
        for _, name in recordings:
            if is_in(numbers[name], enrol):
                takes.enrol.append(name)
            elif not test or is_in(numbers[name], test):
                takes.test.append(name)
        needed = max(one.start if one.stop > LAST else one.stop - 1 for one in enrol)
        is_whole = self.takes == "sessions" or len(recordings) >= needed
        return takes if is_whole and takes.enrol and takes.test else None

    def _left_out(self, found: Mapping[str, Mapping[Key, Takes]], few: list[Key], n_without: int) -> list[str]:
        """What is left out of the trials, in sentences."""
        why = f"without takes {self.enrol_takes} to enrol and others to test"
        if self.test_takes is not None:
            why = f"without takes {self.enrol_takes} to enrol and one of {self.test_takes} to test"
        there = {speaker for keys in found.values() for speaker, _ in keys}
        speakers = {speaker for speaker, _ in few} - there
        phrases = [f"{phrase} of {speaker}" for speaker, phrase in few if speaker not in speakers]
        notes = []
        if speakers:
            notes.append(f"{len(speakers)} speakers are left out of the trials, {why}: {some(speakers)}")
        if phrases:
            notes.append(f"{len(phrases)} phrases are left out of the trials, {why}: {some(phrases)}")
        if n_without:
            notes.append(f"{n_without} recordings without a word or a sentence are left out of the trials")
        return notes

    def _trials(self, found: Mapping[Key, Takes]) -> TrialList:
        """The list of a split: models in the order of speaker and phrase, recordings likewise.

        Raises:
            ValueError: there would be too many.
        """
        keys = list(found)
        recordings = [(name, i) for i, takes in enumerate(found.values()) for name in takes.test]
        if len(keys) * len(recordings) > MOST and not self.balanced:
            raise ValueError(
                f"{len(keys):,} models and {len(recordings):,} recordings are more than {MOST:,} trials: type "
                "protocol.balanced=true to draw some of them"
            )
        speaker, phrase = (np.unique(names, return_inverse=True)[1] for names in zip(*keys, strict=True))
        of_recording = np.array([i for _, i in recordings])
        hashes = np.array([hash_of(name) for name, _ in recordings], np.uint64)
        models: list[NDArray[np.int32]] = []
        tested: list[NDArray[np.int32]] = []
        conditions: list[NDArray[np.int8]] = []
        for i, key in enumerate(keys):
            other_speaker = speaker[of_recording] != speaker[i]
            other_phrase = phrase[of_recording] != phrase[i]
            condition = (2 * other_speaker + other_phrase if self.text_dependent else 1 * other_speaker).astype(np.int8)
            kept = self._drawn(condition, hashes, key) if self.balanced else np.arange(len(condition))
            models.append(np.full(len(kept), i, np.int32))
            tested.append(kept.astype(np.int32))
            conditions.append(condition[kept])
        return TrialList(
            {model_name(*key): tuple(takes.enrol) for key, takes in found.items()},
            tuple(name for name, _ in recordings),
            np.concatenate(models),
            np.concatenate(tested),
            np.concatenate(conditions),
            CONDITIONS if self.text_dependent else KINDS,
        )

    def _drawn(self, condition: NDArray[np.int8], hashes: NDArray[np.uint64], key: Key) -> NDArray[np.int64]:
        """As many recordings of each condition as of the first, those of the least random words."""
        order = np.argsort(words(hashes, seed=self.seed, epoch=0, stream=f"trials/{model_name(*key)}")[:, 0])
        n = int(np.count_nonzero(condition == 0))
        return np.sort(np.concatenate([order[condition[order] == one][:n] for one in np.unique(condition)]))


def counted(lists: Mapping[str, TrialList]) -> list[str]:
    """A sentence on each list."""
    notes = []
    for split, trials in lists.items():
        counts = ", ".join(f"{n:,} {condition}" for condition, n in trials.counts().items())
        what = f"{len(trials.models):,} models, {len(trials.recordings):,} recordings"
        notes.append(f"trials of {split}: {what}, {counts}")
    return notes


def ranges(key: str, takes: str | int | Sequence[int] | None) -> list[range]:
    """The takes of an option.

    >>> ranges("test_takes", "1-3,5"), ranges("test_takes", [4])
    ([range(1, 4), range(5, 6)], [range(4, 5)])

    Raises:
        ValueError: it is none.
    """
    found = []
    for text in as_list(takes):
        match = re.fullmatch(r"([1-9][0-9]{0,8})(-([1-9][0-9]{0,8})?)?", text.replace(" ", ""))
        if match is None or (match[3] and int(match[3]) < int(match[1])):
            raise ValueError(f"protocol.{key} are takes counted from 1, such as 1-3, 1,3 or 4-; received {text}")
        last = int(match[3]) if match[3] else LAST if match[2] else int(match[1])
        found.append(range(int(match[1]), last + 1))
    return found


def is_in(number: int, takes: Sequence[range]) -> bool:
    """Whether a take is one of those."""
    return any(number in some_takes for some_takes in takes)


def phrase_of(utterance: Utterance) -> str | None:
    """What is said, as far as others say it too: the word, else the sentence; None: it is not known, or any word."""
    phrase = utterance.word or utterance.sentence
    return None if phrase is None or re.fullmatch("_.*_", phrase) else phrase


def model_name(speaker: str, phrase: str) -> str:
    """A name for the model of a speaker's phrase, as it can stand in a list; no two have the same.

    >>> model_name("anna", "good day"), model_name("anna", "")
    ('anna/good%20day', 'anna')
    """
    parts = [re.sub(r"[\s,/%\\]", lambda one: quote(one[0], safe=""), part) for part in (speaker, phrase) if part]
    return "/".join(parts)


def natural(name: str) -> list[str | int]:
    """A key of sorting by which take 2 comes before take 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]{1,18})", name))]
