"""Discriminator of vectors: which of two distributions they come from."""

from __future__ import annotations

from torch import Tensor, nn

from phonaut.checks import below, refuse


class Discriminator(nn.Module):
    """The logarithm of the odds that a vector comes from the first of two distributions: `(B, Z) -> (B,)`.

    Args:
        n_latents: Z.
        hidden_size: units of each hidden layer.
        n_layers: hidden layers, with ReLU.

    Raises:
        ValueError: for sizes that are not positive.
    """

    def __init__(self, *, n_latents: int, hidden_size: int = 512, n_layers: int = 4) -> None:
        super().__init__()
        refuse(below(1, n_latents=n_latents, hidden_size=hidden_size, n_layers=n_layers))
        layers: list[nn.Module] = []
        for k in range(n_layers):
            layers += [nn.Linear(hidden_size if k else n_latents, hidden_size), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden_size, 1))

    def forward(self, latents: Tensor) -> Tensor:
        """Log-odds `(B,)`."""
        odds: Tensor = self.layers(latents)
        return odds.squeeze(1)
