"""Flows against autograd, against integrals, and the compiled recursions against torch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from phonaut.densities.flow import Flows
from phonaut.densities.flow_engine import TILE, tanh_exp
from phonaut.densities.flow_mixture import FlowMixtures, Groups, by_flow, padded

KINDS = [
    pytest.param(kind, id="-".join(str(value) for value in kind.values()))
    for kind in (
        {"mask": "cross", "permutation": "none"},
        {"mask": "chunk", "permutation": "none"},
        {"mask": "cross", "permutation": "random"},
        {"mask": "cross", "permutation": "reverse"},
        {"mask": "chunk", "permutation": "reverse"},
        {"mask": "cross", "permutation": "conv1x1"},
        {"mask": "chunk", "permutation": "conv1x1", "early_every": 2, "early_size": 1},
        {"mask": "cross", "permutation": "random", "early_every": 2, "early_size": 1},
    )
]


def flows(n_flows: int = 3, n_features: int = 5, noise: float = 0.3, dtype: Any = torch.float64, **kind: Any) -> Flows:
    """Flows that are no longer the identity."""
    made = Flows(n_flows, n_features, n_hidden=6, seed=1, **{"n_couplings": 4, **kind}).to(dtype)
    with torch.no_grad():
        made.weights += noise * torch.randn(made.weights.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return made


def frames(n: int, d: int, dtype: Any = torch.float64) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_features", [3, 4, 5])
def test_log_determinants_are_those_of_autograds_jacobians(kind: dict[str, Any], n_features: int) -> None:
    made = flows(2, n_features, **kind)
    x = frames(4, n_features)
    z, logdet = made(x)
    for f in range(2):
        for t in range(4):
            jacobian = torch.autograd.functional.jacobian(lambda v, f=f: made(v[None])[0][f, 0], x[t])
            expected = torch.linalg.slogdet(jacobian)[1]
            torch.testing.assert_close(logdet[f, t], expected, rtol=0, atol=1e-9)
            if not kind.get("early_every"):
                assert bool((jacobian.diagonal() != 1).all()), "a dimension is never changed"
    torch.testing.assert_close(made.inverse(z), x.expand(2, 4, n_features), rtol=0, atol=1e-8)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS[:6])
def test_densities_integrate_to_one_in_two_dimensions(kind: dict[str, Any]) -> None:
    made = flows(2, 2, noise=0.2, **kind)
    axis = torch.linspace(-15, 15, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = made.log_prob(grid).exp().sum(dim=1) * (axis[1] - axis[0]) ** 2
    torch.testing.assert_close(mass, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.oracle
def test_samples_have_the_moments_of_the_density() -> None:
    made = flows(1, 2, noise=0.2)
    axis = torch.linspace(-15, 15, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        weight = made.log_prob(grid)[0].exp()
    x = made.sample(200_000, torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(x.mean(dim=0), weight @ grid / weight.sum(), rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_they_start_as_the_identity_or_a_rotation(kind: dict[str, Any]) -> None:
    made = Flows(3, 4, n_couplings=4, seed=0, **kind).double()
    x = frames(20, 4)
    z, logdet = made(x)
    torch.testing.assert_close(logdet, torch.zeros_like(logdet), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.square().sum(dim=2), x.square().sum(dim=1).expand(3, 20), rtol=1e-5, atol=1e-5)
    if kind["permutation"] != "conv1x1":
        torch.testing.assert_close(z, x.expand(3, 20, 4), rtol=0, atol=0)


def test_seeds_differ_and_flows_of_one_seed_differ() -> None:
    one, same, other = (Flows(2, 4, seed=seed).weights for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_one_dimension_and_no_coupling_are_possible() -> None:
    x = frames(6, 1)
    made = flows(2, 1)
    torch.testing.assert_close(made.inverse(made(x)[0]), x.expand(2, 6, 1), rtol=0, atol=1e-9)
    plain = Flows(2, 3, n_couplings=0).double()
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(frames(5, 3)).sum(dim=1).expand(2, 5)
    torch.testing.assert_close(plain.log_prob(frames(5, 3)), expected)


def test_dimensions_that_left_early_are_not_changed_again() -> None:
    made = flows(1, 6, mask="chunk", early_every=2, early_size=2)
    x = frames(3, 6)
    z = made(x)[0][0]
    first = flows(1, 6, mask="chunk", n_couplings=2)
    with torch.no_grad():
        first.weights.copy_(made.weights[:, : first.n_weights])
    torch.testing.assert_close(z[:, :2], first(x)[0][0][:, :2])
    assert not torch.equal(z[:, 2:], first(x)[0][0][:, 2:])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"mask": "stripes"}, "mask is cross or chunk"),
        ({"permutation": "sideways"}, "permutation is none"),
        ({"n_hidden": 0}, "at least 1"),
        ({"bound": 9.0}, "bound is above 0"),
        ({"early_every": 1, "early_size": 2}, "fewer than 2 would be left"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Flows(2, 4, **settings)


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frames must be \(N, 5\)"):
        flows()(frames(4, 3))


# --- mixtures in the latents: the compiled recursions and torch's


def mixtures(n_latent: int = 2, n_flows: int = 4, n_features: int = 5, dtype: Any = torch.float64, **kind: Any) -> Any:
    generator = torch.Generator().manual_seed(2)
    shape = (n_flows, n_latent, n_features)
    mean = torch.randn(shape, generator=generator, dtype=torch.float64)
    scale = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    return FlowMixtures(flows(n_flows, n_features, noise=0.15, dtype=dtype, **kind), mean, scale)


SIZES = np.array([70, 3])


def by_hand(made: FlowMixtures, x: torch.Tensor) -> torch.Tensor:
    """`log p_fk(x_t)`, rows of all groups one after another, from the flows and torch.distributions."""
    rows = []
    for g, part in enumerate(torch.split(x, SIZES.tolist())):
        z, logdet = made.flows(part)
        normal = torch.distributions.Normal(made.means[:, None].to(x), made.scales[:, None].to(x))
        logs = normal.log_prob(z[:, :, None]).sum(dim=-1) + logdet[:, :, None]
        rows.append(logs.unflatten(0, (2, -1))[g].transpose(0, 1))
    return torch.cat(rows)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_log_densities_and_gradients_are_autograds(kind: dict[str, Any]) -> None:
    made, x = mixtures(**kind), frames(73, 5)
    groups = Groups.of(SIZES)
    expected = by_hand(made, x)
    torch.testing.assert_close(made.log_prob(x, groups), expected.detach(), rtol=0, atol=1e-9)
    gamma = torch.rand(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gamma[5] = 0
    (gamma * expected).sum().backward()
    wanted = made.flows.weights.grad
    assert wanted is not None
    torch.testing.assert_close(made.gradient(x, gamma, groups), wanted, rtol=1e-9, atol=1e-9)
    found = made.moments(x, gamma, groups)
    sums = torch.stack([part.sum(dim=(0, 2)) for part in torch.split((gamma * expected).detach(), SIZES.tolist())])
    torch.testing.assert_close(made.expected(found), sums.flatten(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_float64_up_to_rounding(kind: dict[str, Any]) -> None:
    single, double, x = mixtures(dtype=torch.float32, **kind), mixtures(**kind), frames(73, 5)
    groups = Groups.of(SIZES)
    logs = double.log_prob(x, groups)
    torch.testing.assert_close(single.log_prob(x.float(), groups).double(), logs, rtol=1e-4, atol=1e-3)
    gamma = torch.rand(logs.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slope = double.gradient(x, gamma, groups)
    error = single.gradient(x.float(), gamma.float(), groups).double() - slope
    assert float(error.norm() / slope.norm()) < 1e-3


def test_torchs_path_is_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = mixtures(permutation="conv1x1"), frames(73, 5)
    groups = Groups.of(SIZES)
    logs = made.log_prob(x, groups)
    gamma = torch.softmax(logs, dim=2)
    compiled = [made.gradient(x, gamma, groups), *vars(made.moments(x, gamma, groups)).values()]
    monkeypatch.setattr(FlowMixtures, "on_cpu", False)
    torch.testing.assert_close(made.log_prob(x, groups), logs, rtol=0, atol=1e-9)
    by_torch = [made.gradient(x, gamma, groups), *vars(made.moments(x, gamma, groups)).values()]
    for ours, theirs in zip(compiled, by_torch, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.cuda
def test_cuda_is_the_compiled_one() -> None:
    made, x = mixtures(permutation="conv1x1"), frames(73, 5)
    groups = Groups.of(SIZES)
    logs = made.log_prob(x, groups)
    gamma = torch.softmax(logs, dim=2)
    slope, found = made.gradient(x, gamma, groups), made.moments(x, gamma, groups)
    made.flows.cuda()
    torch.testing.assert_close(made.log_prob(x.cuda(), groups).cpu(), logs, rtol=0, atol=1e-8)
    torch.testing.assert_close(made.gradient(x.cuda(), gamma.cuda(), groups).cpu(), slope, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(made.moments(x.cuda(), gamma.cuda(), groups).second, found.second, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("learning_rate", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("batch_size", [0, 16])
def test_passes_of_adam_never_lower_what_is_expected(learning_rate: float, batch_size: int) -> None:
    made, x = mixtures(), frames(73, 5)
    groups = Groups.of(SIZES)
    gamma = torch.softmax(made.log_prob(x, groups), dim=2)
    for step in range(5):
        before = made.expected(made.moments(x, gamma, groups))
        found = made.improve(
            x, gamma, groups, n_passes=3, learning_rate=learning_rate, batch_size=batch_size, seed=(0, step)
        )
        after = made.expected(made.moments(x, gamma, groups))
        torch.testing.assert_close(made.expected(found), after)
        assert bool((after >= before).all())
        if learning_rate == 1e-3:
            assert bool((after > before).all())


@pytest.mark.oracle
def test_a_step_goes_up_the_objective_with_its_prior() -> None:
    """The first step of Adam has the sign of the gradient, which autograd finds here."""
    made, x = mixtures(), frames(73, 5)
    groups, precision = Groups.of(SIZES), 30.0
    gamma = torch.softmax(made.log_prob(x, groups), dim=2)
    start = made.flows.weights.detach().clone()
    anchor = start + torch.randn(start.shape, dtype=start.dtype, generator=torch.Generator().manual_seed(3))
    logs = made._torch_log_prob(padded(x, groups))
    prior = -0.5 * precision * (made.flows.weights - anchor).square().sum()
    (slope,) = torch.autograd.grad(
        (logs * by_flow(gamma, groups, made.flows.n_flows)).sum() + prior, made.flows.weights
    )
    made.improve(
        x, gamma, groups, n_passes=1, learning_rate=1e-6, batch_size=0, seed=(0,), anchor=anchor, precision=precision
    )
    torch.testing.assert_close(made.flows.weights - start, 1e-6 * slope.sign(), rtol=1e-3, atol=1e-12)


def test_a_strong_prior_holds_flows_where_they_are() -> None:
    made, x = mixtures(), frames(73, 5)
    groups = Groups.of(SIZES)
    gamma = torch.softmax(made.log_prob(x, groups), dim=2)
    start = made.flows.weights.detach().clone()
    away = []
    for precision in (0.0, 1e2, 1e6):
        made.flows.weights.data = start.clone()
        for step in range(20):
            made.improve(
                x, gamma, groups, n_passes=5, learning_rate=1e-3, batch_size=0, seed=(0, step), anchor=start,
                precision=precision,
            )  # fmt: skip
        away.append(float((made.flows.weights.detach() - start).norm()))
    assert away[0] > 2 * away[1] > 10 * away[2]


@pytest.mark.oracle
@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (2.0, 0.1), (5.0, 3.0)])
def test_the_m_step_of_latents_is_where_the_objective_is_flat(a: float, b: float) -> None:
    made, x = mixtures(), frames(73, 5)
    groups = Groups.of(SIZES)
    gamma = torch.softmax(made.log_prob(x, groups), dim=2)
    found = made.moments(x, gamma, groups)
    made.fit_latents(found, a, b)
    mean, log_scale = made.means.clone().requires_grad_(), made.scales.log().requires_grad_()
    made.means, made.scales = mean, log_scale.exp()
    objective = made.expected(found).sum() + (-(a - 1) * log_scale - b / log_scale.exp()).sum()
    for slope in torch.autograd.grad(objective, (mean, log_scale)):
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-8)
    made.scales = made.scales.detach()
    assert made.log_prior(a, b) == pytest.approx(float((-(a - 1) * log_scale - b / log_scale.exp()).sum().detach()))


def test_batches_and_chunks_change_nothing() -> None:
    """Sums over frames are the same however many flows share the threads."""
    made, x = mixtures(n_flows=1, n_latent=1), frames(1000, 5)
    gamma = torch.ones(1000, 1, 1, dtype=torch.float64)
    whole = made.moments(x, gamma, Groups.of(np.array([1000])))
    parts = [made.moments(part, gamma[:250], Groups.of(np.array([250]))) for part in torch.split(x, 250)]
    total = parts[0] + parts[1] + parts[2] + parts[3]
    for one, other in zip(vars(whole).values(), vars(total).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-9)
    assert math.isfinite(float(whole.logdet))


@pytest.mark.oracle
@pytest.mark.parametrize("bound", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_are_right_to_the_last_places(bound: float, dtype: Any) -> None:
    x = np.linspace(-12, 12, 40 * TILE).astype(dtype)
    s, e = x.copy(), np.empty_like(x)
    for row in np.arange(len(x)).reshape(-1, TILE):
        part, scale = s[row], e[row]
        tanh_exp(part, scale, dtype(bound))
        s[row], e[row] = part, scale
    exact = bound * np.tanh(x.astype(np.float64) / bound)
    few = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(s, exact, rtol=few, atol=few * bound)
    np.testing.assert_allclose(e, np.exp(exact), rtol=1.25 * few * (1 + bound))
