"""What a configuration of pre-training implies, and what of it cannot be run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "config" / "conf"
LEAST_SHIFT_S = 0.005  # between representations: attention compares all pairs of them
EXAMPLE = "dataset.corpora=[{name: speechocean762, weight: 1}]"


def pretrains(config: DictConfig) -> bool:
    """Whether a configuration is one of pre-training."""
    return str(config.module._target_).endswith(".Representation")


def finish(config: DictConfig) -> None:
    """Carry out what pre-training implies: no target, a causal encoder where the objective asks, a mix of corpora.

    Raises:
        ValueError: a part of the mix is not described as it should be.
    """
    from hydra.utils import get_object
    from omegaconf import open_dict

    if not pretrains(config):
        return
    objective = config.get("objective")
    with open_dict(config):
        if config.target == "keyword":  # the default
            config.target = "none"
        if objective and "causal" in config.model and config.model.causal is None:
            config.model.causal = bool(get_object(objective._target_).causal)
        config.dataset = mixed(config)
        if config.choices.get("protocol") != "unlabelled":
            config.protocol = {"_target_": "phonaut.corpora.protocols.Unlabelled", "validation_pct": 10.0}
            config.choices.protocol = "unlabelled"
        rates = {part.corpus.get("downsample") for part in config.dataset.corpora} - {None}
        if len(rates) == 1:
            config.features.sample_rate = rates.pop()
        if config.get("target_features"):
            config.target_features.sample_rate = config.features.sample_rate
    if len(rates) > 1:
        raise ValueError(f"dataset.corpora are downsampled to {sorted(rates)} Hz: give all parts the same downsample")


def mixed(config: DictConfig) -> dict[str, Any]:
    """The corpora of `config` as the settings of one `Mix`, each asked for all that it has."""
    dataset = config.dataset
    if not str(dataset._target_).endswith(".Mix"):
        parts = [{"name": str(config.choices.dataset), "weight": 1.0, "corpus": dataset}]
        mix: dict[str, Any] = {"_target_": "phonaut.corpora.Mix"}
        mix["leave_out_speakers"] = config.leave_out_speakers
    else:
        parts = [part if "corpus" in part else part_of(part) for part in dataset.corpora or []]
        mix = {key: dataset[key] for key in dataset if key != "corpora"}
    for part in parts:
        part["corpus"]["target"] = "speaker"  # every corpus has speakers
    mix["corpora"] = [{"_target_": "phonaut.corpora.Part", **part} for part in parts]
    return mix


def part_of(described: Any) -> dict[str, Any]:
    """A part of a mix, from `{name, weight, as, <options of its dataset=>}`.

    Raises:
        ValueError: there is no such dataset or option.
    """
    from omegaconf import DictConfig, OmegaConf

    if not OmegaConf.is_dict(described) or "name" not in described:
        raise ValueError(f"dataset.corpora: {described} is no part of a mix; write {EXAMPLE}")
    names = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml") if path.stem != "mix")
    name = str(described.name)
    if name not in names:
        raise ValueError(f"dataset.corpora: name={name} is none of {', '.join(names)}")
    corpus = OmegaConf.load(CONF / "dataset" / f"{name}.yaml")
    assert isinstance(corpus, DictConfig)
    corpus.pop("defaults", None)
    options = {str(key): value for key, value in described.items() if key not in ("name", "weight", "as")}
    unknown = [key for key in options if key not in corpus]
    if unknown:
        takes = ", ".join(str(key) for key in corpus if key not in ("_target_", "target"))
        raise ValueError(f"dataset.corpora: {name} takes no {', '.join(unknown)}; it takes {takes}")
    weight = described.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise ValueError(f"dataset.corpora: weight={weight} of {name}: a number is wanted")
    return {
        "name": str(described.get("as", name)),
        "weight": float(weight),
        "corpus": OmegaConf.merge(corpus, options),
    }


def problems(config: DictConfig) -> list[str]:
    """All that is wrong with a configuration of pre-training; or that belongs to it, in another one."""
    chosen = config.choices
    if not pretrains(config):
        found = [
            f"{group}={chosen.get(group)} is for pre-training: choose model=mockingjay_small, or leave it out"
            for group in ("objective", "target_features")
            if config.get(group) and not str(config.model._target_).endswith(".Mockingjay")
        ]
        if str(config.dataset._target_).endswith(".Mix"):
            found.append(f"dataset={chosen.dataset} has no classes, and model={chosen.model} needs some: it is for "
                         "model=mockingjay_small and its like")  # fmt: skip
        if list(config.probe or []):
            found.append("probe is for pre-training; model=probe is a classifier of its own: leave it out")
        if list(config.leave_out_speakers or []):
            found.append("leave_out_speakers is for pre-training; a corpus has test speakers of its own: leave it out")
        return found
    found = wrong_target(config) + wrong_objective(config)
    if not str(config.model._target_).endswith(".Mockingjay"):
        return found
    found += wrong_network(config)
    if config.batch_frames < 1:
        found.append(f"batch_frames={config.batch_frames}: at least 1")
    if config.get("augmentation") and chosen.augmentation != "none":
        found.append(f"augmentation={chosen.augmentation}: pre-training alters frames by its objective; leave it out")
    if config.module.compile:
        found += without_compiler()
    return found if found else wrong_frames(config)


def wrong_target(config: DictConfig) -> list[str]:
    """A class where there are none."""
    if config.target == "none":
        return []
    return [f"target={config.target}: pre-training has no classes; leave target out"]


def wrong_objective(config: DictConfig) -> list[str]:
    """What is wrong with the objective, and with a network that sees what it should not."""
    from hydra.utils import instantiate

    if not config.get("objective"):
        return ["objective=null: pre-training needs one (apc, mockingjay, tera)"]
    name = config.choices.objective
    try:
        objective = instantiate(config.objective)
    except Exception as error:  # Hydra wraps what the class raises
        return [*str(error.__cause__ or error).split("; ")]
    if objective.causal and config.model.get("causal") is False:
        return [f"objective={name} predicts what comes, and model.causal=false sees it: leave model.causal out"]
    return []


def wrong_network(config: DictConfig) -> list[str]:
    """What is wrong with the sizes of the encoder."""
    from phonaut.networks.mockingjay import Mockingjay

    names = ("hidden_size", "n_layers", "n_heads", "intermediate_size", "dropout", "stack_size")
    options = {name: config.model[name] for name in names}
    return [f"model: {problem}" for problem in Mockingjay.problems(**options)]


def without_compiler() -> list[str]:
    """What `torch.compile` lacks."""
    import importlib.util
    import os
    import shutil
    import sysconfig

    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        return ["module.compile=true needs a C++ compiler (g++), and there is none: leave it out"]
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return ["module.compile=true needs Python.h, of Python's development files, which is not there: leave it out"]
    torch = importlib.util.find_spec("torch")
    if torch and " " in str(torch.origin):  # PyTorch's call of the compiler does not quote it
        return [f"module.compile=true: PyTorch cannot compile from a path with a space, {torch.origin}: leave it out"]
    return []


def wrong_frames(config: DictConfig) -> list[str]:
    """Frames that are too many, or of input and target that do not lie one on the other."""
    from hydra.utils import instantiate

    try:
        front_end = instantiate(config.features)
        target = instantiate(config.target_features) if config.get("target_features") else front_end
    except Exception:  # what is wrong with the options is said by them
        return []
    found = []
    shift_s = front_end.frame_shift_s * config.model.stack_size
    if shift_s < LEAST_SHIFT_S:
        found.append(f"features={config.choices.features} gives a frame every {shift_s * 1e3:.2g} ms, and attention "
                     f"compares all pairs of them: {LEAST_SHIFT_S * 1e3:g} ms is the least")  # fmt: skip
    ours, theirs = front_end.layout, target.layout
    same = (front_end.frame_shift_s, front_end.frame_offset_s) == (target.frame_shift_s, target.frame_offset_s)
    if not same or any(ours.n_frames(n) != theirs.n_frames(n) for n in (1, 399, 400, 3999, 16001)):
        found.append(
            f"features={config.choices.features} and target_features={config.choices.target_features} have their "
            f"frames at other times (every {ours.hop_length} and {theirs.hop_length} samples, the first at "
            f"{ours.offset:g} and {theirs.offset:g}): give both the same hop_length and framing, and with snip_edges "
            "the same win_length"
        )
    return found
