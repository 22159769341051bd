"""A pre-trained encoder in front of any model: what it gives, what it needs, what is refused, and how few labels."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.encoders_of_tones import pretraining, trained
from helpers.runs_of_tones import write_tones
from phonaut.config.compose import ConfigurationError, compose, to_yaml
from phonaut.reports.terminal import summarize
from phonaut.runs import Run
from phonaut.runs.extraction import extract
from phonaut.runs.load import load
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data
from phonaut.tasks.scoring import predict

SMALL_FLOW = ["model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1", "model.gmm_init_steps=1", "model.n_mix=1"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=2)


@pytest.fixture(scope="module")
def encoder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("encoder") / "mockingjay_small"
    words = [*pretraining(tones), "leave_out_speakers=[s6,s7]", "model.n_layers=2"]
    return trained(folder / "run", words)


def classification(tones: Path, encoder: Run | None, *more: str) -> list[str]:
    words = [
        "dataset=folder",
        f"dataset.data_folder={tones}",
        "protocol.validation_speakers=[s5]",
        "protocol.test_speakers=[s6,s7]",
        "batch_size=8",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "augmentation=none",
    ]
    return [*words, *([f"encoder.run={encoder.folder}"] if encoder else []), *more]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["model=probe", "encoder.mode=weighted"],
        ["model=probe", "encoder.mode=finetune", "model.hidden_size=8"],
        ["model=tc-res8", "model.channels=[4,4]", "augmentation=default"],
        ["model=lstm", "model.hidden_size=4", "encoder.layer=all"],
        ["model=dnnhmm", "model.hidden_size=8", "module.n_mix=1", "module.em_steps=1"],
        ["model=gmmhmm", "model.n_mix=2", "encoder.n_components=4"],
        ["model=genhmm", *SMALL_FLOW, "encoder.n_components=4"],
        ["model=gmm", "model.n_mix=2", "encoder.layer=1"],
        ["model=dtw", "model.n_templates=2", "model.n_nearest=1"],
        ["model=majority"],
    ],
    ids=lambda words: words[0] + " " + words[-1],
)
@pytest.mark.parametrize("target", ["keyword", "speaker"])
def test_it_stands_in_front_of_every_kind_of_model(
    words: list[str], target: str, tones: Path, encoder: Run, tmp_path: Path
) -> None:
    more = classification(tones, encoder, *words, f"target={target}")
    if target == "speaker":
        more = [text for text in more if "_speakers=" not in text]
    if "augmentation=default" in words:
        more.remove("augmentation=none")
    run = trained(tmp_path / "run", more)
    assert 0.0 <= run.metrics["test"]["accuracy"]["value"] <= 1.0
    # The run is whole: it needs the encoder's folder no more.
    config = Run(run.folder).config
    config.encoder.run = str(tmp_path / "gone")
    (run.folder / "config.yaml").write_text(to_yaml(config))
    again = load(run.folder).model
    data = speech_data(config, parts.prepared_corpus(config), run.classes)
    found = predict(again, data, "test")
    kept = np.load(run.folder / "predictions" / "test.npz")
    np.testing.assert_allclose(found.scores, kept["scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_frozen_encoder_is_what_was_extracted_before(tones: Path, encoder: Run, tmp_path: Path) -> None:
    words = classification(tones, encoder, "model=probe", "encoder.layer=1")
    before = {name: value.clone() for name, value in load_file(encoder.folder / "model.safetensors").items()}
    run = trained(tmp_path / "on-the-fly", words)
    after = load_file(run.folder / "model.safetensors")
    for name, value in before.items():
        if name.startswith("network."):
            assert torch.equal(after[f"front_end.{name}"], value), name
    prepared = parts.prepared_corpus(compose(words))
    extract(load(encoder.folder), prepared, tmp_path / "frames", layer=1)
    on_frames = [word for word in words if not word.startswith(("dataset", "protocol", "encoder"))]
    on_frames += ["dataset=frames", f"dataset.data_folder={tmp_path / 'frames'}", "protocol=official"]
    other = trained(tmp_path / "on-frames", on_frames)
    for split in ("validation", "test"):
        a, b = (np.load(one.folder / "predictions" / f"{split}.npz") for one in (run, other))
        assert a["cut"].tolist() == b["cut"].tolist()
        np.testing.assert_allclose(a["scores"], b["scores"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_fine_tuning_changes_the_encoder_and_augmentation_its_frames(tones: Path, encoder: Run, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", classification(tones, encoder, "model=probe", "encoder.mode=finetune"))
    before, after = (load_file(one.folder / "model.safetensors") for one in (encoder, run))
    assert not torch.equal(after["front_end.network.projection.weight"], before["network.projection.weight"])
    weighted = trained(tmp_path / "weighted", classification(tones, encoder, "model=probe", "encoder.mode=weighted"))
    weights = load_file(weighted.folder / "model.safetensors")["front_end.layer_weights"]
    assert weights.shape == (3,)
    assert weights.abs().sum() > 0, "weights of layers begin at 0 and are trained"


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["features=mfcc"], "features=mfcc: the features are those of encoder.run="),
        (["features.n_mels=40"], "features.n_mels=40: the features are those of encoder.run="),
        (["model=gmmhmm", "encoder.mode=weighted"], "is trained by gradients, and model=gmmhmm by EM"),
        (["model=genhmm", "encoder.mode=finetune"], "is trained by gradients, and model=genhmm by EM"),
        (["encoder.layer=weighted"], "type encoder.mode=weighted"),
        (["encoder.layer=7"], "the encoder has layers 0 to 2"),
        (["encoder.n_components=17"], "encoder.n_components=17: must be from 1 to 16"),
        (["encoder.n_components=4", "encoder.mode=finetune"], "is fitted before training"),
        (["streaming=true"], "sees later frames"),
        (["model=mockingjay_small"], "is an encoder itself"),
        (["labels_pct=0"], "labels_pct must be > 0 and <= 100, got 0"),
        (["labels_each=0"], "labels_each must be >= 1, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_what_cannot_be_is_refused(more: list[str], what: str, tones: Path, encoder: Run) -> None:
    words = classification(tones, encoder, *([] if any("model=" in text for text in more) else ["model=probe"]), *more)
    with pytest.raises(ConfigurationError) as refused:
        compose(words)
    assert what in str(refused.value)


@pytest.mark.slow
def test_a_run_that_is_no_encoder_or_does_not_fit_is_refused(tones: Path, encoder: Run, tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", classification(tones, None, "model=majority"))
    with pytest.raises(ConfigurationError, match="is no pre-trained encoder, but model=majority"):
        compose(classification(tones, plain, "model=probe"))
    with pytest.raises(ConfigurationError, match="is not a run"):
        compose(classification(tones, None, "model=probe", f"encoder.run={tmp_path / 'nothing'}"))
    broken = tmp_path / "broken"
    shutil.copytree(encoder.folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights["network.norm.weight"] = weights["network.norm.weight"][:3].clone()
    weights["network.odd"] = weights.pop("network.projection.bias")
    save_file(weights, broken / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit") as refused:
        trained(tmp_path / "behind", classification(tones, Run(broken), "model=probe"))
    text = str(refused.value)
    assert "projection.bias is missing" in text
    assert "odd is not known" in text
    assert r"norm.weight is (3,), not (16,)" in text


def test_few_labels_are_nested_whole_recordings_and_each_counts_per_class_and_speaker(tones: Path) -> None:
    config = compose(classification(tones, None, "model=probe"))
    prepared = parts.prepared_corpus(config)

    def rows(**few: object) -> set[int]:
        vars(config).update({"labels_pct": 100.0, "labels_each": None} | few)
        data = speech_data(config, prepared)
        assert len(data.spans["test"].label) == 12, "only training has few labels"
        return set(data.spans["train"].row.tolist())

    whole, half, tenth, one = (rows(labels_pct=pct) for pct in (100.0, 50.0, 10.0, 0.1))
    assert [len(found) for found in (whole, half, tenth, one)] == [30, 15, 3, 1]
    assert one < tenth < half < whole
    each = rows(labels_each=1)
    table = prepared.utterances("train")
    counts = Counter((int(table.word[row]), int(table.speaker[row])) for row in each)
    assert set(counts.values()) == {1}
    assert len(counts) == 15, "three words of five speakers"


def test_the_frame_accuracy_of_a_probe_is_that_of_its_frames_one_by_one(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "run", classification(tones, None, "model=probe", "features=mel", "optimizer.lr=0.1"))
    model, config = load(run.folder).model, run.config
    data = speech_data(config, parts.prepared_corpus(config), run.classes)
    right = total = 0
    for batch in data.batches("test"):
        for i in range(len(batch.rows)):
            n = batch.audio_lengths[i]
            frames, lengths = model.frames(batch.audio[i : i + 1, :n], batch.audio_lengths[i : i + 1])
            best = model.network.first(frames[0, : lengths[0]]).argmax(dim=1)
            right += int((best == batch.labels[i]).sum())
            total += len(best)
    rate = run.metrics["test"]["frame_accuracy"]
    assert rate["n"] == total
    assert rate["value"] == pytest.approx(right / total)
    summarize(run)
    assert f"{total:,} frames, each on its own" in capsys.readouterr().out
