"""A run folder from somebody else runs no code: what its configuration names is checked before it is imported."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from helpers.hostile_targets import HOSTILE
from helpers.scored_runs import scored, write_scored
from phonaut.cli import main
from phonaut.config import plugins, trust
from phonaut.config.compose import ConfigurationError, compose, read_config
from phonaut.config.yaml_files import read_yaml

# Where a class may be named: each makes a configuration of one node.
PLACES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **{group: lambda node, group=group: {group: node} for group in ("task", "model", "features", "normalizer")},
    **{
        group: lambda node, group=group: {group: node} for group in ("optimizer", "scheduler", "checkpoint", "profiler")
    },
    **{group: lambda node, group=group: {group: node} for group in ("dataset", "protocol", "module", "objective")},
    "a trusted class's option": lambda node: {"model": {"_target_": "phonaut.networks.LSTM", "hidden_size": node}},
    "a list": lambda node: {"features": {"_target_": "phonaut.features.MFCC", "n_mels": [1, [node]]}},
    "a group without a class": lambda node: {"trainer": {"strategy": node}},
    "an encoder": lambda node: {"encoder": {"run": "x", "built": {"model": node, "features": None}}},
    "a mix": lambda node: {"dataset": {"_target_": "phonaut.corpora.Mix", "corpora": [{"name": "x", "corpus": node}]}},
    "the root": lambda node: node,
    "a key of no version": lambda node: {"hooks": {"later": node}},
}
SEEN = "seen.txt"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that leaves a trace where it is imported or its function is called."""
    trace = f"open({str(tmp_path / SEEN)!r}, 'a').write('x')"
    (tmp_path / "evil_words.py").write_text(f"{trace}\ndef run(*a, **k): {trace}\nclass Net:\n    run = run\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evil_words", raising=False)
    return "evil_words"


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_class_or_function_but_those_of_the_groups_may_be_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_is_imported(name: str, package: str | None = None) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(importlib, "import_module", nothing_is_imported)
    monkeypatch.setattr(trust, "_typed", set())  # of other tests
    for name in HOSTILE[kind].split():
        for place, config in PLACES.items():
            problems = trust.problems(config({"_target_": name}))
            assert len(problems) == 1, f"{name} in {place}"
            assert f"{name} cannot be imported" in problems[0]
        model = {"_target_": "phonaut.models.GenerativeClassifier", "density": name}
        assert trust.problems({"model": model}), name


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["plain", "partial", "arguments", "flow", "interpolated"])
def test_a_class_is_found_wherever_it_is_named_and_however(place: str, how: str, evil: str, tmp_path: Path) -> None:
    node: dict[str, Any] = {"_target_": f"{evil}.run"}
    if how == "interpolated":
        node = {"_target_": "${oc.env:EVIL,evil_words}.run"}
    elif how in ("partial", "arguments"):
        node |= {"_partial_": True} if how == "partial" else {"_args_": [1], "_recursive_": False, "_convert_": "all"}
    text = OmegaConf.to_yaml(PLACES[place](node))
    if how == "flow":
        text = re.sub(r"_target_: (\S+)", r'"_target_" : "\1"', text)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml: .*cannot be imported"):
        read_config(tmp_path)
    assert not (tmp_path / SEEN).exists()


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "a"],
        ["extract", "a", "dataset=fsdd"],
        ["report", "a"],
        ["compare", "a", "b"],
        ["train", "encoder.run=a"],
    ],
)
def test_every_command_that_reads_a_run_refuses_it(
    words: list[str], evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    predictions = scored(["yes", "no"], ["yes", "no"])
    config = {"task": {"_target_": f"{evil}.run"}, "model": {"_target_": f"{evil}.Net"}}
    for name in ("a", "b"):
        write_scored(tmp_path / name, predictions, config=config)
    assert main(words) == 2
    assert "task: evil_words.run cannot be imported: neither Phonaut nor a plugin" in capsys.readouterr().err
    assert not (tmp_path / SEEN).exists()


@pytest.mark.parametrize(
    "name", ["torch.optim.NAdam", "torch.optim.lr_scheduler.LinearLR", "phonaut.hmm.emissions.GaussianEmissions"]
)
def test_the_siblings_of_what_our_files_name_are_trusted_in_their_places(name: str) -> None:
    group = "optimizer" if name.endswith("Adam") else "scheduler" if name.endswith("LR") else "model"
    key = "density" if group == "model" else "_target_"
    assert trust.problems({group: {key: name}}) == []
    assert trust.problems({"task": {"_target_": name}})


def test_a_class_of_a_stranger_is_trusted_by_its_plugin_by_name_or_where_it_is_typed(
    evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"model": {"_target_": f"{evil}.Net"}}
    for right, wrong in (("other,evil_words", "evil"), ("evil_words", "words")):
        monkeypatch.setenv("PHONAUT_TRUST", wrong)
        assert trust.problems(config)
        monkeypatch.setenv("PHONAUT_TRUST", right)
        assert not trust.problems(config)
    monkeypatch.delenv("PHONAUT_TRUST")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "net.yaml").write_text(f"_target_: {evil}.Net\n")
    plugins.add_config_dir(tmp_path / "conf")
    assert not trust.problems(config)
    assert trust.problems({"task": {"_target_": f"{evil}.Net"}}), "it is a model"
    monkeypatch.setattr(plugins, "_added", [])
    assert trust.problems(config)
    monkeypatch.setattr(trust, "_typed", set())
    with pytest.raises(ConfigurationError):
        compose([f"model._target_={evil}.Net"])
    assert not trust.problems(config)


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("model._target_=phonaut.files.write_text", "Module"),
        ("model._target_=phonaut.corpora.FSDD", "Module"),
        ("optimizer._target_=shutil.rmtree", "Optimizer"),
        ("task._target_=pathlib.Path", "Task"),
        ("dataset._target_=phonaut.networks.LSTM", "Corpus"),
        ("scheduler._target_=torch.optim.Adam", "LRScheduler"),
    ],
)
def test_a_class_that_is_typed_must_be_of_the_kind_of_its_group(typed: str, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{re.escape(typed)}: must be a class of {kind}s"):
        compose([typed])


NINE = ",".join(["*a{}"] * 9)
BOMBS = {
    "aliases of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [{NINE.format(*[i - 1] * 9)}]\n" for i in range(1, 12)),
    "an alias of itself": "a: &a [*a]\n",
    "brackets": "a: " + "[" * 3000,
    "depth": "".join("\n" + " " * i + "a:" for i in range(300)),
    "a chain of aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)),
    "size": "a: " + "x" * 2**21,
    "a tag": "a: !!python/object/apply:os.system [ls]\n",
    "no UTF-8": b"a: \xff\xfe\n",
    "no YAML": "a: [\n",
    "a list": "- a\n",
    "nothing": "",
    "a group that is none": "model: 3\n",
    "half an interpolation": "a: ${\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_configuration_out_of_bounds_or_damaged_is_a_sentence_and_takes_no_time(bomb: str, tmp_path: Path) -> None:
    content = BOMBS[bomb]
    (tmp_path / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"config\.yaml"):
        read_config(tmp_path)


def test_a_few_aliases_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {b: 1}\nc: *a\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize("bomb", ["aliases of aliases", "brackets", "size"])
def test_a_bomb_in_a_folder_of_configuration_files_is_refused(bomb: str, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bomb.yaml").write_text(str(BOMBS[bomb]))
    with pytest.raises(ValueError, match=r"bomb\.yaml"):
        plugins.add_config_dir(tmp_path / "conf")
