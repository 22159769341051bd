"""The files of docs/extend.md, written as they stand, make its commands run."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.cli import main
from phonaut.config import plugins

PAGE = (Path(__file__).parent.parent / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^phonaut .*$", PAGE, flags=re.MULTILINE)]


def test_each_addition_is_two_files_of_few_lines() -> None:
    assert len(FILES) == 2 * len(COMMANDS) >= 4
    assert len(re.findall("```(?:python|yaml)", PAGE)) == len(FILES), "each says where it lies"
    assert all(len(text.splitlines()) <= 20 for _, text in FILES)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_the_commands_of_the_page_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    toy = "dataset=toy" in words
    folder = write_tones(tmp_path / "recordings", n_speakers=5 if toy else 3, n_takes=1)
    if toy:
        for path in folder.glob("*/*.wav"):
            path.rename(folder / f"{path.parent.name}-{path.stem.replace('_', '-')}.wav")
    if words[0] == "train":
        given = ("protocol.",) if toy else ("features.",) if "features=energy" in words else ()
        settings = [word for word in run_settings(folder, small=True)[2:] if not word.startswith(given)]
        words = [*words, *settings, "experiment_id=x"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    if words[0] == "train":
        (run,) = (tmp_path / "trained_models" / "x").iterdir()
        assert json.loads((run / "metrics.json").read_text())["test"]["margin"]["n"] > 0
        assert '<th scope="col">Mean margin</th>' in (run / "report.html").read_text()
        assert ("toy; fold 1 of 5: 5 speakers" in shown) == toy
    else:
        assert shown == "recordings 9\n"
    if "model=mean" not in words:
        return
    assert re.search(r"^  scale: 0.5$", (tmp_path / "trained_models/x/mean/config.yaml").read_text(), re.MULTILINE)
    monkeypatch.setattr(plugins, "_added", [])  # another day, without the flag
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("mine")])
    monkeypatch.delitem(sys.modules, "pooling")
    assert main(["evaluate", "trained_models/x"]) == 2
    assert "pooling.Mean cannot be imported" in capsys.readouterr().err
    assert main(["evaluate", "trained_models/x", "--config-dir", "mine/conf"]) == 0


def test_a_class_that_cannot_be_imported_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("conf/model")
    folder.mkdir(parents=True)
    (folder / "lost.yaml").write_text("_target_: nowhere.Mean\n")
    (folder / "torn.yaml").write_text("_target_: [\n")
    assert main(["train", "model=lost", "--config-dir", "conf"]) == 2
    said = capsys.readouterr().err
    assert "nowhere.Mean cannot be imported: No module named 'nowhere'; a class of your own needs --config-dir" in said
    assert main(["train", "model=torn"]) == 2
    assert "torn.yaml" in capsys.readouterr().err
