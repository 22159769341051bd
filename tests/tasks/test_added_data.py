"""Generated segments beside those of training: on tones, whose words differ in pitch, and of one of which few are."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.runs_of_tones import write_tones
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.config.nodes import instantiate
from phonaut.data.draws import hash_of
from phonaut.models.frame_cache import FrameCache
from phonaut.models.generators import CVAE
from phonaut.reports import write_report
from phonaut.runs import Run, train
from phonaut.runs.load import load
from phonaut.tasks.added_data import copies, new_voices
from phonaut.tasks.latents import Latents

T, D = 12, 20
FEATURES = ("features=melspec", f"features.n_mels={D}", "features.top_db=null", "features.amin=1e-8", "recipe=none")
SMALL = ("model.channels=[8,8,8]", "model.hidden_size=16", "model.latent_size=4", f"task.window_frames={T}",
         "batch_size=32", "trainer.max_epochs=1")  # fmt: skip
GRU = ("model=gru", "model.hidden_size=8", "augmentation=none", "batch_size=8", "trainer.max_epochs=2")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tones(tmp_path_factory.mktemp("tones") / "corpus", n_speakers=6, n_takes=3)
    for path in folder.glob("high/s[1-3]_*.wav"):
        path.unlink()
    return folder


def words(tones: Path, *more: str) -> list[str]:
    return [
        "dataset=folder", f"dataset.data_folder={tones}", "protocol.validation_speakers=[s4]",
        "protocol.test_speakers=[s5]", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", *FEATURES, *more,
    ]  # fmt: skip


def trained(tones: Path, folder: Path, *more: str) -> Run:
    run = train(compose(words(tones, *more)), folder, ["phonaut", "train"])
    assert run is not None
    return run


@pytest.fixture(scope="module")
def generator(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tones, tmp_path_factory.mktemp("cvae") / "id" / "cvae", "model=cvae", *SMALL)


@pytest.fixture(scope="module")
def of_classes(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("classes") / "id" / "cvae"
    return trained(tones, folder, "model=cvae", *SMALL, "task.windows=segments", "task.condition=[label]")


def built(tones: Path, *more: str) -> Any:
    """Data of a classifier with what was added, and its model."""
    config = compose(words(tones, *more))
    task = instantiate(config.task)
    data = task.data(config)
    loop = task.loop(config, task.model(config, data.classes), data)
    return data, loop.model


def added(data: Any, model: Any) -> tuple[list[np.ndarray], list[np.ndarray], Any]:
    """Frames of the recordings of training as they are, of the added ones, and the data set of both."""
    frames, offset = FrameCache(model, type(data)(
        data.prepared, target=data.target, classes=data.classes, batch_size=1, seed=0)).frames("train")  # fmt: skip
    both = data.dataset("train")
    own = [frames[a:b] for a, b in pairwise(offset)]
    every, offset = both.computed
    all_ = [every[a:b] for a, b in pairwise(offset)]
    for mine, there in zip(own, all_, strict=False):
        np.testing.assert_array_equal(mine, there)
    return own, all_[len(own) :], both


def test_recordings_are_converted_by_the_difference_of_mean_codes_to_another_speaker(
    tones: Path, generator: Run
) -> None:
    data, model = built(tones, *GRU, f"generated.run={generator.folder}", "generated.share=1.5")
    own, made, both = added(data, model)
    n = len(own)
    assert len(made) == n + round(n / 2)
    latents, made_by = Latents(generator.folder), load(generator.folder).model
    windows, table = both.windows, data.prepared.utterances("train")
    targets = set()
    for i, frames in enumerate(made):
        row = int(windows.row[n + i])
        w = int(np.flatnonzero(windows.row[:n] == row)[0])
        assert both.spans.label[windows.span[n + i]] == both.spans.label[windows.span[w]]
        assert both.spans.end_s[windows.span[n + i]] == both.spans.end_s[windows.span[w]]
        source = table.speaker_name(row)
        errors = {}
        for name in latents.names("speaker"):
            move = latents.mean("speaker", name) - latents.mean("speaker", source)
            moved = made_by.rebuilt(torch.from_numpy(np.array(own[w])), move=torch.from_numpy(move).float()).numpy()
            errors[name] = np.abs(moved - frames).max()
        nearest = min(errors, key=errors.__getitem__)
        assert errors[nearest] < 1e-3
        assert nearest != source
        targets.add(nearest)
    assert targets == {"s0", "s1", "s2", "s3"}
    assert len(np.unique(both[np.arange(len(both))].keys.numpy())) == len(both)


def test_new_voices_have_mean_and_covariance_of_the_speakers() -> None:
    means = np.random.default_rng(0).normal(size=(5, 3)) * [1.0, 2.0, 0.1] + [3.0, 0.0, -1.0]
    drawn = new_voices(means, np.arange(200_000, dtype=np.uint64), 0)
    np.testing.assert_allclose(drawn.mean(axis=0), means.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(means.T), atol=0.05)


def test_what_is_copied_hangs_on_the_recording_and_not_on_its_place() -> None:
    keys = np.array([hash_of(str(i)) for i in range(10)], np.uint64)
    order = np.random.default_rng(1).permutation(10)
    which, nth = copies(keys, 2.3, 7)
    other, again = copies(keys[order], 2.3, 7)
    assert np.bincount(which).tolist().count(3) == 3
    assert np.bincount(which).min() == 2
    assert sorted(zip(keys[which], nth, strict=True)) == sorted(zip(keys[order][other], again, strict=True))
    assert copies(keys, 0.3, 8)[0].tolist() != copies(keys, 0.3, 7)[0].tolist()


def test_rare_classes_are_filled_with_segments_as_long_as_those_of_training(tones: Path, of_classes: Run) -> None:
    how = ("generated.how=sample", "generated.share=1.5")
    data, model = built(tones, "model=gmm", f"generated.run={of_classes.folder}", *how)
    own, made, both = added(data, model)
    assert data.classes == ["high", "low", "middle"]
    assert np.bincount(both.spans.label).tolist() == [18, 18, 18]  # of 3, 12 and 12
    assert data.generated["segments"] == {"high": 15, "low": 6, "middle": 6}
    assert {frames.shape for frames in made} == {(T, D)}
    segments = FrameCache(model, data).segments("train")
    assert set(segments.lengths[len(own) :].tolist()) == {T}  # of recordings of 51 frames
    assert segments.labels[len(own) :].tolist() == [0] * 15 + [1] * 6 + [2] * 6
    made_by = load(of_classes.folder).model
    rng = torch.Generator().manual_seed(hash_of("0/0/generated high") % 2**63)
    with torch.inference_mode():
        codes, condition = torch.randn(15, 4, generator=rng), torch.eye(3)[:1].expand(15, -1)
        windows = made_by.restored(made_by.network.decode(codes, condition)).numpy()
    np.testing.assert_allclose(np.stack(made[:15]), windows, rtol=1e-4, atol=1e-3)


def test_segments_lie_in_the_middle_of_their_windows(tones: Path, of_classes: Run, tmp_path: Path) -> None:
    """Of words of 70 ms, 7 of the 12 frames are the segment."""
    import soundfile

    for path in tones.rglob("*.wav"):
        audio, rate = soundfile.read(path)
        short = tmp_path / path.parent.name / path.name
        short.parent.mkdir(exist_ok=True)
        soundfile.write(short, audio[: round(0.07 * rate)], rate)
    how = ("generated.how=sample", "features.n_fft=512", "features.win_length=400")
    run = trained(tmp_path, tmp_path / "runs" / "id" / "cvae", "model=cvae", *SMALL, "task.windows=segments",
                  "task.condition=[label]", *how[1:])  # fmt: skip
    data, model = built(tmp_path, "model=gmm", f"generated.run={run.folder}", *how)
    both, n = data.dataset("train"), len(data.spans["train"].label)
    frames, offset = both.computed
    segments = FrameCache(model, data).segments("train")
    begins = np.cumsum(segments.lengths) - segments.lengths
    assert set(segments.lengths[n:].tolist()) == {7}
    for i in range(n, len(segments)):
        window = frames[offset[i] : offset[i + 1]]
        np.testing.assert_array_equal(segments.frames[begins[i] : begins[i] + 7], window[T // 2 - 3 : T // 2 + 4])


@pytest.mark.parametrize("model", ["gmm", "gmmhmm"])
def test_a_density_of_codes_draws_for_classes_that_the_generator_does_not_know(
    model: str, tones: Path, generator: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = f"encoder.run={generator.folder}"
    given = [one for one in words(tones) if one not in FEATURES]
    prior = train(compose([*given, f"model={model}", "model.n_mix=1", run, "trainer.max_epochs=1", "normalizer=null"]),
                  tmp_path / "id" / model, ["phonaut", "train"])  # fmt: skip
    assert prior is not None
    codes: list[torch.Tensor] = []
    decode = CVAE.decode
    monkeypatch.setattr(CVAE, "decode", lambda network, z, c: (codes.append(z), decode(network, z, c))[1])
    how = (f"generated.run={generator.folder}", "generated.how=sample", f"generated.prior={prior.folder}")
    data, found = built(tones, "model=gmm", *how)
    assert data.generated["segments"] == {"high": 9}
    _, made, _ = added(data, found)
    assert {len(one) for one in made} == {T if model == "gmm" else 50}  # windows, or recordings of half a second
    drawn, latents = torch.cat(codes).mean(dim=0).numpy(), Latents(generator.folder)
    away = {name: np.linalg.norm(drawn - latents.mean("label", name)) for name in data.classes}
    assert min(away, key=away.__getitem__) == "high"


def test_only_training_has_generated_segments_and_the_run_says_how_many(
    tones: Path, generator: Run, tmp_path: Path
) -> None:
    run = f"generated.run={generator.folder}"
    plain = trained(tones, tmp_path / "plain" / "gmm", "model=gmm", "model.n_mix=1")
    more = trained(tones, tmp_path / "more" / "gmm", "model=gmm", "model.n_mix=1", run, "generated.how=voices")
    for split in ("validation", "test"):
        before, after = (np.load(one.folder / "predictions" / f"{split}.npz") for one in (plain, more))
        for name in ("cut", "label", "speaker"):
            if name in before:
                np.testing.assert_array_equal(before[name], after[name])
        assert plain.metrics[split]["accuracy"]["n"] == more.metrics[split]["accuracy"]["n"] == 9
    assert (plain.folder / "model.safetensors").read_bytes() != (more.folder / "model.safetensors").read_bytes()
    assert "generated" not in plain.model
    segments = {"high": 3, "low": 12, "middle": 12}
    said = {"run": str(generator.folder), "how": "voices", "recordings": 27, "segments": segments}
    assert {key: value for key, value in more.model["generated"].items() if key != "weights"} == said
    assert "trained on 27 generated segments beside 27 recorded ones (voices," in write_report(more.folder).read_text()
    real, drawn = (np.load(one.folder / "samples.npz") for one in (plain, more))
    first = slice(0, int(real["lengths"][0, 0]))
    np.testing.assert_array_equal(real["frames"][first], drawn["frames"][first])
    assert load(more.folder).predict(tones / "low" / "s5_0.wav").label != ""


def test_a_classifier_that_was_stopped_and_resumed_learned_from_the_same_segments(
    tones: Path, generator: Run, tmp_path: Path
) -> None:
    from phonaut.training.gradient import SpeechClassifier

    class Killed(Exception):
        pass

    more = (*GRU, f"generated.run={generator.folder}", "generated.share=0.5")
    whole = trained(tones, tmp_path / "whole" / "gru", *more)
    with pytest.MonkeyPatch.context() as patch:
        step = SpeechClassifier.training_step

        def until(self: Any, batch: Any, batch_idx: int) -> Any:
            if self.current_epoch:
                raise Killed
            return step(self, batch, batch_idx)

        patch.setattr(SpeechClassifier, "training_step", until)
        with pytest.raises(Killed):
            trained(tones, tmp_path / "again" / "gru", *more)
    corpus = tmp_path / "again" / "gru" / "corpus.json"
    begun = corpus.read_text()
    corpus.write_text(begun.replace('"weights": "', '"weights": "0'))
    with pytest.raises(ValueError, match="makes other segments than when this run began: choose another experiment_id"):
        trained(tones, tmp_path / "again" / "gru", *more)
    corpus.write_text(begun)
    again = trained(tones, tmp_path / "again" / "gru", *more)
    assert (whole.folder / "model.safetensors").read_bytes() == (again.folder / "model.safetensors").read_bytes()


COMBINATIONS = {
    "generated.run= is not given": ["generated.share=0.5"],
    "it is for generated.how=sample": ["generated.run=RUN", "generated.prior=RUN"],
    "augmentation changes waveforms: type augmentation=none": ["generated.run=RUN", "augmentation=default"],
    "generated.share=0: must be above 0": ["generated.run=RUN", "generated.share=0.0"],
    "target=speaker tells voices apart": ["generated.run=RUN", "target=speaker"],
    "task=generation has no use for it": ["model=cvae", "generated.run=RUN"],
    "generated.how=copy must be convert or voices or sample": ["generated.run=RUN", "generated.how=copy"],
    "begins with recordings: leave one out": ["generated.run=RUN", "encoder.run=RUN", "FEATURES"],
}


@pytest.mark.parametrize("message", COMBINATIONS)
def test_keys_that_cannot_go_together_are_refused(message: str, tones: Path, generator: Run) -> None:
    given = [one.replace("RUN", str(generator.folder)) for one in COMBINATIONS[message]]
    base = [one for one in words(tones) if not ("FEATURES" in given and one.startswith(("features", "recipe")))]
    model = [] if given[0].startswith("model=") else [*GRU[:2], "augmentation=none"]
    if any(one.startswith("augmentation") for one in given):
        model = model[:2]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        compose([*base, *model, *(one for one in given if one != "FEATURES")])


REFUSALS = {
    "makes other frames than this run hears: the classifier is to be trained with features.n_mels=20":
        ["generated.run=RUN", "features.n_mels=19"],
    "is to be trained with normalizer=null": ["generated.run=RUN", "normalizer=cmvn"],
    "cannot draw high: train it with task.condition=[label], or name a prior=":
        ["generated.run=RUN", "generated.how=sample"],
    "makes windows for classes, which conversion does not know": ["generated.run=CLASSES"],
    "was trained on speakers who are tested here: s3": ["generated.run=RUN", "protocol.test_speakers=[s3]"],
    "does not know the voices of s9, which are converted": ["generated.run=RUN", "dataset.data_folder=MORE"],
    "is no density of codes": ["generated.run=RUN", "generated.how=sample", "generated.prior=RUN"],
    "has no trained encoder yet": ["generated.run=EMPTY"],
    "there is no such folder": ["generated.run=nowhere"],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSALS)
def test_a_generator_that_does_not_fit_is_refused_in_one_sentence_and_leaves_no_run(
    message: str, tones: Path, generator: Run, of_classes: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yaml").write_text((generator.folder / "config.yaml").read_text())
    for path in tones.rglob("*.wav"):
        there = tmp_path / "more" / path.parent.name / path.name.replace("s0_", "s9_")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(path)
    names = {"RUN": generator.folder, "CLASSES": of_classes.folder, "EMPTY": tmp_path / "empty",
             "MORE": tmp_path / "more"}  # fmt: skip
    given = REFUSALS[message]
    for name, folder in names.items():
        given = [one.replace(f"={name}", f"={folder}") for one in given]
    keys = {one.partition("=")[0] for one in given}
    base = [one for one in words(tones) if one.partition("=")[0] not in keys]
    out = [f"output_dir={tmp_path / 'runs'}", "experiment_id=id"]
    assert main(["train", *base, *GRU, *given, *out]) != 0
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs" / "id" / "gru" / "config.yaml").exists()
