"""From words on the command line to a checked configuration; all problems are reported at once."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.checkpoints import pretrained
from phonaut.checks import fits, is_text, is_words, type_problem, types_of
from phonaut.config import aliases, check, hints, idle, recipes, trust
from phonaut.config.aliases import current_overrides
from phonaut.config.nodes import Node, flat, instantiate, load_target, option_types
from phonaut.config.plugins import CONF, choices, load_group, node_of_group, resolved, search_path
from phonaut.config.schema import HINTS, KEYS, MORE_OF_TRAINER, SMALL_GROUPS, Config
from phonaut.config.yaml_files import read_yaml
from phonaut.files import expanded, run_folder
from phonaut.names import did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

REQUIRED = ("dataset", "protocol", "features", "model", "task", "module", "optimizer", "checkpoint", "trainer")
COMPOSING = threading.RLock()
FROM_FOLDER = ("n_features", "frame_shift_s", "frame_offset_s")  # of features=frames
UNKNOWN = object()


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
        given = copy.deepcopy(config)
        config = finish(config)
        by_key = {key_of(text): text for text in texts}
        problems += idle.replaced(given, config, by_key)
    except Exception as error:  # OmegaConf's errors and ours share no class but this
        return base, [*problems, str(error).splitlines()[0]]
    return config, problems + check.problems(config, texts, by_key)


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

    with (
        COMPOSING
    ):  # Hydra has one state for all threads; a job of a sweep, or another program, composes within its own
        outer, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                config = by_hydra("config", overrides=list(groups), return_hydra_config=True)
        finally:
            GlobalHydra.instance().hydra = outer
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
    path = expanded(config.encoder.run)
    run = compose_pretrained(pretrained.read(path), str(path)) if path.is_file() else read_config(run_folder(path))
    task = instantiate(run.task)
    if run.compress:
        raise ValueError(f"encoder.run={config.encoder.run} was trained with compress=: train it without, and compress "
                         "what is in front of the decision")  # fmt: skip
    if not task.can_encode(run):
        raise ValueError(
            f"encoder.run={config.encoder.run} is no pre-trained encoder, but model={run.choices['model']}"
        )
    model = dict(run.model)
    if not path.is_file() and (of_data := task.sizes_of_model(run_folder(path))) is not None:
        model |= of_data
    config.encoder.built = {"features": run.features, "model": model, "normalizer": run.normalizer}
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
    """The stored configuration of a run, plain containers with today's names.

    It may come from anybody: nothing that it names is imported, but what `phonaut.config.trust` allows may be later.

    Raises:
        ValueError: it is damaged, no configuration, or names what is not trusted.
    """
    path = folder / "config.yaml"
    stored = read_yaml(path)
    if wrong := stored_problems(stored):
        raise ValueError(f"{path} is damaged: {'; '.join(wrong)}")
    plain: Node = aliases.current(stored)
    if wrong := trust.problems(plain):
        raise ValueError(f"{path}: {'; '.join(wrong)}")
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
    """The stored configuration of a run, as `read_plain` reads it."""
    return Config.of(read_plain(folder))


def to_yaml(config: Config) -> str:
    """A configuration as the text of a `config.yaml`."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config.to_dict()))


def words_of_file(path: Path) -> list[str]:
    """The words that a file of one's own stands for, all parameters in one, or the stored configuration of a run.

    A group is chosen by `model: lstm`, by an entry of `defaults`, or by the `choices` of a stored configuration.

    Raises:
        ValueError: it is damaged, or names what is not trusted.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it has no keys")
    if wrong := trust.problems({key: value for key, value in content.items() if key != "defaults"}):
        raise ValueError("\n".join(f"{path}: {problem}" for problem in wrong))
    content = aliases.current(content) if "choices" in content else content
    chosen = {key: value for key, value in (content.pop("choices", None) or {}).items() if key in choices()}
    for entry in content.pop("defaults", None) or []:
        chosen |= (
            {key.split("/")[-1].split()[-1]: name for key, name in entry.items()} if isinstance(entry, dict) else {}
        )
    chosen |= {key: content.pop(key) for key in choices() if isinstance(content.get(key, {}), (str, type(None)))}
    named = {group: f"{group}={'null' if name is None else name}" for group, name in chosen.items()}
    words = [named[group] for group in ("dataset", "model") if group in named]
    follow = draft([*words, *([f"target={content['target']}"] if "target" in content else [])])[0].choices
    words += [word for group, word in named.items() if word not in words and follow.get(group) != chosen[group]]
    base = flat(draft(words)[0].to_dict())
    for key, value in flat({key: value for key, value in content.items() if key not in ("hydra", "imported")}).items():
        if not key.startswith("encoder.built") and (key not in base or str(base[key]) != str(value)):
            words.append(f"{key}={in_grammar(value)}")
    return words


def in_grammar(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{in_grammar(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(in_grammar, value)) + "]"
    if isinstance(value, str):
        return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", "\\'"), value) + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


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
    if group not in recipes.default_choices():
        return f"unknown group {group}{did_you_mean(group, recipes.default_choices())}"
    if override.startswith("~") or chosen == "null":
        return f"{group}=null: a run needs one ({', '.join(names)})" if group in REQUIRED else None
    if chosen in names:
        return None
    if problem := hints.several(group, chosen, names.__contains__):
        return problem
    return f"{group}={chosen} is not a choice{hints.choice(group, chosen)} ({group}: {', '.join(names)})"


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
    key, hint = parsed.key_or_group, hint_of(config, parsed.key_or_group)
    value = as_typed(override.partition("=")[2], parsed.value(), hint, key)
    problem = key_problem(config, override, value, hint)
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


def hint_of(config: DictConfig, key: str) -> Any:
    """The type of a key: that of the option of a class, of Lightning's Trainer, or of the schema; `Any`: not known."""
    from omegaconf import DictConfig

    group, _, option = key.partition(".")
    if group in SMALL_GROUPS and option:
        return SMALL_GROUPS[group].get(option, Any)
    if not option:
        return HINTS.get(key, Any)
    node = config.get(group)
    try:
        if group == "trainer":
            return types_of(load_target("lightning.Trainer")).get(option, Any)
        if isinstance(node, DictConfig) and "_target_" in node:
            plain = {name: node[name] for name in ("_target_", "density") if name in node}
            return option_types(plain).get(option, Any)
    except ValueError:  # no such class, which is said elsewhere
        pass
    return Any


def as_typed(text: str, value: Any, hint: Any, key: str) -> Any:
    """A value as the type of its key asks for it: `1.10` and `2024_01_15` are names where names are wanted.

    >>> as_typed("1.10", 1.1, str | None, "experiment_id"), as_typed("[01, no, null]", [1, "no", None], list[str], "")
    ('1.10', ['01', 'no', 'null'])
    """
    in_list = is_words(hint) or key in ("classes", "n_classes")
    if in_list and isinstance(value, str) and value[:1] + value[-1:] == "[]":
        return [word.strip() for word in value[1:-1].split(",")]  # [dataset=fsdd] is no list in Hydra's grammar
    if in_list and isinstance(value, list):
        items = re.findall(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]+""", text.strip()[1:-1])
        pairs = zip(value, items if len(items) == len(value) else map(str, value), strict=True)
        return [one if isinstance(one, (str, list, dict)) else item.strip() for one, item in pairs]
    is_one = not isinstance(value, (str, list, dict, type(None)))
    if is_one and is_words(hint) and key not in KEYS:
        return [text]  # one name in place of a list
    return text if is_one and is_text(hint) else value


def key_problem(config: DictConfig, override: str, value: Any, hint: Any) -> str | None:
    """The problem of a key that is set; one that is added (or deleted) need not be there."""
    from omegaconf import DictConfig

    key, text = key_of(override), override.partition("=")[2]
    if key.partition(".")[0] in ("choices", "imported"):
        return f"unknown key {key}"  # written into a run, and set by nobody
    if override[0] in "+~" or key in MORE_OF_TRAINER:
        return None if key.partition(".")[0] in KEYS else f"unknown key {key}{aliases.successor(key, KEYS)}"
    if (default := default_of(config, key)) is not UNKNOWN:
        return value_problem(key, default, value, hint)
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, DictConfig) else None
    if isinstance(node, DictConfig):
        return f"{key} is a group of keys: set one of them, like {next(iter(flat_config(node, key + '.')), key)}"
    return f"unknown key {key}{hints.unknown_key(key, text, flat_config(config), config.choices)}"


def default_of(config: DictConfig, key: str) -> Any:
    """What `flat_config` has for a key, and `UNKNOWN` for one that it lacks, without a look at the others."""
    from omegaconf import DictConfig, OmegaConf

    *groups, name = key.split(".")
    node: Any = config
    for group in groups:
        node = node._get_node(group, validate_access=False) if is_group(node) else None
    found = node._get_node(name, validate_access=False) if is_group(node) else None
    if found is None or (isinstance(found, DictConfig) and not found._is_none()):
        return UNKNOWN
    return None if OmegaConf.is_interpolation(node, name) else node[name]


def is_group(node: Any) -> bool:
    """True for keys with values."""
    from omegaconf import DictConfig

    return isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation()


def value_problem(key: str, default: Any, value: Any, hint: Any) -> str | None:
    """The problem of a value that is not of the type of its key, as annotated, else as its default is."""
    if hint is Any and isinstance(default, (bool, int, float)):
        hint = type(default)
    if value is None and default is None:
        return None  # an option that the class fills in
    if not fits(value, hint) and (problem := hints.several(key, value, lambda one: fits(one, hint))):
        return problem
    if key.startswith("trainer.") and value is not None:
        return None  # see `phonaut.training.trainer_options`
    if is_text(hint) and isinstance(value, str) and (not value.strip() or "\0" in value):
        return f"{key}={value!r} must be text that is not empty"
    return type_problem(key, hint, value) or (None if is_finite(value) else f"{key}={value} must be finite")


def is_finite(value: Any) -> bool:
    """False for numbers that are none, or too large for any use, wherever they stand in a value."""
    if isinstance(value, (list, dict)):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bool) or not isinstance(value, (int, float)) or fits(value, float)


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
