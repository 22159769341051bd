"""Convolutions of several branches in training, folded into one for evaluation: more to learn with, at no cost later.

Ding et al. 2021, "RepVGG" (arXiv:2101.03697); for keywords Higuchi et al. 2024, "RepCNN" (arXiv:2406.02652).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonaut.checks import refuse
from phonaut.networks.padding import MaskedBatchNorm
from phonaut.networks.time_conv import TemporalConv


class Identity(MaskedBatchNorm):
    """The branch without weights: batch normalisation of the input."""


def attach(network: nn.Module) -> None:
    """Put branches beside the temporal convolutions of a network, wherever they fit.

    Beside a convolution over k frames stand one over 1 frame, a depthwise one over k, and the input itself, each with
    a batch normalisation of its own; their sum is the result. The last two need as many channels before as after, the
    input no stride, a depthwise convolution that the convolution itself is none, and the first k > 1. Where an even k
    is dilated evenly, no tap lies on the frame itself, and what is of one frame is left out.

    Raises:
        ValueError: the network has no temporal convolutions.
    """
    refuse(problems(network))
    for layer in layers_of(network):
        layer.branches = branches_of(layer).to(layer.conv.weight)


def problems(network: nn.Module) -> list[str]:
    """The problem of a network that has no convolutions to put branches beside."""
    if layers_of(network):
        return []
    return [
        "module.reparameterized=true puts branches beside convolutions over time, and "
        f"{type(network).__name__} has none: leave it out, or use model=tc-res8"
    ]


def layers_of(network: nn.Module) -> list[TemporalConv]:
    """The convolutions that branches stand beside, themselves no branches."""
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, TemporalConv)]
    return [module for name, module in found if ".branches." not in f".{name}"]


def branches_of(layer: TemporalConv) -> nn.ModuleList:
    """Fresh branches beside a convolution."""
    conv, branches = layer.conv, nn.ModuleList()
    n_in, n_out, taps = conv.in_channels, conv.out_channels, conv.kernel_size[1]
    stride, dilation, causal = conv.stride[1], conv.dilation[1], conv.causal
    if taps > 1 and own_tap(layer) is not None:
        branches.append(TemporalConv(n_in, n_out, 1, stride=stride, groups=conv.groups))
    if taps > 1 and n_in == n_out and conv.groups < n_in:
        more = {"stride": stride, "dilation": dilation, "groups": n_in}
        branches.append(TemporalConv(n_in, n_out, taps, causal=causal, **more))
    if n_in == n_out and stride == 1 and own_tap(layer) is not None:
        branches.append(Identity(n_in))
    return branches


def own_tap(layer: TemporalConv) -> int | None:
    """The tap of a convolution that lies on the frame of its result; None: between two."""
    conv = layer.conv
    before = conv.context if conv.causal else conv.context // 2
    tap, rest = divmod(before, conv.dilation[1])
    return None if rest else tap


def fold(network: nn.Module) -> None:
    r"""Fold the branches of a network into the convolutions they stand beside; the network becomes as without them.

        W = sum_b pad(W_b g_b / s_b),   b = sum_b (beta_b - g_b m_b / s_b)

    with weight g, bias beta, running mean m and deviation `s = sqrt(var + eps)` of each branch's normalisation. The
    layer's own normalisation holds the bias alone. In evaluation, results are the same to rounding.
    """
    for layer in layers_of(network):
        if len(layer.branches):
            fold_layer(layer)


@torch.no_grad()
def fold_layer(layer: TemporalConv) -> None:
    """Fold the branches of one convolution."""
    conv, norm = layer.conv, layer.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, shift = combined(layer)
    conv.weight.copy_(weight)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(shift)
    layer.branches = nn.ModuleList()


def combined(layer: TemporalConv) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution, its normalisation and its branches as one, in double precision."""
    conv = layer.conv
    scale, shift = of_norm(layer.norm)
    weight = conv.weight.double() * scale[:, None, None, None]
    for branch in layer.branches:
        if isinstance(branch, TemporalConv):
            (scale, more), kernel = of_norm(branch.norm), branch.conv.weight.double()
        else:
            assert isinstance(branch, Identity)
            (scale, more), kernel = of_norm(branch), weight.new_ones(len(weight), 1, 1, 1)
        kernel = as_grouped(kernel * scale[:, None, None, None], weight.shape[1])
        if kernel.shape[3] != weight.shape[3]:
            tap = own_tap(layer)
            assert tap is not None
            kernel = nn.functional.pad(kernel, (tap, weight.shape[3] - 1 - tap))
        weight, shift = weight + kernel, shift + more
    return weight, shift


def of_norm(norm: MaskedBatchNorm) -> tuple[Tensor, Tensor]:
    """Batch normalisation in evaluation as `scale x + shift`, each `(D,)`, in double precision."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - scale * norm.running_mean.double()


def as_grouped(kernel: Tensor, width: int) -> Tensor:
    """A kernel `(D', D / g, 1, k)`, or a depthwise one, `(D, 1, 1, k)`, in groups of `width` channels each."""
    if kernel.shape[1] == width:
        return kernel
    whole = kernel.new_zeros(len(kernel), width, *kernel.shape[2:])
    channel = torch.arange(len(kernel), device=kernel.device)
    whole[channel, channel % width] = kernel[:, 0]
    return whole
