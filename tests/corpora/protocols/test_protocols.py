"""Every protocol divides every corpus that carries what it takes, and refuses the others by what they lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from helpers.divided import PROTOCOLS
from phonaut.corpora import FSDD, Corpus, FolderCorpus, KeywordCorpus, LibriSpeech, Speechocean762, Utterance
from phonaut.corpora.protocols import Divided

SPLITS = {"train", "validation", "test"}
SPEAKERS = tuple(f"{i:04d}" for i in range(17))
BY_SPEAKER = ("by_speaker", "folds", "leave_one_speaker_out", "fixed", "unlabelled")
OPTIONS: dict[str, dict[str, Any]] = {
    "fixed": {"n_test_speakers": 3, "n_validation_speakers": 2},
    "trials": {"text_dependent": False},  # some have no words
}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def folder(root: Path) -> Corpus:
    names = [f"{word}/{speaker}_{i}.wav" for word in ("yes", "no") for speaker in SPEAKERS for i in range(5)]
    return FolderCorpus(data_folder=touch(root / "folder", *names))


def fsdd(root: Path) -> Corpus:
    names = [f"recordings/7_{speaker}_{i}.wav" for speaker in SPEAKERS for i in range(12)]
    return FSDD(data_folder=touch(root / "fsdd", *names))


def kws(root: Path) -> Corpus:
    names = [f"{word}/{speaker}_nohash_{i}.wav" for word in ("yes", "no") for speaker in SPEAKERS for i in range(5)]
    corpus = touch(root / "kws", *names)
    (corpus / "validation_list.txt").write_text("".join(f"yes/{SPEAKERS[0]}_nohash_{i}.wav\n" for i in range(5)))
    (corpus / "testing_list.txt").write_text("".join(f"no/{SPEAKERS[1]}_nohash_{i}.wav\n" for i in range(5)))
    return KeywordCorpus(data_folder=corpus, wanted_words=["yes", "no"])


def librispeech(root: Path) -> Corpus:
    subset = {speaker: "test-clean" if i % 5 == 0 else "train-clean-100" for i, speaker in enumerate(SPEAKERS)}
    names = [
        f"{subset[speaker]}/{speaker}/{chapter}/{speaker}-{chapter}-{i:04d}.flac"
        for speaker in SPEAKERS
        for chapter in range(1, 5)
        for i in range(2)
    ]
    return LibriSpeech(data_folder=touch(root / "LibriSpeech", *names), target="text")


def speechocean762(root: Path) -> Corpus:
    names = [f"{speaker}{i}" for speaker in SPEAKERS for i in range(5)]
    corpus = touch(root / "so762", *(f"WAVE/{name}.wav" for name in names))
    for part, chosen in (("train", names[:60]), ("test", names[60:])):
        (corpus / part).mkdir()
        (corpus / part / "wav.scp").write_text("".join(f"{name} WAVE/{name}.wav\n" for name in chosen))
        (corpus / part / "utt2spk").write_text("".join(f"{name} {name[:4]}\n" for name in chosen))
        (corpus / part / "text").write_text("".join(f"{name} ONE MORE\n" for name in chosen))
    return Speechocean762(data_folder=corpus, target="text")


CORPORA = (folder, fsdd, kws, librispeech, speechocean762)
PAIRS = [pair for pair in product((c.__name__ for c in CORPORA), PROTOCOLS) if pair != ("folder", "official")]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return {make.__name__: make(tmp_path_factory.mktemp(make.__name__)) for make in CORPORA}


def divide(corpus: Corpus, protocol: str, target: str) -> Divided:
    return PROTOCOLS[protocol](**OPTIONS.get(protocol, {})).divide(Undecided(corpus), target)


class Undecided(Corpus):
    """A corpus whose adapter was asked for one target, in the order that is asked for."""

    published_split = True

    def __init__(self, corpus: Corpus, order: int = 1) -> None:
        self.corpus, self.order = corpus, order

    def utterances(self) -> Iterator[Utterance]:
        return iter(list(self.corpus.utterances())[:: self.order])


def without(corpus: Corpus, *labels: str) -> Corpus:
    """A corpus whose utterances lack labels."""
    from dataclasses import replace

    empty: dict[str, Any] = {label: "" if label == "speaker" else None for label in labels}
    return Toy([replace(utterance, **empty) for utterance in corpus.utterances()])


class Toy(Corpus):
    name = "toy"

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self.list = utterances

    def utterances(self) -> Iterator[Utterance]:
        return iter(self.list)


@pytest.mark.parametrize(("name", "protocol"), PAIRS)
def test_every_protocol_divides_every_corpus(name: str, protocol: str, corpora: dict[str, Corpus]) -> None:
    divided = divide(corpora[name], protocol, "keyword")
    utterances = list(divided.utterances())
    assert [u.id for u in utterances] == [u.id for u in corpora[name].utterances()], "none is lost, none comes twice"
    there = {"all_test": {"test"}, "unlabelled": {"train", "validation"}, "few": {"train"}}.get(protocol, SPLITS)
    if (name, protocol) == ("folder", "enrolment"):
        there = {"train"}  # it has no split of its own
    assert {u.split for u in utterances} == there
    if protocol in BY_SPEAKER:
        splits: dict[str, set[str | None]] = {}
        for utterance in utterances:
            splits.setdefault(utterance.speaker, set()).add(utterance.split)
        assert all(len(found) == 1 for found in splits.values())
        assert "no speaker is in two splits" in divided.notes()[0] or "by speaker" in divided.notes()[0]


@pytest.mark.parametrize(("name", "protocol"), PAIRS)
def test_the_order_of_the_files_changes_nothing(name: str, protocol: str, corpora: dict[str, Corpus]) -> None:
    forward, backward = (
        PROTOCOLS[protocol](**OPTIONS.get(protocol, {})).divide(Undecided(corpora[name], order), "keyword")
        for order in (1, -1)
    )
    assert {u.id: u.split for u in forward.utterances()} == {u.id: u.split for u in backward.utterances()}


@pytest.mark.parametrize("name", [c.__name__ for c in CORPORA])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_speakers_are_told_apart_by_protocols_that_keep_all_of_them(
    name: str, protocol: str, corpora: dict[str, Corpus]
) -> None:
    divided = divide(corpora[name], protocol, "speaker")
    if protocol in BY_SPEAKER and protocol != "unlabelled":
        with pytest.raises(ValueError, match=f"protocol={protocol} keeps some out: type protocol=within_speakers"):
            list(divided.utterances())
    if protocol in ("within_speakers", "auto"):
        speakers = {split: {u.speaker for u in divided.utterances() if u.split == split} for split in SPLITS}
        assert speakers["train"] == set(SPEAKERS) == speakers["train"] | speakers["test"]
        assert speakers["test"] <= speakers["train"]
        assert speakers["validation"] <= speakers["train"]


@pytest.mark.parametrize("protocol", [*BY_SPEAKER, "within_speakers"])
def test_what_divides_speakers_needs_them(protocol: str, corpora: dict[str, Corpus]) -> None:
    anonymous = without(corpora["fsdd"], "speaker", "split")
    target = "speaker" if protocol == "within_speakers" else "keyword"
    with pytest.raises(ValueError, match="who speaks is not known") as error:
        list(PROTOCOLS[protocol]().divide(anonymous, target).utterances())
    assert ("protocol=by_recording divides by recording" in str(error.value)) == (target == "keyword")
    by_recording = list(PROTOCOLS["by_recording"]().divide(anonymous, "keyword").utterances())
    assert len({u.speaker for u in by_recording}) == len(by_recording), "each counts as a speaker of its own"


def test_an_official_split_that_is_not_there_is_named_with_what_does_without(corpora: dict[str, Corpus]) -> None:
    with pytest.raises(ValueError, match=r"no train part .*has none.*type protocol=by_speaker .*protocol=all_test"):
        list(PROTOCOLS["official"]().divide(without(corpora["fsdd"], "split"), "keyword").utterances())


def test_speakers_shared_by_a_split_of_ones_own_are_refused_and_those_of_a_published_one_named() -> None:
    utterances = [Utterance(f"{s}{i}", Path("x"), ("train", "test")[i], s) for s in "abcdef" for i in range(2)]
    with pytest.raises(ValueError, match=r"speaker a is in test and train, and 5 more.*protocol.shared_speakers=true"):
        list(PROTOCOLS["official"]().divide(Toy(utterances), "keyword").utterances())
    shared = PROTOCOLS["official"](shared_speakers=True).divide(Toy(utterances), "keyword")
    assert "6 speakers are in more than one split; validation is cut from training by recording" in shared.notes()[0]


@pytest.mark.parametrize(
    ("protocol", "options", "said"),
    [
        ("folds", {"n_folds": 2}, "protocol.n_folds=2: must be >= 3"),
        ("folds", {"fold": 5}, "with protocol.n_folds=5 it is from 0 to 4"),
        ("fixed", {"n_test_speakers": 0}, "protocol.n_test_speakers must be >= 1, got 0"),
        ("by_speaker", {"train_pct": 90, "dev_pct": 10, "test_pct": 10}, "add up to 100; received 90 + 10 + 10 = 110"),
        ("auto", {"validation_speakers": [1]}, "without protocol.test_speakers"),
        ("unlabelled", {"validation_pct": 100}, "above 0 and below 100"),
    ],
)
def test_impossible_options_are_named(protocol: str, options: dict[str, Any], said: str) -> None:
    assert said in PROTOCOLS[protocol].problems(**options)[0]
    with pytest.raises(ValueError, match="protocol"):
        PROTOCOLS[protocol](**options)


def test_shares_that_do_not_add_up_with_the_usual_ones_are_named(corpora: dict[str, Corpus]) -> None:
    with pytest.raises(ValueError, match=r"add up to 100; received 90 \+ 10 \+ 10 = 110"):
        list(PROTOCOLS["by_speaker"](train_pct=90).divide(corpora["folder"]).utterances())


def test_memory_does_not_hold_the_utterances(corpora: dict[str, Corpus]) -> None:
    """A plan keeps numbers and the names of speakers; a million more recordings by them cost a few bytes each."""
    import tracemalloc

    many = 20_000
    toy = Toy([])
    toy.utterances = lambda: (  # type: ignore[method-assign]
        Utterance(f"{i}", Path("x"), ("train", "test")[i % 2], SPEAKERS[i % 16]) for i in range(many)
    )
    for name in set(PROTOCOLS) - {"official", "trials"}:  # trials are lists of utterances
        divided = PROTOCOLS[name](**OPTIONS.get(name, {})).divide(toy, "keyword")
        tracemalloc.start()
        divided.plan  # noqa: B018
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 60 * many, name


class Published(Toy):
    published_split = True


def test_a_part_of_a_published_corpus_keeps_its_splits() -> None:
    utterances = [Utterance(f"{s}{i}", Path("x"), "train", s) for s in "abcdef" for i in range(2)]
    divided = PROTOCOLS["official"]().divide(Published(utterances), "keyword")
    assert {u.split for u in divided.utterances()} == {"train"}
    with pytest.raises(ValueError, match=r"has no test part .it has train."):
        list(PROTOCOLS["official"]().divide(Toy(utterances), "keyword").utterances())


def test_speakers_who_are_told_apart_are_validated_by_recording() -> None:
    utterances = [Utterance(f"{s}{i}", Path("x"), "test" if i else "train", s) for s in "abcdefgh" for i in range(9)]
    utterances += [Utterance(f"{s}-more{i}", Path("x"), "train", s) for s in "abcdefgh" for i in range(9)]
    divided = PROTOCOLS["official"]().divide(Toy(utterances), "speaker")
    speakers = {split: {u.speaker for u in divided.utterances() if u.split == split} for split in SPLITS}
    assert speakers["validation"] <= speakers["train"] == speakers["test"] == set("abcdefgh")
    assert "by recording" in divided.notes()[0]
