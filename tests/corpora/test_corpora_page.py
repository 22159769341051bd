"""The commands of docs/corpora.md are what the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.utils import instantiate

from phonaut.cli.options import options_of
from phonaut.cli.prepare import Prepare, with_transcripts
from phonaut.config.compose import ConfigurationError, compose
from phonaut.corpora import Corpus

PAGE = Path(__file__).parents[2] / "docs" / "corpora.md"
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) if PAGE.exists() else []
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if re.match("phonaut (train|prepare) ", line)]


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine's disk does not count."""
    monkeypatch.delenv("PHONAUT_DATA", raising=False)


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_makes_a_corpus(command: str) -> None:
    words = [
        word for word in shlex.split(command, comments=True)[2:] if word.partition("=")[0] not in options_of(Prepare)
    ]
    if "units=" in command:
        words = with_transcripts(words)
    assert isinstance(instantiate(compose(words).dataset), Corpus)


@pytest.mark.parametrize("dataset", ["fsdd", "kws"])
def test_public_corpora_are_looked_for_where_the_page_says(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {"fsdd": "fsdd", "kws": "speech_commands"}[dataset]
    assert compose([f"dataset={dataset}"]).dataset["data_folder"] == f"datasets/{usual}"
    monkeypatch.setenv("PHONAUT_DATA", "/corpora")
    assert compose([f"dataset={dataset}"]).dataset["data_folder"] == f"/corpora/{usual}"


def test_the_keys_of_speech_commands_set_the_augmentation() -> None:
    words = ["dataset=kws", "dataset.timeshift_ms=50", "dataset.train_snr_low=-5", "dataset.train_snr_high=15"]
    augmentation = compose(words).augmentation
    assert [augmentation[key] for key in ("timeshift_ms", "snr_low_db", "snr_high_db")] == [50, -5, 15]
    with pytest.raises(ConfigurationError, match=r"dataset\.timeshift_ms=50 has no effect"):
        compose([*words, "augmentation.timeshift_ms=7"])


@pytest.mark.parametrize("dataset", ["fsdd", "kws", "folder"])
def test_every_key_of_an_adapter_is_in_its_configuration(dataset: str) -> None:
    import inspect

    from hydra.utils import get_class

    options = compose([f"dataset={dataset}"]).dataset
    parameters = inspect.signature(get_class(options["_target_"])).parameters
    assert set(options) - {"_target_"} == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty and name not in ("wanted_words", "timeshift_ms"):
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert options[name] == default or not (options[name] or default) or "snr" in name
