"""A MATLAB file of labelled frames: one corpus from either version and orientation, one sentence for what is none."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from helpers.mat_files import WRITERS, logmel, write_v5, write_v73
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.config.nodes import instantiate
from phonaut.corpora import logmel_mat
from phonaut.corpora.logmel_mat import LogmelMat
from phonaut.corpora.mat_files import Mat73
from phonaut.data.frame_shards import FrameShards
from phonaut.models.frame_cache import FrameCache
from phonaut.runs.run import Run

# As the specification has it, by number.
TABLE = """aa 0, ae 1, ah 2, ao 3, aw 4, ax 5, ay 6, b 7, ch 8, d 9, dh 10, dx 11, eh 12, el 13, en 14, epi 15, er 16,
ey 17, f 18, g 19, hh 20, ih 21, ix 22, iy 23, jh 24, k 25, l 26, m 27, n 28, ng 29, ow 30, oy 31, p 32, q 33, r 34,
s 35, sh 36, sil 37, t 38, th 39, cl 40, uh 41, uw 42, v 43, vcl 44, w 45, y 46, z 47, zh 48"""
NAMES = {int(number): name for name, number in (pair.split() for pair in TABLE.split(","))}


def imported(path: Path) -> dict[str, tuple[str, np.ndarray, tuple[tuple[str, float, float], ...]]]:
    """Split, frames and phones of each utterance."""
    shards = FrameShards(LogmelMat(path=path).source())
    return {line.id: (line.split, np.array(shards.frames(line)), line.phones) for line in shards.sequences()}


def expected(variables: dict[str, Any]) -> dict[str, tuple[str, np.ndarray, list[tuple[str, int]]]]:
    """The same by counting: phones with their numbers of frames."""
    found = {}
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        at = 0
        for number, length in enumerate(variables[f"{name}len"].ravel().astype(int), 1):
            labels = variables[f"{name}_dict"].ravel()[at : at + length]
            runs = [(NAMES[int(label)], len(list(group))) for label, group in groupby(labels)]
            found[f"{split}/{number:04d}"] = (split, variables[name][at : at + length].astype(np.float32), runs)
            at += length
    return found


FORMS = {
    "columns": {},
    "rows": {key: lambda v: v.T for n in ("train", "dev", "test") for key in (f"{n}len", f"{n}_dict")},
    "features across": {n: lambda v: v.T for n in ("train", "dev", "test")},
    "integers and floats": {
        **{n: lambda v: v.astype(np.float32) for n in ("train", "dev", "test")},
        **{f"{n}_dict": lambda v: v.astype(np.uint8) for n in ("train", "dev", "test")},
        **{f"{n}len": lambda v: v.astype(np.int32) for n in ("train", "dev", "test")},
    },
}


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_file_is_the_corpus_that_counting_gives(
    version: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logmel_mat, "BLOCK", 100)
    variables = logmel()
    written = {name: FORMS[form].get(name, lambda v: v)(value) for name, value in variables.items()}
    found, right = imported(WRITERS[version](tmp_path / "x.mat", written)), expected(variables)
    assert list(found) == list(right)
    for name, (split, frames, runs) in right.items():
        assert found[name][0] == split
        np.testing.assert_array_equal(found[name][1], frames)
        assert [label for label, _, _ in found[name][2]] == [label for label, _ in runs]
        # Each frame, by its centre, lies in the phone of its label.
        centres = 0.0125 + 0.01 * np.arange(len(frames))
        inside = [int(((centres > a) & (centres < b)).sum()) for _, a, b in found[name][2]]
        assert inside == [n for _, n in runs]


def test_a_file_of_version_7_3_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logmel_mat, "BLOCK", 150)
    read, part = list[int](), Mat73.part

    def counted(self: Mat73, name: str, where: tuple[slice, slice]) -> np.ndarray:
        found = part(self, name, where)
        read.extend([len(found)] * (name == "train"))
        return found

    monkeypatch.setattr(Mat73, "part", counted)
    variables = logmel()
    imported(write_v73(tmp_path / "x.mat", variables))
    assert sum(read) == len(variables["train"])
    assert max(read) <= 150 < len(variables["train"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mat")
    return {name: write(folder / f"{name}.mat", logmel()) for name, write in WRITERS.items()}


def test_windows_lie_around_the_middle_of_every_phone_that_is_no_silence(files: dict[str, Path]) -> None:
    config = compose(["dataset=logmel_mat", f"dataset.path={files['v5']}", "target=phone", "model=cvae"])
    task = instantiate(config.task)
    data = task.data(config)
    data.frames_of = FrameCache(task.model(config, []), data.speech).frames
    variables, t = logmel(), task.window_frames
    for split, name in (("train", "train"), ("test", "test")):
        windows, right, at = data.windows(split), [], 0
        for length in variables[f"{name}len"].ravel().astype(int):
            begin = at
            for label, group in groupby(variables[f"{name}_dict"].ravel()[at : at + length]):
                n = len(list(group))
                if NAMES[int(label)] != "sil":
                    right.append((NAMES[int(label)], begin + (n - 1) / 2))
                begin += n
            at += length
        assert {label for label, _ in right} == {"aa", "cl", "vcl", "epi", "ix"}
        assert [data.labels[label] for label in windows.labels] == [label for label, _ in right]
        middles = windows.first + t // 2
        assert np.abs(middles - np.array([middle for _, middle in right])).max() <= 0.5


@pytest.mark.parametrize(("version", "model"), [("v5", "gmm"), ("v7.3", "cvae")])
def test_one_command_trains_on_the_file(
    version: str, model: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["dataset=logmel_mat", f"dataset.path={files[version]}", "target=phone", f"model={model}"]
    more = ["experiment_id=a", "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    assert main(["train", *words, *more]) == 0
    run = Run("trained_models/a")
    metrics = run.metrics["test"]
    if model == "gmm":
        assert run.classes == sorted(["aa", "cl", "epi", "ix", "sil", "vcl"])
        assert metrics["accuracy"]["value"] > 0.9, "phones that lie this far apart are told apart"
        assert metrics["accuracy"]["n"] == 3 * 7
    else:
        assert metrics["elbo"]["n"] == 3 * 5, "one window for each phone but sil"
    assert "does not say who speaks" in (run.folder / "corpus.json").read_text(encoding="utf-8")


# --- what is no such file


def changed(**changes: Any) -> dict[str, Any]:
    """The variables, some of them others; None: missing."""
    return {name: value for name, value in {**logmel(), **changes}.items() if value is not None}


def with_value(name: str, value: float, at: int = 4) -> dict[str, Any]:
    variables = logmel()
    variables[name].ravel()[at] = value
    return variables


SQUARE = {"dev": np.zeros((12, 12)), "devlen": [[5], [7]], "dev_dict": np.zeros((12, 1))}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no variable": (changed(dev_dict=None), "has no variable dev_dict; it has dev, devlen, test"),
    "another name": (changed(train=None, Train=np.zeros((3, 3))), "has no variable train; it has Train, dev"),
    "lengths that do not add up": (changed(testlen=[[3], [4]]), "testlen adds up to 7 frames, and test is .* x 12"),
    "a length of none": (with_value("trainlen", 0), "trainlen holds 0"),
    "half a length": (with_value("trainlen", 3.5), "value 5 of trainlen is 3.5, and must be a whole number"),
    "a long length": (with_value("trainlen", 1e12), "trainlen holds 1000000000000, and train is"),
    "labels of other frames": (changed(dev_dict=[[1], [2]]), "dev has .* frames, and dev_dict 2 labels"),
    "a label too great": (with_value("train_dict", 49), "value 5 of train_dict is 49, and labels are 0 to 48|is 49.0"),
    "a label below": (with_value("train_dict", -1), "value 5 of train_dict is -1"),
    "a label that is none": (with_value("train_dict", np.nan), "value 5 of train_dict is nan"),
    "a table of labels": (changed(dev_dict=np.zeros((9, 49))), "dev_dict is 9 x 49, and must be a row or a column"),
    "other features": (changed(test=np.zeros((len(logmel()["test"]), 11))), "train 12, dev 12, test 11"),
    "either way round": (changed(**SQUARE), "dev is 12 x 12, and it is not known which axis"),
}


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(case: str, version: str, tmp_path: Path) -> None:
    variables, message = WRONG[case]
    path = WRITERS[version](tmp_path / "odd.mat", variables)
    with pytest.raises(ValueError, match=rf"odd\.mat.*{message}"):
        LogmelMat(path=path).source()


@pytest.mark.parametrize("version", WRITERS)
def test_an_utterance_with_nan_is_left_out_by_name(version: str, tmp_path: Path) -> None:
    path = WRITERS[version](tmp_path / "x.mat", with_value("train", np.nan, at=12 * 2))
    corpus = LogmelMat(path=path)
    assert len(list(corpus.utterances())) == 8 + 3 + 3 - 1
    (line,) = corpus.refused()
    assert line["path"].endswith("x.mat: train/0001")
    assert line["reason"].startswith("frame 2 holds NaN")


def cell(path: Path) -> Path:
    return write_v5(path, changed(train=np.array([np.zeros(3), "x"], dtype=object)))


def structure(path: Path) -> Path:
    return write_v5(path, changed(train={"a": 1}))


def text_variable(path: Path) -> Path:
    return write_v5(path, changed(train="abc"))


def complex_numbers(path: Path) -> Path:
    return write_v5(path, changed(train_dict=logmel()["train_dict"] * 1j))


def cell_v73(path: Path) -> Path:
    write_v73(path, changed(train=None))
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", data=np.array([file["dev"].ref], dtype=h5py.ref_dtype))
        file["train"].attrs["MATLAB_class"] = np.bytes_("cell")
    return path


def link_v73(path: Path) -> Path:
    write_v73(path, changed(train=None))
    write_v73(path.with_name("other.mat"), logmel())
    with h5py.File(path, "r+") as file:
        file["train"] = h5py.ExternalLink("other.mat", "train")
    return path


def elsewhere_v73(path: Path) -> Path:
    write_v73(path, changed(train=None))
    (path.parent / "secret").write_bytes(bytes(4000))
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", (12, 40), "f8", external=[(str(path.parent / "secret"), 0, 4000)])
    return path


def claimed_v73(path: Path) -> Path:
    write_v73(path, changed(train=None))
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", (12, 10**9), "f8", chunks=(12, 100))
    return path


def version_4(path: Path) -> Path:
    scipy.io.savemat(path, logmel(), format="4")
    return path


def half(write: Any, share: float) -> Any:
    def cut(path: Path) -> Path:
        content = write(path, logmel()).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return cut


def text_file(path: Path) -> Path:
    path.write_text("train,dev,test\n1,2,3\n" * 30)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (cell, "train is a cell, and no matrix of real numbers"),
        (structure, "train is a struct, and no matrix of real numbers"),
        (text_variable, "train is a char, and no matrix of real numbers"),
        (complex_numbers, "train_dict is a matrix of complex numbers, and no matrix of real numbers"),
        (cell_v73, "train is a cell, and no matrix"),
        (link_v73, "train is a link, and no matrix"),
        (elsewhere_v73, "train is a dataset whose values lie in another file"),
        (claimed_v73, "is damaged: train would be 1000000000 x 12, more than the file can hold"),
        (version_4, "is a MAT file of version 4: save it"),
        (half(write_v5, 0.6), "is damaged: it ends within a variable"),
        (half(write_v73, 0.6), "is damaged"),
        (text_file, "is no MAT file of version 5 or 7.3"),
        (empty, "is empty"),
    ],
)
def test_what_is_no_matrix_and_no_file_of_matlab_is_refused(write: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"odd\.mat.*{message}"):
        LogmelMat(path=write(tmp_path / "odd.mat")).source()


def test_the_command_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = LogmelMat.problems(path=None)
    assert wrong == "dataset=logmel_mat needs dataset.path=FILE.mat"
    with pytest.raises(ValueError, match=r"dataset\.path=.*none\.mat is not there"):
        LogmelMat(path=tmp_path / "none.mat").source()
    path = write_v73(tmp_path / "x.mat", logmel())
    monkeypatch.setitem(sys.modules, "h5py", None)
    (wrong,) = LogmelMat.problems(path=path)
    assert "pip install 'phonaut[matlab]'" in wrong
