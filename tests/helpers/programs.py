"""Small networks of integers with statistics of their own, and front ends before them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from phonaut.deploy.fixed_front_end import FixedFrontEnd, fixed_front_end
from phonaut.deploy.integer_program import Operation, Program, program_of
from phonaut.features import MFCC, MelSpectrogram
from phonaut.features.normalizers import BatchNormalizer, GainBatchNormalizer
from phonaut.networks import DSTCN, GDS, MDTC, BCResNet, BranchyTCResNet8, TCResNet8, TCResNet14
from phonaut.networks.quantized import QuantizedNetwork, Scheme

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8": lambda **more: TCResNet8(**more, width=0.25),
    "tc-res8 dilated, even": lambda **more: TCResNet8(**more, width=0.25, dilation=2, kernel_size=4),
    "tc-res14": lambda **more: TCResNet14(**more, width=0.25),
    "branchy-tc-res8": lambda **more: BranchyTCResNet8(**more, width=0.25, confidence=0.5),
    "gds": lambda **more: GDS(**more, channels=[12] * 2, kernel_sizes=[5, 3], strides=[2, 1], groups=[1, 2], pool=2),
    "mdtc": lambda **more: MDTC(**more, channels=6, n_stacks=2),
    "ds-tcn": lambda **more: DSTCN(**more, channels=6),
    "bc-res1": lambda **more: BCResNet(**more),
}
N_CLASSES = 5
CLIP_S = 0.3


def front_end_of(name: str, *, causal: bool) -> MFCC | MelSpectrogram:
    """Cepstra with slopes; BC-ResNet has 40 rows of mels."""
    more: dict[str, Any] = {"framing": "causal", "top_db": None} if causal else {}
    return MelSpectrogram(n_mels=40, **more) if name == "bc-res1" else MFCC(n_mfcc=7, n_mels=20, deltas=2, **more)


def made(name: str, scheme: str = "linear_8_8_8", *, causal: bool = False) -> tuple[Program, FixedFrontEnd]:
    """A program and its front end, whose normaliser knows nothing of the network's input but its range."""
    torch.manual_seed(len(name))
    front_end = front_end_of(name, causal=causal)
    n = front_end.n_features
    network = NETWORKS[name](n_features=n, n_classes=N_CLASSES, causal=causal)
    for module in network.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    quantized = QuantizedNetwork(network, Scheme.of(scheme))
    frames, lengths = torch.randn(3, 40, n), torch.tensor([40, 40, 33])
    with torch.no_grad():
        quantized.train()(frames, lengths)
        quantized.fold()
        quantized.quantize()
    normalizer = (BatchNormalizer if causal else GainBatchNormalizer)(n_features=n).eval()
    normalizer.norm.running_mean.uniform_(-5, 5)
    normalizer.norm.running_var.uniform_(100, 400)
    program = program_of(quantized.eval(), n, {"labels": [f"word {i}" for i in range(N_CLASSES)]})
    return program, fixed_front_end(front_end, normalizer, program)


def mean_of_frames(n_features: int, high: int, scale: float, *, binary: bool = False) -> Program:
    """A program whose scores are the sums of the input's levels over time, and little else."""
    mean = Operation("mean_time", ("frames",), "mean", (n_features, 1), -(2**15), 2**15 - 1,
                     numbers={"over": 6, "under": 0})  # fmt: skip
    arrays = {"weight": np.eye(n_features, dtype=np.int64), "bias": np.arange(n_features)}
    linear = Operation("linear", ("mean",), "scores", (n_features, 1), numbers={"scale": 1.0}, arrays=arrays)
    return Program(n_features, n_features, scale, -high, high, binary, 1, True, None, (mean, linear))
