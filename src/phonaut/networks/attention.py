"""Attention over sequences that lie one after another, without padding; with dropout as fast as without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.features.functional import length_mask
from phonaut.networks.dropout import clear_, drawn_seed, keep_bits, rounded

# Weights (queries times keys, of all heads) that are worked on at once on a CPU: few enough to stay in its caches.
MAX_WEIGHTS = 2**22


def attention(qkv: Tensor, lengths: Sequence[int], *, dropout: float = 0.0, causal: bool = False) -> Tensor:
    """`softmax(q k^T / sqrt(d)) v` within each sequence (Vaswani et al. 2017, equation 1).

    Args:
        qkv: queries, keys and values of all sequences, one after another, `(N, 3, H, d)`.
        lengths: of the sequences; they add up to N.
        dropout: probability that a weight is left out.
        causal: no query sees a later key.

    Returns:
        `(N, H d)`.
    """
    groups = list(batches_of_similar_length(lengths, qkv.shape[2])) if qkv.device.type == "cpu" else [list(lengths)]
    parts = torch.split(qkv, [sum(group) for group in groups])
    return torch.cat(
        [padded_attention(part, group, dropout, causal) for part, group in zip(parts, groups, strict=True)]
    )


def attention_maps(qkv: Tensor, *, causal: bool = False) -> Tensor:
    """Attention weights of one sequence, `softmax(q k^T / sqrt(d))`.

    Args:
        qkv: queries, keys and values, `(T, 3, H, d)`.
        causal: no query sees a later key.

    Returns:
        `(H, T, T)`, a row a query; rows add up to 1.
    """
    q, k, _ = qkv.permute(1, 2, 0, 3).unsqueeze(1).unbind()  # (1, H, T, d)
    return torch.cat([weights for _, weights in all_weights(q, k, None, causal)])


def batches_of_similar_length(lengths: Sequence[int], n_heads: int) -> Iterator[list[int]]:
    """Groups of neighbours of nearly the same length, as many as fit the caches at once."""
    group: list[int] = []
    for length in lengths:
        longest = max([*group, length])
        few = n_heads * longest**2 * (len(group) + 1) <= MAX_WEIGHTS
        near = longest * (len(group) + 1) <= 1.1 * (sum(group) + length)
        if group and not (few and near):
            yield group
            group = []
        group.append(length)
    if group:
        yield group


def padded_attention(qkv: Tensor, lengths: list[int], dropout: float, causal: bool) -> Tensor:
    """Attention of a few sequences at once, padded to the longest."""
    n_items, longest = len(lengths), max(lengths)
    even = n_items * longest == len(qkv)
    valid = length_mask(torch.tensor(lengths, device=qkv.device), longest)
    if even:
        block = qkv.reshape(n_items, longest, *qkv.shape[1:])
    else:
        places = torch.arange(n_items * longest, device=qkv.device)[valid.flatten()]
        block = qkv.new_zeros(n_items * longest, *qkv.shape[1:]).index_copy(0, places, qkv)
        block = block.view(n_items, longest, *qkv.shape[1:])
    q, k, v = block.permute(2, 0, 3, 1, 4).unbind()  # (B, H, T, d)
    # What follows a sequence comes later than all of it, so a causal mask hides it too.
    seen = None if even or causal else valid[:, None, None, :]
    if dropout and qkv.device.type == "cpu":
        context: Tensor = DroppedAttention.apply(  # type: ignore[no-untyped-call]
            q, k, v, seen, causal, dropout, drawn_seed()
        )
    else:
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout, is_causal=causal)
    context = context.transpose(1, 2).reshape(n_items * longest, -1)  # (B T, H d)
    return context if even else context[places]


class DroppedAttention(torch.autograd.Function):
    """`dropout(softmax(q k^T / sqrt(d))) v` on a CPU, where PyTorch's fused kernel has no dropout.

    PyTorch then writes scores, weights, their mask and their product to memory for all heads, and keeps them for the
    gradient. Here a few heads at a time go through the caches, and nothing is stored but q, k, v and a seed:
    the gradient computes the weights again (as FlashAttention does, Dao et al. 2022).

    With `P = softmax(S)`, `D = P * M / (1 - p)`, `O = D v`: `dv = D^T dO`, `dP = (dO v^T) * M / (1 - p)`,
    `dS = P * (dP - sum_j P dP)`, `dq = dS k / sqrt(d)`, `dk = dS^T q / sqrt(d)`.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, causal: bool, p: float, seed: int
    ) -> Tensor:
        """`q`, `k`, `v (B, H, T, d)`; `seen (B, 1, 1, T)` bool or None -> `(B, H, T, d)`."""
        ctx.settings = causal, p, seed
        ctx.save_for_backward(q, k, v, *([] if seen is None else [seen]))
        source, scale = np.random.Generator(np.random.SFC64(seed)), 1 / (1 - rounded(p))
        result = torch.empty(q.shape, dtype=v.dtype)
        for rows, weights in all_weights(q, k, seen, causal):
            clear_(weights, keep_bits(weights.numel(), p, source))
            result.flatten(0, 1)[rows] = torch.bmm(weights, v.flatten(0, 1)[rows] * scale)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Gradients of q, k and v."""
        q, k, v, *more = ctx.saved_tensors
        causal, p, seed = ctx.settings
        source, scale = np.random.Generator(np.random.SFC64(seed)), 1 / (1 - rounded(p))
        gradient = gradients[0].to(v.dtype).contiguous().flatten(0, 1)
        of_q, of_k, of_v = (torch.empty(q.shape, dtype=q.dtype).flatten(0, 1) for _ in range(3))
        root = q.shape[3] ** -0.5
        for rows, weights in all_weights(q, k, more[0] if more else None, causal):
            bits = keep_bits(weights.numel(), p, source)
            scaled = gradient[rows] * scale
            of_weights = clear_(torch.bmm(scaled, v.flatten(0, 1)[rows].mT), bits)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_v[rows] = torch.bmm(clear_(weights, bits).mT, scaled)
            of_q[rows] = torch.bmm(of_scores, k.flatten(0, 1)[rows] * root)
            of_k[rows] = torch.bmm(of_scores.mT, q.flatten(0, 1)[rows] * root)
        return *(part.view(q.shape) for part in (of_q, of_k, of_v)), None, None, None, None


def all_weights(q: Tensor, k: Tensor, seen: Tensor | None, causal: bool) -> Iterator[tuple[slice, Tensor]]:
    """Attention weights of a few heads at a time `(n, T, T)`, and the slice of the flattened heads that they are."""
    n_items, n_heads, longest, width = q.shape
    q, k = (q * width**-0.5).flatten(0, 1), k.flatten(0, 1)
    hidden = None
    if seen is not None:
        hidden = torch.zeros(seen.shape, dtype=q.dtype).masked_fill_(~seen, -torch.inf)
        hidden = hidden.expand(-1, n_heads, -1, -1).flatten(0, 1)
    future = None
    if causal:
        future = torch.full((longest, longest), -torch.inf, dtype=q.dtype, device=q.device).triu_(1)
    at_once = max(1, MAX_WEIGHTS // longest**2)
    for first in range(0, n_items * n_heads, at_once):
        rows = slice(first, first + at_once)
        scores = torch.bmm(q[rows], k[rows].mT)
        if hidden is not None:
            scores += hidden[rows]
        if future is not None:
            scores += future
        yield rows, torch.softmax(scores, dim=-1)
