"""The noise test: the SNR that was asked for, the same noise for every run, and its figures beside the clean ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.runs_of_tones import RATE, run_settings, typed, write_tones
from phonaut.config.compose import compose
from phonaut.data.datamodule import SpeechData
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data
from phonaut.tasks.noise_test import NoiseTest, about_noise, condition, parsed
from phonaut.tasks.scoring import noise_of


def tones(folder: Path, *more: str) -> SpeechData:
    if not folder.exists():
        write_tones(folder, n_takes=2)
    config = compose([*run_settings(folder), *more])
    return speech_data(config, parts.prepared_corpus(config))


def about(test: NoiseTest, data: SpeechData, folder: Path) -> dict[str, Any]:
    about_noise(folder / "noise.json", "test", test, test.recordings(data), add=False)
    noise: dict[str, Any] = json.loads((folder / "noise.json").read_text())["test"]
    return noise


def noise_folder(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(2):
        soundfile.write(folder / f"kitchen {i}.wav", 0.1 * rng.standard_normal(RATE * (2 + i)), RATE)
    return folder


def added(data: SpeechData, kind: str, snr_db: float, test: NoiseTest) -> dict[int, np.ndarray]:
    """The noise that each recording got, by its row."""
    change = noise_of(kind, snr_db, test.recordings(data))
    found = {}
    for batch in data.batches("test"):
        noisy = change(batch)
        for i, row in enumerate(batch.rows.tolist()):
            n = int(batch.audio_lengths[i])
            found[row] = (noisy.audio[i, :n] - batch.audio[i, :n]).numpy()
            power = [float(np.mean(x.astype(np.float64) ** 2)) for x in (batch.audio[i, :n].numpy(), found[row])]
            assert 10 * np.log10(power[0] / power[1]) == pytest.approx(snr_db, abs=0.01)
    return found


@pytest.mark.parametrize("kind", ["white", "recorded"])
def test_every_recording_has_the_snr_and_all_runs_hear_the_same_noise(kind: str, tmp_path: Path) -> None:
    folder = noise_folder(tmp_path / "noise") if kind == "recorded" else None
    test = NoiseTest((kind,), folder=folder)
    one = tones(tmp_path / "tones")
    first = added(one, kind, 10.0, test)
    assert len(first) == len(one.prepared.utterances("test")) == 12
    other = added(tones(tmp_path / "tones", "seed=5", "batch_size=3"), kind, 10.0, test)
    for row, noise in first.items():
        np.testing.assert_allclose(other[row], noise, atol=1e-6)
    louder = added(one, kind, 0.0, test)
    np.testing.assert_allclose(louder[0], first[0] * 10**0.5, atol=1e-5)
    assert np.abs(np.corrcoef(first[0], first[1])[0, 1]) < 0.3, "each recording has its own stretch"


def test_which_noise_it_was_is_known_by_its_samples(tmp_path: Path) -> None:
    data = tones(tmp_path / "tones")
    tests = [NoiseTest(("white", "recorded"), folder=noise_folder(tmp_path / name)) for name in ("a", "b")]
    found = [about(test, data, tmp_path) for test in tests]
    assert found[0]["recorded"]["digest"] == found[1]["recorded"]["digest"]
    assert found[0]["recorded"]["seconds"] == 5.0
    assert "white" in found[0]
    soundfile.write(tmp_path / "b" / "kitchen 1.wav", np.full(RATE, 0.1), RATE)
    assert about(tests[1], data, tmp_path)["recorded"]["digest"] != found[0]["recorded"]["digest"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ("violet",)}, "noise is some of white, pink, brown, blue, recorded, got violet"),
        ({"kinds": ()}, "got none"),
        ({"kinds": ("white",), "snr_db": (float("nan"), 5.0, 200.0)}, "from -100 to 100, got nan, 200"),
        ({"kinds": ("white",), "snr_db": ()}, "got none"),
        ({"kinds": ("white",), "folder": Path("noises")}, "noise_folder=noises is for noise=recorded"),
    ],
)
def test_a_test_that_cannot_be_is_a_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseTest(**arguments)  # type: ignore[arg-type]


def test_without_recordings_of_noise_it_is_said_what_to_do(tmp_path: Path) -> None:
    data = tones(tmp_path / "tones")
    with pytest.raises(ValueError, match=r"folder keeps none for the test: noise_folder=FOLDER"):
        NoiseTest(("recorded",)).recordings(data)
    (tmp_path / "empty").mkdir()
    for folder, message in (("nowhere", "is no folder"), ("empty", "holds no recording that can be read")):
        with pytest.raises(ValueError, match=message):
            NoiseTest(("recorded",), folder=tmp_path / folder).recordings(data)


def test_a_corpus_with_noise_of_its_own_is_tested_in_that(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones", n_takes=2)
    noise_folder(folder / "_background_noise_")
    table = NoiseTest(("recorded",)).recordings(tones(folder))
    assert table is not None
    assert table.split == "noise_test"
    assert 0 < table.n_samples.sum() < 5 * RATE, "the last part of each recording"


def test_conditions_are_in_order_and_their_names_can_be_read_back() -> None:
    test = NoiseTest(("white", "pink"), (10.0, -2.5, 10.0))
    assert [name for name, _, _ in test.conditions] == ["white_-2.5_db", "white_10_db", "pink_-2.5_db", "pink_10_db"]
    assert [parsed(name) for name, _, _ in test.conditions] == [(kind, snr) for _, kind, snr in test.conditions]
    assert [name for name, _, _ in NoiseTest(("white",)).conditions][:2] == ["white_5_db", "white_10_db"]
    assert parsed("far") is parsed("white_loud_db") is None
    assert condition("noise", 10.0) == "noise_10_db"


def test_evaluation_adds_figures_and_predictions_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonaut.cli import main

    write_tones(tmp_path / "tones", n_takes=2)
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            ["train", *typed(*run_settings(tmp_path / "tones"), "model=gmm", "trainer.max_epochs=3"), "experiment_id=x"]
        )
        == 0
    )
    folder = tmp_path / "trained_models" / "x" / "gmm"
    clean = json.loads((folder / "metrics.json").read_text())
    assert main(["evaluate", "trained_models/x", "noise=white", "snr_db=-10,5,40"]) == 0
    capsys.readouterr()
    noise = noise_folder(tmp_path / "noise")
    words = ["evaluate", "trained_models/x", "noise=recorded", "snr_db=[0]", f"noise_folder={noise}"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "in recorded" in shown
    assert " at -10 dB, " in shown

    metrics = json.loads((folder / "metrics.json").read_text())
    assert {k: v for k, v in metrics["test"].items() if "/" not in k} == clean["test"]
    assert metrics["validation"] == clean["validation"]
    assert set(metrics["test"]) - set(clean["test"]) == {
        f"{metric}/{name}"
        for metric in ("accuracy", "recall", "f1")
        for name in ("white_-10_db", "white_5_db", "white_40_db", "recorded_0_db")
    }
    loud, soft = (metrics["test"][f"accuracy/white_{snr}_db"]["value"] for snr in (-10, 40))
    assert loud < soft, "noise of ten times the power harms; of a ten thousandth, it does not"
    assert soft == pytest.approx(clean["test"]["accuracy"]["value"], abs=0.1)
    files = {path.name for path in (folder / "predictions").iterdir()}
    assert {"test.white_-10_db.npz", "test.white_40_db.npz", "test.recorded_0_db.npz"} <= files
    assert set(json.loads((folder / "noise.json").read_text())["test"]) == {"white", "recorded"}
    page = (folder / "report.html").read_text()
    assert page.index("white -10 db") < page.index("white 5 db") < page.index("white 40 db")

    assert main(["evaluate", "trained_models/x"]) == 0
    assert json.loads((folder / "metrics.json").read_text()) == metrics, "another evaluation keeps them"
    assert main(["evaluate", "trained_models/x", "snr_db=5"]) == 2
    assert "snr_db= goes with noise=" in capsys.readouterr().err
    assert main(["evaluate", "trained_models/x", "noise=white", "snr_db=5,soft"]) == 2
    assert "snr_db must be numbers, with commas between, got 5,soft" in capsys.readouterr().err
