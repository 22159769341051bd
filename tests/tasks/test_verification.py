"""A verification run from recordings to its report: on tones whose speakers differ in pitch and words in shape."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.toy_verifier import write_toy
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.config.plugins import add_config_dir
from phonaut.data.trials import TrialList
from phonaut.metrics import detection_figures
from phonaut.runs import Run, evaluate, train
from phonaut.runs.load import load
from phonaut.runs.trial_comparison import compare_trials
from phonaut.tasks.base import Request
from phonaut.tasks.trial_scores import TrialScores

RATE = 16000
N_SPEAKERS = 8
GLIDES = {"up": 0.4, "down": -0.4, "flat": 0.0}


def write_glides(folder: Path) -> Path:
    """Words are glides, speakers have a pitch, and a second tone of their own, and silence lies around them."""
    rng = np.random.default_rng(0)
    t = np.arange(int(0.3 * RATE)) / RATE
    for word, slope in GLIDES.items():
        (folder / word).mkdir(parents=True)
        for speaker in range(N_SPEAKERS):
            for take in range(4):
                hz = 250 * 1.25**speaker * (1 + 0.01 * rng.standard_normal())
                phase = 2 * np.pi * (hz * t + hz * slope * t**2)
                tone = np.sin(phase) + 0.7 * np.sin((2 + speaker % 3) * phase)
                audio = 0.002 * rng.standard_normal(RATE // 2)
                at = rng.integers(0, len(audio) - len(t))
                audio[at : at + len(t)] += 0.1 * tone
                soundfile.write(folder / word / f"s{speaker}_{take}.wav", audio, RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "conf")


@pytest.fixture(autouse=True)
def added(toy: Path, no_config_dirs_of_others: None, monkeypatch: pytest.MonkeyPatch) -> None:
    add_config_dir(toy)
    monkeypatch.setenv("PHONAUT_TRUST", "helpers")


@pytest.fixture(scope="module")
def glides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_glides(tmp_path_factory.mktemp("glides"))


def words(glides: Path, *more: str) -> list[str]:
    return [
        "dataset=folder", f"dataset.data_folder={glides}", "model=toy_verifier", "protocol.enrol_takes=1-2",
        "protocol.turns=2", "protocol.test_speakers=[s5,s6,s7]", "trainer.accelerator=cpu", *more,
    ]  # fmt: skip


class Runs:
    def __init__(self, folder: Path, glides: Path) -> None:
        self.folder, self.glides = folder, glides

    def train(self, name: str, *more: str) -> Run:
        run = train(compose(words(self.glides, *more)), self.folder / name, ["phonaut", "train"])
        assert run is not None
        return run


@pytest.fixture(scope="module")
def runs(glides: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"), glides)


@pytest.fixture(scope="module")
def known() -> dict[str, Run]:
    return {}


@pytest.fixture
def run(runs: Runs, known: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> Run:
    if "run" not in known:
        known["run"] = runs.train("first")
    return known["run"]


def test_every_trial_of_the_protocol_is_scored_and_speakers_and_words_are_told_apart(run: Run) -> None:
    scored = TrialScores.load(run.folder, "test")
    # 3 speakers x 3 words are 9 models; each is tried against 3 x 3 x 2 recordings.
    assert scored.trials.counts() == {"TC": 18, "TW": 36, "IC": 36, "IW": 72}
    assert scored.is_ratio
    assert set(scored.model_speaker) == set(scored.recording_speaker) == {"s5", "s6", "s7"}
    assert run.metrics["test"]["eer/IC"]["value"] < 0.25
    assert run.metrics["test"]["eer/TW"]["value"] < 0.25
    lines = (run.folder / "trials" / "test.txt").read_text().splitlines()
    model, recording, condition, score = lines[0].split()
    assert (model, recording, condition) == ("s5/down", "down/s5_2", "TC")
    assert float(score) == scored.scores[0]


def test_figures_are_those_of_the_scores(run: Run) -> None:
    scored = TrialScores.load(run.folder, "test")
    task = run.config.task
    assert (task["p_target"], task["c_miss"], task["c_false_alarm"]) == (0.5, 1.0, 1.0)
    from phonaut.metrics import Cost

    expected = detection_figures(scored.scores, scored.tried, Cost(0.5, 1.0, 1.0))
    assert run.metrics["test"].keys() == expected.keys()
    assert all(run.metrics["test"][name] == pytest.approx(one.as_dict()) for name, one in expected.items())


def test_development_is_by_background_speakers_left_out_in_turn(run: Run) -> None:
    scored = TrialScores.load(run.folder, "validation")
    assert set(scored.model_speaker) == {f"s{i}" for i in range(5)}
    tried = scored.tried
    pairs = set(zip(tried.enrolled.tolist(), tried.tested.tolist(), strict=True))
    groups = [{b for a, b in pairs if a == who} for who in sorted({a for a, _ in pairs})]
    assert sorted({len(group) for group in groups}) == [2, 3], "no trial crosses the turns"
    about = run.read("model.json", {})
    against = about["calibration"]["against"]
    assert set(against) == {"IC", "TW"}
    assert all(set(one["weights"]) == {"speaker", "phrase"} for one in against.values())
    assert about["calibration"]["priors"] == {"IC": 0.5, "TW": 0.5}
    assert about["threshold"] == 0.0, "even odds and equal costs"


def test_trimmed_a_recording_is_its_speech_alone(run: Run, runs: Runs) -> None:
    from phonaut.config.nodes import instantiate

    for trim, expected in ((True, (0.3, 0.52)), (False, (0.5, 0.5))):
        config = compose(words(runs.glides, f"task.trim={str(trim).lower()}"))
        data = instantiate(config.task).data(config)
        seconds = data.spans["test"].end_s - data.spans["test"].start_s
        assert expected[0] <= seconds.min() <= seconds.max() <= expected[1]
        assert (seconds == 0.5).all() == (not trim)


def test_copies_at_other_speeds_are_other_speakers_of_another_pitch_and_duration(runs: Runs) -> None:
    from phonaut.config.nodes import instantiate
    from phonaut.training.stages import background_of

    more = ("features=linear", "protocol.turns=0", "protocol.validation_speakers=[s4]")
    config = compose(words(runs.glides, *more))
    data = instantiate(config.task).data(config)
    model = instantiate(config.task).model(config, data.classes)
    itself, slow, fast = background_of(model, data, None)
    assert set(itself["speaker"]) == {"s0", "s1", "s2", "s3"}
    flat = np.flatnonzero((itself["phrase"] == "flat") & (itself["speaker"] == "s0"))[0]
    hz_per_bin = RATE / 2 / (itself.frames.shape[1] - 1)
    peaks = [one.of(flat).mean(axis=0).argmax() * hz_per_bin for one in (itself, slow, fast)]
    assert peaks[0] == pytest.approx(250, abs=30)
    for copy, speed, peak in ((slow, 0.9, peaks[1]), (fast, 1.1, peaks[2])):
        assert [f"{name} x{speed}" for name in itself["speaker"]] == copy["speaker"].tolist()
        assert (copy["phrase"] == itself["phrase"]).all()
        assert copy["speech_s"] == pytest.approx(itself["speech_s"] / speed)
        assert copy.lengths == pytest.approx(itself.lengths / speed, abs=1.5)
        assert peak == pytest.approx(peaks[0] * speed, abs=hz_per_bin)
    assert len({*itself["id"], *slow["id"], *fast["id"]}) == 3 * len(itself)


def test_who_is_left_out_in_a_turn_is_left_out_at_every_speed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from phonaut.training import stages

    heard: list[set[str]] = []
    train_to_the_end = stages.train_to_the_end

    def seen(system: Any, background: Any, seed: int) -> Any:
        heard.append(set(background["speaker"].tolist()))
        return train_to_the_end(system, background, seed)

    monkeypatch.setattr(stages, "train_to_the_end", seen)
    runs.train("turns")
    assert [len(speakers) for speakers in heard] == [2 * 3, 3 * 3] or [len(s) for s in heard] == [3 * 3, 2 * 3]
    people = [{name.split()[0] for name in speakers} for speakers in heard]
    assert people[1] == {f"s{i}" for i in range(5)} - people[0]
    for speakers, own in zip(heard, people, strict=True):
        assert speakers == own | {f"{name} x{speed}" for name in own for speed in (0.9, 1.1)}


def test_killed_and_resumed_it_comes_to_the_same_scores(run: Run, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.toy_verifier import ToyVerifier

    step, config = ToyVerifier.step, compose(words(runs.glides))
    folder = runs.folder / "killed"

    def dies(self: ToyVerifier) -> Any:
        if self.n_done == 2:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(ToyVerifier, "step", dies)
    with pytest.raises(KeyboardInterrupt):  # of which the command says how it goes on; Lightning makes it SystemExit
        train(config, folder, ["phonaut", "train"])
    assert not (folder / "metrics.json").exists()
    monkeypatch.setattr(ToyVerifier, "step", step)
    resumed = train(compose(words(runs.glides)), folder, ["phonaut", "train"])
    assert resumed is not None
    assert [line["epoch"] for line in resumed.history] == [0, 1, 2]
    for split in ("validation", "test"):
        assert (TrialScores.load(folder, split).scores == TrialScores.load(run.folder, split).scores).all()


def test_evaluated_again_it_has_the_same_scores_and_of_a_list_those_of_its_trials(run: Run, tmp_path: Path) -> None:
    whole = TrialScores.load(run.folder, "test")
    assert evaluate(run.folder)[1] == "test"
    assert np.allclose(TrialScores.load(run.folder, "test").scores, whole.scores, rtol=0, atol=1e-9)
    (tmp_path / "some.trn").write_text("first up/s5_0,up/s5_1\nother up/s6_0\n")
    (tmp_path / "some.ndx").write_text("first,up/s5_2.wav,Y,N,N,N\nfirst,up/s6_2,N,N,Y,N\nother,up/s5_3,N,N,Y,N\n")
    request = Request(trials=tmp_path / "some.ndx", enrolment=tmp_path / "some.trn")
    assert evaluate(run.folder, request)[1] == "some"
    some = TrialScores.load(run.folder, "some")
    models, recordings = whole.trials.models, whole.trials.recordings
    pairs = zip(whole.trials.model, whole.trials.recording, strict=True)
    number = {(models[m], recordings[r]): i for i, (m, r) in enumerate(pairs)}
    assert some.scores[0] == pytest.approx(whole.scores[number["s5/up", "up/s5_2"]])
    assert some.scores[1] == pytest.approx(whole.scores[number["s5/up", "up/s6_2"]])
    assert set(run.metrics["some"]) >= {"eer", "eer/IC"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"trials": "gone.ndx"}, "gone.ndx"),
        ({"enrolment": "some.trn"}, "goes with trials=FILE"),
        ({"split": "train"}, "has no trials there"),
    ],
)
def test_what_cannot_be_scored_is_said(run: Run, tmp_path: Path, request_: dict[str, Any], message: str) -> None:
    files = {key: tmp_path / value if key != "split" else value for key, value in request_.items()}
    with pytest.raises((ValueError, OSError), match=message):
        evaluate(run.folder, Request(**files))


def test_a_folder_of_others_is_scored_and_speakers_of_the_background_are_named(run: Run, runs: Runs) -> None:
    other = runs.folder / "others"
    if not other.exists():
        shutil.copytree(runs.glides / "up", other / "up")
    words = ("protocol.enrol_takes=1-2", "protocol.text_dependent=false")
    _, name = evaluate(run.folder, Request(data_folder=other, overrides=words))
    assert name == "others"
    scored = TrialScores.load(run.folder, "others")
    assert scored.trials.counts() == {"target": 16, "nontarget": 8 * 7 * 2}
    folders = json.loads((run.folder / "folders.json").read_text())
    assert folders["others"]["trained_speakers"] == [f"s{i}" for i in range(5)]


def test_the_report_has_curves_scores_threshold_and_players(run: Run) -> None:
    from phonaut.reports import write_report

    page = write_report(run.folder).read_text()
    for text in ("impostor, right phrase", "Misses against false alarms", "Threshold 0.00", "speaker verification"):
        assert text in page
    assert ("<audio" in page) == ("Worst errors" in page and "There are none." not in page)


def test_runs_are_compared_on_the_same_trials_with_their_fusion(run: Run, runs: Runs, tmp_path: Path) -> None:
    other = runs.train("raw", "task.normalization=none", "task.durations=true")
    comparison = compare_trials([run.folder, other.folder], fusion=True)
    assert [one.name for one in comparison.runs] == ["first", "raw", "fusion"]
    assert comparison.conditions == ["", "/TW", "/IC", "/IW"]
    first, second, fusion = comparison.runs
    value = second.differences["eer/IC"].value
    assert value == pytest.approx(second.figures["eer/IC"].value - first.figures["eer/IC"].value)
    assert fusion.calibration is not None
    assert set(fusion.calibration.against["IC"].weights) == {
        "first speaker", "first phrase", "raw speaker", "raw speech ratio", "raw speech least",
    }  # fmt: skip
    assert main(["compare", str(run.folder), str(other.folder), "fusion=true", f"output={tmp_path / 'out'}"]) == 0
    assert "fusion" in (tmp_path / "out" / "compare.html").read_text()
    assert "bootstrap over 3 speakers" in (tmp_path / "out" / "compare.html").read_text()
    table = (tmp_path / "out" / "compare.csv").read_text().splitlines()
    assert "eer_interval" in table[0]
    assert len(table) == 1 + 3 * 4


def test_quality_inputs_are_weighted_as_logistic_regression_of_development_trials_does(runs: Runs) -> None:
    run = runs.train("quality", "task.cohort_scores=true", "task.durations=true")
    scored, calibration = TrialScores.load(run.folder, "validation"), run.read("model.json", {})["calibration"]
    assert set(calibration["against"]) == {"TW", "IC"}
    for one in calibration["against"].values():
        assert list(scored.inputs) == [*one["weights"]]
    assert {"cohort mean enrolled", "cohort deviation tested", "speech least"} <= set(scored.inputs)
    columns = np.stack(list(scored.inputs.values()), axis=1)
    x = np.column_stack([(columns - columns.mean(axis=0)) / columns.std(axis=0), np.ones(len(columns))])
    ratios = []
    for kind in ("TW", "IC"):  # Newton's method; prior odds are even
        rows = np.isin(scored.condition, ["TC", kind])
        is_target = scored.condition[rows] == "TC"
        n, n_others = int(is_target.sum()), int((~is_target).sum())
        weight = 0.5 / np.where(is_target, n, n_others)
        label = np.where(is_target, (n + 1) / (n + 2), 1 / (n_others + 2))
        w, slope = np.zeros(x.shape[1]), np.ones(1)
        for _ in range(100):
            p = 1 / (1 + np.exp(-x[rows] @ w))
            slope = x[rows].T @ (weight * (p - label))
            w -= np.linalg.solve((x[rows].T * (weight * p * (1 - p))) @ x[rows] + 1e-9 * np.eye(len(w)), slope)
        assert np.abs(slope).max() < 1e-8
        ratios.append(x @ w)
    np.testing.assert_allclose(scored.scores, -np.log(np.exp(-np.array(ratios)).mean(axis=0)), rtol=0.02, atol=0.02)
    with pytest.raises(ConfigurationError, match=r"cohort_scores=true has no effect with .*=none"):
        runs.train("none", "task.cohort_scores=true", "task.normalization=none")


def test_what_was_not_tried_or_left_out_is_said_on_the_terminal_and_in_the_report(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonaut.reports import write_report
    from phonaut.reports.terminal import summarize

    folder = shutil.copytree(runs.glides, runs.folder / "one of them damaged")
    (folder / "down" / "s5_3.wav").write_bytes(b"none")
    only = [one for one in words(folder) if "test_speakers" not in one]
    run = train(compose([*only, "protocol.test_speakers=[s5]"]), runs.folder / "alone", ["phonaut", "train"])
    assert run is not None
    # Of 3 models against 6 recordings; one of these is refused.
    assert TrialScores.load(run.folder, "test").absent == ["IC", "IW"]
    assert run.metrics["test"]["n_left_out"] == {"value": 3, "low": 3, "high": 3, "n": 18, "method": "a count"}
    assert "eer/IC" not in run.metrics["test"]
    summarize(run)
    printed, page = capsys.readouterr().out, write_report(run.folder).read_text()
    absent = "no trials of impostor, right phrase; impostor, wrong phrase: the rates say nothing of these"
    assert absent in printed
    assert page.count(f"There are {absent}.") == 2, "in the headline and below the table"
    assert "3 trials of 18, as recordings were refused" in printed
    assert "3 trials of 18 left out" in page
    assert "Activation memory" not in page
    assert "bootstrap over 15 trials of one speaker" in page
    owners = runs.folder / "owners"
    with pytest.raises(ValueError, match="all 10 trials of the test are targets: error rates need both"):
        train(compose([*only, "protocol.test_speakers=[s6]", "protocol.text_dependent=false"]), owners, ["x"])


def test_the_report_shows_what_was_evaluated_since(run: Run, tmp_path: Path) -> None:
    from phonaut.reports import write_report

    (tmp_path / "mine.txt").write_text("1 up/s5_0 up/s5_2\n0 up/s5_0 up/s6_2\n0 up/s6_0 up/s5_2\n")
    evaluate(run.folder, Request(trials=tmp_path / "mine.txt"))
    page = write_report(run.folder).read_text()
    assert "<h3><bdi>mine</bdi></h3>" in page
    after = page.split("<h3><bdi>mine</bdi></h3>")[1].split("</table>")[0]
    assert '<td class="number">3</td>' in after


def test_runs_of_two_tasks_and_fusions_on_what_they_are_fitted_on_are_refused(
    run: Run, runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    other = runs.folder / "classifier"
    shutil.copytree(run.folder, other)
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("task: verification", "task: classification"))
    for pair in ((run.folder, other), (other, run.folder)):
        assert main(["compare", *map(str, pair)]) == 2
        said = capsys.readouterr().err
        assert "cannot stand in one table" in said
        assert all(f"{folder} " in said for folder in pair)
    with pytest.raises(ValueError, match="split=validation fusion=true: the fusion is fitted on these trials"):
        compare_trials([run.folder, other], split="validation", fusion=True)
    shutil.copytree(run.folder, runs.folder / "second")
    found = compare_trials([run.folder, runs.folder / "second"], split="validation")
    assert found.remarks[0].startswith("Calibrations were fitted on these trials, and flatter them")


def test_runs_of_other_trials_are_refused(run: Run, runs: Runs) -> None:
    other = runs.train("fewer", "protocol.test_takes=3")
    with pytest.raises(ValueError, match=r"scored other trials, 9 recordings are in one alone"):
        compare_trials([run.folder, other.folder])
    with pytest.raises(ValueError, match="two runs or more"):
        compare_trials([run.folder])


@pytest.mark.parametrize("dataset", ["speechocean762", "librispeech", "folder", "kws", "fsdd", "timit", "synthetic"])
def test_a_corpus_is_asked_for_speakers_unless_something_else_is_typed(dataset: str) -> None:
    place = [] if dataset == "synthetic" else ["dataset.data_folder=x"]
    config = compose([f"dataset={dataset}", "model=gmm_ubm", *place])
    assert (config.target, config.dataset["target"], config.choices["protocol"]) == ("speaker", "speaker", "trials")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("target=phone", "target=phone"),
        ("protocol=by_speaker", "makes no trials"),
        ("task.normalization=x", "task.normalization=x"),
        ("task.p_target=1", "task.p_target=1"),
        ("optimizer.lr=0.1", "no effect"),
        ("augmentation=default augmentation.speed_low=0.5", "no effect"),
        ("trainer.limit_train_batches=0.5", "whole background"),
        ("trainer.devices=2", "one process"),
        ("protocol.validation_speakers=[s1]", "protocol.turns"),
    ],
)
def test_what_makes_no_sense_is_refused(runs: Runs, tmp_path: Path, word: str, message: str) -> None:
    kept = [one for one in words(runs.glides) if not (word.startswith("protocol=") and one.startswith("protocol."))]
    with pytest.raises((ConfigurationError, ValueError), match=message):
        train(compose([*kept, *word.split()]), tmp_path / "run", ["phonaut", "train"])


FEW = "protocol.turns=0 protocol.validation_speakers=[s3,s4] features.n_mfcc=8 features.n_mels=16"
SYSTEMS = {
    "gmm_ubm": "model.n_components=8 model.em_steps=4",
    "gmm_ubm_full": "model.n_components=2 model.em_steps=2 model.phrase_models=true",
    "gmm_ubm_diag": "model.n_components=4 model.em_steps=2 model.top_c=2",
    "ivector": "model.n_components=4 model.em_steps=2 model.rank=4 model.variability_steps=2",
    "ivector model.statistics=sentence_hmm": "model.rank=4 model.variability_steps=2",
    "ivector model.statistics=phone_hmm": "model.rank=4 model.variability_steps=2",
    "supervector": "model.n_states=3 model.n_iter=2",
    "dtw": "task=verification",
    "phone_hmm": "model.n_mix=1 model.silence_mix=1 model.n_flat=2 model.n_iter=1",
    "sentence_hmm": "model.n_states=3 model.n_mix=1 model.n_flat=2 model.n_iter=1",
    "ecapa": "task=verification model.channels=16 model.scale=2 features=melspec features.n_mels=16 batch_size=16 "
    "trainer.max_epochs=2 module.n_averaged=1",
    "redimnet": "task=verification model.strides=[2] model.n_blocks=[1] features=melspec features.n_mels=16 "
    "batch_size=16 trainer.max_epochs=1 module.n_averaged=1",
}


@pytest.mark.parametrize("model", SYSTEMS)
def test_every_system_scores_every_trial_and_tells_strangers_apart(runs: Runs, model: str) -> None:
    kept = [one for one in words(runs.glides) if not one.startswith(("model=", "protocol.turns"))]
    few = FEW.replace("features.n_mfcc=8 ", "") if "melspec" in SYSTEMS[model] else FEW
    config = compose([*kept, *f"model={model}".split(), *few.split(), *SYSTEMS[model].split()])
    run = train(config, runs.folder / f"system {model}", ["phonaut", "train"])
    assert run is not None
    scored = TrialScores.load(run.folder, "test")
    assert np.isfinite(scored.scores).all()
    assert scored.trials.counts() == {"TC": 18, "TW": 36, "IC": 36, "IW": 72}
    assert len(np.unique(scored.scores)) > 150, "no score is clamped"
    assert run.metrics["test"]["eer/IW"]["value"] < 0.4
    again = scored.scores.copy()
    evaluate(run.folder)
    np.testing.assert_allclose(TrialScores.load(run.folder, "test").scores, again, rtol=1e-4, atol=1e-4)


def test_the_sequence_latents_of_an_fhvae_are_scored_and_come_back_with_the_run(runs: Runs) -> None:
    kept = [one for one in words(runs.glides) if not one.startswith(("model=", "protocol."))]
    small = ["model.channels=[8,8,8]", "model.hidden_size=16", "model.latent_size=8", "model.sequence_latents=4",
             "task.window_frames=8", "task.shift_frames=4", "features.n_mels=16", "batch_size=32",
             "trainer.max_epochs=1", "optimizer.lr=0.01"]  # fmt: skip
    held = ["protocol.validation_speakers=[s3,s4]", "protocol.test_speakers=[s5,s6,s7]"]
    made = train(compose([*kept, *held, "model=fhvae", *small]), runs.folder / "fhvae", ["phonaut", "train"])
    assert made is not None
    codes = [*kept, *held, "model=mean_vector", f"encoder.run={made.folder}", "module.speeds=[]"]
    alone = ["encoder.layer=sequence", "protocol.text_dependent=false", "protocol.enrol_takes=1-2"]
    run = train(compose([*codes, *alone]), runs.folder / "mean vector", ["phonaut", "train"])
    assert run is not None
    scored = TrialScores.load(run.folder, "test")
    assert scored.trials.counts() == {"target": 30, "nontarget": 60}
    assert len(np.unique(scored.scores)) > 80, "no score is clamped"
    again = scored.scores.copy()
    evaluate(run.folder)
    np.testing.assert_allclose(TrialScores.load(run.folder, "test").scores, again, rtol=1e-4, atol=1e-4)
    assert load(run.folder).model.front_end.n_features == 4


def test_a_list_named_like_a_split_leaves_the_figures_of_the_split(run: Run, tmp_path: Path) -> None:
    before = run.metrics["test"]
    (tmp_path / "test.txt").write_text("1 up/s5_0 up/s5_2\n0 up/s5_0 up/s6_2\n0 up/s6_0 up/s5_2\n")
    assert evaluate(run.folder, Request(trials=tmp_path / "test.txt"))[1] == "list_test"
    assert run.metrics["test"] == before
    assert TrialScores.load(run.folder, "test").trials.counts()["TC"] == 18
    (tmp_path / "own.txt").write_text("1 up/s5_0 up/s5_2\n")
    with pytest.raises(ValueError, match="all 1 trials of own are targets: error rates need both"):
        evaluate(run.folder, Request(trials=tmp_path / "own.txt"))
    assert "own" not in run.metrics
    with pytest.raises(ValueError, match="is named twice"):
        compare_trials([run.folder, run.folder])


def test_names_with_spaces_are_written_as_in_urls(tmp_path: Path) -> None:
    trials = TrialList({"a b": ("x y/1, 2",)}, ("é/3%",), *(np.zeros(1, kind) for kind in ("int32", "int32", "int8")))
    TrialScores(trials, np.array(["a"]), np.array(["a"]), np.array([1.5])).save(tmp_path, "test")
    assert (tmp_path / "trials" / "test.txt").read_text() == "a%20b é/3%25 TC 1.5\n"
    assert TrialScores.load(tmp_path, "test").trials.models == ("a b",)


def test_a_system_of_verification_classifies_nothing() -> None:
    with pytest.raises(ConfigurationError, match="model=gmm_ubm verifies speakers, and classifies nothing"):
        compose(["model=gmm_ubm", "task=classification", "module=em"])


def test_several_corpora_are_one_background_whose_speakers_have_the_names_of_their_corpora(runs: Runs) -> None:
    part = f"name: folder, data_folder: {runs.glides}"
    mix = f"dataset.corpora=[{{{part}, as: here}},{{{part}, as: there}}]"
    speakers = "protocol.test_speakers=[here/s5,here/s6,there/s5]"
    config = compose(
        ["dataset=mix", mix, "model=toy_verifier", speakers, "protocol.turns=2", "protocol.enrol_takes=1-2"]
    )
    run = train(config, runs.folder / "mix", ["phonaut", "train"])
    assert run is not None
    scored = TrialScores.load(run.folder, "test")
    assert set(scored.model_speaker) == {"here/s5", "here/s6", "there/s5"}
    assert scored.trials.counts() == {"TC": 18, "TW": 36, "IC": 36, "IW": 72}
