"""Several corpora as one: nobody who is left out is heard, nobody who validates is trained on, ids stay apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.divided import divided
from phonaut.corpora import Corpus, Mix, Part, Utterance
from phonaut.corpora.noise import SILENCE
from phonaut.corpora.protocols import Divided, VerificationTrials, WithinSpeakers
from phonaut.data.preparation.prepare import fingerprint


class Some(Corpus):
    """A corpus of so many speakers with three recordings each, divided in its own way."""

    clip_s: float | None = 1.0

    def __init__(self, name: str, speakers: list[str]) -> None:
        self.name, self.speakers = name, speakers

    def utterances(self) -> Iterator[Utterance]:
        for speaker in self.speakers:
            for take, split in enumerate(("train", "validation", "test")):
                path = Path(f"/{self.name}/{speaker}_{take}.wav")
                yield Utterance(f"{speaker}_{take}", path, split, speaker, word="yes", text="yes")

    def select(self, divided: Divided) -> Iterator[Utterance]:
        yield from divided.assigned()
        yield Utterance("hum", Path("/hum.wav"), "noise", "")
        yield Utterance("still", Path("/hum.wav"), "train", "", word=SILENCE)

    def refused(self) -> list[dict[str, str]]:
        return [{"path": f"{self.name}.txt", "reason": "text"}]


def mix(*names: str, n: int = 12, **options: Any) -> Divided:
    speakers = [f"{i:04d}" for i in range(n)]
    return divided(Mix, corpora=[Part(name, Some(name, speakers)) for name in names], **options)


def heard(corpus: Divided) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in corpus.utterances():
        found.setdefault(item.split, set()).add(item.speaker)
    return found


def test_every_speaker_trains_or_validates_with_all_that_he_said() -> None:
    corpus = mix("a", "b")
    items = list(corpus.utterances())
    assert len(items) == 2 * 12 * 3, "noise and silence are nobody's speech"
    assert len({item.id for item in items}) == len(items)
    split_of: dict[str, set[str]] = {}
    for item in items:
        split_of.setdefault(item.speaker, set()).add(item.split)
        assert item.id.startswith(f"{item.speaker}_")
        assert (item.word, item.phones, item.text) == (None, (), "yes")
    assert all(len(splits) == 1 for splits in split_of.values())
    assert {item.speaker[0] for item in items if item.split == "validation"} == {"a", "b"}
    assert corpus.refused() == [{"path": f"{name}.txt", "reason": "text"} for name in ("a", "b")]


@pytest.mark.parametrize(
    ("asked", "absent"),
    [
        (["a/0003"], {"a/0003"}),
        (["0003"], {"a/0003", "b/0003"}),
        ([3, "b/5"], {"a/0003", "b/0003", "b/0005"}),
        ("[a/0001,a/0002]", {"a/0001", "a/0002"}),
    ],
)
def test_who_is_left_out_is_never_heard(asked: Any, absent: set[str]) -> None:
    corpus = mix("a", "b", leave_out_speakers=asked)
    everybody = {f"{part}/{i:04d}" for part in "ab" for i in range(12)}
    found = heard(corpus)
    assert set.union(*found.values()) == everybody - absent
    assert all(name in corpus.notes()[0] for name in absent)


def test_a_name_that_means_nobody_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"a/0099 \(nearest: "):
        list(mix("a", leave_out_speakers=["a/0099"]).utterances())


def test_few_speakers_still_validate_on_one_of_them_and_one_alone_cannot() -> None:
    found = heard(mix("a", n=3))
    assert (len(found["train"]), len(found["validation"])) == (2, 1)
    with pytest.raises(ValueError, match="two are needed"):
        list(mix("a", n=1).utterances())


def test_weights_change_no_prepared_corpus_and_one_part_gives_its_name() -> None:
    light, heavy = (divided(Mix, corpora=[Part("a", Some("a", ["x", "y"]), weight)]) for weight in (0.5, 3.0))
    assert fingerprint(light, 16000) == fingerprint(heavy, 16000)
    assert light.name == "a"
    assert mix("a", "b").name == "mix"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpora": []}, "corpora is empty"),
        ({"corpora": [Part("a", Some("a", [])), Part("a", Some("a", []))]}, "two parts of one name"),
        ({"corpora": [Part("a", Some("a", []), 0.0)]}, "weight 0.0; it is above 0"),
        ({"corpora": [Part("a", Some("a", []))], "validation_pct": 0.0}, "validation_pct=0.0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divided(Mix, **options)


def test_labelled_utterances_keep_words_and_recordings_for_other_protocols() -> None:
    corpus = Mix(corpora=[Part(name, Some(name, ["0001", "0002"])) for name in "ab"], labelled=True)
    assert {utterance.word for utterance in corpus.utterances()} == {"yes"}
    assert {utterance.split for utterance in corpus.utterances()} == {None}
    assert corpus.words() is None


@pytest.mark.parametrize("text_dependent", [True, False])
def test_trials_are_made_over_the_speakers_of_all_parts(text_dependent: bool) -> None:
    corpus = Mix(corpora=[Part(name, Some(name, [f"{i:04d}" for i in range(8)])) for name in "ab"], labelled=True)
    protocol = VerificationTrials(
        test_speakers=["a/0001", "b/0001"], validation_speakers=["a/0002"], enrol_takes="1-2",
        text_dependent=text_dependent,
    )  # fmt: skip
    trials = protocol.divide(corpus, "speaker").trials["test"]
    assert {name.partition("/")[0] for name in trials.recordings} == {"a", "b"}
    assert len(trials.models) == 2


def test_every_speaker_of_every_part_is_in_all_splits_to_be_told_apart() -> None:
    corpus = Mix(corpora=[Part(name, Some(name, ["0001", "0002"])) for name in "ab"], labelled=True)
    found = heard(WithinSpeakers().divide(corpus, "speaker"))
    assert list(found.values()) == [{"a/0001", "a/0002", "b/0001", "b/0002"}] * 3
