"""The shells complete commands, groups, choices, keys, values and files."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from phonaut.cli import main
from phonaut.cli.completion import SCRIPTS, words_after


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("phonaut pre", ["predict", "prepare"]),
        ("phonaut help tra", ["train"]),
        ("phonaut train mod", ["model=", "module=", "model.", "module.", ":files"]),
        ("phonaut train model=ls", ["model=lstm", "model=lstm_vae"]),
        ("phonaut train -m model=lstm,gr", ["model=lstm,gru"]),
        ("phonaut train dataset=folder dataset.data", ["dataset.data_folder=", ":files"]),
        ("phonaut train dataset.data_f", [":files"]),
        ("phonaut train 'experiment_id=my run' streaming=t", ["streaming=true"]),
        ("phonaut train trainer.enable_progress_bar=f", ["trainer.enable_progress_bar=false"]),
        ("phonaut evaluate RUN target=ph", ["target=phone"]),
        ("phonaut evaluate RUN mod", [":files"]),
        ("phonaut predict RUN format=", ["format=table", "format=csv", "format=json"]),
        ("phonaut predict RUN output=a", [":files"]),
        ("phonaut compare A B metric=acc", ["metric=accuracy"]),
        ("phonaut nothing model=", []),
    ],
)
def test_a_line_has_these_words_to_go_on(line: str, expected: list[str]) -> None:
    assert words_after(line) == expected


def test_bash_completes_behind_an_equals_sign_and_files(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    script = f"""
phonaut() {{ {shlex.quote(sys.executable)} -m phonaut "$@"; }}
{SCRIPTS["bash"]}
ask() {{ COMP_LINE="$1"; COMP_POINT=${{#1}}; COMP_WORDS=($1); _phonaut; echo "${{COMPREPLY[*]}}"; }}
ask "phonaut train normalizer=ga"
ask "phonaut train dataset.data_folder=rec"
complete -p phonaut
"""
    shown = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["gain gain_batch", "recordings", "complete -F _phonaut phonaut"], shown.stderr


def test_there_is_a_script_for_each_shell_and_none_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        assert "completion words" in capsys.readouterr().out
    assert main(["completion", "fish"]) == 2
    assert "bash and zsh" in capsys.readouterr().err
