"""Several corpora as one in a configuration: `dataset=mix`, and what pre-training makes of a single corpus."""

from __future__ import annotations

from typing import Any

from phonaut.config.nodes import Node
from phonaut.config.plugins import choices, node_of_group
from phonaut.config.schema import Config

EXAMPLE = "dataset.corpora=[{name: speechocean762, weight: 1}]"


def is_mix(config: Config) -> bool:
    """True for several corpora as one."""
    return str(config.dataset["_target_"]).endswith(".Mix")


def finish(config: Config, *, labelled: bool = False) -> None:
    """Make the corpora of a configuration one `Mix` at one sample rate.

    Args:
        config: is changed.
        labelled: recordings keep the words that are said and what they are parts of, for protocols.

    Raises:
        ValueError: a part is not described as it should be.
    """
    config.dataset = mix_of(config)
    if labelled:
        config.dataset["labelled"] = True
    rates = {part["corpus"].get("downsample") for part in config.dataset["corpora"]} - {None}
    if len(rates) > 1:
        raise ValueError(f"dataset.corpora are downsampled to {sorted(rates)} Hz: give all parts the same downsample")
    if rates:
        config.features["sample_rate"] = rates.pop()


def mix_of(config: Config) -> Node:
    """The corpora of a configuration, one of several, as the node of one `Mix`, each asked for all that it has."""
    dataset = config.dataset
    if not str(dataset["_target_"]).endswith(".Mix"):
        parts: list[Node] = [{"name": str(config.choices["dataset"]), "weight": 1.0, "corpus": dataset}]
        mix: Node = {"_target_": "phonaut.corpora.Mix"}
        mix["leave_out_speakers"] = config.leave_out_speakers
    else:
        parts = [dict(part) if "corpus" in (part or {}) else part_of(part) for part in dataset["corpora"] or []]
        mix = {key: value for key, value in dataset.items() if key != "corpora"}
    for part in parts:
        part["corpus"]["target"] = "speaker"  # every corpus has speakers
    mix["corpora"] = [{"_target_": "phonaut.corpora.Part", **part} for part in parts]
    return mix


def part_of(described: Any) -> Node:
    """A part of a mix, from `{name, weight, as, <options of its dataset=>}`.

    Raises:
        ValueError: there is no such dataset or option.
    """
    if not isinstance(described, dict) or "name" not in described:
        raise ValueError(f"dataset.corpora: {described} is no part of a mix; write {EXAMPLE}")
    names = [name for name in choices()["dataset"] if name != "mix"]
    name = str(described["name"])
    if name not in names:
        raise ValueError(f"dataset.corpora: name={name} is none of {', '.join(names)}")
    weight = described.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise ValueError(f"dataset.corpora: weight={weight} of {name} must be a number")
    options = {str(key): value for key, value in described.items() if key not in ("name", "weight", "as")}
    try:
        corpus = node_of_group("dataset", name, options, {"target": "speaker"})
    except ValueError as error:
        raise ValueError(f"dataset.corpora: {error}") from error
    return {"name": str(described.get("as", name)), "weight": float(weight), "corpus": corpus}
