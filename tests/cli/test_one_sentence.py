"""Words and files that cannot be are answered by one sentence, wherever a command meets them, and nothing is lost."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.runs_of_tones import write_tones
from phonaut.cli import main

TONES = ["dataset=folder", "dataset.data_folder=tones"]
TRAIN = [
    "train",
    *TONES,
    "protocol=by_speaker",
    "model=majority",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
]
AGAIN = f"phonaut {' '.join(TRAIN)} output_dir=stopped experiment_id=b"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    write_tones(place / "tones", n_takes=1)
    return place


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("HOME", str(home))
        assert main([*TRAIN, "output_dir=~/runs", "experiment_id=a", "profiler=simple"]) == 0
    return home / "runs" / "a" / "majority"


@pytest.mark.slow
def test_a_run_below_home_lies_there_as_a_whole(run: Path, home: Path) -> None:
    assert {"config.yaml", "model.safetensors", "metrics.json", "checkpoints", "fit-profile.txt"} <= {
        path.name for path in run.iterdir()
    }
    assert not (home / "~").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "RUN", "split=foo"], "split=foo: must be train, validation or test"),
        (["evaluate", "RUN", "judge=~/runs/a/majority"], "judge= is of generators, and"),
        (["evaluate", "RUN", "convert=gender:f"], "convert=gender:f goes with judge=RUN"),
        (["evaluate", "RUN", "strength=2"], "strength= goes with convert=gender:f or another conversion"),
        (["evaluate", "HALF"], "config.yaml is damaged: it has no"),
        (["prepare", "dataset=folder", "dataset.data_folder=~tilde"], "dataset.data_folder=~tilde does not exist"),
        (
            ["prepare", "dataset=folder", "dataset.data_folder=open.csv"],
            "open.csv:3: a quote is not closed on its line",
        ),
        ([*TRAIN, "trainer.num_nodes=2"], "start it on each with torchrun, or by SLURM"),
        ([*TRAIN, "dataset.clip_s=0.0001"], "dataset.clip_s=0.0001: must be from 0.01 to 3600"),
        ([*TRAIN, "-m", "features=mfcc,nope"], "features=nope is not a choice"),
        ([*TRAIN, "--config-dir", "mine", "foo=zz"], "unknown group foo"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_it_is_said_in_one_sentence(
    words: list[str],
    said: str,
    run: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("MASTER_ADDR", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "KUBERNETES_PORT"):
        monkeypatch.delenv(name, raising=False)
    half = home / "half"
    shutil.copytree(run, half, dirs_exist_ok=True)
    text = (run / "config.yaml").read_bytes()
    (half / "config.yaml").write_bytes(b"".join(text.splitlines(keepends=True)[:12]))
    rows = [f"tones/{word}/s{s}_0.wav,{word},s{s}" for s in range(3) for word in ("low", "high")]
    rows[1] = '"' + rows[1]
    (home / "open.csv").write_text("path,label,speaker\n" + "\n".join(rows) + "\n")
    (home / "mine" / "foo").mkdir(parents=True, exist_ok=True)
    (home / "mine" / "foo" / "zz.yaml").write_text("a: 1\n")
    names = {"RUN": str(run), "HALF": str(half)}
    assert main([names.get(word, word) for word in words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_double_precision_trains_on_augmented_recordings() -> None:
    words = [
        "model=tc-res8",
        "model.channels=[4,4]",
        "trainer.precision=64-true",
        "batch_size=8",
        "experiment_id=double",
    ]
    assert main([*(word for word in TRAIN if word != "model=majority"), *words]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset.data_folder=nowhere"], "dataset.data_folder=nowhere does not exist"),
        (["dataset.data_folder=nowhere", "experiment_id=b"], "dataset.data_folder=nowhere does not exist"),
        (["dataset.data_folder=nowhere", "-m", "seed=0,1"], "dataset.data_folder=nowhere does not exist"),
        (
            ["model=tc-res8", "model.channels=[4,4]", "batch_size=8", "scheduler.total_steps=1"],
            "scheduler.total_steps=1 is less than training takes,",
        ),
    ],
)
def test_what_is_refused_leaves_nothing(
    words: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = {word.partition("=")[0] for word in (*words, "model=tc-res8")}
    others = [word for word in TRAIN if word.partition("=")[0] not in typed]
    assert main([*others, "output_dir=new/er", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (home / "new").exists(), list((home / "new").rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "error", "code", "said"),
    [
        ("phonaut.tasks.build.prepared_corpus", KeyboardInterrupt, 130, "nothing was trained yet; the same command"),
        ("phonaut.tasks.classification.score", KeyboardInterrupt, 130, f"{AGAIN} goes on from the last checkpoint"),
        ("phonaut.reports.page.write_report", KeyboardInterrupt, 130, "phonaut report stopped/b/majority writes its"),
        ("phonaut.tasks.classification.score", BrokenPipeError, 1, f"this one with it: {AGAIN} goes on from the"),
    ],
)
def test_whoever_is_stopped_says_how_to_go_on(
    at: str, error: type, code: int, said: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    shutil.rmtree(home / "stopped", ignore_errors=True)
    monkeypatch.setattr(at, stopped)
    assert main([*TRAIN, "output_dir=stopped", "experiment_id=b"]) == code
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_refusal_of_the_trainer_comes_before_the_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in TRAIN if word != "model=majority"]
    words += ["model=tc-res8", "model.channels=[4,4]", "batch_size=8", "scheduler.total_steps=1"]
    assert main(words) == 2
    assert "to resume" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*TRAIN, "output_dir=locked/runs"], "locked/runs may not be written: type output_dir=FOLDER"),
        (["compare", "a", "b", "output=locked"], "locked may not be written: type output=FOLDER"),
        (["report", "a"], "locked may not be written: set PHONAUT_CACHE to another folder"),
    ],
)
def test_a_place_that_may_not_be_written_is_named_with_the_option_for_another(
    words: list[str], said: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:  # whoever runs tests as root may write anywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setenv("PHONAUT_CACHE", str(home / "cache"))
    if words[0] == "train":
        monkeypatch.setattr(Path, "mkdir", refused)
    else:
        monkeypatch.setattr("phonaut.cli.compare.Compare.run", lambda self: refused(Path("locked")))
        monkeypatch.setattr("phonaut.cli.report.Report.run", lambda self: refused(home / "cache" / "locked"))
    assert main(words) == 1
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_refused_run_replaces_none(run: Path, home: Path) -> None:
    before = sorted(run.rglob("*"))
    words = ["output_dir=runs", "experiment_id=a", "overwrite=true", "dataset.data_folder=nowhere"]
    assert main([*TRAIN, *words]) == 2
    assert sorted(run.rglob("*")) == before
