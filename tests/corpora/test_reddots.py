"""RedDots: the official layout, written by the test; the background, damage by name, lists of women and men."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.divided import divided
from phonaut.corpora import RedDots, Utterance
from phonaut.corpora.protocols import Divided
from phonaut.corpora.reddots import gender_of
from phonaut.data.preparation.prepare import prepare
from phonaut.data.trials import TrialList

SPEAKERS = ("f0001", "f0002", "m0001", "m0002")
OTHER = "m0009"  # is in no list
SENTENCES = ("31", "32")
TAKES = 5  # three enrol, one is tested, one is nowhere
RATE = 16_000


def recording(speaker: str, sentence: str, take: int) -> str:
    return f"{speaker}/2015{take + 1:02d}01052549{sentence:>03}_{speaker}_{sentence}"


def samples(name: str) -> np.ndarray:
    """100 ms of noise of a recording's own."""
    noise = np.random.default_rng(list(name.encode())).normal(0, 3000, RATE // 10)
    return np.rint(noise).clip(-32768, 32767).astype("<i2")


def write_pcm(root: Path, name: str) -> Path:
    path = root / "pcm" / f"{name}.pcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(samples(name).tobytes())
    return path


def write_lists(root: Path, part: str, gender: str, sentences: tuple[str, ...], suffix: str = "") -> None:
    """Lists in which the take 3 of everybody's sentences is tested against models of takes 0 to 2."""
    speakers = [speaker for speaker in SPEAKERS if speaker[0] == gender]
    trn, ndx = [], []
    for speaker in speakers:
        for sentence in sentences:
            model = f"{speaker}_{sentence}"
            trn.append(f"{model} " + ",".join(recording(speaker, sentence, i) + suffix for i in range(3)))
            for other in speakers:
                for said in sentences:
                    flags = ["N"] * 4
                    flags[2 * (other != speaker) + (said != sentence)] = "Y"
                    ndx.append(",".join([model, recording(other, said, 3) + suffix, *flags]))
    (root / "ndx").mkdir(parents=True, exist_ok=True)
    (root / "ndx" / f"{gender}_part_{part}.trn").write_text("\n".join(trn) + "\n")
    (root / "ndx" / f"{gender}_part_{part}.ndx").write_text("\r\n".join(ndx) + "\r\n")


def write_reddots(root: Path, suffix: str = "") -> Path:
    """Part 01 has the sentences 31 and 32; part 04_td has 33 of the men; nobody lists 100, or what OTHER says."""
    names = [recording(s, said, take) for s in SPEAKERS for said in SENTENCES for take in range(TAKES)]
    names += [recording(s, "33", take) for s in ("m0001", "m0002") for take in range(4)]
    names += [recording(s, said, take) for s in (SPEAKERS[0], OTHER) for said in ("31", "100") for take in (7,)]
    for name in names:
        write_pcm(root, name)
    for gender in "fm":
        write_lists(root, "01", gender, SENTENCES, suffix)
    write_lists(root, "04_td", "m", ("33",), suffix)
    (root / "infos").mkdir()
    lines = [f"{Path(name).name};Caf\xe9 number {name.rpartition('_')[2]}\n" for name in names]
    (root / "infos" / "script.txt").write_bytes("".join(lines).encode("latin-1"))
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reddots(tmp_path_factory.mktemp("reddots"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A tree that a test may damage."""
    return write_reddots(tmp_path / "reddots")


def official(root: Path, **options: Any) -> Divided:
    return divided(RedDots, data_folder=root, **{"protocol": "official"} | options)


def by_split(corpus: Divided) -> dict[str, list[Utterance]]:
    found: dict[str, list[Utterance]] = {"train": [], "validation": [], "test": []}
    for utterance in corpus.utterances():
        found[str(utterance.split)].append(utterance)
    return found


def refusals(corpus: Divided) -> dict[str, str]:
    list(corpus.utterances())
    return {Path(line["path"]).name: line["reason"] for line in corpus.refused()}


@pytest.mark.parametrize("part", ["01", 1, "04_td"])
def test_the_background_has_no_recording_of_any_trial_or_enrolment(part: Any, tree: Path) -> None:
    corpus = official(tree, part=part)
    found = by_split(corpus)
    background = {utterance.id for split in ("train", "validation") for utterance in found[split]}
    for text in [path.read_text() for path in (tree / "ndx").iterdir()]:
        assert not [name for name in background if name in text]
    nowhere = {recording(s, said, 4) for s in SPEAKERS for said in SENTENCES}
    nowhere |= {recording(s, said, 7) for s in (SPEAKERS[0], OTHER) for said in ("31", "100")}
    assert background == nowhere, "all others are in it"
    assert {utterance.id for utterance in found["test"]} == corpus.trials["test"].named()
    assert len(found["test"]) == {"04_td": 2 * 4}.get(part, 4 * 2 * 4)


def test_recordings_of_a_list_without_its_other_half_are_in_no_background(own: Path) -> None:
    enrolled, tested = recording(SPEAKERS[0], "31", 4), recording("m0001", "31", 4)
    (own / "ndx" / "f_part_02.trn").write_text(f"f0001_7 {enrolled}.pcm\n")
    (own / "ndx" / "m_part_03.ndx").write_text(f"m0001_7,{tested},Y,N,N,N\n")
    found = by_split(official(own))
    background = {utterance.id for split in ("train", "validation") for utterance in found[split]}
    assert background.isdisjoint({enrolled, tested})
    assert recording("m0002", "31", 4) in background


@pytest.mark.parametrize("part", ["04_td", "04_tp"])
def test_prompted_parts_without_files_of_their_own_take_those_of_the_whole_part_and_say_so(
    part: str, own: Path
) -> None:
    for suffix in ("trn", "ndx"):
        (own / "ndx" / f"m_part_04_td.{suffix}").rename(own / "ndx" / f"m_part_04.{suffix}")
    corpus = official(own, part=part)
    assert len(by_split(corpus)["test"]) == 8
    assert corpus.notes()[-1] == (
        f"part {part} has no files of its own in the place of m_part_04.ndx, m_part_04.trn: those are of the whole "
        "part 04, and its trials are taken"
    )
    (own / "ndx" / "m_part_04_td.ndx").write_bytes((own / "ndx" / "m_part_04.ndx").read_bytes())
    (own / "ndx" / "m_part_04.ndx").unlink()
    one = official(own, part="04_td")
    assert len(by_split(one)["test"]) == 8
    assert "in the place of m_part_04.trn: " in one.notes()[-1]
    assert refusals(one) == {}
    with pytest.raises(ValueError, match=r"no f_part_04_tp.trn .*there are 01, 04_td"):
        by_split(official(own, part="04_tp"))


def test_by_trials_the_lists_are_the_test_and_development_comes_from_the_background(own: Path) -> None:
    for speaker in ("m0005", "m0006", "m0007", "m0008"):
        for take in range(TAKES):
            write_pcm(own, recording(speaker, "31", take))
    corpus = official(own, protocol="trials")
    found, lists = by_split(corpus), corpus.trials
    assert lists["test"].counts() == official(own).trials["test"].counts()
    developing = {utterance.speaker for utterance in found["validation"]}
    assert len(developing) == 2
    assert developing < {"m0005", "m0006", "m0007", "m0008"}, "those who say takes enough"
    assert lists["validation"].counts() == {"TC": 4, "TW": 0, "IC": 4, "IW": 0}
    assert not developing & {utterance.speaker for utterance in found["train"]}
    turns = official(own, protocol="trials", turns=3)
    assert len(by_split(turns)["validation"]) == 0
    assert sorted(turns.trials) == ["test", "turn_1", "turn_2"], "four speakers are no three pairs"
    assert sum(map(len, turns.trials.values())) - len(lists["test"]) == 2 * 8
    notes = corpus.notes()
    assert "4 speakers are in both" in notes[0]
    assert "development by 2 speakers of the background, who do not train" in notes[1]
    with pytest.raises(ValueError, match=r"protocol.test_speakers has no effect: dataset=reddots has lists"):
        by_split(official(own, protocol="trials", test_speakers=["m0001"]))
    everything = official(own, protocol="trials", all_test=True)
    assert {u.split for u in everything.utterances()} == {"test"}
    assert everything.trials["test"].counts() == lists["test"].counts()


def test_by_trials_without_takes_enough_in_the_background_scores_are_not_calibrated(tree: Path) -> None:
    corpus = official(tree, protocol="trials", turns=3)
    assert sorted(corpus.trials) == ["test"]
    assert {utterance.split for utterance in corpus.utterances()} == {"train", "test"}
    assert any("no development trials, so scores are not calibrated" in note for note in corpus.notes())


def test_the_background_is_without_the_speakers_of_the_part_where_asked(tree: Path) -> None:
    found = by_split(official(tree, other_speakers=True))
    assert {utterance.speaker for split in ("train", "validation") for utterance in found[split]} == {OTHER}
    women = by_split(official(tree, part="04_td", other_speakers=True))
    assert {u.speaker for split in ("train", "validation") for u in women[split]} == {*SPEAKERS[:2], OTHER}


def test_the_notes_say_what_trains_and_what_is_left_out(tree: Path) -> None:
    corpus = official(tree)
    list(corpus.utterances())
    first, last = corpus.notes()
    assert first.startswith("reddots; part 01, models: 4 female, 4 male; the background, recordings that no list names")
    assert last == "8 recordings are left out: they stand in other parts' lists alone"


def test_trials_are_those_of_the_lists_of_women_and_men(tree: Path) -> None:
    trials = official(tree).trials["test"]
    assert trials.counts() == {"TC": 8, "TW": 8, "IC": 8, "IW": 8}
    assert trials.models[0] == "f0001_31"
    assert trials.models[4] == "m0001_31"
    assert trials.enrolment["m0002_32"] == tuple(recording("m0002", "32", i) for i in range(3))
    lists = RedDots(data_folder=tree).lists
    assert sorted(lists) == [("01", "female"), ("01", "male"), ("04_td", "male")]
    assert {len(one) for one in lists.values()} == {16, 4}
    assert official(tree, protocol="by_speaker", part=None).trials == {}


def test_lists_that_write_the_suffix_are_the_same(tree: Path, tmp_path: Path) -> None:
    def named(trials: TrialList) -> list[tuple[str, str, int]]:
        columns = zip(trials.model, trials.recording, trials.condition, strict=True)
        return [(trials.models[m], trials.recordings[r], int(c)) for m, r, c in columns]

    other = official(write_reddots(tmp_path, suffix=".pcm"))
    assert named(other.trials["test"]) == named(official(tree).trials["test"])
    assert refusals(other) == {}


def test_without_a_part_every_recording_is_divided_anew(tree: Path) -> None:
    found = by_split(official(tree, part=None, protocol="by_speaker"))
    assert sum(map(len, found.values())) == 4 * 2 * TAKES + 8 + 4
    with pytest.raises(ValueError, match=r"no train part .*dataset.part=01 has one"):
        by_split(official(tree, part=None))


def test_an_utterance_carries_what_its_name_says(tree: Path) -> None:
    found = {u.id: u for split in by_split(official(tree)).values() for u in split}
    one = found[recording("m0001", "32", 3)]
    assert (one.speaker, one.word, one.sentence, one.session) == ("m0001", "32", "32", "20150401")
    assert (one.text, one.pcm_rate) == ("Caf\xe9 number 32", RATE)
    assert Counter(gender_of(u.speaker) for u in found.values()) == {"female": 22, "male": 22}
    with pytest.raises(ValueError, match="x0001 is no speaker of RedDots"):
        gender_of("x0001")


def test_recordings_are_prepared_with_what_was_written_and_damaged_ones_refused(own: Path) -> None:
    odd, empty = (own / "pcm" / f"{recording('m0001', '31', take)}.pcm" for take in (0, 3))
    odd.write_bytes(odd.read_bytes()[:-1])
    empty.write_bytes(b"")
    prepared = prepare(official(own), sample_rate=RATE)
    table = prepared.utterances("test")
    assert len(table) == 32 - 2
    for row in range(len(table)):
        np.testing.assert_array_equal(np.rint(table.audio(row) * 32768), samples(table.id(row)))
    reasons = {Path(line["path"]).name: line["reason"] for line in prepared.refused}
    assert reasons == {
        odd.name: "truncated: 3,199 bytes are no whole number of samples of 16 bits",
        empty.name: "an empty file",
    }
    kept = official(own).trials["test"].keeping({table.id(row) for row in range(len(table))})
    assert len(kept.enrolment["m0001_31"]) == 2
    assert len(kept) == 32 - 4


def test_the_rate_is_part_of_what_is_prepared(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(official(tree, part="04_td"), sample_rate=RATE).folder
    monkeypatch.setattr("phonaut.corpora.reddots.RATE", RATE // 2)
    after = prepare(official(tree, part="04_td"), sample_rate=RATE)
    assert after.folder != before
    assert int(after.utterances("test").n_samples[0]) == pytest.approx(RATE // 5, abs=1)


def test_what_is_missing_or_none_of_theirs_is_named(own: Path) -> None:
    gone = recording("f0002", "31", 1)
    (own / "pcm" / f"{gone}.pcm").unlink()
    for name in ("f0001/hello.pcm", f"f0001/{Path(recording('f0002', '31', 6)).name}.pcm", "f0001/x.wav"):
        (own / "pcm" / name).write_bytes(bytes(200))
    (own / "ndx" / "f_part_02.trn").write_text("f0001_7 f0001/a\n")
    (own / "ndx" / "m_part_03.ndx").write_text("")
    named = "the name is none of RedDots', such as 20150130052549120_f0001_31.pcm"
    assert refusals(official(own)) == {
        f"{Path(gone).name}.pcm": "named by a list, and not there",
        "hello.pcm": named,
        f"{Path(recording('f0002', '31', 6)).name}.pcm": named,
        "x.wav": "RedDots has .pcm alone: dataset=folder reads other recordings",
        "f_part_02.trn": "there is no .ndx beside it",
        "m_part_03.ndx": "there is no .trn beside it",
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"part": "04"}, "has no f_part_04.trn or m_part_04.trn .*: there are 01, 04_td"),
        ({"part": "9"}, "has no f_part_09.trn"),
        ({"target": "phone"}, "dataset=reddots has labels for target=keyword and target=speaker"),
        ({"data_folder": "infos"}, "has no folder pcm: it is not RedDots"),
        ({"data_folder": "nowhere"}, "does not exist"),
    ],
)
def test_a_mistake_is_said_before_a_recording_is_read(options: dict[str, Any], reason: str, tree: Path) -> None:
    folder = tree / options.pop("data_folder", "")
    with pytest.raises(ValueError, match=reason):
        by_split(official(folder, **options))


def test_a_wrong_line_of_a_list_of_any_part_stops_the_listing(own: Path) -> None:
    with (own / "ndx" / "m_part_04_td.ndx").open("a") as file:
        file.write("m0001_33,m0001/x,N,N,N,N\n")
    with pytest.raises(ValueError, match=r"m_part_04_td.ndx, line 5: exactly one of the flags"):
        by_split(official(own))


def test_lines_of_the_script_that_are_none_are_named_and_the_rest_is_read(own: Path) -> None:
    script = own / "infos" / "script.txt"
    first = script.read_bytes().splitlines()[0].decode("latin-1")
    with script.open("ab") as file:
        file.write(f"no text\n{first.partition(';')[0]};\nhello;World\n{first}\n{first} twice\n\n".encode("latin-1"))
    n, corpus = len(script.read_bytes().splitlines()), official(own, target="text")
    found = {u.id: u.text for split in by_split(corpus).values() for u in split}
    assert set(found.values()) == {f"Caf\xe9 number {said}" for said in ("31", "32", "100")}
    wanted = "'<recording>;<text>' is wanted, got"
    assert refusals(corpus) == {
        f"script.txt, line {n - 5}": f"{wanted} 'no text'",
        f"script.txt, line {n - 4}": f"{wanted} '{first.partition(';')[0]};'",
        f"script.txt, line {n - 3}": f"{wanted} 'hello;World'",
        f"script.txt, line {n - 1}": f"{first.partition(';')[0]} has another text by a line before, which counts",
    }
    script.unlink()
    with pytest.raises(ValueError, match=r"target=text needs what was said: .*script.txt is not there"):
        by_split(official(own, target="text"))
    assert {u.text for split in by_split(official(own)).values() for u in split} == {None}
