"""Checkpoints as s3prl and the original Mockingjay save them, for tests of what becomes of them."""

import argparse
import ast
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.networks import Mockingjay

N_MELS, N_MFCC, HIDDEN = 10, 39, 32
SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "gelu",
    "intermediate_size": 48,
    "hidden_dropout_prob": 0.3,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "share_layer": False,
    "pre_layer_norm": False,
}
MEL = {"feat_type": "mel", "channel": 0, "log": True, "delta": 0, "cmvn": True}
AUDIO = {"target_level": -25, "win_ms": 25, "hop_ms": 10, "n_freq": 201, "n_mels": N_MELS, "n_mfcc": 13, "input": MEL}
LINEAR = AUDIO | {"target": {"feat_type": "linear", "channel": 1, "log": True, "delta": 0, "cmvn": True}}


def s3prls(name: str) -> Path:
    """A file of s3prl's, of which the package itself is not imported: it wants more than is installed."""
    package = importlib.util.find_spec("s3prl")
    if package is None or package.origin is None:
        pytest.skip("s3prl is not installed")
    return Path(package.origin).parent / "upstream" / "mockingjay" / name


def s3prls_positions(n_frames: int) -> Tensor:
    """By its own functions, taken out of a file that imports torchaudio."""
    wanted = ("get_sinusoid_table", "position_encoding")
    tree = ast.parse(s3prls("builder.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names: dict[str, Any] = {"np": np, "torch": torch, "lru_cache": lru_cache, "MAX_SEQLEN": 100}
    exec(compile(tree, "builder.py", "exec"), names)
    found: Tensor = names["position_encoding"](n_frames, HIDDEN)
    return found


def scattered(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """With weights that are nowhere 0 or 1, as those of layer normalisation are at the start."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=draws) * 0.2 + (0.0 if value.ndim > 1 else 0.5))
    return module.eval()


def modern(weights: dict[str, Tensor], head: dict[str, Tensor] | None = None, **more: Any) -> dict[str, Any]:
    """As s3prl's runner saves today."""
    config = {"transformer": SIZES | more.pop("sizes", {}), "task": {"sequence_length": 1500}, "audio": AUDIO} | more
    states = {"Transformer": weights, "Upstream_Config": config, "Config": {"runner": {"total_steps": 9}}, "Step": 9}
    states |= {"Args": argparse.Namespace(upstream="tera", seed=1), "Optimizer": {"state": {}, "param_groups": []}}
    return states | ({} if head is None else {"SpecHead": head})


def original(weights: dict[str, Tensor], head: dict[str, Tensor], stack_size: int) -> dict[str, Any]:
    """As the solver of Mockingjay's own repository saves."""
    sizes = {name: value for name, value in SIZES.items() if name not in ("share_layer", "pre_layer_norm")}
    sizes |= {"downsample_rate": stack_size, "layer_norm_eps": "1e-12"}
    settings = {"Config": {"mockingjay": sizes, "solver": {}}, "Paras": argparse.Namespace(seed=1337, gpu=True)}
    return {"Mockingjay": weights, "SpecHead": head, "Global_step": 500000, "Settings": settings}


def ours_in_their_names(n_features: int = N_MELS) -> dict[str, Tensor]:
    """Weights of an encoder of ours, named by hand as s3prl names them."""
    network = Mockingjay(
        n_features=n_features, hidden_size=HIDDEN, n_layers=2, n_heads=4, intermediate_size=48, dropout=0.3
    )
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        weights = {name: value for name, value in network.state_dict().items() if name.endswith(kind)}
        found[f"input_representations.spec_transform.{kind}"] = weights[f"projection.{kind}"]
        found[f"input_representations.LayerNorm.{kind}"] = weights[f"norm.{kind}"]
        for i in range(2):
            layer = f"encoder.layer.{i}"
            parts = weights[f"layers.{i}.qkv.{kind}"].chunk(3)
            for part, value in zip(("query", "key", "value"), parts, strict=True):
                found[f"{layer}.attention.self.{part}.{kind}"] = value
            found[f"{layer}.attention.output.dense.{kind}"] = weights[f"layers.{i}.dense.{kind}"]
            found[f"{layer}.attention.output.LayerNorm.{kind}"] = weights[f"layers.{i}.dense_norm.{kind}"]
            found[f"{layer}.intermediate.dense.{kind}"] = weights[f"layers.{i}.intermediate.{kind}"]
            found[f"{layer}.output.dense.{kind}"] = weights[f"layers.{i}.output.{kind}"]
            found[f"{layer}.output.LayerNorm.{kind}"] = weights[f"layers.{i}.output_norm.{kind}"]
    return {name: value.clone() for name, value in found.items()}


def saved(states: Any, path: Path, *, zipped: bool = True) -> Path:
    torch.save(states, path, _use_new_zipfile_serialization=zipped)
    return path
