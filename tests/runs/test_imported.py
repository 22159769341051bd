"""Checkpoints of s3prl and of the original become runs; what cannot is refused by name, and nothing is run."""

import argparse
import ast
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from phonaut import cli
from phonaut.configuration import compose
from phonaut.imported import folder_of, import_checkpoint
from phonaut.imported_features import input_of, target_of
from phonaut.networks import Mockingjay, PredictionHead
from phonaut.runs import Run, encoders
from runs_of_tones import write_tones

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


@pytest.fixture(scope="module")
def peer() -> Any:
    """s3prl's modules."""
    spec = importlib.util.spec_from_file_location("s3prls_model", s3prls("model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def original(weights: dict[str, Tensor], head: dict[str, Tensor], stride: int) -> dict[str, Any]:
    """As the solver of Mockingjay's own repository saves."""
    sizes = {name: value for name, value in SIZES.items() if name not in ("share_layer", "pre_layer_norm")}
    sizes |= {"downsample_rate": stride, "layer_norm_eps": "1e-12"}
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


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=path.name) as refused:
        import_checkpoint(path, path.parent / "run", compose)
    assert not (path.parent / "run").exists()
    return str(refused.value)


@pytest.mark.peer
@pytest.mark.parametrize(("form", "stride"), [("modern", 1), ("original", 1), ("original", 3)])
def test_all_hidden_states_and_the_head_are_those_of_s3prl(peer: Any, form: str, stride: int, tmp_path: Path) -> None:
    n_features = N_MELS if form == "modern" else N_MFCC
    config = peer.TransformerConfig(SIZES)
    network = scattered(peer.TransformerModel(config, n_features * stride), 0)
    head = scattered(peer.TransformerSpecPredictionHead(config, n_features * stride), 1)
    weights = network.state_dict(), head.state_dict()
    states = modern(*weights) if form == "modern" else original(*weights, stride)
    folder = folder_of(saved(states, tmp_path / "a.ckpt", zipped=form == "modern"), compose)

    encoder = encoders.encoder_of(Run(folder).config, layer="last").eval()
    encoders.load(encoder, folder)
    frames, lengths = torch.randn(3, 31, n_features), torch.tensor([31, 20, 4])
    n_stacked = lengths // stride
    mask = (torch.arange(31 // stride) < n_stacked[:, None]).float()
    stacked = frames[:, : 31 // stride * stride].reshape(3, 31 // stride, -1) * mask[:, :, None]
    with torch.no_grad():
        positions = s3prls_positions(31 // stride).expand(3, -1, -1)
        theirs = network(stacked, positions, mask)
        mine, found_lengths = encoder.network.hidden_states(frames, lengths)
        their_frames, _ = head(theirs[-1])
        own_head = PredictionHead(HIDDEN, n_features * stride)
        file = Run(folder).folder / "model.safetensors"
        own_head.load_state_dict(of_head(file))
        own_frames = own_head(theirs[-1])
    assert found_lengths.tolist() == n_stacked.tolist()
    assert len(theirs) == len(mine) == 3
    for one, other in zip(mine, theirs, strict=True):
        assert (one - other)[mask.bool()].abs().max() < 1e-4
    assert (own_frames - their_frames).abs().max() < 1e-4


def of_head(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name[5:]: value for name, value in load_file(file).items() if name.startswith("head.")}


def test_a_checkpoint_is_imported_once_and_stands_in_front_of_a_model(tmp_path: Path) -> None:
    path = saved(modern(ours_in_their_names()), tmp_path / "a.ckpt")
    config = compose([f"encoder.run={path}", "model=probe"])
    assert config.encoder.run == str(path)
    assert config.encoder.built.model.n_layers == 2
    first = folder_of(path, compose)
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert folder_of(path, compose) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    encoder = encoders.front_end_of(config)
    encoders.load(encoder, path)
    theirs = ours_in_their_names()
    theirs["input_representations.LayerNorm.bias"] += 1.0
    assert folder_of(saved(modern(theirs), path), compose) != first


@pytest.mark.slow
def test_extract_takes_a_checkpoint_and_says_what_has_to_match(tmp_path: Path, capsys: Any) -> None:
    write_tones(tmp_path / "tones", n_takes=1)
    path = saved(modern(ours_in_their_names()), tmp_path / "tera.ckpt")
    words = ["dataset=folder", f"dataset.data_folder={tmp_path / 'tones'}", f"output={tmp_path / 'made'}"]
    assert cli.main(["extract", str(path), *words]) == 0
    assert "tera.ckpt: features=mel" in capsys.readouterr().err
    config = compose(["dataset=frames", f"dataset.data_folder={tmp_path / 'made'}", "model=majority"])
    assert (config.features.n_features, config.features.frame_shift_s) == (HIDDEN, 0.01)


def touched(path: str) -> None:
    Path(path).touch()


class Schedule:
    """What optimisers of that time kept in their state, here one that does something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return touched, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_an_object_of_a_class_is_refused_by_name_and_nothing_is_run(zipped: bool, tmp_path: Path) -> None:
    states = modern(ours_in_their_names()) | {"Optimizer": {"param_groups": [Schedule(tmp_path / "touched")]}}
    said = refusal(saved(states, tmp_path / "a.ckpt", zipped=zipped))
    assert f"{__name__}.touched" in said
    assert "no code of a checkpoint is run" in said
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("form", ["modern", "original"])
def test_the_program_of_the_page_leaves_what_is_taken(form: str, tmp_path: Path, monkeypatch: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mockingjay.md").read_text(encoding="utf-8")
    program = page.split("```text\n")[1].split("```")[0].replace('"cpu")', '"cpu", weights_only=False)')
    width = N_MELS if form == "modern" else N_MFCC
    weights, head = ours_in_their_names(width), {}
    states = modern(weights) if form == "modern" else original(weights, head, 1)
    monkeypatch.chdir(tmp_path)
    saved(states | {"Optimizer": Schedule(tmp_path / "touched")}, tmp_path / "states.ckpt")
    refusal(tmp_path / "states.ckpt")
    exec(program, {})
    import_checkpoint(tmp_path / "plain.ckpt", tmp_path / "run", compose)
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(zipped: bool, tmp_path: Path) -> None:
    path = saved(modern(ours_in_their_names()), tmp_path / "a.ckpt", zipped=zipped)
    whole = path.read_bytes()
    for n in (0, 1, 100, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:n])
        assert "is damaged" in refusal(path), n


def test_names_and_shapes_that_differ_are_told_as_the_file_has_them(tmp_path: Path) -> None:
    weights = ours_in_their_names()
    weights["encoder.layer.2.attention.self.key.bias"] = weights.pop("encoder.layer.1.attention.self.key.bias")
    weights["encoder.layer.0.output.dense.bias"] = torch.zeros(5)
    said = refusal(saved(modern(weights), tmp_path / "a.ckpt"))
    assert "encoder.layer.1.attention.self.key.bias is missing" in said
    assert "encoder.layer.2.attention.self.key.bias is not known" in said
    assert "encoder.layer.0.output.dense.bias is (5,), not (32,)" in said
    head = PredictionHead(HIDDEN, N_MELS).state_dict()
    said = refusal(saved(modern(ours_in_their_names(), head), tmp_path / "a.ckpt"))
    assert "SpecHead does not fit this encoder: LayerNorm.bias is missing" in said
    assert "a.ckpt is no checkpoint of s3prl" in refusal(saved({"state_dict": weights}, tmp_path / "a.ckpt"))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"share_layer": True}, "share_layer=True"),
        ({"pre_layer_norm": True}, "pre_layer_norm=True"),
        ({"hidden_act": "relu"}, "hidden_act=relu"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps=1e-05"),
        ({"num_attention_heads": 5}, "no multiple of n_heads=5"),
        ({"downsample_rate": 3}, "10 numbers, which are no 3 frames"),
        ({"downsample_rate": 0}, "stride=0"),
        ({"hidden_size": [32]}, "no numbers"),
    ],
)
def test_what_our_encoder_cannot_be_is_refused_by_name(sizes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(saved(modern(ours_in_their_names(), sizes=sizes), tmp_path / "a.ckpt"))


def test_names_of_older_layer_normalisation_are_known(tmp_path: Path) -> None:
    weights = ours_in_their_names()
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        for name in [name for name in weights if name.endswith(new)]:
            weights[name.replace(new, old)] = weights.pop(name)
    import_checkpoint(saved(modern(weights), tmp_path / "a.ckpt"), tmp_path / "run", compose)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_frames_that_no_front_end_gives_are_refused_with_their_width(tmp_path: Path) -> None:
    states = modern(ours_in_their_names(41))
    del states["Upstream_Config"]["audio"]
    assert "frames of 41 features" in refusal(saved(states, tmp_path / "a.ckpt"))
    said = refusal(saved(modern(ours_in_their_names(41)), tmp_path / "a.ckpt"))
    assert "takes 41 features, and features=mel has 10" in said
    kaldi = {"kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 80, "dither": 1.0}}}
    assert "dither" in refusal(saved(modern(ours_in_their_names(240), audio=kaldi), tmp_path / "a.ckpt"))


def test_a_head_for_frames_unlike_ours_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    path = saved(modern(ours_in_their_names(), PREDICTS_LINEAR), tmp_path / "a.ckpt")  # its settings say mels
    import_checkpoint(path, tmp_path / "run", compose)
    assert not of_head(tmp_path / "run" / "model.safetensors")
    assert "no head" in Run(tmp_path / "run").model["notes"][1]


def test_the_front_end_is_that_of_the_settings(tmp_path: Path) -> None:
    states = modern(ours_in_their_names(), PREDICTS_LINEAR, audio=LINEAR)
    import_checkpoint(saved(states, tmp_path / "a.ckpt"), tmp_path / "run", compose)
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    features = config.features
    assert (features.n_mels, features.n_fft, features.win_length, features.hop_length) == (N_MELS, 400, 400, 160)
    assert (features.log, features.top_db, features.deltas, features.f_min) == ("natural", None, 0, 0.0)
    assert (config.target_features.n_fft, config.target_features.log) == (400, "natural")
    assert config.normalizer._target_.endswith(".CMVN")
    assert of_head(tmp_path / "run" / "model.safetensors")["output.weight"].shape == (201, HIDDEN)
    kaldi = {"kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 80, "frame_shift": 10.0}}}
    slopes = {"delta": {"order": 2, "win_length": 5}, "cmvn": {"use_cmvn": False}}
    chosen = input_of(kaldi | slopes, 240, "a.ckpt")
    assert (chosen.name, chosen.options["n_mels"], chosen.options["deltas"]) == ("fbank", 80, 2)
    assert (chosen.options["scale"], chosen.normalized) == (1.0, False)
    assert input_of(None, 160, "a.ckpt")[:3] == ("mel", {}, True)
    target = target_of(None, 1025, 160)
    assert target is not None
    assert target.name == "linear"


PREDICTS_LINEAR = {
    "dense.weight": torch.ones(HIDDEN, HIDDEN),
    "dense.bias": torch.ones(HIDDEN),
    "LayerNorm.weight": torch.ones(HIDDEN),
    "LayerNorm.bias": torch.ones(HIDDEN),
    "output.weight": torch.ones(201, HIDDEN),
    "output.bias": torch.ones(201),
}
