"""The recursions of `inference` on tensors, on any device, with an analytic gradient: no tape runs through time.

They are in float64 whatever comes in: sums over the frames of a sequence grow with its length, and posteriors are
exponentials of their differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from phonaut.hmm.chains import MarkovChains, Posteriors


def tensors(chains: MarkovChains, chain: ArrayLike | None, n: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Start, transition and end of each of `n` sequences, `(B, S)`, `(B, S, S)`, `(B, S)`, as tensors like another."""
    which = np.zeros(n, np.int64) if chain is None else np.asarray(chain, dtype=np.int64)
    start, transition, end = (
        torch.as_tensor(value[which], dtype=like.dtype, device=like.device)
        for value in (chains.start, chains.transition, chains.exit_probabilities)
    )
    return start, transition, end


def padded(values: Tensor, lengths: Any, n_states: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-likelihoods `(B, T, S)` in float64, lengths `(B,)`, and, of the layout `(M, S)`, where its rows went.

    Raises:
        ValueError: shapes do not fit, or a log-likelihood is NaN or +inf.
    """
    if values.ndim not in (2, 3) or values.shape[-1] != n_states or not values.is_floating_point():
        raise ValueError(
            f"log_likelihoods must be (B, T, {n_states}) or (M, {n_states}) of floats; got {tuple(values.shape)}"
        )
    n = None if lengths is None else torch.as_tensor(lengths, device=values.device).long()
    values = values.double()
    if values.ndim == 3:
        n = torch.full((len(values),), values.shape[1], device=values.device) if n is None else n
        if n.shape != values.shape[:1] or bool(((n < 0) | (n > values.shape[1])).any()):
            raise ValueError(
                f"lengths must be {len(values)} numbers of at most {values.shape[1]}; got {n[:5].tolist()}"
            )
        there = torch.arange(values.shape[1], device=values.device) < n[:, None]
        refuse_what_is_none(values[there])
        return values, n, None
    refuse_what_is_none(values)
    n = torch.tensor([len(values)], device=values.device) if n is None else n
    if int(n.sum()) != len(values) or bool((n < 0).any()):
        raise ValueError(f"lengths add up to {int(n.sum())}, but there are {len(values)} rows")
    longest = int(n.max()) if len(n) else 0
    there = torch.arange(longest, device=values.device) < n[:, None]
    place = there.flatten().nonzero().squeeze(1)
    batch = values.new_zeros(len(n) * longest, n_states).index_copy(0, place, values)
    return batch.view(len(n), longest, n_states), n, place


def refuse_what_is_none(values: Tensor) -> None:
    """Refuse what is no log-likelihood.

    Raises:
        ValueError: one is NaN or +inf.
    """
    if bool((values.isnan() | (values == torch.inf)).any()):
        raise ValueError("log_likelihoods must not be NaN or +inf")


def given_back(result: Tensor, values: Tensor) -> Tensor:
    """A result in the type of the log-likelihoods; of half precision in float32, which has the range of sums."""
    return result.to(values.dtype if torch.finfo(values.dtype).bits >= 32 else torch.float32)


def recursions(
    values: Tensor, lengths: Tensor, start: Tensor, transition: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihoods `(B,)`, posteriors `(B, T, S)` and transition counts `(B, S, S)`, in the log domain.

    Logarithms throughout: on a GPU the exponentials cost nothing beside the steps in time, and nothing underflows.
    """
    n_items, n_frames, n_states = values.shape
    log_start, log_transition, log_end = start.log(), transition.log(), end.log()
    total = values.new_zeros(n_items)
    if not n_frames:
        return total, torch.zeros_like(values), torch.zeros_like(transition)
    # What all states of a frame have in common is taken out, for sums over many frames to keep their digits.
    there = torch.arange(n_frames, device=values.device) < lengths[:, None]
    values = torch.where(there[:, :, None], values, 0.0)
    peak = values.amax(dim=2)
    peak = torch.where(peak > -torch.inf, peak, 0.0)
    values = values - peak[:, :, None]
    alpha = torch.empty_like(values)
    alpha[:, 0] = log_start + values[:, 0]
    for t in range(1, n_frames):
        alpha[:, t] = torch.logsumexp(alpha[:, t - 1, :, None] + log_transition, dim=1) + values[:, t]
    last = (lengths - 1).clamp(min=0)
    final = alpha.gather(1, last[:, None, None].expand(-1, 1, n_states)).squeeze(1) + log_end
    remaining = torch.where(lengths > 0, torch.logsumexp(final, dim=1), 0.0)
    total = remaining + peak.sum(dim=1)
    possible = remaining > -torch.inf
    safe = torch.where(possible, remaining, 0.0)
    posterior, counts = torch.zeros_like(values), torch.zeros_like(transition)
    beta = log_end
    for t in range(n_frames - 1, -1, -1):
        if t < n_frames - 1:
            ahead = values[:, t + 1] + beta
            joint = alpha[:, t, :, None] + log_transition + ahead[:, None, :]
            inside = ((t + 1 < lengths) & possible)[:, None, None]
            counts += torch.where(inside, (joint - safe[:, None, None]).exp(), 0.0)
            before = torch.logsumexp(log_transition + ahead[:, None, :], dim=2)
            beta = torch.where((t + 1 < lengths)[:, None], before, log_end)
        here = ((t < lengths) & possible)[:, None]
        posterior[:, t] = torch.where(here, (alpha[:, t] + beta - safe[:, None]).exp(), 0.0)
    return total, posterior, counts


class LogLikelihood(torch.autograd.Function):
    """`log p(x)`; `d log p / d log p(x_t | i) = p(s_t = i | x)` (Fisher's identity)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lengths: Tensor, start: Tensor, transition: Tensor, end: Tensor) -> Tensor:
        """Log-likelihoods `(B,)`."""
        total, posterior, counts = recursions(values, lengths, start, transition, end)
        ctx.save_for_backward(posterior, counts, start, transition)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the log-likelihoods of frames, and of start and transition probabilities."""
        posterior, counts, start, transition = ctx.saved_tensors
        (outer,) = gradients
        first = posterior[:, 0] if posterior.shape[1] else torch.zeros_like(start)
        of_start = torch.where(start > 0, first / start, 0.0) * outer[:, None]
        of_transition = torch.where(transition > 0, counts / transition, 0.0) * outer[:, None, None]
        return posterior * outer[:, None, None], None, of_start, of_transition, None


def log_likelihood(values: Tensor, chains: MarkovChains, lengths: Any, chain: ArrayLike | None) -> Tensor:
    """`log p(x)` of each sequence `(B,)`, with gradients; `inference.log_likelihood` says what the arguments are."""
    batch, n, _ = padded(values, lengths, chains.n_states)
    total: Tensor = LogLikelihood.apply(batch, n, *tensors(chains, chain, len(n), batch))  # type: ignore[no-untyped-call]
    return given_back(total, values)


@torch.no_grad()
def forward_backward(values: Tensor, chains: MarkovChains, lengths: Any, chain: ArrayLike | None) -> Posteriors:
    """Posteriors as tensors; `inference.forward_backward` says what the arguments and errors are."""
    batch, n, place = padded(values, lengths, chains.n_states)
    total, state, counts = recursions(batch, n, *tensors(chains, chain, len(n), batch))
    which = torch.as_tensor(np.zeros(len(n), np.int64) if chain is None else np.asarray(chain), device=batch.device)
    n_chains, n_states = chains.start.shape
    transitions = counts.new_zeros(n_chains, n_states, n_states).index_add_(0, which, counts)
    first = state[:, 0] if state.shape[1] else state.new_zeros(len(n), n_states)
    start = first.new_zeros(n_chains, n_states).index_add_(0, which, first)
    state = state if place is None else state.flatten(0, 1)[place]
    return Posteriors(*(given_back(one, values) for one in (total, state, transitions, start)))
