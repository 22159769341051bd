"""The commands of README.md and some pages of docs are what the command line takes, and those of a newcomer run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.processes import Command
from helpers.runs_of_tones import write_tones
from phonaut.cli import commands as known_commands
from phonaut.config.compose import draft

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"```(?:sh|bash)\n(.*?)```", flags=re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page; a line that ends in a backslash goes on in the next."""
    blocks = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip() and not line.startswith("#")]


PAGES = (
    "command_line",
    "compare",
    "results",
    "align",
    "mockingjay",
    "listen",
    "detection",
    "own_words",
    "export",
    "few_recordings",
    "reproducible",
    "sweeps",
)


@pytest.mark.readme
@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{name}.md" for name in PAGES)],
)
def test_every_command_is_one_that_exists(page: str) -> None:
    found = commands(page)
    assert found
    for words in found:
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), words
        elif words[0] == "phonaut":
            assert words[1] in known_commands(), words
            if words[1] in ("train", "prepare") and "-m" not in words:
                _, found = draft([word for word in words[2:] if "=" in word and "$" not in word])
                assert not [problem for problem in found if "phonaut align makes one" not in problem
                            and "trained_models/" not in problem]  # fmt: skip
        elif words[0] == "python":
            assert (ROOT / words[1]).exists(), words
        else:
            pytest.fail(f"{page} names a command that no test knows: {words}")


@pytest.mark.readme
@pytest.mark.slow
def test_the_commands_and_the_program_for_ones_own_recordings_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tones(tmp_path / "recordings", n_speakers=10, n_takes=2)
    write_tones(tmp_path / "new_recordings", n_speakers=2, n_takes=1)
    mine = [words for words in commands("README.md") if words[0] == "phonaut"]
    assert [words[1] for words in mine] == ["train", "evaluate"]
    small = ["experiment_id=ID", "trainer.max_epochs=1", "trainer.accelerator=cpu"]  # the page's run takes minutes
    for words, more in zip(mine, [small, []], strict=True):
        Command(tmp_path, [*words[1:], *more]).finish()
    monkeypatch.chdir(tmp_path)
    shutil.copy(tmp_path / "recordings" / "low" / "s0_0.wav", tmp_path / "yes.wav")
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(program.strip().splitlines()) <= 7
    shutil.copytree(tmp_path / "trained_models" / "ID", tmp_path / "trained_models" / "OTHER")
    names: dict[str, object] = {}
    exec(program, names)
    assert getattr(names["answer"], "label", "") in ("low", "middle", "high")


@pytest.mark.readme
def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.readme
def test_every_area_of_decisions_is_in_their_table_of_contents() -> None:
    folder = ROOT / "docs" / "decisions"
    areas = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert areas == set(re.findall(r"\]\((\w+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    for name in areas:
        notes = (folder / name).read_text(encoding="utf-8").split("\n## ")
        assert len(notes) > 1, name
        assert all(len(note) > 80 for note in notes[1:]), f"{name} has a decision without a reason"


@pytest.mark.readme
def test_the_project_names_no_path_of_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".yaml", ".toml", ".txt", ".json")
            and path.exists()
            and name != "tests/test_readme.py"
        ):
            assert not re.search(r"/(work|root)/\w", path.read_text(encoding="utf-8")), name


@pytest.mark.readme
@pytest.mark.slow
def test_the_site_builds_with_the_reference_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr  # a broken link, too
    for name, said in {
        "index": "From Python", "python": "phonaut.train", "reference/phonaut": "log_likelihoods",
        "reference/phonaut.hmm": "GaussianHMM", "reference/phonaut.features": "n_mfcc",
    }.items():  # fmt: skip
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert said in page, name
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=.https?:", page), f"{name} fetches from elsewhere"
