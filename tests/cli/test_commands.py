"""Every command has help of its own, and a command of somebody else is one file and one configuration file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import phonaut.config
from phonaut.cli import commands, load, main
from phonaut.cli.options import options_of
from phonaut.config.plugins import choices

TOY = '''
"""Commands of somebody else."""
from dataclasses import dataclass

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Count(Command):
    """Count the words of files.

    Longer words can be asked for.
    """

    arguments = {"FILE ...": "texts"}
    examples = {"a.txt least=3": "words of three letters and more"}

    least: int = option(1, "letters of a word", least=1)

    def run(self) -> int:
        print(sum(len(word) >= self.least for path in self.paths for word in open(path).read().split()))
        return 0


def shout(*files: str, times: int = 1, softly: bool = False) -> int:
    """Shout names of files.

    Args:
        times: how often.
    """
    for file in files:
        print((file if softly else file.upper()) * times)
    return len(files)
'''


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words by which a folder with two toy commands is added."""
    monkeypatch.delitem(sys.modules, "toy_commands", raising=False)
    (tmp_path / "toy_commands.py").write_text(TOY)
    (tmp_path / "a.txt").write_text("one of three")
    folder = tmp_path / "conf" / "command"
    folder.mkdir(parents=True)
    (folder / "count.yaml").write_text("_target_: toy_commands.Count\n")
    (folder / "shout.yaml").write_text("_target_: toy_commands.shout\n")
    monkeypatch.chdir(tmp_path)
    return ["--config-dir", "conf"]


def test_a_command_of_a_class_runs_is_listed_and_has_help(toys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*toys, "count", "a.txt", "least=3"]) == 0
    assert capsys.readouterr().out == "2\n"
    assert main(["--help", *toys]) == 0
    assert re.search(r"^  count +Count the words of files\.$", capsys.readouterr().out, flags=re.MULTILINE)
    assert main(["count", "--help", *toys]) == 0
    page = capsys.readouterr().out
    for line in (
        "Longer words can be asked for.",
        "  phonaut count FILE ... [KEY=VALUE ...]",
        "  FILE ...  texts",
        "  least=            letters of a word\n                    a whole number >= 1; default: 1",
        "  phonaut count a.txt least=3\n      words of three letters and more",
    ):
        assert line in page
    assert main(["count", "a.txt", "leest=3"]) == 2
    assert "count takes least=; it got leest; did you mean least?" in capsys.readouterr().err
    assert main(["count"]) == 2
    assert "usage: phonaut count FILE ..." in capsys.readouterr().err


def test_a_function_is_a_command_too(toys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shout", "a.txt", "b", "times=2", *toys]) == 2, "what it returns is the exit code"
    assert capsys.readouterr().out == "A.TXTA.TXT\nBB\n"
    assert main(["help", "shout"]) == 0
    page = capsys.readouterr().out
    assert "Shout names of files." in page
    assert "  softly=           true or false; default: false" in page
    assert main(["shout", "times=often"]) == 2
    assert "times must be a whole number, got often" in capsys.readouterr().err


def test_a_command_that_cannot_be_imported_spoils_no_other(
    toys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "command" / "broken.yaml").write_text("_target_: no_such_module.run\n")
    (tmp_path / "conf" / "command" / "odd.yaml").write_text("_target_: pathlib.Path\n")
    assert main(["--help", *toys]) == 0
    shown = capsys.readouterr().out
    assert "no_such_module.run cannot be imported" in " ".join(shown.split())
    assert "Count the words of files." in shown
    assert main(["broken"]) == 2
    assert main(["odd"]) == 2
    assert "is neither a function nor a subclass of" in capsys.readouterr().err


def test_a_name_of_ours_and_words_without_effect_are_refused(
    toys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "command" / "train.yaml").write_text("_target_: toy_commands.shout\n")
    assert main(["train", *toys]) == 2
    assert "command/train.yaml: there is such a command already" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_of_its_own_in_eighty_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pages = []
    for words in ([name, "--help"], [name, "-h"], ["help", name], ["--help", name], [name, "RUN", "key=value", "-h"]):
        assert main(words) == 0
        pages.append(capsys.readouterr().out)
    assert len(set(pages)) == 1
    (page, *_) = pages
    assert f"\nUsage\n  phonaut {name}" in page
    assert "\nExamples\n" in page
    assert max(map(len, page.splitlines())) <= 80
    command = load(commands()[name])
    for key, one in options_of(command).items():
        assert one.metadata["help"], "an option says what it does"
        assert one.metadata["flags"] or f"\n  {key}= " in page
    for path in command.arguments:
        assert path.strip("[]") in page


def test_help_of_all_is_within_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    pages = []
    for words in ([], ["help"], ["-h"], ["--help"]):
        assert main(words) == 0
        pages.append(capsys.readouterr().out)
    assert len(set(pages)) == 1
    assert max(map(len, pages[0].splitlines())) <= 80


def test_a_folder_named_help_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("phonaut.runs.members", lambda run: [run])
    monkeypatch.setattr("phonaut.runs.evaluate", lambda run, request: asked.append((run, request.data_folder)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "help").mkdir()
    with pytest.raises(TypeError):  # of the stand-in, which gives no run
        main(["evaluate", "RUN", "help"])
    assert asked == [("RUN", Path("help"))]
    assert "Usage" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["help", "evalute"], "did you mean evaluate?"),
        (["evaluate", "a", "b", "c"], "evaluate takes RUN and one FOLDER; it got 3 paths: a, b, c"),
        (["evaluate", "a", "b", "split=validation"], "split=validation is of the run's corpus"),
        (["evaluate", "a", "classes=3"], "classes= goes with a probe"),
        (["evaluate", "a", "dataset=fsdd", "noise=white"], "noise= has no effect on a probe"),
        (["evaluate", "a", "b", "dataset=fsdd"], "a probe takes one RUN; it got 2 paths"),
        (["align", "aligner=hmm", "n_jobs=3"], "n_jobs= is for pocketsphinx"),
        (["align", "aligner=hm"], "aligner must be pocketsphinx, hmm or both, got hm; did you mean hmm?"),
        (["prepare", "units=3", "units_kind=bp"], "units_kind must be unigram, bpe or char, got bp; did you mean bpe?"),
        (["extract", "a", "dataset=fsdd", "layer=-1"], "layer must be a whole number >= 0, last, all or weighted"),
        (["report", "a", "output=b"], "report has no options; it got output"),
        (["report", "--output", "a"], "--output is not a flag of report"),
        (["train", "-c", "hydra"], "-c must be followed by job, got hydra"),
        (["train", "-c"], "-c must be followed by job, got nothing"),
        (["train", "-m=3"], "-m takes no value"),
        (["train", "-m", "-c", "job"], "-c job prints one configuration: leave -m out"),
        (["train", "--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["train", "--config-dir"], "--config-dir needs a folder"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(("error", "code"), [(ValueError("no"), 2), (OSError("no"), 1), (KeyboardInterrupt(), 130)])
def test_the_exit_code_says_whose_fault_it_was(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.delenv("PHONAUT_DEBUG", raising=False)
    monkeypatch.setattr("phonaut.config.compose.compose", fail)
    assert main(["train"]) == code
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("PHONAUT_DEBUG", "1")
    if code != 130:
        with pytest.raises(type(error), match="no"):
            main(["train"])


def test_the_module_train_is_the_command_train(tmp_path: Path) -> None:
    pages = {
        subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for words in (["phonaut", "train", "--help"], ["phonaut.train", "--help"])
    }
    assert len(pages) == 1


def test_the_figures_of_compare_are_those_of_the_registry(toys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/metric").mkdir()
    Path("conf/metric/loudness.yaml").write_text("_target_: toy_commands.Loudness\n")
    assert main(["compare", "--help", *toys]) == 0
    page = " ".join(capsys.readouterr().out.split())
    ours = sorted(path.stem for path in Path(phonaut.config.__path__[0], "conf", "metric").glob("*.yaml"))
    assert f"{', '.join(ours)} or loudness; default:" in page
    assert main(["compare", "a", "b", "metric=loudnes"]) == 2
    assert "got loudnes; did you mean loudness?" in capsys.readouterr().err


def test_help_of_train_has_every_key_of_the_root_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    from phonaut.config.compose import compose
    from phonaut.config.schema import EarlyStopping, Encoder, Generated, Negatives, Teacher

    assert main(["train", "--help"]) == 0
    page = capsys.readouterr().out
    config = compose()
    values = vars(config)
    scalars = {
        key
        for key in values
        if not isinstance(values[key], dict | Encoder | EarlyStopping | Generated | Negatives | Teacher)
    } - {*choices()}
    scalars.remove("imported")  # of runs alone
    assert len(scalars) > 15
    for key in scalars:
        assert f"\n  {key}= " in page
