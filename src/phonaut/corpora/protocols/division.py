"""How a user's recordings are divided: as he says, as his data say, by speaker, by recording, or within speakers."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from phonaut.corpora.folder.layouts import Found
from phonaut.corpora.protocols.hashing import (
    Cuts,
    WithinSpeakers,
    balanced_cuts,
    hash_percent,
    match_ids,
    speakers_to_validate,
)
from phonaut.data.utterance import SPLITS

MIN_SESSIONS = 3  # one for each split


class Spoken(NamedTuple):
    """A cut and who speaks it."""

    found: Found
    speaker: str


class Plan(NamedTuple):
    """Which split each cut belongs to, and the sentences that say how that was decided."""

    split: Callable[[Spoken], str]
    notes: list[str]


Recordings = Callable[[], Iterable[Spoken]]  # reads the corpus again, from the start


@dataclass
class Survey:
    """What a first pass over the cuts found; its size grows with speakers and words, not with recordings."""

    n: int = 0
    speakers: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    splits: set[str] = field(default_factory=set)  # that the data name
    splits_of: dict[str, set[str]] = field(default_factory=dict)  # by speaker, where the data say it
    sessions: dict[str, set[str]] = field(default_factory=dict)  # by speaker
    n_without_speaker: int = 0
    n_without_session: int = 0
    n_named_like_word: int = 0  # the speaker's name is the class
    examples: list[str] = field(default_factory=list)

    def add(self, found: Found, speaker: str | None) -> None:
        """Count a cut."""
        self.n += 1
        if len(self.examples) < 3:
            self.examples.append(found.name)
        if found.word is not None:
            self.words[found.word] += 1
        if found.split is not None:
            self.splits.add(found.split)
        if speaker is None:
            self.n_without_speaker += 1
            return
        self.speakers[speaker] += 1
        self.n_named_like_word += found.word is not None and speaker.casefold() == found.word.casefold()
        if found.split is not None:
            self.splits_of.setdefault(speaker, set()).add(found.split)
        if found.session is not None:
            self.sessions.setdefault(speaker, set()).add(found.session)
        else:
            self.n_without_session += 1

    def own_speakers(self) -> bool:
        """Whether every recording has a speaker of its own."""
        return self.n > 1 and len(self.speakers) == self.n - self.n_without_speaker

    def wrong_guess(self) -> str | None:
        """What is wrong with speakers that were guessed from file names, if anything plainly is."""
        if self.n_without_speaker > 0.5 * self.n:
            return "most have none"
        if self.own_speakers():
            return f"it is different for all {self.n} recordings"
        return "it is their class" if self.n_named_like_word > 0.9 * self.n else None


@dataclass(frozen=True)
class Shares:
    """Per cent of the corpus for each split."""

    train: float = 80
    dev: float = 10
    test: float = 10

    def dev_of_training(self) -> float:
        """Per cent of the training part that becomes validation, where the test part is given."""
        return 100 * self.dev / (self.train + self.dev)

    def __str__(self) -> str:
        return f"{self.train:g} / {self.dev:g} / {self.test:g} %"


def all_test() -> Plan:
    """Nothing to train on: recordings that an old model is tried on."""
    return Plan(lambda spoken: "test", ["all recordings are test recordings"])


def by_recording(recordings: Recordings, shares: Shares) -> Plan:
    """Divided by a hash of the recording, speakers shared."""
    positions = array("d", (hash_percent(spoken.found.unit()) for spoken in recordings()))
    cuts = balanced_cuts(positions, shares.dev, shares.test)
    return Plan(
        lambda spoken: cuts.split(spoken.found.unit()),
        [f"divided by recording ({shares}): the speakers of the test are in training too"],
    )


def within_speakers(survey: Survey, recordings: Recordings, shares: Shares) -> Plan:
    """Every speaker in all splits, for telling speakers apart: by session where known, else by recording."""
    known = not survey.n_without_session
    enough = known and all(len(survey.sessions[speaker]) >= MIN_SESSIONS for speaker in survey.speakers)
    within = WithinSpeakers(shares.dev, shares.test)

    def unit(spoken: Spoken) -> str:
        return spoken.found.session or "" if enough else spoken.found.unit()

    for spoken in recordings():
        within.add(spoken.speaker, unit(spoken))
    what = "sessions" if enough else "recordings"
    notes = [f"each speaker's {what} are divided among the splits ({shares})"]
    if known and not enough:
        notes.append(f"sessions were not kept apart: some speakers have fewer than {MIN_SESSIONS}")
    few = sum(n < len(SPLITS) for n in survey.speakers.values())
    if few:
        notes.append(f"{few} speakers have fewer than {len(SPLITS)} recordings, too few to be in every split")
    return Plan(lambda spoken: within.split(spoken.speaker, unit(spoken)), notes)


def by_speaker(
    survey: Survey,
    recordings: Recordings,
    shares: Shares,
    validation_speakers: Sequence[object] = (),
    test_speakers: Sequence[object] = (),
) -> Plan:
    """No speaker in two splits: by lists, or by a hash of the speaker.

    Raises:
        ValueError: a list names nobody or somebody twice, leaves nobody to train on, or there is but one speaker.
    """
    everybody = set(survey.speakers)
    validated = set(match_ids(validation_speakers, everybody, "dataset.validation_speakers"))
    tested = set(match_ids(test_speakers, everybody, "dataset.test_speakers"))
    if validated and not tested:
        raise ValueError(
            "dataset.validation_speakers is given without dataset.test_speakers: name the speakers to test on too"
        )
    if validated & tested:
        both = ", ".join(sorted(validated & tested))
        raise ValueError(f"{both} in dataset.validation_speakers and in dataset.test_speakers: take out of one of them")
    if everybody == validated | tested:
        raise ValueError(
            f"dataset.validation_speakers and dataset.test_speakers name all {len(everybody)} speakers: nobody is left "
            "to train on"
        )
    if tested and validated:
        split_of = dict.fromkeys(tested, "test") | dict.fromkeys(validated, "validation")
        return Plan(lambda spoken: split_of.get(spoken.speaker, "train"), [_by_lists(survey, tested, validated)])
    if tested:
        return with_validation(
            lambda spoken: "test" if spoken.speaker in tested else "train",
            everybody - tested, tested, recordings, shares, _by_lists(survey, tested),
        )  # fmt: skip
    return _by_hash(survey, recordings, shares)


def as_given(
    survey: Survey,
    recordings: Recordings,
    shares: Shares,
    *,
    target: str,
    shared_speakers: bool,
    anonymous: bool,
) -> Plan:
    """As the data say, in a column or by folders.

    Args:
        survey: of the cuts.
        recordings: the cuts.
        shares: for a validation part that the data lack.
        target: `keyword` or `speaker`.
        shared_speakers: the user knows that speakers are in several splits.
        anonymous: speakers are not known.

    Raises:
        ValueError: no training or test part, or a speaker in two splits.
    """
    for part in ("train", "test"):
        if part not in survey.splits:
            there = ", ".join(sorted(survey.splits)) or "none of train, validation, test"
            raise ValueError(
                f"the split of the data has no {part} part (it has {there}); type dataset.protocol=speakers to divide "
                "anew by speaker, dataset.protocol=all_test to test on all of it"
            )
    trained = {speaker for speaker, parts in survey.splits_of.items() if "train" in parts}
    tested = {speaker for speaker, parts in survey.splits_of.items() if "test" in parts}
    if target == "speaker" and not trained & tested:
        raise ValueError(
            "target=speaker needs the speakers of the test in training, and the split of the data has none of them "
            "there; dataset.protocol=recordings divides each speaker's recordings anew"
        )
    shared_speakers = shared_speakers or target == "speaker"
    shared = {speaker: parts for speaker, parts in sorted(survey.splits_of.items()) if len(parts) > 1}
    if shared and not shared_speakers and not anonymous:
        speaker, where = next(iter(shared.items()))
        more = f", and {len(shared) - 1} more are in two splits" if len(shared) > 1 else ""
        raise ValueError(
            f"speaker {speaker} is in {' and '.join(sorted(where))}{more}: the test would not tell about new speakers. "
            "Type dataset.protocol=speakers to divide anew by speaker, or dataset.shared_speakers=true to keep the "
            "split and have this said in the report"
        )
    found = "whether speakers are shared is not known" if anonymous else "no speaker is in two splits"
    if shared and not anonymous:
        found = f"{len(shared)} speakers are in more than one split"
    note = f"divided as the data say; {found}"
    if "validation" in survey.splits:
        return Plan(_given, [note])
    by_name = trained if not anonymous else set()
    return with_validation(_given, by_name, tested, recordings, shares, note)


def _given(spoken: Spoken) -> str:
    assert spoken.found.split is not None
    return spoken.found.split


def _by_hash(survey: Survey, recordings: Recordings, shares: Shares) -> Plan:
    names = survey.speakers
    if len(names) < 2:
        raise ValueError(
            f"all {survey.n} recordings are of one speaker ({next(iter(names))}): nobody new is there to test on. If "
            f"more speak, say where names like {survey.examples[0]} tell who: dataset.speaker_pattern='_([^_]+)_', or "
            "a table with a column speaker. If it is one person, dataset.protocol=recordings divides by recording"
        )
    cuts = balanced_cuts(map(hash_percent, names), shares.dev, shares.test)
    counts = Counter(map(cuts.split, names))
    note = f"divided by a hash of the speaker ({shares}); no speaker is in two splits: " + ", ".join(
        f"{counts[split]} in {split}" for split in SPLITS
    )
    if len(names) > 2:
        return Plan(lambda spoken: cuts.split(spoken.speaker), [note])
    tested = {name for name in names if cuts.split(name) == "test"}
    return with_validation(
        lambda spoken: cuts.split(spoken.speaker), set(names) - tested, tested, recordings, shares, note
    )


def with_validation(
    split: Callable[[Spoken], str],
    trained: set[str],
    tested: set[str],
    recordings: Recordings,
    shares: Shares,
    note: str,
) -> Plan:
    """Cut validation from training: by speaker where the test has others and enough are left, else by recording."""
    pct = shares.dev_of_training()
    validated = speakers_to_validate(trained, tested, pct)
    if validated:
        how = f"validation is cut from training by speaker: {_names(validated)}"

        def chosen(spoken: Spoken) -> bool:
            return spoken.speaker in validated
    else:
        ids = array("d", (hash_percent(spoken.found.unit()) for spoken in recordings() if split(spoken) == "train"))
        cuts: Cuts = balanced_cuts(ids, pct, 0)
        how = f"validation is cut from training by recording ({pct:.0f} %)"

        def chosen(spoken: Spoken) -> bool:
            return cuts.split(spoken.found.unit()) == "validation"

    return Plan(
        lambda spoken: "validation" if split(spoken) == "train" and chosen(spoken) else split(spoken),
        [f"{note}; {how}"],
    )


def _by_lists(survey: Survey, tested: Collection[str], validated: Collection[str] = ()) -> str:
    n_trained = len(survey.speakers) - len(tested) - len(validated)
    validation = f", validation {_names(validated)}" if validated else ""
    listed = f"{n_trained} train{validation}, test {_names(tested)}"
    return f"divided by speaker as listed: {listed}; no speaker is in two splits"


def _names(speakers: Iterable[str], most: int = 10) -> str:
    names = sorted(speakers)
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "")
