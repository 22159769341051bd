"""Recurrent networks from windows of frames to vectors and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonaut.networks.conv_autoencoder import check_sizes


class LSTMEncoder(nn.Module):
    """Vectors of windows by the last state of an LSTM: `frames (B, T, D), condition (B, K) -> (B, n_outputs)`.

    As in Hsu, Zhang and Glass 2017; the condition goes into the linear layer.

    Args:
        n_features: D.
        window_frames: T, at least 4.
        n_outputs: values of the vector.
        n_condition: K.
        hidden_size: units.

    Raises:
        ValueError: for sizes that are not positive, or windows of less than 4 frames.
    """

    def __init__(
        self, *, n_features: int, window_frames: int, n_outputs: int, n_condition: int = 0, hidden_size: int = 256
    ) -> None:
        super().__init__()
        check_sizes(n_features, window_frames, (1,), n_outputs=n_outputs, hidden_size=hidden_size)
        self.cells = nn.LSTM(n_features, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size + n_condition, n_outputs)

    def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
        """Vectors `(B, n_outputs)`, of any range."""
        _, (last, _) = self.cells(frames)
        y: Tensor = self.output(torch.cat([last[-1], condition], dim=1))
        return y


class LSTMDecoder(nn.Module):
    """Windows by an LSTM that is given the vector at every frame: `(B, Z), condition (B, K) -> (B, T, n_features)`.

    Args:
        n_features: of the result.
        window_frames: T, at least 4.
        n_latents: Z.
        n_condition: K.
        hidden_size: units.

    Raises:
        ValueError: as for `LSTMEncoder`.
    """

    def __init__(
        self, *, n_features: int, window_frames: int, n_latents: int, n_condition: int = 0, hidden_size: int = 256
    ) -> None:
        super().__init__()
        check_sizes(n_features, window_frames, (1,), n_latents=n_latents, hidden_size=hidden_size)
        self.window_frames = window_frames
        self.cells = nn.LSTM(n_latents + n_condition, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, n_features)

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, n_features)`, of any range."""
        given = torch.cat([latents, condition], dim=1)[:, None].expand(-1, self.window_frames, -1)
        states, _ = self.cells(given)
        y: Tensor = self.output(states)
        return y
