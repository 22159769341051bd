"""A run on RedDots in its official layout, written by the test: background, lists, genders, another part, arrays."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.toy_verifier import write_toy
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.config.plugins import add_config_dir
from phonaut.data.prepared import PreparedCorpus
from phonaut.metrics import detection_figures
from phonaut.runs import Run, evaluate, train, trial_comparison
from phonaut.runs.load import load
from phonaut.runs.trial_comparison import compare_trials
from phonaut.tasks import verification
from phonaut.tasks.base import Request
from phonaut.tasks.trial_scores import TrialScores
from phonaut.training.stages import utterances_of

RATE = 16_000
OWNERS = ("f0001", "f0002", "m0001", "m0002")
OTHERS = ("f0008", "f0009", "m0007", "m0008", "m0009")  # of the background
GLIDES = {"31": 0.4, "32": -0.4, "7001": 0.0}
LISTS = {"01": ("31", "32"), "02": ("7001",)}


def recording(speaker: str, sentence: str, take: int) -> str:
    return f"{speaker}/2015{take + 1:02d}01052549{sentence:>05}_{speaker}_{sentence}"


def write_pcm(root: Path, speaker: str, sentence: str, take: int) -> None:
    name = recording(speaker, sentence, take)
    rng = np.random.default_rng(list(name.encode()))
    t = np.arange(int(0.25 * RATE)) / RATE
    hz = 200 * 1.15 ** (*OWNERS, *OTHERS).index(speaker) * (1 + 0.01 * rng.standard_normal())
    audio = 0.1 * np.sin(2 * np.pi * hz * (t + GLIDES[sentence] * t**2)) + 0.002 * rng.standard_normal(len(t))
    path = root / "pcm" / f"{name}.pcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.rint(audio * 32767).astype("<i2").tobytes())


def write_lists(root: Path, part: str, sentences: tuple[str, ...]) -> None:
    """Everybody's takes 3 and 4 are tested, by people of both genders, against models of takes 0 to 2."""
    for gender in "fm":
        trn, ndx = [], []
        for speaker in (name for name in OWNERS if name[0] == gender):
            for sentence in sentences:
                trn.append(f"{speaker}_{sentence} " + ",".join(recording(speaker, sentence, i) for i in range(3)))
                for other in OWNERS:
                    for said in sentences:
                        flags = ["N"] * 4
                        flags[2 * (other != speaker) + (said != sentence)] = "Y"
                        tried = [recording(other, said, take) for take in (3, 4)]
                        ndx += [",".join([f"{speaker}_{sentence}", name, *flags]) for name in tried]
        (root / "ndx").mkdir(parents=True, exist_ok=True)
        (root / "ndx" / f"{gender}_part_{part}.trn").write_text("\n".join(trn) + "\n")
        (root / "ndx" / f"{gender}_part_{part}.ndx").write_text("\r\n".join(ndx) + "\r\n")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reddots")
    for speaker in (*OWNERS, *OTHERS):
        for sentence in GLIDES:
            for take in range(5 if speaker in OWNERS or sentence != "7001" else 1):
                write_pcm(root, speaker, sentence, take)
    for part, sentences in LISTS.items():
        write_lists(root, part, sentences)
    (root / "infos").mkdir()
    (root / "infos" / "script.txt").write_bytes(
        "".join(f"{path.stem};Caf\xe9 {path.stem[-2:]}\n" for path in sorted(root.rglob("*.pcm"))).encode("latin-1")
    )
    return root


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "conf")


@pytest.fixture(autouse=True)
def added(toy: Path, no_config_dirs_of_others: None, monkeypatch: pytest.MonkeyPatch) -> None:
    add_config_dir(toy)
    monkeypatch.setenv("PHONAUT_TRUST", "helpers")
    for place in (verification, trial_comparison):  # intervals are not what is tested
        monkeypatch.setattr(place, "detection_figures", partial(detection_figures, n_resamples=20))


WORDS = ["model=toy_verifier", "trainer.accelerator=cpu", "task.trim=false"]


@pytest.fixture(scope="module")
def known() -> dict[str, Run]:
    return {}


@pytest.fixture
def run(known: dict[str, Run], tree: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained by the command, as a user does."""
    if "audio" not in known:
        out = tmp_path_factory.mktemp("runs")
        words = [
            "dataset=reddots",
            f"dataset.data_folder={tree}",
            "protocol.turns=2",
            "module.speeds=[]",
            *WORDS,
            f"output_dir={out}",
        ]
        assert main(["train", *words, "experiment_id=audio", "--config-dir", str(toy)]) == 0
        known["audio"] = Run(out / "audio")
    return known["audio"]


def names_in_lists(root: Path) -> set[str]:
    lines = [line for path in (root / "ndx").iterdir() for line in path.read_text().split()]
    return {name for line in lines for name in line.split(",") if "/" in name}


def test_the_background_of_a_trained_system_has_no_recording_of_any_trial_or_enrolment(run: Run, tree: Path) -> None:
    loaded = load(run.folder)
    prepared = PreparedCorpus(Path(loaded.corpus["folder"]))
    data = loaded.task._data(loaded.config, prepared)
    background = utterances_of(loaded.model, data, "train")
    listed = names_in_lists(tree)
    assert len(listed) == 4 * 3 * 5
    assert set(background["id"]).isdisjoint(listed)
    assert set(background["speaker"]) == set(OTHERS)
    assert len(background) == 5 * (2 * 5 + 1)
    assert loaded.model.network.mean == pytest.approx(background.frames.mean(axis=0), rel=1e-5), (
        "it was trained on that"
    )


def test_the_lists_of_the_part_are_the_test_and_development_is_by_the_background(run: Run) -> None:
    scored = TrialScores.load(run.folder, "test")
    assert scored.trials.counts() == {"TC": 16, "TW": 16, "IC": 48, "IW": 48}
    assert scored.is_ratio
    developed = TrialScores.load(run.folder, "validation")
    assert set(developed.model_speaker) == set(OTHERS)
    assert developed.trials.counts()["TC"] == 5 * 2 * 2
    assert run.metrics["test"]["eer/TW"]["value"] < 0.3
    notes = "; ".join(run.corpus["notes"])
    assert "nobody is in both; development by 5 speakers of the background, left out in 2 turns" in notes


def test_women_and_men_have_figures_and_trials_of_both_are_pooled_alone(run: Run) -> None:
    scored, figures = TrialScores.load(run.folder, "test"), run.metrics["test"]
    tried = scored.tried
    assert tried.gender is not None
    alike = np.array([a[0] == b[0] for a, b in zip(tried.enrolled, tried.tested, strict=True)])
    assert ((tried.gender != "") == alike).all()
    assert figures["eer/IC"]["n"] == 16 + 48
    assert figures["eer/IC/f"]["n"] == figures["eer/IC/m"]["n"] == 8 + 8
    assert figures["eer"]["n"] == 128
    page = (run.folder / "report.html").read_text()
    for text in ("impostor, right phrase: women", "all others together: men", "Trials of a woman and a man"):
        assert text in page


def test_another_part_is_scored_by_the_same_system(run: Run, tree: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run.folder), "dataset.part=02"]) == 0
    scored = TrialScores.load(run.folder, "part_02")
    assert scored.trials.counts() == {"TC": 8, "TW": 0, "IC": 24, "IW": 0}
    assert set(run.metrics["part_02"]) >= {"eer", "eer/IC", "eer/IC/f"}
    lists = {"trials": tree / "ndx" / "f_part_02.ndx", "enrolment": tree / "ndx" / "f_part_02.trn"}
    with pytest.raises(
        ValueError, match=r"f_part_02.*no recording .* in what is tested; dataset.part= chooses what is"
    ):
        evaluate(run.folder, Request(**lists))
    assert evaluate(run.folder, Request(**lists, overrides=("dataset.part=2",)))[1] == "f_part_02"
    assert (TrialScores.load(run.folder, "f_part_02").scores == scored.scores[:16]).all(), "women's come first"
    with pytest.raises(ValueError, match="leave split out"):
        evaluate(run.folder, Request(split="validation", overrides=("dataset.part=02",)))
    with pytest.raises(ValueError, match=r"no f_part_09.trn .*there are 01, 02"):
        evaluate(run.folder, Request(overrides=("dataset.part=9",)))


def test_a_part_that_names_what_was_trained_on_is_not_scored(run: Run, tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "reddots"
    shutil.copytree(tree, other)
    words = ("dataset.part=03", f"dataset.data_folder={other}")
    own, tried = recording(OTHERS[0], "31", 0), recording(OWNERS[0], "31", 3)
    (other / "ndx" / "f_part_03.trn").write_text(f"model {own}\n")
    (other / "ndx" / "f_part_03.ndx").write_text(f"model,{tried},N,N,Y,N\n")
    with pytest.raises(ValueError, match="are not those that the run was trained on"):
        evaluate(run.folder, Request(overrides=words))


def test_without_development_trials_it_says_that_scores_are_not_calibrated(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose(["dataset=reddots", f"dataset.data_folder={tree}", "protocol.enrol_takes=1-5", *WORDS])
    made = train(config, tmp_path / "run", ["phonaut", "train"])
    assert made is not None
    assert set(made.metrics) == {"test"}
    assert "scores are not calibrated, and have no threshold" in capsys.readouterr().out
    assert any("no development trials, so scores are not calibrated" in note for note in made.corpus["notes"])


def write_arrays(run: Run, tree: Path, folder: Path, dtype: str = "<f8") -> None:
    """The run's own frames of every recording."""
    import torch

    model = load(run.folder).model
    for path in (tree / "pcm").rglob("*.pcm"):
        audio = torch.from_numpy(np.fromfile(path, "<i2").astype(np.float32) / 32768)
        with torch.no_grad():
            frames, lengths = model.frames(audio[None], torch.tensor([len(audio)]))
        file = folder / path.relative_to(tree / "pcm").with_suffix(".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, frames[0, : int(lengths[0])].numpy().astype(dtype))


def test_arrays_of_frames_score_as_audio_does_and_damaged_ones_are_named(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, lists = tmp_path / "arrays", tmp_path / "lists"
    write_arrays(run, tree, arrays)
    for part in ("ndx", "infos"):  # without recordings
        shutil.copytree(tree / part, lists / part)
    damaged: dict[str, Any] = {}
    for take, content in enumerate(([[np.nan] * 60], [[0.0] * 59], ["x"], [{}]), 5):
        damaged[recording(OTHERS[0], "31", take)] = content
    for name, content in damaged.items():
        np.save(arrays / f"{name}.npy", np.array(content), allow_pickle=True)
    bomb = arrays / f"{recording(OTHERS[0], '31', 9)}.npy"
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 60), }\n"
    bomb.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(480))
    words = ["dataset=reddots_frames", f"dataset.data_folder={lists}", f"dataset.frames_folder={arrays}",
             "protocol.turns=2", *WORDS]  # fmt: skip
    made = train(compose(words), tmp_path / "frames", ["phonaut", "train"])
    assert made is not None
    for split in ("validation", "test"):
        mine, theirs = TrialScores.load(made.folder, split), TrialScores.load(run.folder, split)
        assert mine.trials.models == theirs.trials.models
        for name in ("speaker", "phrase"):
            np.testing.assert_allclose(mine.inputs[name], theirs.inputs[name], rtol=0, atol=1e-4)
    reasons = {
        Path(line["path"]).stem[:8]: line["reason"] for line in json.loads((made.folder / "refused.json").read_text())
    }
    assert sorted(reasons) == ["20150601", "20150701", "20150801", "20150901", "20151001"]
    assert "frame 0 holds NaN" in reasons["20150601"]
    assert "(T, 60)" in reasons["20150701"]
    assert "numbers" in reasons["20150801"]
    assert "damaged" in reasons["20150901"]
    assert "damaged" in reasons["20151001"]
    from phonaut.corpora.reddots_frames import RedDotsFrames

    monkeypatch.setattr(RedDotsFrames, "write", None)  # is not called again
    assert evaluate(made.folder, Request(overrides=("dataset.part=02",)))[1] == "part_02"
    comparison = compare_trials([run.folder, made.folder])
    assert "/IC/f" in comparison.conditions
    from phonaut.reports.trial_comparison import columns, page

    assert "impostor, right phrase: women" in page(comparison)
    assert "EER IC/f" not in dict(columns(comparison))
