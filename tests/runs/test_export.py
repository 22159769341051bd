"""An exported run answers as the run does, in a program that knows nothing of it; what cannot be exported is said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.encoders_of_tones import pretraining, trained
from helpers.runs_of_tones import RATE, run_settings, write_tones
from phonaut.cli import main

pytest.importorskip("onnxruntime", reason="phonaut export needs the extra export")
pytestmark = [pytest.mark.slow, pytest.mark.peer]
MODELS = {
    "tc-res8": ["model=tc-res8", "streaming=true", "features.deltas=1"],
    "gru": ["model=gru"],
    "gmmhmm": ["model=gmmhmm", "model.n_states=2", "model.n_mix=1"],
    "encoded": ["model=gru", "encoder.run={place}/encoder"],
    "dtw": ["model=dtw"],
}
ANY_LENGTH = ("tc-res8", "gmmhmm")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on tones of half a second."""
    place = tmp_path_factory.mktemp("exporting")
    settings = run_settings(write_tones(place / "tones", n_takes=2))
    trained(place / "encoder" / "mockingjay_small", pretraining(place / "tones", n_epochs=1))
    for name, more in MODELS.items():
        given = [word.format(place=place) for word in more]
        own = [word for word in settings if name != "encoded" or not word.startswith("features")]
        words = [*own, *given, "dataset.clip_s=0.5", f"output_dir={place}", f"experiment_id={name}"]
        assert main(["train", *words, "trainer.enable_progress_bar=false"]) == 0
    return place


@pytest.mark.parametrize("model", ["tc-res8", "gru", "gmmhmm", "encoded"])
def test_the_program_of_the_card_answers_as_the_run_does(
    model: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "device"
    assert main(["export", str(home / model), f"output={folder}", "n_parity=5"]) == 0
    told = capsys.readouterr().out
    assert "0 decisions of 5 changed" in told
    figures = json.loads((folder / "export.json").read_text())
    assert figures["any_length"] == (model in ANY_LENGTH)
    assert figures["parity"]["test"]["n"] == 5
    assert figures["parity"]["test"]["largest_difference"] < (
        0.01 if model == "gmmhmm" else 1e-3
    )  # of sums over frames
    streams = model == "tc-res8"
    names = {"model.onnx", "network.onnx", "model_card.md", "export.json", *(["stream.onnx"] if streams else [])}
    assert {path.name for path in folder.iterdir()} == names
    card = (folder / "model_card.md").read_text()
    program, *of_stream = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(folder)
    path = sorted((home / "tones").rglob("*.wav"))[3]
    shutil.copy(path, "recording.wav")
    names_there: dict[str, object] = {}
    exec(program, names_there)
    label, probability = capsys.readouterr().out.split()
    whole, _ = soundfile.read(path)
    for audio in (np.concatenate([0.3 * whole, np.zeros(1000), whole, 0.1 * whole]), whole[: RATE // 3]):
        soundfile.write("recording.wav", audio, RATE)
        exec(program, names_there)
        said = capsys.readouterr().out.split()
        answer = phonaut.load(home / model).predict("recording.wav")
        assert (said[0], float(said[1])) == (answer.label, pytest.approx(answer.probability, abs=1e-3))
    if streams:
        assert (figures["stream"]["n_changed"], figures["stream"]["n"]) == (0, 5 * 6)
        assert figures["stream"]["largest_difference"] < 1e-3
        names_there["audio"] = whole.astype(np.float32)
        exec(of_stream[0], names_there)
        assert len(capsys.readouterr().out.splitlines()) == 6
    answer = phonaut.load(home / model).predict(path)
    assert (label, float(probability)) == (answer.label, pytest.approx(answer.probability, abs=1e-4))


def test_the_network_alone_takes_the_features_of_the_run(home: Path, tmp_path: Path) -> None:
    import torch

    from phonaut.deploy.onnx import session

    assert main(["export", str(home / "tc-res8"), f"output={tmp_path / 'a'}", "n_parity=1"]) == 0
    run = phonaut.load(home / "tc-res8")
    audio = torch.from_numpy(np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32))
    with torch.inference_mode():
        frames, lengths = run.model.frames(audio, torch.tensor([RATE]))
        expected = run.model.classify(frames, lengths).numpy()
    found = session(tmp_path / "a" / "network.onnx").run(None, {"features": frames.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_what_cannot_be_exported_is_said_and_nothing_is_written_or_lost(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(home / "dtw"), f"output={tmp_path / 'dtw'}"]) == 2
    assert "is not exported" in capsys.readouterr().err
    assert not (tmp_path / "dtw").exists()
    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / "mine" / "a.wav", np.zeros(100), RATE)
    assert main(["export", str(home / "tc-res8"), f"output={tmp_path / 'mine'}", "overwrite=true"]) == 2
    assert "mine holds other files: choose another output=" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.wav"]
    assert main(["export", str(home / "tc-res8"), f"output={tmp_path / 'b'}", "n_parity=1"]) == 0
    assert main(["export", str(home / "tc-res8"), f"output={tmp_path / 'b'}", "n_parity=1"]) == 2
    assert "is there already: overwrite=true replaces it" in capsys.readouterr().err
