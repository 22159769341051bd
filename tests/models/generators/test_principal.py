"""Where generators with a linear path begin: probabilistic principal components, by scikit-learn and closed forms."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from helpers.windows_of_numbers import windows_of
from phonaut.data.frame_windows import FrameWindows
from phonaut.features import MelSpectrogram
from phonaut.models.generators import CVAE, FHVAE, WAEGAN, WAEMMD, WGANGP, Generator
from phonaut.models.generators.principal import PrincipalComponents, principal_components
from phonaut.models.window_model import WindowModel

T, D, Z = 6, 5, 4
SMALL: dict[str, Any] = {"n_features": D, "window_frames": T, "latent_size": Z, "channels": (4, 6), "hidden_size": 8}


def data(n: int = 600) -> Tensor:
    """Windows `(n, T, D)` that vary most in three directions, about a mean that is not zero."""
    rng = torch.Generator().manual_seed(0)
    draw = torch.randn(n, 3, generator=rng) @ torch.randn(3, T * D, generator=rng)
    return (draw + 0.4 * torch.randn(n, T * D, generator=rng) + 2.0).view(n, T, D)


def unconditional(windows: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Windows in batches, without conditions."""
    return [(part, torch.zeros(len(part), 0)) for part in torch.split(windows, 150)]


def begun(kind: type[Generator], **options: Any) -> tuple[Generator, PrincipalComponents]:
    components = principal_components(unconditional(data()), Z)
    torch.manual_seed(0)
    model = kind(**{**SMALL, **options}, linear_path=True).eval()
    model.start(components)
    return model, components


@pytest.mark.peer
def test_principal_components_in_batches_are_scikit_learns() -> None:
    found, windows = principal_components(unconditional(data()), Z), data().flatten(1).double().numpy()
    peer, share = PCA(Z).fit(windows), (len(windows) - 1) / len(windows)  # of its variances, which have N - 1
    np.testing.assert_allclose(found.variances, share * peer.explained_variance_, rtol=1e-5)
    assert found.noise == pytest.approx(share * peer.noise_variance_, rel=1e-5)
    np.testing.assert_allclose(found.mean, peer.mean_, rtol=1e-5)
    np.testing.assert_allclose(np.abs((found.directions.numpy() * peer.components_).sum(axis=1)), 1.0, rtol=1e-5)


def test_fewer_windows_than_latents_leave_the_others_without_effect() -> None:
    few = principal_components(unconditional(data(3)), 40)
    assert (few.directions[3:] == 0).all()
    assert torch.isfinite(few.whitening).all()
    means, variances = few.posterior
    assert (means[3:] == 0).all()
    torch.testing.assert_close(variances[3:], torch.ones(37))


@pytest.mark.parametrize("n", [1, 2, Z, Z + 1, 2 * Z])
def test_few_windows_leave_noise_that_others_have_a_likelihood_with(n: int) -> None:
    windows = data()
    few = principal_components(unconditional(windows[:n]), 3 * Z)
    assert few.noise > (0.01 if n > 2 else 0.0)
    torch.manual_seed(0)
    model = CVAE(**{**SMALL, "latent_size": 3 * Z}, linear_path=True).eval()
    model.start(few)
    with torch.no_grad():
        bound = model.elbo(windows_of(windows[-100:]))
    assert bound is not None
    if n > 2:
        assert bound.mean() > -1000 * T * D  # was -10 million of as many latents as windows


@pytest.mark.peer
@pytest.mark.parametrize("options", [{}, {"network": "lstm"}, {"decoder_variance": "predicted"}])
def test_a_vae_begins_with_the_likelihood_of_probabilistic_components_as_its_bound(options: dict[str, Any]) -> None:
    model, _ = begun(CVAE, **options)
    windows = data()
    peer = PCA(Z).fit(windows.flatten(1).double().numpy())
    evidence = peer.score_samples(windows[:40].flatten(1).double().numpy())
    repeated = windows[:40].repeat_interleave(2000, dim=0)
    with torch.no_grad():
        bound = model.elbo(windows_of(repeated))
    assert bound is not None
    draws = bound.view(40, -1).double()
    error = draws.std(dim=1) / 2000**0.5
    assert (np.abs(draws.mean(dim=1).numpy() - evidence) < 4.5 * error.numpy() + 0.05).all()


@pytest.mark.parametrize("kind", [WAEGAN, WAEMMD])
def test_a_wae_begins_with_codes_as_wide_as_its_prior_and_windows_of_its_components(kind: type[Generator]) -> None:
    model, found = begun(kind, prior_scale=3.0)
    windows, nothing = data(), torch.zeros(600, 0)
    with torch.no_grad():
        codes = model.encode(windows, nothing)
        rebuilt = model.decode(codes, nothing).flatten(1)
    torch.testing.assert_close(torch.cov(codes.T, correction=0), 9.0 * torch.eye(Z), rtol=1e-3, atol=1e-3)
    x = windows.flatten(1) - found.mean
    torch.testing.assert_close(rebuilt, x @ found.directions.T @ found.directions + found.mean, rtol=1e-3, atol=1e-3)


def test_a_wgan_begins_with_draws_of_a_gaussian_of_the_components() -> None:
    model, found = begun(WGANGP)
    with torch.no_grad():
        drawn = model.sample(50_000, torch.zeros(50_000, 0), torch.Generator().manual_seed(0)).flatten(1)
    covariance = found.directions.T @ torch.diag(found.variances) @ found.directions
    assert (torch.cov(drawn.T) - covariance).abs().max() < 0.03 * covariance.abs().max()
    torch.testing.assert_close(drawn.mean(dim=0), found.mean, rtol=0.0, atol=0.1)


def test_an_fhvae_begins_with_components_for_windows_and_nothing_of_sequences() -> None:
    model, found = begun(FHVAE, sequence_latents=1)
    windows, nothing = data(), torch.zeros(600, 0)
    with torch.no_grad():
        codes = model.encode(windows, nothing)
        other = codes.clone()
        other[:, -1] = 5.0
        torch.testing.assert_close(model.decode(other, nothing), model.decode(codes, nothing))
    assert (codes[:, -1] == 0).all()
    x, weight = windows.flatten(1) - found.mean, found.posterior[0][: Z - 1]
    torch.testing.assert_close(codes[:, :-1], x @ weight.T, rtol=1e-3, atol=1e-3)


def test_a_model_begins_at_the_components_of_normalised_windows_and_learns_from_there() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((400, D)).cumsum(axis=0) * 3 + 50).astype(np.float32)
    front_end = MelSpectrogram(sample_rate=8000, n_mels=D, n_fft=128, win_length=128, hop_length=80, f_max=4000)
    first, zeros = np.arange(0, 390), np.zeros(390, np.int64)
    table = FrameWindows(frames, first, zeros, zeros + 400, zeros, zeros, zeros, zeros.astype(np.uint64), T, True)
    model = WindowModel(front_end, CVAE(**SMALL, linear_path=True)).eval()
    model.fit_normalization(frames)
    model.start_at_components(table)
    windows = model.windows(table[first])
    peer = PCA(Z).fit(windows.frames.flatten(1).double().numpy())
    with torch.no_grad():
        found = model.network.decode(model.network.encode(windows.frames, windows.condition), windows.condition)
    rest = ((windows.frames - found) ** 2).mean()
    expected = (
        windows.frames.flatten(1).numpy() - peer.inverse_transform(peer.transform(windows.frames.flatten(1)))
    ) ** 2
    assert rest == pytest.approx(expected.mean(), rel=0.1)  # shrunk towards the mean by the prior
    without = WindowModel(front_end, CVAE(**SMALL))
    before = {name: value.clone() for name, value in without.state_dict().items()}
    without.start_at_components(table)
    assert all(torch.equal(value, before[name]) for name, value in without.state_dict().items())


def of_classes() -> tuple[Tensor, Tensor]:
    """Windows whose means are those of a class and of a speaker, and these, one-hot, side by side."""
    rng = torch.Generator().manual_seed(1)
    index = torch.randint(2, (600,), generator=rng), torch.randint(3, (600,), generator=rng)
    condition = torch.cat([torch.nn.functional.one_hot(i, n) for i, n in zip(index, (2, 3), strict=True)], dim=1)
    means = 3 * torch.randn(5, T * D, generator=rng)
    return data() + (condition.float() @ means).view(600, T, D), condition.float()


@pytest.mark.peer
def test_a_conditional_vae_begins_with_components_of_what_conditions_leave() -> None:
    windows, condition = of_classes()
    model = CVAE(**SMALL, condition_size=5, linear_path=True).eval()
    model.start(principal_components([(windows[:350], condition[:350]), (windows[350:], condition[350:])], Z))
    x, c = windows.flatten(1).double().numpy(), condition.double().numpy()
    left = x - c @ np.linalg.lstsq(c, x, rcond=None)[0]
    evidence = PCA(Z).fit(left).score_samples(left[:30])
    with torch.no_grad():
        bound = model.elbo(
            windows_of(windows[:30].repeat_interleave(2000, dim=0), condition=condition[:30].repeat_interleave(2000, 0))
        )
    assert bound is not None
    draws = bound.view(30, -1).double()
    assert (np.abs(draws.mean(dim=1).numpy() - evidence) < 4.5 * draws.std(dim=1).numpy() / 2000**0.5 + 0.05).all()


@pytest.mark.parametrize("kind", [CVAE, FHVAE, WAEMMD])
def test_another_condition_moves_windows_by_the_difference_of_means_and_none_is_the_mean_of_all(
    kind: type[Generator],
) -> None:
    windows, condition = of_classes()
    more = {"sequence_latents": 1} if kind is FHVAE else {}
    model = kind(**SMALL, condition_size=5, linear_path=True, **more).eval()  # type: ignore[arg-type]
    model.start(principal_components([(windows, condition)], Z))
    x, c = windows.flatten(1).double().numpy(), condition.double().numpy()
    by_least_squares = np.linalg.lstsq(c, x - x.mean(axis=0), rcond=None)[0]
    other = condition[torch.arange(599, -1, -1)]
    with torch.no_grad():
        codes = model.encode(windows, condition)
        moved = (model.decode(codes, other) - model.decode(codes, condition)).flatten(1).numpy()
        nobody = model.decode(torch.zeros(1, Z), torch.zeros(1, 5)).flatten(1).numpy()
    np.testing.assert_allclose(moved, (other.numpy() - c) @ by_least_squares, atol=1e-3)
    np.testing.assert_allclose(nobody[0], x.mean(axis=0), atol=1e-3)


def test_training_hides_conditions_now_and_then_and_evaluation_never() -> None:
    model = CVAE(**SMALL, condition_size=2, condition_dropout=0.25)
    windows = windows_of(torch.zeros(4000, T, D), condition=torch.ones(4000, 2))
    hidden = model.train().condition_of(windows).sum(dim=1)
    assert set(hidden.tolist()) == {0.0, 2.0}
    assert (hidden == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert model.eval().condition_of(windows).sum() == 8000
