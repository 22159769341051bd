"""A linear map beside a network, which begins as what is known of the data without one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearPath(nn.Module):
    """`network(x, condition) + W x + V condition + b` with `x` as one vector: what is linear need not be learned twice.

    Args:
        network: `(x (B, ...), condition (B, K)) -> (B, ...)`, whose last layer is its `output`.
        n_inputs: values of x.
        n_condition: K.
        shape: of a result.

    >>> network = nn.Bilinear(6, 2, 4)
    >>> network.output = network  # a network that is its own last layer
    >>> LinearPath(network, 6, 2, (4,))(torch.zeros(3, 6), torch.zeros(3, 2)).shape
    torch.Size([3, 4])
    """

    def __init__(self, network: nn.Module, n_inputs: int, n_condition: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape
        self.linear = nn.Linear(n_inputs + n_condition, int(torch.Size(shape).numel()))

    @torch.no_grad()
    def start(self, weight: Tensor, by_condition: Tensor, bias: Tensor) -> None:
        """Begin as `W x + V condition + b` alone: the network's last layer is set to 0.

        Args:
            weight: W, `(outputs, inputs)`.
            by_condition: V, `(outputs, K')`; what follows the first K' values of a condition has no effect.
            bias: b, `(outputs,)`.
        """
        self.linear.weight.zero_()
        self.linear.weight[:, : weight.shape[1]] = weight
        self.linear.weight[:, weight.shape[1] : weight.shape[1] + by_condition.shape[1]] = by_condition
        self.linear.bias.copy_(bias)
        for parameter in self.network.output.parameters():  # type: ignore[union-attr]
            parameter.zero_()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`(B, *shape)`."""
        y: Tensor = self.network(x, condition)
        straight: Tensor = self.linear(torch.cat([x.flatten(1), condition], dim=1))
        return y + straight.view(-1, *self.shape).to(y)
