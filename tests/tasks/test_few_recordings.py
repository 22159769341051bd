"""A few recordings of a word: the commands of docs/few_recordings.md, what is refused, and what is advised."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import phonaut
from helpers.runs_of_tones import RATE, run_settings, typed, write_tones
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.tasks.few_recordings import advice, with_unknown

PAGE = (Path(__file__).parents[2] / "docs" / "few_recordings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [shlex.split(line)[1:] for block in BLOCKS for line in block.replace("\\\n", "").splitlines()]
NEW = {"siren": 600.0, "whistle": 1600.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words, an encoder of them, and five recordings of two other words."""
    folder = tmp_path_factory.mktemp("few")
    tones = write_tones(folder / "words")
    write_tones(folder / "recordings", n_speakers=1, n_takes=5, words=NEW)
    write_tones(folder / "new_recordings", n_speakers=3, n_takes=1, words=NEW | {"_unknown_": 300.0})
    seconds = np.arange(2 * RATE) / RATE
    sound = np.where(seconds % 1 < 0.5, 0.2 * np.sin(2 * np.pi * 600 * seconds), 0.001 * np.cos(seconds * 1e4))
    soundfile.write(folder / "meeting.wav", sound, RATE)
    small = [word for word in run_settings(tones)[2:] if "speakers" not in word]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert (
            main(typed(*COMMANDS[0], *small, "model.channels=[8,8]", "dataset.clip_s=0.5", "normalizer=gain_batch"))
            == 0
        )
    return folder


def test_an_encoder_hears_through_the_learned_normaliser_of_its_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(typed(*COMMANDS[1], "experiment_id=behind")) == 0
    encoder = phonaut.load(next(Path("trained_models").glob("words/*"))).model
    front_end = phonaut.load("trained_models/behind/prototypes").model.front_end.train()
    audio, lengths = torch.randn(2, RATE), torch.tensor([RATE, RATE // 2])
    hidden, mask = encoder.network.hidden(*encoder.frames(audio, lengths))
    found, _ = front_end(audio, lengths)
    torch.testing.assert_close(found, hidden.masked_fill(~mask[:, :, None], 0.0), rtol=0, atol=1e-5)
    assert float(encoder.normalizer.norm.running_var.min()) != 1.0, "it was learned"


def test_the_commands_of_the_page_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert [words[0] for words in COMMANDS] == ["train", "train", "evaluate", "listen"]
    for words in COMMANDS[1:]:
        assert main(words) == 0
    shown = capsys.readouterr().out
    run = folder / "trained_models" / "mine" / "prototypes"
    about = json.loads((run / "model.json").read_text())
    assert about["classes"] == ["siren", "whistle", "_unknown_"]
    assert about["rejection"]["words"] == 3
    assert about["rejection"]["own"] == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["accuracy"]["n"] == 10, "each of the recordings is tested against the others"
    assert metrics["new_recordings"]["accuracy"]["n"] == 9
    assert metrics["new_recordings"]["accuracy"]["value"] > 0.8
    assert "try another network" not in shown, "of ten recordings none learns"
    assert "one recording" not in shown
    assert "loss" not in shown, "the means are counted, and nothing is validated"
    assert "epoch" not in shown
    assert re.search(r"rejected +none of the words below a cosine of .* which 1\.0 % of .* reach", shown)
    assert "Every" in PAGE
    assert "every recording is enrolled" in (run / "report.html").read_text()
    assert (run / "config.yaml").read_text().count("clip_s: 0.5") == 1, "cut as the encoder's words are"


def test_a_word_of_one_recording_is_said_to_be_tested_by_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    write_tones(tmp_path / "one", n_speakers=1, n_takes=1, words={"siren": 600.0})
    write_tones(tmp_path / "one", n_speakers=1, n_takes=2, words={"whistle": 900.0})
    words = ["dataset=folder", f"dataset.data_folder={tmp_path}/one", "model=prototypes", f"output_dir={tmp_path}/runs"]
    assert main(["train", *words, "encoder.run=trained_models/words"]) == 0
    assert (
        "of siren there is one recording, which no other can recognise: it counts as an error"
        in capsys.readouterr().out
    )


def test_one_word_and_other_words_of_the_user(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write_tones(tmp_path / "one", n_speakers=1, n_takes=3, words={"siren": 600.0})
    words = [
        "dataset=folder",
        f"dataset.data_folder={tmp_path}/one",
        "model=prototypes",
        "encoder.run=trained_models/words",
    ]
    words += [f"output_dir={tmp_path}/runs"]
    assert main(["train", *words, "experiment_id=one"]) == 0
    assert json.loads((tmp_path / "runs/one/prototypes/model.json").read_text())["classes"] == ["siren", "_unknown_"]
    write_tones(tmp_path / "more", n_speakers=5, n_takes=5, words={"_unknown_": 2000.0})
    (tmp_path / "more" / "_unknown_").rename(tmp_path / "one" / "_unknown_")
    assert main(["train", *words, "experiment_id=two"]) == 0
    about = json.loads((tmp_path / "runs/two/prototypes/model.json").read_text())
    assert about["classes"] == ["siren", "_unknown_"]
    assert about["rejection"]["own"] == 25


def test_other_words_of_the_user_are_enough_where_the_encoder_heard_no_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = json.loads(next(Path("trained_models").glob("words/*/model.json")).read_text())["classes"]
    write_tones(tmp_path / "same", n_speakers=1, n_takes=3, words=dict.fromkeys(words, 700.0))
    write_tones(tmp_path / "same", n_speakers=5, n_takes=5, words={"_unknown_": 2000.0})
    given = ["dataset=folder", f"dataset.data_folder={tmp_path}/same", "model=prototypes"]
    assert main(["train", *given, "encoder.run=trained_models/words", f"output_dir={tmp_path}/runs"]) == 0
    about = json.loads(next(tmp_path.glob("runs/*/prototypes/model.json")).read_text())["rejection"]
    assert (about["recordings"], about["own"]) == (0, 25)
    assert re.search(r"which 1\.0 % of 25 recordings of your _unknown_ reach", capsys.readouterr().out)


def test_few_recordings_without_options_are_tested_by_folds_and_prototypes_are_advised(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = compose(["dataset=folder", f"dataset.data_folder={folder}/recordings"])
    assert (config.choices["protocol"], config.protocol["n_folds"], config.choices["checkpoint"]) == ("few", 5, "last")
    assert "5 recordings of a word are few" in advice(config)
    assert "model=prototypes encoder.run=RUN" in advice(config)
    assert compose(["dataset=folder", f"dataset.data_folder={folder}/words"]).choices["protocol"] == "auto", "32 a word"
    own = ["dataset=folder", f"dataset.data_folder={folder}/recordings", "protocol.test_pct=20", "protocol.dev_pct=10"]
    assert compose([*own, "protocol.train_pct=70"]).choices["protocol"] == "auto", "as it was asked for"
    assert main(["train", "dataset=folder", f"dataset.data_folder={folder}/words", "protocol.test_speakers=[x]"]) == 2
    assert "are few" not in capsys.readouterr().err


def test_an_encoder_of_words_stands_in_front_of_any_model(folder: Path, tmp_path: Path) -> None:
    words = [f"encoder.run={folder}/trained_models/words", f"dataset.data_folder={folder}/words", "dataset=folder"]
    assert (
        main(["train", *words, "model=gmm", "model.n_mix=1", "encoder.n_components=2", f"output_dir={tmp_path}"]) == 0
    )
    with pytest.raises(ConfigurationError, match=r"encoder\.n_components=17: must be from 1 to 16"):
        compose([*words, "model=gmm", "encoder.n_components=17"])
    with pytest.raises(ConfigurationError, match=r"encoder\.layer=2: of a classifier it is last"):
        compose([*words, "model=gmm", "encoder.layer=2"])


def test_prototypes_need_other_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"model=prototypes compares .* type encoder\.run=RUN"):
        compose(["dataset=folder", "model=prototypes"])
    run = f"encoder.run={folder}/trained_models/words"
    with pytest.raises(ConfigurationError, match="is for words, target=keyword"):
        compose(["dataset=folder", "model=prototypes", run, "target=speaker"])
    same = ["train", "dataset=folder", f"dataset.data_folder={folder}/words", "model=prototypes", run]
    monkeypatch.chdir(tmp_path)
    assert main(same) == 2
    assert "the words that encoder.run=" in capsys.readouterr().err
    monkeypatch.chdir(folder)
    assert main([*same, f"output_dir={tmp_path}"]) == 2
    assert "put 20 recordings of other words or more into a folder _unknown_" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert with_unknown(["_unknown_", "a"]) == ["a", "_unknown_"]
