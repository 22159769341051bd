"""Checkpoints of s3prl and of the original become runs; what cannot is refused by name, and nothing is run."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from helpers.foreign_checkpoints import (
    AUDIO,
    HIDDEN,
    LINEAR,
    MEL,
    N_MELS,
    N_MFCC,
    SIZES,
    modern,
    original,
    ours_in_their_names,
    s3prls,
    s3prls_positions,
    saved,
    scattered,
)
from helpers.runs_of_tones import write_tones
from phonaut import cli
from phonaut.checkpoints.front_ends import input_of, target_of
from phonaut.config.compose import compose
from phonaut.config.nodes import instantiate
from phonaut.files import cache_dir
from phonaut.networks import PredictionHead
from phonaut.runs import Run
from phonaut.runs.load import import_checkpoint, open_trained
from phonaut.tasks import build, encoders


@pytest.fixture(scope="module")
def peer() -> Any:
    """s3prl's modules."""
    spec = importlib.util.spec_from_file_location("s3prls_model", s3prls("model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=path.name) as refused:
        import_checkpoint(path, path.parent / "run")
    assert not (path.parent / "run").exists()
    return str(refused.value)


@pytest.mark.peer
@pytest.mark.parametrize(("form", "stack_size"), [("modern", 1), ("original", 1), ("original", 3)])
def test_all_hidden_states_and_the_head_are_those_of_s3prl(
    peer: Any, form: str, stack_size: int, tmp_path: Path
) -> None:
    n_features = N_MELS if form == "modern" else N_MFCC
    config = peer.TransformerConfig(SIZES)
    network = scattered(peer.TransformerModel(config, n_features * stack_size), 0)
    head = scattered(peer.TransformerSpecPredictionHead(config, n_features * stack_size), 1)
    weights = network.state_dict(), head.state_dict()
    states = modern(*weights) if form == "modern" else original(*weights, stack_size)
    folder = open_trained(saved(states, tmp_path / "a.ckpt", zipped=form == "modern")).folder

    encoder = build.encoder_of(built_of(Run(folder)), layer="last").eval()
    encoders.load_encoder(encoder, folder)
    frames, lengths = torch.randn(3, 31, n_features), torch.tensor([31, 20, 4])
    n_stacked = lengths // stack_size
    mask = (torch.arange(31 // stack_size) < n_stacked[:, None]).float()
    stacked = frames[:, : 31 // stack_size * stack_size].reshape(3, 31 // stack_size, -1) * mask[:, :, None]
    with torch.no_grad():
        positions = s3prls_positions(31 // stack_size).expand(3, -1, -1)
        theirs = network(stacked, positions, mask)
        mine, found_lengths = encoder.network.hidden_states(frames, lengths)
        their_frames, _ = head(theirs[-1])
        own_head = PredictionHead(HIDDEN, n_features * stack_size)
        file = Run(folder).folder / "model.safetensors"
        own_head.load_state_dict(of_head(file))
        own_frames = own_head(theirs[-1])
    assert found_lengths.tolist() == n_stacked.tolist()
    assert len(theirs) == len(mine) == 3
    for one, other in zip(mine, theirs, strict=True):
        assert (one - other)[mask.bool()].abs().max() < 1e-4
    assert (own_frames - their_frames).abs().max() < 1e-4


def built_of(run: Run) -> dict[str, Any]:
    return {group: getattr(run.config, group) for group in ("features", "model", "normalizer")}


def of_head(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name[5:]: value for name, value in load_file(file).items() if name.startswith("head.")}


def test_a_checkpoint_is_imported_once_and_stands_in_front_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))  # other processes of the tests write to theirs
    path = saved(modern(ours_in_their_names()), tmp_path / "a.ckpt")
    cached = {*(cache_dir() / "imported").rglob("*")}
    config = compose([f"encoder.run={path}", "model=probe"])
    assert {*(cache_dir() / "imported").rglob("*")} == cached, "composing writes nothing"
    assert config.encoder.run == str(path)
    assert config.encoder.built["model"]["n_layers"] == 2
    first = open_trained(path).folder
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert open_trained(path).folder == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    encoder = build.front_end_of(config)
    encoders.load_encoder(encoder, path)
    theirs = ours_in_their_names()
    theirs["input_representations.LayerNorm.bias"] += 1.0
    assert open_trained(saved(modern(theirs), path)).folder != first


@pytest.mark.slow
def test_extract_takes_a_checkpoint_and_says_what_has_to_match(tmp_path: Path, capsys: Any) -> None:
    write_tones(tmp_path / "tones", n_takes=1)
    path = saved(modern(ours_in_their_names()), tmp_path / "tera.ckpt")
    words = ["dataset=folder", f"dataset.data_folder={tmp_path / 'tones'}", f"output={tmp_path / 'made'}"]
    assert cli.main(["extract", str(path), *words]) == 0
    assert "tera.ckpt: features=mel" in capsys.readouterr().err
    config = compose(["dataset=frames", f"dataset.data_folder={tmp_path / 'made'}", "model=majority"])
    assert (config.features["n_features"], config.features["frame_shift_s"]) == (HIDDEN, 0.01)


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
    import_checkpoint(tmp_path / "plain.ckpt", tmp_path / "run")
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
    assert "SpecHead does not fit this model: LayerNorm.bias is missing" in said
    assert "a.ckpt is no checkpoint of s3prl" in refusal(saved({"state_dict": weights}, tmp_path / "a.ckpt"))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"share_layer": True}, "share_layer=True"),
        ({"pre_layer_norm": True}, "pre_layer_norm=True"),
        ({"hidden_act": "relu"}, "hidden_act=relu"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps=1e-05"),
        ({"num_attention_heads": 5}, "must be a multiple of n_heads=5"),
        ({"downsample_rate": 3}, "10 numbers, which are no 3 frames"),
        ({"downsample_rate": 0}, "stack_size=0"),
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
    import_checkpoint(saved(modern(weights), tmp_path / "a.ckpt"), tmp_path / "run")
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
    import_checkpoint(path, tmp_path / "run")
    assert not of_head(tmp_path / "run" / "model.safetensors")
    assert "no head" in Run(tmp_path / "run").model["notes"][1]


def test_the_front_end_is_that_of_the_settings(tmp_path: Path) -> None:
    states = modern(ours_in_their_names(), PREDICTS_LINEAR, audio=LINEAR)
    import_checkpoint(saved(states, tmp_path / "a.ckpt"), tmp_path / "run")
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    features = config.features
    assert (features.n_mels, features.n_fft, features.win_length, features.hop_length) == (N_MELS, 400, 400, 160)
    assert (features.log, features.top_db, features.deltas, features.f_min) == ("natural", None, 0, 0.0)
    assert (config.target_features["n_fft"], config.target_features["log"]) == (400, "natural")
    assert config.normalizer["_target_"].endswith(".CMVN")
    assert of_head(tmp_path / "run" / "model.safetensors")["output.weight"].shape == (201, HIDDEN)
    kaldi = {"kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 80, "frame_shift": 10.0}}}
    slopes = {"delta": {"order": 2, "win_length": 5}, "cmvn": {"use_cmvn": False}}
    chosen = input_of(kaldi | slopes, 240, "a.ckpt")
    assert (chosen.name, chosen.options["n_mels"], chosen.options["deltas"]) == ("fbank", 80, 2)
    assert (chosen.options["scale"], chosen.normalized) == (1.0, False)
    assert input_of(None, 160, "a.ckpt")[:4] == ("mel", {}, True, 0)
    target = target_of(None, 1025, 160)
    assert target is not None
    assert target.name == "linear"


@pytest.mark.peer
@pytest.mark.parametrize("delta", [0, 2])
def test_an_imported_encoder_hears_what_that_of_s3prl_hears(delta: int, tmp_path: Path) -> None:
    """From audio: mels of torchaudio, 1e-10 added before the logarithm, slopes over 5 frames, CMVN by T - 1."""
    librosa = pytest.importorskip("librosa")
    audio = AUDIO | {"input": MEL | {"delta": delta}}
    n_features = N_MELS * (1 + delta)
    path = saved(modern(ours_in_their_names(n_features), audio=audio), tmp_path / "a.ckpt")
    run = Run(open_trained(path).folder)
    front_end, normalizer = (instantiate(getattr(run.config, group)) for group in ("features", "normalizer"))
    wave = np.random.default_rng(0).standard_normal(8000) * np.geomspace(1e-4, 0.3, 8000)
    wave[:2000] = 0.0
    spectrum = np.abs(librosa.stft(wave, n_fft=400, hop_length=160, pad_mode="reflect")) ** 2
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=N_MELS, htk=True, norm=None, dtype=np.float64)
    level = torch.from_numpy(np.log(filters @ spectrum + 1e-10)).float()
    orders = [level]
    for _ in range(delta):
        c = torch.nn.functional.pad(orders[-1][None], (2, 2), mode="replicate")[0]
        orders.append((c[:, 3:-1] - c[:, 1:-3] + 2 * (c[:, 4:] - c[:, :-4])) / 10)
    theirs = torch.cat(orders)
    theirs = (theirs - theirs.mean(-1, keepdim=True)) / (theirs.std(-1, keepdim=True) + 1e-10)
    frames = normalizer(*front_end(torch.from_numpy(wave).float()[None], torch.tensor([8000])))
    torch.testing.assert_close(frames[0].T, theirs, rtol=0, atol=1e-4)


PREDICTS_LINEAR = {
    "dense.weight": torch.ones(HIDDEN, HIDDEN),
    "dense.bias": torch.ones(HIDDEN),
    "LayerNorm.weight": torch.ones(HIDDEN),
    "LayerNorm.bias": torch.ones(HIDDEN),
    "output.weight": torch.ones(201, HIDDEN),
    "output.bias": torch.ones(201),
}
