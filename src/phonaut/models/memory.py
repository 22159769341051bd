"""Estimate of the memory of a step of pre-training, before the first one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phonaut.models.representation_model import RepresentationModel
from phonaut.networks import attention
from phonaut.networks.packing import Packing

PROBED = (32, 96)  # frames of the two small runs
TEMPORARIES = 3  # results as wide as the widest layer that are alive at once in the gradient, beside what is kept


class Memory(NamedTuple):
    """Bytes at the peak of a step.

    Attributes:
        weights: parameters, their gradients, the two averages of Adam and, in half precision, a copy.
        kept: what the gradient needs of the frames.
        passing: what is made and thrown away: results of the widest layer, and weights of attention.
        inputs: audio, windows and frames of a batch.
    """

    weights: int
    kept: int
    passing: int
    inputs: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / 2**20:,.0f}" for name, value in self._asdict().items())
        return f"{self.total / 2**20:,.0f} MiB ({parts})"


def estimate(
    model: RepresentationModel, n_frames: int, longest: int, *, share: float = 0.15, half: bool = False
) -> Memory:
    """The memory of a training step, beside the program itself.

    What is kept for the gradient is measured: on two small inputs, which gives the bytes of a frame, for all of it
    grows with the frames alone (attention keeps no weights).

    Args:
        model: what is trained; left as it was.
        n_frames: of the largest batch on one process, before stacking, padding included.
        longest: frames of the longest recording, before stacking.
        share: of the frames that go through the head.
        half: computed in bfloat16.
    """
    network, head = model.network, model.head
    stack_size, n_stacked = network.stack_size, -(-n_frames // network.stack_size)
    n_parameters = sum(p.numel() for p in model.parameters())
    fewer, more = (kept_bytes(model, n, share, half=half) for n in PROBED)
    a_frame = (more - fewer) / (PROBED[1] - PROBED[0])
    size = 2 if half else 4
    widest = max(layer.out_features for layer in network.modules() if isinstance(layer, torch.nn.Linear))
    weights_at_once = max(attention.MAX_WEIGHTS, (-(-longest // stack_size)) ** 2)
    n_read = model.front_end.layout.n_fft + model.front_end.n_features + model.n_targets
    predicted = 4 * share * n_stacked * head.output.out_features
    return Memory(
        weights=n_parameters * (16 + (2 if half else 0)),
        kept=round(fewer + a_frame * (n_stacked - PROBED[0])),
        passing=round(TEMPORARIES * n_stacked * widest * size + 4 * weights_at_once * size + 4 * predicted),
        inputs=4 * n_frames * n_read,
    )


def kept_bytes(model: RepresentationModel, n_frames: int, share: float, *, half: bool) -> int:
    """Bytes that the gradient of encoder and head keeps of `n_frames` stacked frames, each piece of memory once."""
    network, head = model.network, model.head
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # an address names a piece of memory as long as it is not given back

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in parameters:
            sizes[place] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
        return tensor

    device = next(model.parameters()).device
    frames = torch.zeros(n_frames, network.projection.in_features, device=device)
    rows = torch.arange(max(1, round(share * n_frames)), device=device)
    packing = Packing(torch.tensor([n_frames], device=device), n_frames)
    training, state = network.training, torch.get_rng_state()
    network.train()
    precision = torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)
    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), precision:
            head(network.encode(frames, packing)[-1][rows])
    finally:
        network.train(training)
        torch.set_rng_state(state)
    # Copies of weights in half precision are counted with the weights.
    copies = sum(2 * p.numel() for p in model.parameters() if p.ndim == 2) if half else 0
    return max(0, sum(sizes.values()) - copies)
