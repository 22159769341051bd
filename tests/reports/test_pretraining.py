"""The page and the lines of a pre-training run: true to its files, with pictures of truth beside prediction."""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from phonaut.reports import write_report
from phonaut.reports.media import read_samples
from phonaut.reports.sections.reconstructions import pictures
from phonaut.reports.terminal import summarize
from phonaut.runs import Run

LENGTHS = (30, 21)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "x" / "mockingjay_small"
    folder.mkdir(parents=True)
    config = {
        "task": {"_target_": "phonaut.tasks.pretraining.Pretraining"},
        "target": "none",
        "seed": 0,
        "choices": {"model": "mockingjay_small", "objective": "tera"},
    }
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    splits = {name: {"cuts": 9, "speakers": 4, "hours": 0.1, "words": {}} for name in ("train", "validation")}
    history = [
        {
            "epoch": i,
            "step": 9 * i,
            "train/loss": 0.9 - i / 10,
            "validation/loss": 0.8 - i / 20,
            "lr": 1e-4,
            "seconds": i,
        }
        for i in range(3)
    ]
    files = {
        "metrics": {"validation": {"loss": {"value": 0.5123, "low": 0.4871, "high": 0.5432, "n": 9}}},
        "model": {"model": "mockingjay_small", "objective": "tera", "parameters": 65204, "best_epoch": 2,
                  "train_seconds": 61.0, "epochs": 3,
                  "guesses": {name: {"value": x, "low": x - 0.1, "high": x + 0.1, "n": 9, "method": ""}
                              for name, x in (("mean", 0.8), ("neighbour", 0.6))}},
        "corpus": {"name": "mix", "notes": ["unlabelled <b>recordings</b> of a"], "summary": {"splits": splits}},
        "history": history,
        "environment": {"command": "phonaut train model=mockingjay_small"},
    }  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(sum(LENGTHS), 12)).astype(np.float16) for name in ("seen", "predicted", "truth")}
    chosen = rng.random(sum(LENGTHS)) < 0.3
    (folder / "cuts.txt.gz").touch()
    np.savez(folder / "samples.npz", **arrays, chosen=chosen, lengths=LENGTHS, cuts=np.array(["a/1", "<i>b</i>"]))
    return folder


def levels(uri: str) -> np.ndarray:
    """The picture of a data URI, `(rows, columns)`."""
    data = base64.b64decode(uri.partition(",")[2])
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    start = data.index(b"IDAT")
    n = int.from_bytes(data[start - 4 : start], "big")
    lines = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + n]), np.uint8).reshape(height, width + 1)
    return lines[:, 1:]


def test_the_page_has_the_loss_its_interval_and_the_curves(run: Path) -> None:
    page = write_report(run).read_text()
    for wanted in (
        "0.5123",
        "0.4871 to 0.5432",
        "9 recordings",
        "bootstrap over the 4 speakers",
        "Kept: epoch 3",
        "mean absolute error of normalised features over steps 0 to 18",
        "Learning rate over steps",
        "phonaut train model=mockingjay_small",
    ):
        assert wanted in page
    assert "accuracy" not in page.lower().partition("<body>")[2]
    assert "smaller than that of the best guess" in page
    assert "the nearest frame that is not hidden" in page
    assert page.count("<audio") == 0, "the corpus has gone"
    assert "encoder.run=" in page.partition("What to do next")[2]
    assert "<b>recordings</b>" not in page
    assert "<i>b</i>" not in page


def test_each_picture_is_of_what_it_says_it_is(run: Path) -> None:
    found = read_samples(Run(run), pictures)
    assert [one.name for one in found] == ["a/1", "<i>b</i>"]
    with np.load(run / "samples.npz") as kept:
        for name in ("seen", "predicted", "truth"):
            first = 0
            for one, n in zip(found, LENGTHS, strict=True):
                picture = levels(getattr(one, name))
                frames = kept[name][first : first + n].astype(np.float64)
                expected = np.rint(np.clip((frames + 2) / 5, 0, 1) * 63).T[::-1]
                np.testing.assert_array_equal(picture[:12], expected)
                np.testing.assert_array_equal(picture[12] > 0, kept["chosen"][first : first + n])
                first += n


def test_the_last_lines_have_the_loss_and_where_to_look(run: Path) -> None:
    console = Console(record=True, width=200)
    summarize(Run(run), console=console)
    text = console.export_text()
    for wanted in (
        "0.5123",
        "95 % interval 0.4871 to 0.5432 on 9 recordings (validation)",
        "cuts.txt.gz",
        "report.html",
    ):
        assert wanted in text


def test_a_page_without_examples_is_a_page_and_damaged_ones_are_named(run: Path) -> None:
    (run / "samples.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"samples.npz is damaged"):
        write_report(run)
    (run / "samples.npz").unlink()
    assert "<img " not in write_report(run).read_text()
