"""Long short-term memory over frames (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LSTM(nn.Module):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`, from the last valid frame's state.

    Padding never changes a score: one direction has seen nothing but valid frames when it comes to the last of them;
    two directions run over packed sequences.

    Args:
        n_features: D.
        n_classes: C.
        hidden_size: units of each layer and direction.
        n_layers: layers.
        dropout: between layers and before the linear layer.
        bidirectional: a second direction, from the end; its state at the first frame is joined.
        causal: state that no later frame is looked at; refused with `bidirectional`.

    Raises:
        ValueError: for sizes that are not positive, or a bidirectional network that should be causal.

    >>> LSTM(n_features=40, n_classes=12)(torch.zeros(2, 101, 40), torch.tensor([101, 30])).shape
    torch.Size([2, 12])
    """

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        hidden_size: int = 64,
        n_layers: int = 1,
        dropout: float = 0.2,
        bidirectional: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if min(n_features, n_classes, hidden_size, n_layers) < 1:
            raise ValueError(
                "n_features, n_classes, hidden_size and n_layers must be at least 1; got "
                f"{n_features}, {n_classes}, {hidden_size}, {n_layers}"
            )
        if causal and bidirectional:
            raise ValueError("model.bidirectional=true looks at later frames: with model.causal=true use false")
        between = dropout if n_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            n_features, hidden_size, n_layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size * (2 if bidirectional else 1), n_classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        if self.lstm.bidirectional:
            packed = nn.utils.rnn.pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
            _, (hidden, _) = self.lstm(packed)
            last = torch.cat([hidden[-2], hidden[-1]], dim=1)
        else:
            states, _ = self.lstm(frames)
            last = states[torch.arange(len(states), device=states.device), lengths - 1]
        scores: Tensor = self.classifier(self.dropout(last))
        return scores
