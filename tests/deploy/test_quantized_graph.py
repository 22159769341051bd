"""The one quantised graph is the integer program to one level, and every runtime computes it; streams are the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phonaut.deploy.backends import backend, in_floating_point, names, with_graph
from phonaut.deploy.integer_program import program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.deploy.quantized_graph import CORTEX_M, ONNX_RUNTIME, XNNPACK, QuantizedGraph
from phonaut.deploy.streaming import StreamingModel
from phonaut.features import MFCC
from phonaut.models.speech_model import SpeechModel
from phonaut.networks import DSTCN, GDS, MDTC, BCResNet, BranchyTCResNet8, TCResNet8, TCResNet14
from phonaut.networks.quantized import QuantizedNetwork, Scheme

SMALL = {GDS: {"channels": (12, 12), "kernel_sizes": (5, 3), "strides": (2, 1), "groups": (1, 2)}}
KINDS = (TCResNet8, TCResNet14, BranchyTCResNet8, BCResNet, GDS, MDTC, DSTCN)
N_SAMPLES = 8000


def quantised(kind: type = TCResNet8, scheme: str = "linear_8_8_8", *, causal: bool = False) -> QuantizedNetwork:
    """A network with random weights, its ranges those of noise."""
    torch.manual_seed(0)
    network = kind(n_features=40, n_classes=12, causal=causal, **SMALL.get(kind, {}))
    result = QuantizedNetwork(network, Scheme.of(scheme))
    with torch.no_grad():
        result.train()
        result(torch.randn(4, 61, 40), torch.full((4,), 61))
        result.fold()
        result.quantize()
    return result.eval()


def scored(network: QuantizedNetwork, frames: torch.Tensor) -> np.ndarray:
    """What the integer program answers."""
    interpreter = Interpreter(program_of(network, frames.shape[2]))
    return np.stack([interpreter.logits(one.numpy()) for one in frames])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["linear_8_8_8", "linear_4_4_4", "linear_1_1_1"])
def test_the_graph_answers_as_the_integer_program_does(kind: type, scheme: str) -> None:
    network, frames = quantised(kind, scheme), torch.randn(3, 45, 40)
    expected = scored(network, frames)
    for form in (ONNX_RUNTIME, XNNPACK, CORTEX_M):
        with torch.inference_mode():
            found = QuantizedGraph(network, form=form).eval()(frames).numpy()
        assert np.abs(found - expected).max() < 0.1 * expected.std()


def test_what_8_bits_do_not_hold_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="linear_16_8_8 has activations or weights of more than 8 bits"):
        QuantizedGraph(quantised(scheme="linear_16_8_8"))
    with pytest.raises(ValueError, match="the network is not quantised: train with compress=linear_8_8_8"):
        QuantizedGraph(QuantizedNetwork(TCResNet8(n_features=40, n_classes=2), Scheme.of("linear_8_8_8")))


def test_backends_are_found_by_their_names_and_what_replaces_one_is_said() -> None:
    assert {"onnxruntime", "executorch", "cortex-m"} <= set(names())
    with pytest.raises(ValueError, match="ExecuTorch replaces it: backend=executorch"):
        backend("torchmobile")
    with pytest.raises(ValueError, match="backend=tvm is none of"):
        backend("tvm")


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("name", ["onnxruntime", "executorch", "cortex-m"])
def test_each_runtime_answers_as_the_network_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if name == "onnxruntime" else "executorch", reason=f"backend={name} needs it")
    if name == "cortex-m":
        pytest.importorskip("tosa", reason="backend=cortex-m needs tosa-tools")
    model, runtime = SpeechModel(MFCC(), quantised()).eval(), backend(name)
    audio = 0.1 * torch.randn(1, N_SAMPLES)
    with torch.inference_mode():
        expected = model(audio, torch.tensor([N_SAMPLES])).numpy()
        frames = model.frames(audio, torch.tensor([N_SAMPLES]))[0]
    for given, example in (("audio", audio), ("features", frames)):
        path = tmp_path / f"{given}{runtime.SUFFIX}"
        if given not in runtime.INPUTS:
            with pytest.raises(ValueError, match="takes features"):
                runtime.write(model, path, n_samples=N_SAMPLES, about={}, features=False)
            continue
        file = runtime.write(model, path, n_samples=N_SAMPLES, about={}, features=given == "features")
        assert name == "onnxruntime" or path.stat().st_size < 250_000, "weights should be bytes"
        assert np.abs(file.run(example.numpy()) - expected).max() < 0.1 * expected.std()


@pytest.mark.slow
@pytest.mark.peer
def test_onnx_runtime_makes_integer_kernels_of_every_layer(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="backend=onnxruntime needs it")
    import onnx

    model = SpeechModel(MFCC(), quantised()).eval()
    backend("onnxruntime").write(model, tmp_path / "a.onnx", n_samples=N_SAMPLES, about={}, features=True)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert (kinds.count("QLinearConv"), kinds.count("QLinearAdd"), kinds.count("Conv")) == (10, 3, 0)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("in_integers", [False, True])
def test_hop_by_hop_the_file_answers_as_the_model_does_offline(in_integers: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="streaming files need ONNX Runtime")
    from phonaut.deploy.streaming_onnx import OnnxStream, write_streaming_onnx

    model = SpeechModel(MFCC(framing="causal", top_db=None), quantised(causal=True)).eval()
    model = model if in_integers else in_floating_point(model)
    audio = 0.1 * torch.randn(1, 16000)
    expected = StreamingModel(with_graph(model, ONNX_RUNTIME), window_ms=240).offline(audio)[0].numpy()
    write_streaming_onnx(model, tmp_path / "hop.onnx", about={}, window_ms=240)
    stream = OnnxStream(tmp_path / "hop.onnx")
    hops = [
        audio[:, i : i + stream.n_samples].numpy() for i in range(0, 16000 - stream.n_samples + 1, stream.n_samples)
    ]
    found = np.concatenate([stream.step(hop) for hop in hops])
    assert len(found) == 12
    tolerance = 0.2 * expected.std() if in_integers else 1e-4
    np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=tolerance)
    if in_integers:
        assert {one.dtype for name, one in stream.state.items() if name.startswith("network")} == {np.dtype(np.uint8)}
