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


def begun(kind: type[Generator], **options: Any) -> tuple[Generator, PrincipalComponents]:
    components = principal_components(torch.split(data(), 150), Z)
    torch.manual_seed(0)
    model = kind(**{**SMALL, **options}, linear_path=True).eval()
    model.start(components)
    return model, components


@pytest.mark.peer
def test_principal_components_in_batches_are_scikit_learns() -> None:
    found, windows = principal_components(torch.split(data(), 150), Z), data().flatten(1).double().numpy()
    peer, share = PCA(Z).fit(windows), (len(windows) - 1) / len(windows)  # of its variances, which have N - 1
    np.testing.assert_allclose(found.variances, share * peer.explained_variance_, rtol=1e-5)
    assert found.noise == pytest.approx(share * peer.noise_variance_, rel=1e-5)
    np.testing.assert_allclose(found.mean, peer.mean_, rtol=1e-5)
    np.testing.assert_allclose(np.abs((found.directions.numpy() * peer.components_).sum(axis=1)), 1.0, rtol=1e-5)


def test_fewer_windows_than_latents_leave_the_others_without_effect() -> None:
    few = principal_components([data(3)], 40)
    assert (few.directions[3:] == 0).all()
    assert torch.isfinite(few.whitening).all()
    means, variances = few.posterior
    assert (means[3:] == 0).all()
    torch.testing.assert_close(variances[3:], torch.ones(37))


@pytest.mark.parametrize("n", [1, 2, Z, Z + 1, 2 * Z])
def test_few_windows_leave_noise_that_others_have_a_likelihood_with(n: int) -> None:
    windows = data()
    few = principal_components([windows[:n]], 3 * Z)
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
