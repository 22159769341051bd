"""Checkpoints of s3prl and of the original Mockingjay: weights under our names, settings as words of a configuration.

Nothing in a file is run, and nothing is written: it is read by `torch.load(weights_only=True)`, which makes tensors,
plain containers and an `argparse.Namespace`, and refuses all else by its name. Formats, by the code that writes them:

- s3prl: `Transformer` and `SpecHead` are weights; `Config`, in newer files `Upstream_Config`, has the sections
  `transformer`, `task` and often `audio`. Frames are not stacked.
- the original (github.com/andi611/Mockingjay-Speech-Representation, 2020): `Mockingjay` and perhaps `SpecHead` are
  weights; `Settings` has `Config` with the section `mockingjay`, of which `downsample_rate` stacks frames, and `Paras`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from phonaut.checkpoints.front_ends import Chosen, input_of, target_of
from phonaut.checkpoints.state_dict import FOREIGN
from phonaut.names import shown

if TYPE_CHECKING:
    from torch import Tensor

SECTIONS = ("transformer", "mockingjay")  # of a configuration, and in other letters of weights
SIZES = {
    "hidden_size": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "dropout": "hidden_dropout_prob",
}
STEMS = {"projection": "input_representations.spec_transform", "norm": "input_representations.LayerNorm"}
LAYER_STEMS = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "dense": ("attention.output.dense",),
    "dense_norm": ("attention.output.LayerNorm",),
    "intermediate": ("intermediate.dense",),
    "output": ("output.dense",),
    "output_norm": ("output.LayerNorm",),
}
HEAD_STEMS = {"dense": "dense", "norm": "LayerNorm", "output": "output"}


class Checkpoint(NamedTuple):
    """Parts of a checkpoint that are read.

    Attributes:
        weights: of the encoder, under the names of the file.
        head: of what predicts frames; empty where there is none.
        encoder: the section of the configuration that describes the encoder.
        audio: the section that describes the input, or None.
    """

    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    encoder: dict[str, Any]
    audio: dict[str, Any] | None


class Pretrained(NamedTuple):
    """An encoder of another tool, as ours.

    Attributes:
        words: of the configuration that has its front ends and its sizes.
        weights: under the names of our encoder.
        head: weights of the prediction head, under its own names (see `head_weights`); empty where there is none.
        n_features: of the input frames.
        n_targets: of the frames that the head predicts; 0 where there is no head.
        hidden_size: of the representations.
        note: on the front end that was chosen.
    """

    words: list[str]
    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    n_features: int
    n_targets: int
    hidden_size: int
    note: str


def read(path: Path) -> Pretrained:
    """Read a checkpoint.

    Raises:
        ValueError: the file is damaged or none of these, or our encoder or our front ends cannot be what it is.
    """
    checkpoint = parts_of(path)
    sizes = sizes_of(checkpoint, path)
    n_features = input_width(checkpoint.weights, sizes["stack_size"], path)
    weights = network_weights(checkpoint, sizes, n_features, path)
    chosen = input_of(checkpoint.audio, n_features, str(path))
    n_outputs = len(checkpoint.head.get("output.weight", ()))
    n_targets = 0 if n_outputs % sizes["stack_size"] else n_outputs // sizes["stack_size"]
    target = target_of(checkpoint.audio, n_targets, n_features)
    words = ["model=mockingjay_base", *(f"model.{name}={value}" for name, value in sizes.items())]
    words += [
        *words_of("features", chosen),
        f"normalizer.ddof={chosen.ddof}" if chosen.normalized else "normalizer=null",
    ]
    words += [] if target is None or n_targets == n_features else words_of("target_features", target)
    return Pretrained(words, weights, checkpoint.head, n_features, n_targets, sizes["hidden_size"], chosen.note)


def words_of(group: str, chosen: Chosen) -> list[str]:
    """A front end as overrides of a configuration."""
    return [f"{group}={chosen.name}", *(f"{group}.{key}={value}" for key, value in chosen.options.items())]


def parts_of(path: Path) -> Checkpoint:
    """The parts of a checkpoint, as data.

    Raises:
        ValueError: it is damaged, holds objects of some class, or is no checkpoint of an encoder.
    """
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            states = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in any way
        foreign = FOREIGN.search(str(error))
        if foreign is None:
            raise ValueError(f"{path} is damaged, or no checkpoint of PyTorch") from error
        raise ValueError(
            f"{path} holds an object of {shown(foreign[1])}, and no code of a checkpoint is run: save its weights and "
            "settings alone where it was made (docs/mockingjay.md says how)"
        ) from error
    states = states if isinstance(states, dict) else {}
    weights = tensors(next((states[name.title()] for name in SECTIONS if name.title() in states), None))
    old = states.get("Settings")
    configs = [states.get("Upstream_Config"), states.get("Config"), old.get("Config") if isinstance(old, dict) else 0]
    for config in (config for config in configs if weights and isinstance(config, dict)):
        for encoder in (config[name] for name in SECTIONS if isinstance(config.get(name), dict)):
            audio = config.get("audio")
            head = tensors(states.get("SpecHead"))
            return Checkpoint(weights, head, encoder, audio if isinstance(audio, dict) else None)
    there = ", ".join(sorted(shown(str(name)) for name in states)) or "nothing that is named"
    raise ValueError(f"{path} is no checkpoint of s3prl or of Mockingjay with weights and settings; it has: {there}")


def tensors(state: Any) -> dict[str, Tensor]:
    """Weights in float32, with the names that layer normalisation has today; empty if `state` is none."""
    from torch import Tensor

    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        return {}
    renewed = {re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", str(name))): state[name] for name in state}
    return {name: value.detach().float().contiguous() for name, value in renewed.items()}


def sizes_of(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """The options of our encoder.

    Raises:
        ValueError: one is not told, or the encoder is of a kind that ours is not.
    """
    from phonaut.networks.mockingjay import EPS, Mockingjay

    asked = checkpoint.encoder
    missing = [name for name in (*SIZES.values(), "hidden_act", "layer_norm_eps") if name not in asked]
    if missing:
        raise ValueError(f"{path} does not tell {', '.join(missing)}")
    other = [name for name in ("share_layer", "pre_layer_norm") if asked.get(name)]
    other += ["hidden_act"] if asked["hidden_act"] != "gelu" else []
    other += ["layer_norm_eps"] if str(asked["layer_norm_eps"]) not in (str(EPS), "1.e-12") else []  # YAML: text
    if other:
        shown = ", ".join(f"{name}={asked[name]}" for name in other)
        raise ValueError(f"{path} has {shown}, which our encoder cannot be")
    sizes = {ours: asked[theirs] for ours, theirs in SIZES.items()} | {"stack_size": asked.get("downsample_rate", 1)}
    try:
        sizes = {name: float(value) if name == "dropout" else int(value) for name, value in sizes.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} has sizes that are no numbers: {sizes}") from error
    if wrong := Mockingjay.problems(**sizes):
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return sizes


def input_width(weights: dict[str, Tensor], stack_size: int, path: Path) -> int:
    """The number of features of a frame.

    Raises:
        ValueError: the first layer is missing, or does not take `stack_size` frames.
    """
    name = f"{STEMS['projection']}.weight"
    if name not in weights:
        raise ValueError(f"{path} does not fit this encoder: {name} is missing")
    n_features, rest = divmod(weights[name].shape[-1], stack_size)
    if rest:
        raise ValueError(f"{path} takes {weights[name].shape[-1]} numbers, which are no {stack_size} frames")
    return n_features


def network_weights(checkpoint: Checkpoint, sizes: dict[str, Any], n_features: int, path: Path) -> dict[str, Tensor]:
    """The weights of our encoder: query, key and value one below the other.

    Raises:
        ValueError: names or shapes differ; all of them are told, as they are in the file.
    """
    import torch

    from phonaut.checkpoints.state_dict import check_state_dict
    from phonaut.networks.mockingjay import Mockingjay

    with torch.device("meta"):
        ours = Mockingjay(n_features=n_features, **sizes).state_dict()
    expected: dict[str, Tensor] = {}
    for name, value in ours.items():
        theirs = theirs_of(name)
        expected |= dict(zip(theirs, value.chunk(len(theirs)), strict=True))
    check_state_dict(expected, checkpoint.weights, str(path))
    return {name: torch.cat([checkpoint.weights[part] for part in theirs_of(name)]) for name in ours}


def theirs_of(name: str) -> list[str]:
    """The names in a checkpoint of what is called `name` in our encoder.

    >>> theirs_of("layers.2.output.bias")
    ['encoder.layer.2.output.dense.bias']
    """
    *stem, kind = name.split(".")
    if stem[0] != "layers":
        return [f"{STEMS[stem[0]]}.{kind}"]
    return [f"encoder.layer.{stem[1]}.{theirs}.{kind}" for theirs in LAYER_STEMS[stem[2]]]


def head_weights(head: dict[str, Tensor], hidden_size: int, path: Path) -> dict[str, Tensor]:
    """The weights of our prediction head.

    Raises:
        ValueError: names or shapes differ; all of them are told.
    """
    import torch

    from phonaut.checkpoints.state_dict import check_state_dict
    from phonaut.networks.mockingjay import PredictionHead

    with torch.device("meta"):
        ours = PredictionHead(hidden_size, len(head["output.weight"])).state_dict()
    theirs = {name: f"{HEAD_STEMS[name.split('.')[0]]}.{name.split('.')[1]}" for name in ours}
    check_state_dict({theirs[name]: value for name, value in ours.items()}, head, f"{path}: SpecHead")
    return {f"head.{name}": head[theirs[name]] for name in ours}
