"""What is to be said of a folder that a run scored: its own refusals, and the speakers whom the run was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import FolderCorpus
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.files import read_json
from phonaut.reports.text import trained_speakers
from phonaut.tasks.recordings import FOLDERS_FILE, about_folder, speakers_of


def recordings(root: Path, speakers: str, **options: object) -> PreparedCorpus:
    """Two words of some speakers, and an empty file."""
    for i, (speaker, word) in enumerate((s, w) for s in speakers for w in ("yes", "no")):
        path = root / word / f"{speaker}_1.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(len(root.name) + i).standard_normal(800), 16000)
    (root / "yes" / f"{speakers[0]}_2.wav").touch()
    return prepare(divided(FolderCorpus, data_folder=root, **options), sample_rate=16000)


def test_refusals_are_the_folders_own_and_speakers_of_the_training_are_named(tmp_path: Path) -> None:
    trained = recordings(tmp_path / "own", "abcdefghij", test_speakers=["i", "j"])
    (validated,) = speakers_of(trained, "validation")
    other = recordings(tmp_path / "others", f"aij{validated}yz", protocol="all_test")
    about_folder(tmp_path, "others", other, other.refused, str(trained.folder))
    about_folder(tmp_path, "more", other, [], None)
    about_folder(tmp_path, "gone", other, [], str(tmp_path / "gone"))
    folders = read_json(tmp_path / FOLDERS_FILE, {})
    assert [line["path"] for line in folders["others"]["refused"]] == [str(tmp_path / "others" / "yes" / "a_2.wav")]
    assert {folder.pop("prepared") for folder in folders.values()} == {str(other.folder)}
    assert folders["others"] | {"refused": []} == {
        "refused": [], "n_speakers": 6, "trained_speakers": ["a"], "validation_speakers": [validated]
    }  # fmt: skip
    assert trained_speakers(folders["others"]).startswith(
        "1 of 6 have the names of speakers whom the model was trained on (a); "
        f"1 of 6 have the names of speakers whom the model was validated on ({validated}): "
    )
    assert folders["more"] == {"refused": []}, "a model of speakers is trained on them"
    assert trained_speakers(folders["more"]) == ""
    assert "is not known: its prepared corpus is gone" in trained_speakers(folders["gone"])


@pytest.mark.parametrize(("known", "said"), [([], ""), (["a"], "1 of 30 "), (list(map(str, range(12))), "9 ...)")])
def test_the_sentence_names_ten_speakers_at_most(known: list[str], said: str) -> None:
    assert said in trained_speakers({"n_speakers": 30, "trained_speakers": known})
