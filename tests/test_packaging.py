"""What is shipped: a wheel and an sdist that hold the configuration, and run away from the checkout."""

import importlib.metadata
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.cli import main
from phonaut.runs import Run

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.mark.slow
def test_wheel_and_sdist_hold_every_configuration_and_template(built: Path) -> None:
    (wheel,), (sdist,) = list(built.glob("*.whl")), list(built.glob("*.tar.gz"))
    source = ROOT / "src"
    wanted = {
        str(path.relative_to(source)) for path in (source / "phonaut").rglob("*") if path.suffix in (".yaml", ".html")
    }
    assert len(wanted) > 30
    with zipfile.ZipFile(wheel) as archive:
        assert {*wanted, "hydra_plugins/phonaut_sweeper.py", "phonaut/py.typed"} <= set(archive.namelist())
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {f"src/{name}" for name in wanted} <= names
    assert {"LICENSE", "README.md", "Makefile", "constraints.txt"} <= names
    assert not any(name.startswith((".venv", "trained_models")) for name in names)


@pytest.mark.slow
def test_the_wheel_runs_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    # The packages it depends on are those of this environment; Phonaut itself comes from the wheel alone.
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'installed')!r}]; "
        f"sys.path.append({sysconfig.get_paths()['purelib']!r}); "
        "import phonaut; print(phonaut.__file__); from phonaut.cli import main; "
        "sys.exit(main(['train', '-c', 'job']))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0].startswith(str(tmp_path))
    assert "_target_: phonaut.networks.TCResNet8" in result.stdout


def test_every_dependency_is_pinned() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    wanted = {
        re.split(r"[<>=![]", name)[0].strip().lower().replace("_", "-") for name in [*project["dependencies"], *extras]
    }
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert wanted <= pinned


def test_a_run_needs_no_lhotse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the package nor its version is asked for by the commands; cuts as lhotse's are for Python alone."""
    version = importlib.metadata.version

    def without_lhotse(name: str) -> str:
        if name == "lhotse":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_lhotse)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lhotse"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lhotse", None)  # an import of it fails
    monkeypatch.chdir(tmp_path)
    settings = run_settings(write_tones(tmp_path / "tones", n_takes=1), small=True)
    assert main(["train", *settings, "model=majority", "experiment_id=a"]) == 0
    assert main(["evaluate", "trained_models/a"]) == 0
    assert Run("trained_models/a").metrics["test"]["accuracy"]["n"] > 0


def test_the_version_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    from phonaut import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
