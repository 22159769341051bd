"""Branches of training are folded exactly, and what is left is the network without them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from phonaut.networks import DSTCN, GDS, MDTC, BCResNet, BranchyTCResNet8, TCResNet8, TCResNet14, count
from phonaut.networks.reparameterized import attach, fold
from phonaut.networks.streaming import OngoingNetwork
from phonaut.networks.time_conv import TemporalConv

LAYERS = [
    {"n_in": 6, "n_out": 6, "kernel_size": 9},
    {"n_in": 6, "n_out": 6, "kernel_size": 9, "dilation": 2, "causal": True},
    {"n_in": 6, "n_out": 6, "kernel_size": 5, "dilation": 3},
    {"n_in": 4, "n_out": 6, "kernel_size": 3, "stride": 2},
    {"n_in": 6, "n_out": 6, "kernel_size": 5, "stride": 2, "causal": True},
    {"n_in": 6, "n_out": 6, "kernel_size": 5, "groups": 6, "dilation": 2},
    {"n_in": 6, "n_out": 6, "kernel_size": 3, "groups": 2},
    {"n_in": 6, "n_out": 6, "kernel_size": 4},
    {"n_in": 6, "n_out": 6, "kernel_size": 4, "dilation": 2},  # no tap on the frame itself
    {"n_in": 6, "n_out": 6, "kernel_size": 4, "dilation": 2, "causal": True},
    {"n_in": 6, "n_out": 6, "kernel_size": 1},
]
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8": TCResNet8,
    "tc-res8 dilated, causal": partial(TCResNet8, dilation=2, causal=True),
    "tc-res14": TCResNet14,
    "branchy-tc-res8": BranchyTCResNet8,
    "ds-tcn": partial(DSTCN, channels=8, causal=True),
    "mdtc": partial(MDTC, channels=8, n_stacks=2),
    "gds": partial(GDS, dilation=2),
}


def some_training(module: nn.Module) -> nn.Module:
    """Statistics and weights of normalisation that are not those of the beginning."""
    for norm in (one for one in module.modules() if isinstance(one, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return module.double().eval()


@pytest.mark.oracle
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_a_folded_convolution_gives_the_sum_of_its_branches(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = TemporalConv(**options)
    attach(nn.ModuleList([layer]))
    some_training(layer)
    x = torch.randn(3, options["n_in"], 1, 23, dtype=torch.float64)
    expected = layer(x, None)
    n_branches = len(layer.branches)
    assert n_branches == {9: 3, 1: 1}.get(options["kernel_size"], n_branches)
    fold(nn.ModuleList([layer]))
    assert not len(layer.branches)
    torch.testing.assert_close(layer(x, None), expected, rtol=0, atol=1e-10)


def test_branches_are_there_where_shapes_allow_it() -> None:
    def kinds(**options: Any) -> list[str]:
        layer = TemporalConv(**options)
        attach(nn.ModuleList([layer]))
        said = {(6, 1): "pointwise", (1, 9): "depthwise", (6, 9): "whole"}
        return [
            said[one.conv.weight.shape[1], one.conv.weight.shape[3]] if isinstance(one, TemporalConv) else "identity"
            for one in layer.branches
        ]

    assert kinds(n_in=6, n_out=6, kernel_size=9) == ["pointwise", "depthwise", "identity"]
    assert kinds(n_in=6, n_out=6, kernel_size=9, stride=2) == ["pointwise", "depthwise"]
    assert kinds(n_in=6, n_out=8, kernel_size=9) == ["pointwise"]
    assert kinds(n_in=6, n_out=8, kernel_size=1) == []
    assert kinds(n_in=6, n_out=6, kernel_size=1) == ["identity"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_is_the_one_without_branches_and_gives_the_same_scores(name: str) -> None:
    torch.manual_seed(0)
    network, plain = (NETWORKS[name](n_features=6, n_classes=4) for _ in range(2))
    attach(network)
    some_training(network)
    frames, lengths = torch.randn(4, 30, 6, dtype=torch.float64), torch.tensor([30, 1, 17, 30])
    expected = network(frames, lengths)
    assert sum(p.numel() for p in network.parameters()) > sum(p.numel() for p in plain.parameters())
    fold(network)
    torch.testing.assert_close(network(frames, lengths), expected, rtol=1e-10, atol=1e-10)
    assert count(network.float(), 40, 6) == count(plain.eval(), 40, 6)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain(frames.float(), lengths), expected.float(), rtol=1e-4, atol=1e-4)


def test_all_branches_learn_and_padding_changes_no_statistic() -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=6, n_classes=4, dropout=0.0).double()
    attach(network)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    frames, after = torch.randn(3, 40, 6, dtype=torch.float64), []
    for padding in (0, 11):
        network.load_state_dict(state)
        network.zero_grad()
        padded = nn.functional.pad(frames, (0, 0, 0, padding), value=7.0)
        network.train()(padded, torch.tensor([40, 12, 25])).square().sum().backward()
        assert all(p.grad is not None and bool(p.grad.abs().any()) for p in network.parameters())
        after.append({name: value.clone() for name, value in network.state_dict().items()})
    for name, value in after[0].items():
        torch.testing.assert_close(after[1][name], value, rtol=1e-10, atol=1e-10)


def test_branches_stream_as_the_folded_network_does() -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=6, n_classes=4, causal=True)
    attach(network)
    some_training(network)
    frames, state, parts = torch.randn(1, 53, 6, dtype=torch.float64), {}, []
    ongoing = OngoingNetwork(network)
    for part in frames.split(3, dim=1):
        hidden, state = ongoing.step(part, state)
        parts.append(hidden)
    fold(network)
    torch.testing.assert_close(torch.cat(parts, dim=1), network.body(frames, None, None)[0], rtol=1e-9, atol=1e-9)


def test_a_network_without_such_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BCResNet has none: leave it out"):
        attach(BCResNet(n_features=6, n_classes=4))
