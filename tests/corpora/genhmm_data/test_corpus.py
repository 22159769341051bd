"""The research code's data files: labels off, names on, whatever container they come in; trained on by one command."""

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.corpora.genhmm_data import corpus as research_data
from phonaut.corpora.genhmm_data.corpus import ResearchCorpus
from phonaut.corpora.genhmm_data.files import read_research_file
from phonaut.data.frame_shards import FrameSequence, FrameShards
from phonaut.data.prepared import PreparedCorpus
from phonaut.runs.run import Run
from phonaut.tasks import build as parts

BOOK = {"aa": 0, "iy": 1, "sh": 2, "h#": 3}
NAMES = {number: name for name, number in BOOK.items()}
D = 4
CENTRES = np.random.default_rng(5).standard_normal((len(BOOK), D)) * 3


def utterance(seed: int, n_phones: int = 6) -> np.ndarray:
    """Frames of a few phones in turn, labels in column 0."""
    rng = np.random.default_rng(seed)
    labels = []
    while len(labels) < n_phones:
        label = int(rng.integers(len(BOOK)))
        if not labels or labels[-1] != label:
            labels.append(label)
    column = np.repeat(labels, rng.integers(3, 9, n_phones))
    return np.column_stack([column, CENTRES[column] + rng.standard_normal((len(column), D))])


def timit(n_speakers: int, first: int = 0) -> list[str]:
    """Keys of three sentences by each speaker, one of them an SA sentence."""
    names = [
        f"{'fm'[i % 2]}{chr(97 + i // 10 % 26)}{chr(97 + i % 10)}x{i % 10}" for i in range(first, first + n_speakers)
    ]
    return [f"dr1_{name}_{sentence}" for name in names for sentence in ("sa1", "si648", "sx27")]


def content(keys: list[str], seed: int = 0) -> tuple[list[np.ndarray], list[str], list[int], list[np.ndarray]]:
    """What the research code dumps: data, keys, lengths, and the phones of all frames."""
    data = [utterance(seed + i) for i in range(len(keys))]
    return data, keys, [len(one) for one in data], [np.array([NAMES[n] for n in one[:, 0].astype(int)]) for one in data]


def dump(path: Path, thing: Any, protocol: int = 4) -> Path:
    text = pickle.dumps(thing, protocol)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def imported(
    folder: Path, train: Any, test: Any, **options: Any
) -> tuple[ResearchCorpus, dict[str, FrameSequence], FrameShards]:
    files = {name: dump(folder / f"{name}.pkl", thing) for name, thing in (("train", train), ("test", test))}
    corpus = ResearchCorpus(**files, **options)
    shards = FrameShards(corpus.source())
    return corpus, {line.id: line for line in shards.sequences()}, shards


CONTAINERS = {
    "a list of four": lambda d, k, n, p: [d, k, n, p],
    "a tuple of four": lambda d, k, n, p: (d, k, n, p),
    "five, with the codebook": lambda d, k, n, p: [d, k, n, BOOK, p],
    "a dictionary": lambda d, k, n, p: {"data": d, "keys": k, "lengths": n, "phones": p},
    "a dictionary with phn2int": lambda d, k, n, p: {"data": d, "keys": k, "lengths": n, "phn2int": BOOK},
    "one array and lengths": lambda d, k, n, p: [np.concatenate(d), k, n, BOOK],
    "lists of names": lambda d, k, n, p: [tuple(d), np.array(k), np.array(n), [row.tolist() for row in p]],
    "names by number": lambda d, k, n, p: [d, k, n, list(BOOK)],
    "bytes": lambda d, k, n, p: [d, [key.encode() for key in k], n, {b"aa": 0, b"iy": 1, b"sh": 2, b"h#": 3}],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("suffix", [".gz", ".pkl"])
def test_every_container_says_the_same(container: str, suffix: str, tmp_path: Path) -> None:
    parts = content(timit(2))
    found = read_research_file(dump(tmp_path / f"train.39{suffix}", CONTAINERS[container](*parts)))
    assert found.keys == parts[1]
    assert {number: found.names[number] for number in NAMES} == NAMES
    for one, array in zip(found.arrays, parts[0], strict=True):
        np.testing.assert_array_equal(one, array)


def test_a_list_of_arrays_is_enough_and_the_rest_may_lie_beside_it(tmp_path: Path) -> None:
    data, keys, lengths, phones = content(timit(1))
    path = dump(tmp_path / "train13.gz", data)
    alone = read_research_file(path)
    assert (alone.keys, alone.names) == (None, {})
    assert len(alone.arrays) == 3
    for name, part in (("keys", keys), ("lengths", lengths), ("phones", phones)):
        dump(tmp_path / f"train13.{name}.gz", part)
    beside = read_research_file(path)
    assert beside.keys == keys
    assert beside.names == NAMES


def test_the_label_is_a_label_and_no_feature(tmp_path: Path) -> None:
    train, test = content(timit(6)), content(timit(2, first=20), seed=50)
    _, lines, shards = imported(tmp_path, list(train), [*test[:3], BOOK, test[3]])
    assert shards.layout.n_features == D
    for split, (data, keys, _, _) in (("train", train), ("test", test)):
        for key, array in zip(keys, data, strict=True):
            if "_sa1" in key:
                continue
            line = lines[f"{split}/{key}"]
            np.testing.assert_array_equal(shards.frames(line), array[:, 1:].astype(np.float32))
            per_frame = [label for label, a, b in line.phones for _ in range(round((b - a) / 0.01))]
            assert per_frame == [NAMES[n] for n in array[:, 0].astype(int)]
            assert all(a != b for (a, _, _), (b, _, _) in zip(line.phones, line.phones[1:], strict=False))
            assert (line.speaker, line.sentence, line.session) == (key.split("_")[1], key.split("_")[2], key)


def test_a_segment_of_one_label_is_one_span(tmp_path: Path) -> None:
    segments = [np.column_stack([np.full(n, n % 4), np.ones((n, D))]) for n in (1, 2, 3, 7)]
    _, lines, _ = imported(tmp_path, segments, [segments, ["x"] * 4, [1, 2, 3, 7], ["iy", "sh", "h#", "h#"]])
    assert lines["train/000003"].phones == (("h#", 0.0, pytest.approx(0.07)),)
    assert lines["train/000000"].phones[0][0] == "iy", "names of one file are those of all"
    assert [name for name in lines if name.startswith("test/")] == [f"test/x#{i}" for i in range(4)]


def test_without_names_phones_are_numbers(tmp_path: Path) -> None:
    data = content(timit(2))[0]
    corpus, lines, _ = imported(tmp_path, data, data)
    assert {label for line in lines.values() for label, _, _ in line.phones} == {"0", "1", "2", "3"}
    assert any("phones by number" in note for note in corpus.notes())
    named, lines, _ = imported(tmp_path, data, data, codebook=dump(tmp_path / "TIMIT.codebook", [BOOK]))
    assert {label for line in lines.values() for label, _, _ in line.phones} == set(BOOK)
    assert not any("phones by number" in note for note in named.notes())


@pytest.mark.parametrize(
    ("key", "speaker"),
    [
        ("dr1_fcjf0_si648", "fcjf0"),
        ("FCJF0_SI648", "fcjf0"),
        ("train/dr2/mabc0/sx21", "mabc0"),
        ("MDAB0-SX139.wav", "mdab0"),
        ("speaker12_take3", ""),
        ("fcjf0", ""),
        ("xfcjf0_si648", ""),
    ],
)
def test_speakers_are_those_that_timits_ids_name(key: str, speaker: str, tmp_path: Path) -> None:
    _, lines, _ = imported(tmp_path, [[utterance(0)], [key], None, BOOK], [utterance(1)])
    assert lines[f"train/{key}"].speaker == speaker


def splits(prepared: PreparedCorpus) -> dict[str, list[str]]:
    tables = {split: prepared.utterances(split) for split in ("train", "validation", "test")}
    return {split: [table.id(row) for row in range(len(table))] for split, table in tables.items()}


def prepared(folder: Path, train: Any, test: Any, *words: str) -> PreparedCorpus:
    dump(folder / "train.pkl", train)
    dump(folder / "test.pkl", test)
    files = [f"dataset.train={folder / 'train.pkl'}", f"dataset.test={folder / 'test.pkl'}"]
    return parts.prepared_corpus(compose(["dataset=genhmm_data", "target=phone", *files, *words]))


def test_validation_is_cut_by_speaker_where_keys_name_them(tmp_path: Path) -> None:
    found = prepared(tmp_path, content(timit(20)), content(timit(4, first=40), seed=90))
    who = {split: {name.split("_")[1] for name in names} for split, names in splits(found).items()}
    assert len(who["test"]) == 4
    assert who["validation"]
    assert not who["validation"] & who["train"]
    assert not any("_sa1" in name for names in splits(found).values() for name in names)
    assert sum("SA sentences" in line["reason"] for line in found.refused) == 24
    assert found.phones == sorted(BOOK)


def test_validation_is_cut_by_the_key_where_no_speakers_are_known(tmp_path: Path) -> None:
    segments = [one for i in range(60) for one in np.split(utterance(i), [4])]
    keys = [f"u{i // 2}" for i in range(120)]
    found = prepared(tmp_path, [segments, keys, None, BOOK], segments[:6])
    of = {
        split: {name.split("#")[0].removeprefix("train/") for name in names} for split, names in splits(found).items()
    }
    assert of["validation"]
    assert not of["validation"] & of["train"], "segments of one utterance stay together"
    own = prepared(
        tmp_path, segments, segments[:6], f"dataset.validation={dump(tmp_path / 'validation.pkl', segments[6:20])}"
    )
    assert [name.split("/")[0] for name in splits(own)["validation"]] == ["validation"] * 14


WRONG: dict[str, tuple[Any, str]] = {
    "a text": ("abc", "holds a str, and no list of arrays"),
    "nothing": ([], "holds a list, and no list of arrays"),
    "a dictionary without data": ({"keys": []}, "a dictionary without data; it has keys"),
    "six things": ([[utterance(0)], 1, 2, 3, 4, 5], "holds 6 things that are no 2-D arrays"),
    "vectors": ([[np.zeros(3)], ["a"]], r"sequence 0 is a array float64 \(3,\)"),
    "texts": ([[np.array([["a", "b"]])], ["a"]], "sequence 0 is a array <U1"),
    "another width": ([utterance(0), utterance(1)[:, :3]], "sequence 1 has 3 columns, the first 5"),
    "labels alone": ([np.zeros((3, 1))], "sequence 0 has 1 columns"),
    "too few keys": ([[utterance(0), utterance(1)], ["a"]], "has 2 arrays and 1 keys"),
    "other lengths": ([[utterance(0)], ["a"], [3]], "lengths are not those of the arrays"),
    "lengths that do not add up": ([np.zeros((9, 3)), ["a"], [3]], "has 9 rows, and lengths that add up to 3"),
    "an array without lengths": (np.zeros((9, 3)), "without lengths it is not known where sequences end"),
    "phones of other frames": ([[utterance(0)], ["a"], None, [["aa", "b"]]], "and 2 phones"),
    "two names": ([[utterance(0)], ["a"], None, {"aa": 0, "b": 0}], "number 0 stands for aa and for b"),
    "an odd codebook": ([[utterance(0)], ["a"], None, {1: 2}], "the codebook holds a int and a int"),
    "names that disagree": (
        [[np.array([[1, 0.5], [1, 0.5]])], ["a"], None, [["aa", "iy"]]],
        "number in column 0 stands for two phones",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_such_file_is_refused_by_its_name(case: str, tmp_path: Path) -> None:
    thing, message = WRONG[case]
    with pytest.raises(ValueError, match=rf"odd\.pkl.*{message}"):
        read_research_file(dump(tmp_path / "odd.pkl", thing))


def test_files_that_disagree_about_a_phone_are_refused(tmp_path: Path) -> None:
    data = [utterance(0)]
    with pytest.raises(ValueError, match=r"test\.pkl: number 1 stands for iy and for uw"):
        imported(tmp_path, [data, ["a"], None, BOOK], [data, ["b"], None, {**BOOK, "iy": 7, "uw": 1}])


def test_sequences_that_cannot_be_used_are_left_out_by_name(tmp_path: Path) -> None:
    good = [utterance(i) for i in range(12)]
    half, minus, nan, empty = (np.array(good[0]) for _ in range(4))
    half[2, 0], minus[2, 0], nan[1, 3] = 0.5, -1, np.nan
    _, lines, shards = imported(tmp_path, [half, minus, nan, empty[:0], *good], good[:3])
    assert len(lines) == 15
    told = (shards.folder / "refused.jsonl").read_text(encoding="utf-8").splitlines()
    for line, reason in zip(told, ("no whole number", "holds -1", "frame 1 holds NaN", "no frames"), strict=True):
        assert reason in line
        assert "train.pkl: train/0000" in line


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/phonaut-was-here",)


def test_a_hostile_file_is_refused_before_any_work(tmp_path: Path) -> None:
    good = dump(tmp_path / "good.pkl", [utterance(0)])
    bad = dump(tmp_path / "bad.pkl", [Attack(), utterance(0)])
    with pytest.raises(ConfigurationError, match=r"bad\.pkl is refused: it asks for posix\.system"):
        compose(["dataset=genhmm_data", "target=phone", f"dataset.train={bad}", f"dataset.test={good}"])
    with pytest.raises(ValueError, match=r"bad\.pkl is refused: it asks for posix\.system"):
        ResearchCorpus(train=good, test=bad).source()


def test_an_array_that_is_named_many_times_fills_no_disk(tmp_path: Path) -> None:
    big = utterance(0, n_phones=200)
    with pytest.raises(ValueError, match=r"many\.pkl: its arrays have .* bytes, more than the file"):
        read_research_file(dump(tmp_path / "many.pkl", [big] * 100))


def test_files_are_imported_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [utterance(i) for i in range(4)]
    corpus, _, first = imported(tmp_path, data, data)
    monkeypatch.setattr(research_data, "read_research_file", lambda *a, **k: pytest.fail("it was read again"))
    assert corpus.source() == first.folder
    monkeypatch.undo()
    _, _, second = imported(tmp_path, data[:3], data)
    assert second.folder != first.folder
    dump(tmp_path / "train.keys.pkl", ["a", "b", "c"])
    _, lines, _ = imported(tmp_path, data[:3], data)
    assert "train/a" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["target=phone"], "dataset=genhmm_data needs dataset.train=FILE and dataset.test=FILE"),
        (["target=keyword"], "has labels for target=phone and target=speaker, none for target=keyword"),
        (["target=phone", "dataset.frame_shift_s=0"], "dataset.frame_shift_s=0: must be above 0"),
        (["target=phone", "dataset.most_gb=-1"], "dataset.most_gb=-1"),
        (["target=phone", "features=mfcc"], "dataset=genhmm_data has frames already"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compose(["dataset=genhmm_data", *words])
    absent = ResearchCorpus(train="/nowhere/a.pkl", test="/nowhere/b.pkl")
    with pytest.raises(ValueError, match=r"dataset\.train=/nowhere/a\.pkl is not there; dataset\.test=/nowhere/b\.pkl"):
        absent.source()


def test_one_command_trains_on_them_and_another_tests_on_a_noisy_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train, test = content(timit(12)), content(timit(4, first=40), seed=90)
    dump(tmp_path / "train.39.gz", list(train))
    dump(tmp_path / "test.39.gz", [*test[:3], BOOK, test[3]])
    files = ["dataset=genhmm_data", "dataset.train=train.39.gz", "dataset.test=test.39.gz", "target=phone"]
    more = ["trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    assert main(["train", *files, "model=gmmhmm", "model.n_mix=1", "normalizer=cmvn", "experiment_id=a", *more]) == 0
    run = Run("trained_models/a")
    assert run.classes == sorted(BOOK)
    accuracy = run.metrics["test"]["accuracy"]
    assert accuracy["n"] == sum(
        len(np.flatnonzero(np.diff(one[:, 0]))) + 1 for one, k in zip(*test[:2], strict=True) if "sa1" not in k
    )
    assert accuracy["value"] > 0.9, "phones that lie this far apart are told apart"
    assert main(["evaluate", "trained_models/a"]) == 0
    noisy = [np.column_stack([one[:, :1], np.random.default_rng(1).standard_normal((len(one), D))]) for one in test[0]]
    dump(tmp_path / "test.39.white.15db.pkl", [noisy, *test[1:3], BOOK, test[3]])
    assert main(["evaluate", "trained_models/a", "dataset.test=test.39.white.15db.pkl"]) == 0
    metrics = Run("trained_models/a").metrics
    assert metrics["test"]["accuracy"] == accuracy
    assert metrics["test.39.white.15db"]["accuracy"]["n"] == accuracy["n"]
    assert metrics["test.39.white.15db"]["accuracy"]["value"] < 0.7
    capsys.readouterr()
    for words, message in (
        (["dataset.test=none.pkl"], "dataset.test=none.pkl is not there"),
        (["dataset.frame_shift_s=0.02"], "other settings go with a folder to score"),
    ):
        assert main(["evaluate", "trained_models/a", *words]) == 2
        assert message in capsys.readouterr().err


def test_the_command_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "from_genhmm.md").read_text(encoding="utf-8")
    (command,) = [line for line in page.splitlines() if line.startswith("phonaut train dataset=genhmm_data")]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        dump(tmp_path / "data" / f"{name}.39.pkl", [utterance(0)])
    config = compose(command.split()[2:])
    assert (config.features["n_features"], config.model["_target_"].rsplit(".", 1)[-1]) == (D, "GenerativeClassifier")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": 3}, "a int is where a list should be"),
        ({"data": [np.zeros((2, 3))], "keys": 7}, "a int is where a list should be"),
        ({"data": np.zeros((2, 3)), "lengths": ["dr1", "dr2"]}, "lengths must be whole numbers, and one is a str"),
        ({"data": np.zeros((2, 3)), "lengths": [True, 1.0]}, "lengths must be whole numbers, and one is a bool"),
        ({"data": [np.zeros((2, 3))], "phones": 5}, "a int is where a list should be"),
        ({"dav\x19": [], "phones": []}, r"without data; it has dav\\x19, phones"),
    ],
)
def test_parts_of_other_kinds_are_refused_by_the_name_of_the_file(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=f"train.pkl.*{message}"):
        read_research_file(tmp_path / "train.pkl")
