"""From words on the command line to a checked configuration; whatever is wrong is said all at once."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from phonaut.config import encoder_in_front as encoding
from phonaut.config.aliases import current_overrides
from phonaut.config.plugins import CONF, choices, search_path
from phonaut.tasks import pretraining

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from phonaut.data.frame_shards import FrameLayout

# Keys whose value may be of another type than their default.
MIXED = re.compile(
    r"(trainer\.(devices|max_time|fast_dev_run|precision|limit_.*|overfit_batches|benchmark|deterministic)"
    r"|dataset\..*|protocol\..*_speakers|leave_out_speakers|model\.channels|optimizer\.betas|scheduler\.milestones)"
)
# Training loops of models that are not trained by gradient descent on scores.
LEAST_SHIFT_S = 0.002  # between frames that dynamic time warping compares
TRAINED_BY = {"GenerativeClassifier": "em", "Majority": "em", "DTWTemplates": "em", "DNNHMM": "hybrid"}
TRAINED_BY |= {"Mockingjay": "representation"}
FROM_FOLDER = ("n_features", "frame_shift_s", "frame_offset_s")  # of features=frames
REQUIRED = ("dataset", "protocol", "features", "model", "module", "optimizer", "checkpoint", "trainer")
SPARSE_ADAM = (
    "optimizer=sparse_adam takes sparse gradients only, and the networks here have dense ones: use optimizer=adam"
)


class ConfigurationError(ValueError):
    """A configuration that cannot be run.

    Attributes:
        problems: everything that is wrong with it, a sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that `overrides` ask for.

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


def draft(overrides: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """What composes of `overrides`, and all that is wrong with them and with the result."""
    texts = [as_text(override) for override in current_overrides(overrides)]
    groups = [text for text in texts if key_of(text) in choices()]
    problems = [problem for text in groups if (problem := wrong_choice(text))]
    groups = [without_null(text) for text in groups if not wrong_choice(text)]
    base = hydra_compose(groups)
    values = []
    for text in (text for text in texts if key_of(text) not in choices()):
        problem = wrong_value(text, base)
        if problem:
            problems.append(problem)
        else:
            values.append(text)
    try:
        config = finish(hydra_compose([*groups, *values]))
    except Exception as error:  # Hydra's and OmegaConf's errors share no class but this
        return base, [*problems, str(error).splitlines()[0]]
    return config, problems + impossible(config, texts)


def hydra_compose(overrides: Sequence[str]) -> DictConfig:
    """Hydra's composition, with the name chosen in each group under `choices`."""
    from hydra import compose as by_hydra
    from hydra import initialize_config_dir
    from omegaconf import open_dict

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = by_hydra("config", overrides=[*search_path(), *overrides], return_hydra_config=True)
    chosen = {group: name for group, name in config.hydra.runtime.choices.items() if group in choices()}
    with open_dict(config):
        del config["hydra"]
        config.choices = chosen
    return config


def finish(config: DictConfig) -> DictConfig:
    """Carry out the switches that set several keys."""
    encoding.finish(config, compose)
    if config.streaming:
        causal: list[tuple[str, str, Any]] = [("model", "causal", True)]
        for part in ("features", "target_features"):
            causal += [(part, "framing", "causal"), (part, "top_db", None)]
        for part, key, value in causal:
            if config.get(part) and key in config[part]:
                config[part][key] = value
    if config.dataset.get("downsample"):
        config.features.sample_rate = config.dataset.downsample
    pretraining.finish(config)
    layout = frame_layout(config) if config.choices.features == "frames" else None
    for key in FROM_FOLDER if layout is not None else ():
        if config.features[key] is None:
            config.features[key] = getattr(layout, key)
    if config.n_classes is not None and config.classes in (None, config.n_classes):
        config.classes, config.n_classes = config.n_classes, None
    return config


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
    quoted = value.replace("\\", "\\\\").replace("'", "\\'") if value.endswith("\\") else value.replace("'", "\\'")
    return f"{key}='{quoted}'"


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing where no name is near."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:  # the right last part under another group
        last = name.rsplit(".", 1)[-1]
        ends = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
        close = [ends[near] for near in difflib.get_close_matches(last, ends, n=1, cutoff=0.75)]
    return f"; did you mean {close[0]}?" if close else ""


def wrong_choice(override: str) -> str | None:
    """What is wrong with `group=choice`."""
    group = key_of(override)
    chosen = override.split("=", 1)[1] if "=" in override else ""
    names = choices()[group]
    if override.startswith("~") or chosen == "null":
        return f"{group}=null: a run needs one ({', '.join(names)})" if group in REQUIRED else None
    if chosen in names:
        return None
    return f"{group}={chosen} is not a choice{nearest(chosen, names)} ({group}: {', '.join(names)})"


def without_null(override: str) -> str:
    """A choice of nothing in words that Hydra knows: the group is deleted, whoever chose in it.

    >>> without_null("scheduler=null"), without_null("normalizer=null"), without_null("model=lstm")
    ('~scheduler', '~normalizer', 'model=lstm')
    """
    return f"~{key_of(override)}" if override.endswith("=null") else override


def wrong_value(override: str, base: DictConfig) -> str | None:
    """What is wrong with `key=value`, given everything but the values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return f"{override} is not key=value"
    if override[0] in "+~" or override.startswith("hydra."):
        return None
    key = parsed.key_or_group
    known = flat(base)
    if key not in known:
        part: Any = base
        for name in key.split("."):
            part = part.get(name) if isinstance(part, DictConfig) else None
        if isinstance(part, DictConfig):
            return f"{key} is a group of keys: set one of them, like {next(iter(flat(part, key + '.')), key)}"
        return f"unknown key {key}{nearest(key, known)}"
    return wrong_type(key, known[key], parsed.value())


def wrong_type(key: str, default: Any, value: Any) -> str | None:
    """What is wrong with a value whose default is of another type."""
    if default is None or value is None or MIXED.fullmatch(key):
        return None
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{key}={value}: write true or false"
    if isinstance(default, (int, float)):
        whole = isinstance(default, int) and not key.startswith(
            ("optimizer.", "scheduler.")
        )  # PyTorch writes 0 for 0.0
        wanted = (int,) if whole else (int, float)
        right = isinstance(value, wanted) and not isinstance(value, bool)
        return None if right else f"{key}={value}: a {'whole ' if whole else ''}number is wanted"
    return None


def flat(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """All keys as `a.b.c` with their values; interpolations stay unresolved."""
    from omegaconf import DictConfig, OmegaConf

    found: dict[str, Any] = {}
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            found |= flat(node, f"{prefix}{key}.")
        elif OmegaConf.is_interpolation(config, key):
            found[f"{prefix}{key}"] = None  # of whatever type it leads to
        else:
            found[f"{prefix}{key}"] = config[key]
    return found


def impossible(config: DictConfig, overrides: Sequence[str] = ()) -> list[str]:
    """Everything about a composed configuration that could not be run: the one place for combinations."""
    problems = unknown_options(config) + wrong_features(config) + wrong_streaming(config) + wrong_corpus(config)
    problems += wrong_module(config) + wrong_frames(config) + wrong_classes(config) + pretraining.problems(config)
    problems += encoding.problems(config, overrides)
    if config.target not in ("keyword", "phone", "speaker") and not pretraining.pretrains(config):
        problems.append(f"target={config.target} is none of keyword, phone, speaker")
    if not 0 < config.labels_pct <= 100:
        problems.append(f"labels_pct={config.labels_pct}: above 0 and at most 100")
    if config.labels_each is not None and not (isinstance(config.labels_each, int) and config.labels_each > 0):
        problems.append(f"labels_each={config.labels_each}: a whole number of at least 1, or null")
    if config.batch_size < 1:
        problems.append(f"batch_size={config.batch_size}: at least 1")
    if config.n_workers < 0:
        problems.append(f"n_workers={config.n_workers}: at least 0")
    if not config.context_s >= 0:
        problems.append(f"context_s={config.context_s}: at least 0")
    elif config.context_s and config.target != "phone":
        problems.append(f"context_s={config.context_s}: a span of target={config.target} is a whole cut; leave it at 0")
    if not config.max_recording_s > 0:
        problems.append(f"max_recording_s={config.max_recording_s}: more than 0")
    if not 0 <= config.module.get("label_smoothing", 0.0) < 1:
        problems.append(f"module.label_smoothing={config.module.label_smoothing}: from 0 to below 1")
    if config.optimizer._target_.endswith("SparseAdam"):
        problems.append(SPARSE_ADAM)
    if config.trainer.max_epochs is not None and config.trainer.max_epochs < 1 and config.trainer.max_steps < 1:
        problems.append(f"trainer.max_epochs={config.trainer.max_epochs}: at least 1")
    if config.optimizer._target_.endswith("LBFGS") and config.trainer.accumulate_grad_batches != 1:
        problems.append("optimizer=lbfgs evaluates a batch several times: use trainer.accumulate_grad_batches=1")
    return problems


def wrong_classes(config: DictConfig) -> list[str]:
    """What is wrong with the classes that a run is limited to; which names there are, the corpus says."""
    wanted = config.classes
    if config.n_classes is not None:
        return [f"n_classes={config.n_classes} and classes={wanted}: give one of them"]
    if wanted is None:
        return []
    if isinstance(wanted, (str, bool, float)) or not isinstance(wanted, (int, Sequence)):
        return [f"classes={wanted}: a number of classes is wanted, or a list of them: 'classes=[AA,IY]'"]
    if isinstance(wanted, int):
        return [] if wanted > 1 else [f"classes={wanted}: at least 2 are told apart"]
    if any(isinstance(name, (bool, type(None))) for name in wanted):
        return [f"classes={wanted}: a name that reads as true, false or null is written in quotes"]
    return [] if len({str(name) for name in wanted}) > 1 else [f"classes={wanted}: at least 2 are told apart"]


def wrong_module(config: DictConfig) -> list[str]:
    """A training loop that cannot train the model, and what EM has no use for."""
    name, model = config.choices.module, config.choices.model
    fits = TRAINED_BY.get(config.model._target_.rsplit(".", 1)[-1], "speech_classifier")
    problems = [] if name == fits else [f"module={name} cannot train model={model}: leave it out, or use module={fits}"]
    if fits == "em":
        whole = {"limit_train_batches": 1.0, "limit_val_batches": 1.0, "overfit_batches": 0.0, "fast_dev_run": False}
        problems += [
            f"trainer.{key}={config.trainer[key]}: an EM step is one over the whole split; leave it at {value}"
            for key, value in whole.items()
            if config.trainer[key] != value
        ]
    if wrong_features(config) or fits == "representation" or config.features.get("n_features", 0) is None:
        return problems
    from hydra.utils import instantiate

    front_end = instantiate(config.features)
    if encoding.encodes(config):
        return problems  # what it gives is wide enough
    if config.model.get("n_couplings") and front_end.n_features < 2:
        problems.append(f"model={model} couples dimensions: it needs 2 features, features={config.choices.features} "
                        f"has {front_end.n_features}")  # fmt: skip
    if model == "dtw" and front_end.frame_shift_s < LEAST_SHIFT_S:
        problems.append(f"model=dtw compares all pairs of frames: a frame every {front_end.frame_shift_s * 1e3:.2g} ms "
                        f"is too many; {LEAST_SHIFT_S * 1e3:g} ms is the least")  # fmt: skip
    return problems


def wrong_features(config: DictConfig) -> list[str]:
    """What the front ends say of their options."""
    from hydra.utils import get_class

    problems = []
    for group in ("features", "target_features"):
        if not config.get(group):
            continue
        options = {str(key): value for key, value in config[group].items() if key != "_target_"}
        front_end: Any = get_class(config[group]._target_)
        problems += [f"{group}: {problem}" for problem in front_end.problems(**options)]
    return problems


def wrong_corpus(config: DictConfig) -> list[str]:
    """What a corpus and a protocol say of their options: nothing is read but names of folders that are there."""
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    problems: list[str] = []
    for group in ("dataset", "protocol"):
        cls: Any = get_class(config[group]._target_)
        options = OmegaConf.to_container(config[group], resolve=True)
        assert isinstance(options, dict)
        if hasattr(cls, "problems"):
            problems += cls.problems(**{str(key): value for key, value in options.items() if key != "_target_"})
    return problems


def frame_layout(config: DictConfig) -> FrameLayout | None:
    """What the frames of a corpus share, where it has frames and they are on disk."""
    from hydra.utils import get_class, instantiate

    if not hasattr(get_class(config.dataset._target_), "frame_layout"):
        return None
    try:
        layout: FrameLayout | None = instantiate(config.dataset).frame_layout()
    except Exception:  # `wrong_corpus` says what is wrong
        return None
    return layout


def wrong_frames(config: DictConfig) -> list[str]:
    """Frames where recordings are wanted, recordings where frames are, and what can only be done to a waveform."""
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    dataset, features = config.choices.dataset, config.choices.features
    has_frames = hasattr(get_class(config.dataset._target_), "frame_layout")
    if not has_frames:
        here = f"features=frames is for dataset=frames, and dataset={dataset} has recordings: type features=mfcc"
        return [here] if features == "frames" else []
    problems = []
    if features != "frames":
        problems.append(
            f"features={features} makes frames of recordings, and dataset={dataset} has frames already: leave "
            "features= out, or type features=frames"
        )
    if config.get("augmentation") and config.augmentation != OmegaConf.load(CONF / "augmentation" / "none.yaml"):
        problems.append(f"augmentation changes waveforms, and dataset={dataset} has none: type augmentation=none")
    if config.streaming:
        problems.append(f"streaming=true begins with a waveform, and dataset={dataset} has none: leave it out")
    layout = frame_layout(config)
    if features == "frames" and layout is not None:
        problems += [
            f"features.{key}={config.features[key]}: the frames of dataset={dataset} have {getattr(layout, key)}; "
            "leave it out"
            for key in FROM_FOLDER
            if config.features[key] != getattr(layout, key)
        ]
    return problems


def wrong_streaming(config: DictConfig) -> list[str]:
    """What cannot stream: statistics over a whole recording, networks that look ahead."""
    problems = []
    if config.features.get("framing") == "causal" and config.get("normalizer"):
        name = config.normalizer._target_.rsplit(".", 1)[-1]
        if name in ("CMVN", "Level"):
            problems.append(f"features.framing=causal: {name} needs the whole recording; use normalizer=null")
    if config.streaming and config.model.get("causal") is None:
        problems.append(f"streaming=true: model={config.choices.model} cannot be causal")
    if config.model.get("causal") and config.model.get("bidirectional"):
        problems.append("model.bidirectional=true looks at later frames: with model.causal=true use false")
    return problems


def unknown_options(config: DictConfig) -> list[str]:
    """Options (added with +) that the class they go to does not take."""
    from hydra.utils import get_object
    from omegaconf import DictConfig

    problems = []
    for group, part in ((str(name), part) for name, part in config.items()):
        target = part.get("_target_") if isinstance(part, DictConfig) else None
        if group in ("features", "target_features", "scheduler") or not target:
            continue  # the front end speaks for itself; a scheduler's interval is taken out first
        taken = inspect.signature(get_object(target)).parameters
        if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            continue
        for key in (str(key) for key in part if key != "_target_" and key not in taken):
            problems.append(f"unknown key {group}.{key}{nearest(key, taken)}")
    return problems
