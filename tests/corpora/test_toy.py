"""A corpus of somebody else: one class and one configuration file, nothing of ours edited."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonaut.config import plugins
from phonaut.config.compose import compose
from phonaut.tasks.build import prepared_corpus

PAGE = (Path(__file__).parents[2] / "docs" / "extend.md").read_text(encoding="utf-8")
RATE = 8000


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of docs/extend.md, and recordings."""
    monkeypatch.setattr(plugins, "_added", [])
    for name, content in re.findall(r"```\w+\n# mine/(\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(content)
    (tmp_path / "recordings").mkdir()
    for i, (word, speaker) in enumerate((word, speaker) for word in ("no", "yes") for speaker in "abcdefghij"):
        audio = np.random.default_rng(i).standard_normal(RATE // 4) / 10
        soundfile.write(tmp_path / "recordings" / f"{word}-{speaker}-0.wav", audio, RATE)
    monkeypatch.chdir(tmp_path)
    plugins.add_config_dir(tmp_path / "mine" / "conf")
    return tmp_path


@pytest.mark.parametrize(
    "words", [[], ["protocol=folds", "protocol.fold=1"], ["protocol=by_recording"], ["target=speaker"]]
)
def test_a_corpus_is_added_by_one_file_and_one_configuration_file(words: list[str], toy: Path) -> None:
    config = compose(["dataset=toy", "features.sample_rate=8000", *words])
    prepared = prepared_corpus(config)
    assert prepared.name == "toy"
    assert prepared.words == ["no", "yes"]
    assert sum(len(prepared.utterances(split)) for split in ("train", "validation", "test")) == 20
    assert prepared.notes[0].startswith("toy; ")


def test_a_folder_that_is_not_there_is_an_empty_corpus(toy: Path) -> None:
    with pytest.raises(ValueError, match="dataset=toy has no recordings"):
        prepared_corpus(compose(["dataset=toy", "dataset.data_folder=elsewhere"]))
