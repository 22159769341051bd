"""A trained classifier as a program of ExecuTorch, lowered to XNNPACK or to CMSIS-NN.

The operations of the Cortex-M backend are made of layers that its quantiser marked: here the marks are made where a
layer lies between roundings, for the network was quantised before.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from phonaut.arrays import Array
from phonaut.deploy.onnx import FromAudio, FromFeatures, why_no_onnx
from phonaut.files import write_bytes
from phonaut.models.speech_model import SpeechModel

ROUNDINGS = ("quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel")
MISSING = "backend=executorch and backend=cortex-m need ExecuTorch: pip install 'phonaut[executorch]'"
MISSING_TOSA = "backend=cortex-m needs tosa-tools too: pip install --no-deps tosa-tools==2026.5.0"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch and ExecuTorch print."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def exported(model: SpeechModel, *, n_samples: int, features: bool) -> Any:
    """The graph of a model for recordings of `n_samples`, or of its network for their features.

    Indices that depend on lengths are known then, and computed here.

    Raises:
        ValueError: it cannot be exported, or the package is missing.
    """
    if reason := why_no_onnx(model):
        raise ValueError(reason)
    try:
        with quiet():
            from executorch.exir.passes.constant_prop_pass import constant_prop_pass
    except ImportError:
        raise ValueError(MISSING) from None
    example = torch.zeros(1, n_samples)
    whole: nn.Module = FromAudio(model)
    if features:
        with torch.inference_mode():
            example = torch.zeros_like(model.frames(example, torch.tensor([n_samples]))[0])
        whole = FromFeatures(model)
    with quiet(), torch.no_grad():
        program = torch.export.export(whole.eval(), (example.clone(),))
        if features:
            return program
        stays = {getattr(torch.ops.quantized_decomposed, name).default for name in ROUNDINGS}  # weights stay integers
        return constant_prop_pass(program.run_decompositions({}), custom_skip_targets=stays)


def edge_program(program: Any) -> Any:
    """A graph whose layers XNNPACK runs, as far as it has them."""
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        return to_edge_transform_and_lower(
            program, partitioner=[XnnpackPartitioner()], compile_config=EdgeCompileConfig(_check_ir_validity=False)
        )


def cortex_m_program(program: Any) -> Any:
    """A graph whose layers CMSIS-NN runs; the last, which gives scores, stays in floating point.

    Raises:
        ValueError: the package is missing.
    """
    try:
        with quiet():
            from executorch.backends.arm.common.annotation_meta import ArmAnnotationInfo
            from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
            from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
            from executorch.exir import EdgeCompileConfig, to_edge
            from executorch.exir.program._program import EdgeProgramManager
    except ImportError:
        raise ValueError(MISSING_TOSA) from None
    for node in program.graph.nodes:
        if between_roundings(node):
            node.meta.setdefault("custom", {})[ArmAnnotationInfo.CUSTOM_META_KEY] = dict(
                ArmAnnotationInfo(quantized=True)
            )
    kept = [one for one in cortex_m_edge_compile_config().preserve_ops if "linear" not in str(one)]
    with quiet(), torch.no_grad():
        edge = to_edge(program, compile_config=EdgeCompileConfig(preserve_ops=kept, _check_ir_validity=False))
        return EdgeProgramManager(CortexMPassManager(edge.exported_program(), use_explicit_layout=True).transform())


def between_roundings(node: fx.Node) -> bool:
    """Whether integers go into an operation, and come out of it; means stay in floating point."""
    if node.op != "call_function" or "quantized_decomposed" in str(node.target) or "mean" in str(node.target):
        return False
    before = [str(one.target).split(".")[-2] for one in node.all_input_nodes if one.op == "call_function"]
    after = [str(one.target).split(".")[-2] for one in node.users if one.op == "call_function"]
    return (
        len(before) == len(node.all_input_nodes)
        and len(after) == len(node.users) > 0
        and all(name.startswith("dequantize") for name in before)
        and all(name.startswith("quantize") for name in after)
    )


def write_program(path: Path, edge: Any) -> None:
    """Write a program, whole or not at all.

    Raises:
        ValueError: ExecuTorch has no kernel for something in it.
    """
    try:
        with quiet():
            content = edge.to_executorch().buffer
    except RuntimeError as error:
        raise ValueError(f"ExecuTorch cannot run this network, use backend=onnxruntime: {error}") from error
    write_bytes(path, content)


def runner(path: Path) -> Callable[[Array], Array]:
    """A program, run by ExecuTorch's wheel: an input `(1, ...)` to scores `(1, C)`."""
    data = path.read_bytes()
    with silent():
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(data)
        method = program.load_method("forward")
    kept = [data, program]  # which the method reads, and does not hold

    def run(given: Array) -> Array:
        assert kept
        scores: Array = method.execute([torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))])[0].numpy()
        return scores.copy()  # the runtime uses its memory again

    return run


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what ExecuTorch's own code writes to the terminal as it looks at the processor."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        with quiet():
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
