"""Frames of a recording that comes in parts, by a front end whose framing is causal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.features.front_end import BLOCK_FRAMES, FrontEnd
from phonaut.features.functional import deltas, whole


def next_frames(front_end: FrontEnd, audio: Tensor, past: dict[str, Tensor]) -> Tensor:
    """Frames `(B, T, D)` that end in `audio (B, S)`, S >= 0; `past` is brought up to date, its tensors unchanged.

    Any division of a recording gives the frames that the front end gives of the whole, but where it is shorter than a
    hop: that has no frame here.

    Args:
        front_end: with framing=causal.
        audio: the next samples.
        past: `audio`, the last samples before; `pending`, how many of them came after the last frame; `begun`, and
            `deltas.N`, the frames that slopes reach back to. Empty before the first sample.
    """
    layout, options = front_end.layout, front_end.options
    win, hop, n = layout.win_length, layout.hop_length, audio.shape[1]
    pending = int(past["pending"]) if past else 0
    samples = torch.cat([past["audio"] if past else audio.new_zeros(len(audio), win - 1), audio], dim=1)
    n_frames = (pending + n) // hop
    past["audio"], past["pending"] = samples[:, n:], whole((pending + n) % hop)
    if n_frames:
        # The window of the next frame ends hop - pending samples into the new ones.
        windows = samples[:, hop - pending - 1 :].unfold(1, win, hop)[:, :n_frames]
        windows = F.pad(windows, (0, layout.n_fft - win))
        analyzed = torch.cat([front_end.analyze(block) for block in torch.split(windows, BLOCK_FRAMES, dim=1)], dim=1)
        frames = front_end.transform(analyzed, torch.full((len(audio),), n_frames, device=audio.device))
    else:
        frames = audio.new_zeros(len(audio), 0, front_end.n_features // (1 + options.deltas))
    return torch.cat([frames, *slopes(front_end, frames, past)], dim=2) if options.deltas else frames


def slopes(front_end: FrontEnd, frames: Tensor, past: dict[str, Tensor]) -> list[Tensor]:
    """The orders of deltas of the next `frames (B, T, D)`, T >= 0, as `past` is brought up to date."""
    kind, orders = front_end.options.delta_kind, [frames]
    reach = 4 if kind == "htk" else 8
    begun = past.get("begun")
    for order in range(1, front_end.options.deltas + 1):
        below, key = orders[-1] if kind == "htk" else frames, f"deltas.{order}"
        first = below[:, :1] if below.shape[1] else below.new_zeros(len(below), 1, below.shape[2])
        first = first.expand(-1, reach, -1)
        before = first if begun is None else torch.where(begun > 0, past[key], first)
        joined = torch.cat([before, below], dim=1)
        past[key] = joined[:, joined.shape[1] - reach :]
        lengths = torch.full((len(below),), joined.shape[1], device=below.device)
        orders.append(deltas(joined, lengths, causal=True, kind=kind, order=order)[:, reach:])
    if begun is None or frames.shape[1]:
        past["begun"] = whole(int(frames.shape[1] > 0))
    return orders[1:]
