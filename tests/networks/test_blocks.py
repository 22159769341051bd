"""Blocks equal what one writes down from the papers, in NumPy and with loops over taps."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from phonaut.networks.bc_resnet import BroadcastBlock
from phonaut.networks.ds_tcn import SeparableBlock
from phonaut.networks.gds import GroupedBlock
from phonaut.networks.mdtc import ScaleBlock
from phonaut.networks.padding import MaskedBatchNorm

Values = NDArray[np.float64]
pytestmark = pytest.mark.oracle


def trained(block: nn.Module) -> nn.Module:
    """With statistics as after some training."""
    torch.manual_seed(0)
    for module in block.modules():
        if isinstance(module, MaskedBatchNorm):
            for value in (module.running_mean, module.bias):
                nn.init.normal_(value)
            for value in (module.running_var, module.weight):
                nn.init.uniform_(value, 0.5, 2.0)
    return block.double().eval()


def numbers(layer: nn.Module) -> dict[str, Values]:
    return {name: value.numpy() for name, value in layer.state_dict().items()}


def norm(x: Values, layer: nn.Module) -> Values:
    """Of `(D, ...)`, each channel by its statistics."""
    v = numbers(layer)
    ends = (slice(None), *(None,) * (x.ndim - 1))
    scaled = (x - v["running_mean"][ends]) / np.sqrt(v["running_var"][ends] + 1e-5)
    return scaled * v["weight"][ends] + v["bias"][ends]


def over_time(x: Values, weight: Values, dilation: int, causal: bool) -> Values:
    """Depthwise: `y[d, t] = sum_k w[d, k] x[d, t + (k - centre) dilation]`, 0 beyond the ends."""
    n_taps = weight.shape[-1]
    before = dilation * (n_taps - 1) if causal else dilation * (n_taps - 1) // 2
    y = np.zeros_like(x)
    for t in range(x.shape[-1]):
        for k in range(n_taps):
            at = t - before + k * dilation
            if 0 <= at < x.shape[-1]:
                y[..., t] += weight[:, 0, 0, k] * x[..., at]
    return y


def pointwise(x: Values, weight: Values) -> Values:
    return np.einsum("oi,i...->o...", weight[:, :, 0, 0], x)


def relu(x: Values) -> Values:
    return np.maximum(x, 0)


def image(*shape: int) -> torch.Tensor:
    return torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n_in", "stride"), [(6, 1), (4, 2), (4, 1)])
def test_a_broadcasted_residual_block(n_in: int, stride: int, causal: bool) -> None:
    more = {"n_bands": 5, "dilation": 2, "causal": causal, "dropout": 0.1}
    block, x = trained(BroadcastBlock(n_in, 6, 10 // stride, stride=stride, **more)), image(n_in, 10, 9)
    below = x[0].numpy()
    if n_in != 6:
        below = relu(norm(pointwise(below, numbers(block.change)["weight"]), block.change_norm))
    taps, rows = numbers(block.frequency)["weight"], 10 // stride
    images = np.zeros((6, rows, 9))
    for row in range(rows):
        for k in range(3):
            if 0 <= (at := row * stride + k - 1) < 10:
                images[:, row] += taps[:, 0, k, 0, None] * below[:, at]
    height, v = rows // 5, numbers(block.frequency_norm)
    for d in range(6):
        for band in range(5):
            part, i = slice(band * height, (band + 1) * height), 5 * d + band
            centred = (images[d, part] - v["running_mean"][i]) / np.sqrt(v["running_var"][i] + 1e-5)
            images[d, part] = centred * v["weight"][i] + v["bias"][i]
    signals = norm(over_time(images.mean(axis=1), numbers(block.time)["weight"], 2, causal), block.time_norm)
    signals = pointwise(signals / (1 + np.exp(-signals)), numbers(block.pointwise)["weight"])
    expected = images + signals[:, None] + (x[0].numpy() if n_in == 6 else 0)
    torch.testing.assert_close(block(x, None)[0], torch.from_numpy(relu(expected)), rtol=0, atol=1e-12)


def test_a_block_of_the_multi_scale_network() -> None:
    for n_in in (6, 4):
        block, x = trained(ScaleBlock(n_in, 6, 5, dilation=2, causal=True)), image(n_in, 1, 12)
        hidden = norm(
            over_time(x[0, :, 0].numpy(), numbers(block.depthwise.conv)["weight"], 2, True), block.depthwise.norm
        )
        hidden = relu(norm(pointwise(hidden, numbers(block.first.conv)["weight"]), block.first.norm))
        hidden = norm(pointwise(hidden, numbers(block.second.conv)["weight"]), block.second.norm)
        expected = relu(hidden + (x[0, :, 0].numpy() if n_in == 6 else 0))
        torch.testing.assert_close(block(x, None)[0, :, 0], torch.from_numpy(expected), rtol=0, atol=1e-12)


def test_a_depthwise_separable_block() -> None:
    block, x = trained(SeparableBlock(5, 8, dilation=3, causal=False, dropout=0.1)), image(5, 1, 30)
    hidden = relu(
        norm(over_time(x[0, :, 0].numpy(), numbers(block.depthwise.conv)["weight"], 3, False), block.depthwise.norm)
    )
    expected = x[0, :, 0].numpy() + relu(
        norm(pointwise(hidden, numbers(block.pointwise.conv)["weight"]), block.pointwise.norm)
    )
    torch.testing.assert_close(block(x, None)[0, :, 0], torch.from_numpy(expected), rtol=0, atol=1e-12)


def test_a_grouped_depthwise_separable_block() -> None:
    more = {"stride": 2, "groups": 2, "pool": 2, "dilation": 1, "causal": False, "dropout": 0.1}
    block, x = trained(GroupedBlock(4, 6, 5, **more)), image(4, 1, 16)
    hidden = over_time(x[0, :, 0].numpy(), numbers(block.depthwise)["weight"], 1, False)[:, ::2]
    weight = numbers(block.pointwise.conv)["weight"]  # (6, 2, 1, 1): the first three channels hear the first two
    halves = [pointwise(hidden[2 * g : 2 * g + 2], weight[3 * g : 3 * g + 3]) for g in (0, 1)]
    hidden = relu(norm(np.concatenate(halves), block.pointwise.norm))
    expected = (hidden[:, 0::2] + hidden[:, 1::2]) / 2
    torch.testing.assert_close(block(x, None, None)[0][0, :, 0], torch.from_numpy(expected), rtol=0, atol=1e-12)
