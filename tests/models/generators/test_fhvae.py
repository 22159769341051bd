"""FHVAE: vectors of sequences in closed form, bounds by torch's own divergences, a table that only training sees."""

from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from helpers.windows_of_numbers import windows_of
from phonaut.models.generators import FHVAE

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (4, 6), "hidden_size": 8, "latent_size": 5,
                         "sequence_latents": 2}  # fmt: skip


def made(**options: Any) -> FHVAE:
    torch.manual_seed(0)
    model = FHVAE(**{**SMALL, "n_sequences": 4, **options}).double().eval()
    model.vectors.data.normal_()
    return model


def frames_of(n: int) -> torch.Tensor:
    return torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.oracle
@pytest.mark.parametrize(("sequence_variance", "vector_variance"), [(0.25, 1.0), (0.5, 0.1)])
def test_the_vector_of_a_sequence_is_where_its_posterior_is_highest(
    sequence_variance: float, vector_variance: float
) -> None:
    model = made(sequence_variance=sequence_variance, vector_variance=vector_variance)
    frames, nothing = frames_of(6), torch.zeros(6, 0, dtype=torch.float64)
    means = model.encode(frames, nothing)[:, 3:].detach()
    vector = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    log_posterior = (
        Normal(vector, sequence_variance**0.5).log_prob(means).sum()
        + Normal(0.0, vector_variance**0.5).log_prob(vector).sum()
    )
    (slope,) = torch.autograd.grad(log_posterior, vector, create_graph=True)
    curvature = -(6 / sequence_variance + 1 / vector_variance)
    expected = vector - slope / curvature  # of a parabola, Newton's first step is the top
    torch.testing.assert_close(model.sequence_vector(frames, nothing), expected.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.oracle
def test_each_part_of_the_loss_is_what_torch_says() -> None:
    model = made(alpha=3.0)
    sequence = torch.tensor([0, 3, 1, -1, 3])
    windows = windows_of(frames_of(5), sequence=sequence)
    windows.sequence_size = torch.tensor([10, 2, 5, 1, 2])
    terms, posterior = model.losses(windows), model.posterior(windows)
    assert tuple(terms) == model.terms
    of_sequence = Normal(posterior.sequence_mean, (0.5 * posterior.sequence_log_variance).exp())
    of_segment = Normal(posterior.segment_mean, (0.5 * posterior.segment_log_variance).exp())
    torch.testing.assert_close(terms["kl_segment"], kl_divergence(of_segment, Normal(0.0, 1.0)).sum(dim=1))
    known = sequence >= 0
    vectors = model.vectors[sequence[known]]
    near = kl_divergence(
        Normal(posterior.sequence_mean[known], (0.5 * posterior.sequence_log_variance[known]).exp()),
        Normal(vectors, 0.5),
    ).sum(dim=1)
    torch.testing.assert_close(terms["kl_sequence"][known], near)
    alone = kl_divergence(of_sequence, Normal(0.0, 1.25**0.5)).sum(dim=1)
    torch.testing.assert_close(terms["kl_sequence"][3], alone[3])
    prior = -Normal(0.0, 1.0).log_prob(vectors).sum(dim=1) / torch.tensor([10, 2, 5, 2])
    torch.testing.assert_close(terms["prior_vector"][known], prior)
    likelihoods = torch.stack([Normal(v, 0.5).log_prob(posterior.sequence_mean).sum(dim=1) for v in model.vectors], 1)
    own = -(likelihoods - likelihoods.logsumexp(dim=1, keepdim=True))
    torch.testing.assert_close(terms["discriminative"][known], own[known, sequence[known]])
    assert terms["prior_vector"][3] == terms["discriminative"][3] == 0.0
    parts = [terms[name] for name in ("reconstruction", "kl_segment", "kl_sequence", "prior_vector")]
    torch.testing.assert_close(terms["loss"], sum(parts) + 3.0 * terms["discriminative"])
    torch.testing.assert_close(model.elbo(windows), -terms["reconstruction"] - terms["kl_segment"] - alone)


def test_validation_does_not_look_at_the_table() -> None:
    model = made()
    windows = windows_of(frames_of(5))
    before = model.losses(windows)
    model.vectors.data += 3.0
    torch.testing.assert_close(model.losses(windows)["loss"], before["loss"])


def test_draws_of_the_prior_have_the_variance_of_a_sequence_that_is_not_known() -> None:
    drawn = made().prior(8000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.var(dim=0), torch.tensor([1.0] * 3 + [1.25] * 2).double(), rtol=0.06, atol=0)


def test_training_puts_what_a_sequence_has_in_common_into_its_vector() -> None:
    torch.manual_seed(0)
    n_sequences, n_each = 8, 40
    level = torch.linspace(-3, 3, n_sequences)[torch.randperm(n_sequences)]
    sequence = torch.arange(n_sequences).repeat_interleave(n_each)
    own = torch.randn(len(sequence), 1, 1)
    frames = level[sequence][:, None, None] + own * torch.tensor([1.0, -1.0, 0.0]) + 0.2 * torch.randn(320, 4, 3)
    model = FHVAE(**{**SMALL, "hidden_size": 16}, n_sequences=n_sequences)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(150):
        optimizer.zero_grad()
        windows = windows_of(frames, sequence=sequence, epoch=step)
        windows.sequence_size = torch.full((320,), n_each)
        model.losses(windows)["loss"].mean().backward()
        optimizer.step()
    model.eval()
    new_level = torch.tensor([-2.0, 0.5, 2.5])
    with torch.no_grad():
        vectors = []
        for value in new_level:
            new = value + torch.randn(30, 1, 1) * torch.tensor([1.0, -1.0, 0.0]) + 0.2 * torch.randn(30, 4, 3)
            vectors.append(model.sequence_vector(new, torch.zeros(30, 0)))
        halves = [model.sequence_vector(frames[sequence == i][k::2], torch.zeros(20, 0))
                  for i in range(n_sequences) for k in range(2)]  # fmt: skip
    together = torch.stack(halves).view(n_sequences, 2, -1)
    within = (together[:, 0] - together[:, 1]).norm(dim=1).mean()
    across = torch.pdist(together.mean(dim=1)).min()
    assert float(within) < 0.5 * float(across), "halves of a sequence are nearer than two sequences ever are"
    gaps = torch.pdist(torch.stack(vectors))
    assert gaps.min() > 2 * within, "and so are sequences that training has not seen told apart"


def test_sizes_that_leave_no_latent_are_refused() -> None:
    with pytest.raises(ValueError, match="sequence_latents must be below latent_size=5, got 5"):
        FHVAE(**{**SMALL, "sequence_latents": 5})
