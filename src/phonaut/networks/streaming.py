"""Networks that go on where an earlier part of the recording ended: what their layers keep, in and out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from phonaut.networks.network import Network


class OngoingNetwork:
    """A causal network over a recording that comes in parts: `frames (B, T, D) -> hidden frames (B, T', D')`.

    Each layer that looks back keeps what it needs of earlier frames; between two parts all of it is in the state, and
    the network itself holds nothing. Any division into parts gives the same hidden frames, to float rounding.

    Args:
        network: in evaluation mode.

    Raises:
        ValueError: it cannot go on, and why.
    """

    def __init__(self, network: nn.Module) -> None:
        if problem := why_not(network):
            raise ValueError(problem)
        self.network = network
        self.layers = {name: layer for name, layer in network.named_modules() if hasattr(layer, "past")}

    def step(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Hidden frames that end in `frames (B, T, D)`, T >= 0, and the state after them; `{}` is the state before all.

        The tensors of `state` stay as they are.
        """
        network: Network = self.network  # type: ignore[assignment]
        past: dict[str, dict[str, Tensor]] = {name: {} for name in self.layers}
        for key, value in state.items():
            name, _, part = key.rpartition(".")
            past[name][part] = value
        try:
            for name, layer in self.layers.items():
                vars(layer)["past"] = past[name]
            hidden, _ = network.body(frames, None, None)
        finally:
            for layer in self.layers.values():
                vars(layer)["past"] = None
        return hidden, {f"{name}.{part}": value for name, parts in past.items() for part, value in parts.items()}


def why_not(network: nn.Module) -> str | None:
    """Why a network cannot go on frame by frame, in one sentence; None where it can."""
    name = type(network).__name__
    looks_ahead = getattr(network, "looks_ahead", None)
    if looks_ahead is None:
        return f"{name} scores a segment as a whole, and cannot stream: it is heard again for every window"
    if looks_ahead:
        return f"{name} looks at later frames, and cannot stream: train it with streaming=true"
    return None
