"""From words on the command line to a checked configuration; all problems are reported at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.checkpoints import pretrained
from phonaut.config import aliases, check, recipes, trust
from phonaut.config.aliases import current_overrides
from phonaut.config.nodes import Node, instantiate
from phonaut.config.plugins import CONF, choices, load_group, node_of_group, resolved, search_path
from phonaut.config.schema import KEYS, MORE_OF_TRAINER, SMALL_GROUPS, Config
from phonaut.config.yaml_files import read_yaml
from phonaut.files import run_folder
from phonaut.names import did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Keys whose value may be of another type than their default.
MIXED = re.compile(
    r"(trainer\.(devices|max_time|fast_dev_run|precision|limit_.*|overfit_batches|benchmark|deterministic)"
    r"|(dataset|protocol)\..*|model\.channels|optimizer\.betas|scheduler\.milestones)"
)
NULLABLE: dict[str, Any] = {"int | None": int, "float | None": (int, float)}  # root keys whose default may be null
IN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}
REQUIRED = ("dataset", "protocol", "features", "model", "task", "module", "optimizer", "checkpoint", "trainer")
FROM_FOLDER = ("n_features", "frame_shift_s", "frame_offset_s")  # of features=frames


class ConfigurationError(ValueError):
    """A configuration that cannot be run.

    Attributes:
        problems: everything that is wrong with it, a sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def compose(overrides: Sequence[str] = ()) -> Config:
    """The configuration that `overrides` ask for. Nothing is written.

    Args:
        overrides: `key=value` and `group=choice`, in Hydra's grammar; a value that it refuses is taken as text.

    Raises:
        ConfigurationError: unknown keys or choices, wrong types, impossible combinations; all of them, each with the
            nearest valid name.
    """
    config, problems = draft(overrides)
    if problems:
        raise ConfigurationError(problems)
    return config


def draft(overrides: Sequence[str]) -> tuple[Config, list[str]]:
    """The configuration as far as it composes, and all problems of the overrides and of the result."""
    texts = [as_text(override) for override in current_overrides(overrides)]
    groups = [text for text in texts if key_of(text) in choices()]
    problems = [problem for text in groups if (problem := choice_problem(text))]
    composed = hydra_compose(tuple(without_null(text) for text in groups if not choice_problem(text)))
    base = Config.of(resolved(composed))
    try:
        problems += set_recipe(composed, base, texts)
    except ValueError as error:
        problems.append(str(error))
    for text in texts:
        if text not in groups and (problem := set_value(composed, text)):
            problems.append(problem + recipes.hint(base.recipe, key_of(text)))
    try:
        config = Config.of(resolved(composed))
        config.recipe = base.recipe
        if wrong := check.kind_problems(config):
            return base, problems + wrong
        config = finish(config)
    except Exception as error:  # OmegaConf's errors and ours share no class but this
        return base, [*problems, str(error).splitlines()[0]]
    return config, problems + check.problems(config, texts)


def set_recipe(composed: DictConfig, base: Config, texts: Sequence[str]) -> list[str]:
    """Carry out the words of the recipe, whose name `base` is told, before those that were typed; their problems.

    Raises:
        ValueError: a recipe is asked for that is not there.
    """
    from omegaconf import open_dict

    typed = {key_of(text): text.partition("=")[2] for text in texts}
    base.recipe = recipes.name_of(base, typed)
    words = recipes.words_of(base.recipe, base, typed)
    for group, name in (word.split("=", 1) for word in words if key_of(word) in choices()):
        with open_dict(composed):  # as its file has it: Hydra would compose everything again for it
            composed[group], composed.choices[group] = load_group(group, name), name
    values = [word for word in words if key_of(word) not in choices()]
    return [problem for word in values if (problem := set_value(composed, word))]


def hydra_compose(groups: tuple[str, ...]) -> DictConfig:
    """Hydra's composition of chosen groups, with the name chosen in each under `choices`; a copy for the caller."""
    return copy.deepcopy(_hydra_compose((*search_path(), *groups)))


@cache
def _hydra_compose(groups: tuple[str, ...]) -> DictConfig:
    from hydra import compose as by_hydra
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import open_dict

    sweep, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # a job of a sweep composes within another
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = by_hydra("config", overrides=list(groups), return_hydra_config=True)
    GlobalHydra.instance().hydra = sweep
    chosen = {group: name for group, name in config.hydra.runtime.choices.items() if group in choices()}
    with open_dict(config):
        del config["hydra"]
        config.choices = chosen
    return config


def finish(config: Config) -> Config:
    """Carry out the keys that set several others."""
    finish_encoder(config)
    if config.streaming:
        causal: list[tuple[Node | None, str, Any]] = [(config.model, "causal", True)]
        for part in (config.features, config.target_features):
            causal += [(part, "framing", "causal"), (part, "top_db", None)]
        for node, key, value in causal:
            if node and key in node:
                node[key] = value
    if config.dataset.get("downsample"):
        config.features["sample_rate"] = config.dataset["downsample"]
    instantiate(config.task).finish(config)
    layout = check.frame_layout(config) if config.choices["features"] == "frames" else None
    for key in FROM_FOLDER if layout is not None else ():
        if config.features[key] is None:
            config.features[key] = getattr(layout, key)
    if config.n_classes is not None and config.classes in (None, config.n_classes):
        config.classes, config.n_classes = config.n_classes, None
    return config


def finish_encoder(config: Config) -> None:
    """Take over the nodes of the encoder in front, so that the new run needs that of the encoder no more.

    Raises:
        ValueError: there is no such run or checkpoint, or it is none of pre-training.
    """
    if not config.encoder.run:
        return
    path = Path(config.encoder.run).expanduser()
    run = compose_pretrained(pretrained.read(path), str(path)) if path.is_file() else read_config(run_folder(path))
    if not instantiate(run.task).has_encoder:
        raise ValueError(
            f"encoder.run={config.encoder.run} is no pre-trained encoder, but model={run.choices['model']}"
        )
    config.encoder.built = {"features": run.features, "model": run.model, "normalizer": run.normalizer}
    config.features, config.choices["features"] = dict(run.features), run.choices["features"]


def compose_pretrained(checkpoint: pretrained.Pretrained, name: str) -> Config:
    """The configuration of pre-training that an encoder of another tool stands for.

    Raises:
        ValueError: the front end that its settings describe has not as many features as the encoder takes.
    """
    config = compose(checkpoint.words)
    n_features = instantiate(config.features).n_features
    if n_features != checkpoint.n_features:
        features = config.choices["features"]
        raise ValueError(f"{name} takes {checkpoint.n_features} features, and features={features} has {n_features}")
    return config


def read_plain(folder: Path) -> Node:
    """The stored configuration of a run, plain containers with today's names; nothing that it names is imported.

    Raises:
        ValueError: it is damaged, or no configuration.
    """
    path = folder / "config.yaml"
    stored = read_yaml(path)
    if wrong := stored_problems(stored):
        raise ValueError(f"{path} is damaged: {'; '.join(wrong)}")
    plain: Node = aliases.current(stored)
    protocol = (plain.get("choices") or {}).get("protocol")
    if protocol in choices()["protocol"]:  # a corpus that divided itself had not all options of a protocol
        plain["protocol"] = node_of_group("protocol", protocol, {}, {}) | plain["protocol"]
    return plain


def stored_problems(stored: Any) -> list[str]:
    """What is no configuration in the content of a file: groups that are none, and unknown keys of the small ones."""
    if not isinstance(stored, dict) or not stored:
        return ["it has no keys"]
    groups = [key for key, kind in KEYS.items() if "Node" in kind or key in (*SMALL_GROUPS, "choices")]
    wrong = [f"{key} is no group of keys" for key in groups if not isinstance(stored.get(key) or {}, dict)]
    for group, keys in SMALL_GROUPS.items():
        given = stored.get(group) or {}
        wrong += [f"unknown key {group}.{key}" for key in given if isinstance(given, dict) and key not in keys]
    return wrong


def read_config(folder: Path) -> Config:
    """The stored configuration of a run, which may come from anybody: see `phonaut.config.trust`.

    Raises:
        ValueError: it is damaged, or names what is not trusted.
    """
    plain = read_plain(folder)
    if wrong := trust.problems(plain):
        raise ValueError("\n".join(f"{folder / 'config.yaml'}: {problem}" for problem in wrong))
    return Config.of(plain)


def to_yaml(config: Config) -> str:
    """A configuration as the text of a `config.yaml`."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config.to_dict()))


# --- words


def key_of(override: str) -> str:
    """The key of an override, without the signs that add or delete.

    >>> key_of("++trainer.max_epochs=3")
    'trainer.max_epochs'
    """
    return override.lstrip("+~").split("=", 1)[0].split("@", 1)[0]


def as_text(override: str, *, sweep: bool = False) -> str:
    """`override`, with a value that Hydra's grammar refuses in quotes.

    >>> as_text("dataset.data_folder=/data/my words (old), new")
    "dataset.data_folder='/data/my words (old), new'"
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
        if sweep or not parsed.is_sweep_override():
            return override
    except HydraException:
        pass
    if "=" not in override:
        return override
    key, value = override.split("=", 1)
    # In quotes, a backslash is itself but before a quote, or at the end: there, and only there, it is doubled.
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", "\\'"), value)
    return f"{key}='{quoted}'"


def choice_problem(override: str) -> str | None:
    """The problem of `group=choice`, if there is one."""
    group = key_of(override)
    chosen = override.split("=", 1)[1] if "=" in override else ""
    names = choices()[group]
    if override.startswith("~") or chosen == "null":
        return f"{group}=null: a run needs one ({', '.join(names)})" if group in REQUIRED else None
    if chosen in names:
        return None
    return f"{group}={chosen} is not a choice{did_you_mean(chosen, names)} ({group}: {', '.join(names)})"


def without_null(override: str) -> str:
    """A choice of nothing in words that Hydra knows: the group is deleted, whoever chose in it.

    >>> without_null("scheduler=null"), without_null("normalizer=null"), without_null("model=lstm")
    ('~scheduler', '~normalizer', 'model=lstm')
    """
    return f"~{key_of(override)}" if override.endswith("=null") else override


def set_value(config: DictConfig, override: str) -> str | None:
    """Carry out `key=value` on a composition of groups; the problem, where it cannot be."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return f"{override} is not key=value"
    key, value = parsed.key_or_group, parsed.value()
    if KEYS.get(key, "").startswith("str") and not isinstance(value, (str, list, dict, type(None))):
        value = override.partition("=")[2]  # 1.10 and 2024_01_15 are names
    if KEYS.get(key, "").startswith("list") and isinstance(value, str) and value[:1] + value[-1:] == "[]":
        value = [word.strip() for word in value[1:-1].split(",")]  # [dataset=fsdd] is no list in Hydra's grammar
    problem = key_problem(config, key, value, adds=override[0] in "+~" or key in MORE_OF_TRAINER)
    if problem is not None:
        return problem
    try:
        with open_dict(config):
            if parsed.is_delete():
                parent, _, name = key.rpartition(".")
                node = OmegaConf.select(config, parent) if parent else config
                del node[name]
            else:
                OmegaConf.update(config, key, value, merge=True, force_add=True)
                trust.trust({key.rpartition(".")[2]: value})
    except Exception as error:  # OmegaConf's errors and KeyError
        return f"{override}: {str(error).splitlines()[0]}"
    return None


def key_problem(config: DictConfig, key: str, value: Any, *, adds: bool) -> str | None:
    """The problem of a key that is set; one that is added (or deleted) need not be there."""
    from omegaconf import DictConfig

    if key.partition(".")[0] in ("choices", "imported"):
        return f"unknown key {key}"  # written into a run, and set by nobody
    if adds:
        return None if key.partition(".")[0] in KEYS else f"unknown key {key}{did_you_mean(key, KEYS)}"
    known = flat_config(config)
    if key in known:
        return type_problem(key, known[key], value)
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, DictConfig) else None
    if isinstance(node, DictConfig):
        return f"{key} is a group of keys: set one of them, like {next(iter(flat_config(node, key + '.')), key)}"
    return f"unknown key {key}{did_you_mean(key, known)}"


def type_problem(key: str, default: Any, value: Any) -> str | None:
    """The problem of a value whose key, by its default or its annotation, takes another type."""
    kind = KEYS.get(key, "Any")
    if value is None:
        word = IN_WORDS.get(kind.partition("[")[0], "")
        return f"{key}=null must be {word}" if word and default is not None else None
    if kind.startswith("list") and not isinstance(value, list):
        return f"{key}={value} must be a list: {key}=[{value}]"
    if kind.startswith("str") and not isinstance(value, str):
        return f"{key}={value} must be text"
    if MIXED.fullmatch(key):
        return None
    if default is None:
        number = NULLABLE.get(KEYS.get(key, ""))
        if number is None or (isinstance(value, number) and not isinstance(value, bool)):
            return None
        return f"{key}={value} must be a {'whole ' if number is int else ''}number, or null"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{key}={value} must be true or false"
    if isinstance(default, (int, float)):
        is_pytorchs = key.startswith(("optimizer.", "scheduler."))  # where 0 stands for 0.0
        whole = isinstance(default, int) and not is_pytorchs
        right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        return None if right else f"{key}={value} must be a {'whole ' if whole else ''}number"
    return None


def flat_config(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """All keys as `a.b.c` with their values; of an interpolation, which may lead to any type, None."""
    from omegaconf import DictConfig, OmegaConf

    values: dict[str, Any] = {}
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            values |= flat_config(node, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = None if OmegaConf.is_interpolation(config, key) else config[key]
    return values
