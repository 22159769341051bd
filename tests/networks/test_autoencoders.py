"""Encoders and decoders of windows: any length, any number of features, any range; the pair learns to reconstruct."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phonaut.networks.conv_autoencoder import ConvDecoder, ConvEncoder, frames_by_layer
from phonaut.networks.lstm_autoencoder import LSTMDecoder, LSTMEncoder

PAIRS: dict[str, tuple[type[nn.Module], type[nn.Module], dict[str, Any]]] = {
    "conv": (ConvEncoder, ConvDecoder, {"channels": (8, 12, 16), "hidden_size": 24}),
    "conv of tanh": (ConvEncoder, ConvDecoder, {"channels": (8, 12, 16), "hidden_size": 24, "activation": "tanh"}),
    "gated": (ConvEncoder, ConvDecoder, {"channels": (8, 12, 16), "hidden_size": 24, "activation": "gated"}),
    "lstm": (LSTMEncoder, LSTMDecoder, {"hidden_size": 24}),
}


def pair(name: str, n_latents: int = 3, **sizes: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    encoder, decoder, options = PAIRS[name]
    return encoder(n_outputs=n_latents, **sizes, **options), decoder(n_latents=n_latents, **sizes, **options)


def fit(parameters: Any, loss: Any, n_steps: int, lr: float) -> float:
    optimizer = torch.optim.Adam(parameters, lr=lr)
    value = torch.zeros(())
    for _ in range(n_steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return float(value.detach())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("n_frames", "n_features"), [(4, 1), (5, 7), (9, 40), (19, 3), (20, 201)])
def test_windows_of_any_length_come_back_in_their_shape(name: str, n_frames: int, n_features: int) -> None:
    encoder, decoder = pair(name, n_features=n_features, window_frames=n_frames, n_condition=2)
    condition = torch.eye(2)
    latents = encoder(torch.randn(2, n_frames, n_features), condition)
    assert latents.shape == (2, 3)
    assert decoder(latents, condition).shape == (2, n_frames, n_features)


@pytest.mark.parametrize("name", PAIRS)
def test_nothing_bounds_what_a_decoder_gives(name: str) -> None:
    _, decoder = pair(name, n_features=4, window_frames=4)
    decoder.eval()
    last: Any = decoder.output
    seen: list[Tensor] = []
    last.register_forward_hook(lambda module, given, y: seen.append(given[0]))
    latents = torch.tensor([[3.0], [-3.0]]).expand(2, 3)
    decoder(latents, torch.zeros(2, 0))
    hidden = seen[0].movedim(1, -1).reshape(8, -1) if name != "lstm" else seen[0].reshape(8, -1)
    target = torch.tensor([50.0, -50.0]).repeat_interleave(4)[:, None].expand(8, 4)
    with_bias = torch.cat([hidden, torch.ones(8, 1)], dim=1).detach().double()
    weight = torch.linalg.lstsq(with_bias, target.double(), driver="gelsd").solution.float().T
    last.weight.data, last.bias.data = weight[:, :-1].reshape(last.weight.shape).contiguous(), weight[:, -1]
    back = decoder(latents, torch.zeros(2, 0))
    torch.testing.assert_close(back, target.view(2, 4, 4), rtol=0, atol=1.0)


@pytest.mark.parametrize("name", PAIRS)
def test_both_halves_use_the_condition(name: str) -> None:
    for network, x in zip(pair(name, n_features=4, window_frames=8, n_condition=2), (torch.randn(1, 8, 4),
                          torch.randn(1, 3)), strict=True):  # fmt: skip
        network.eval()
        assert not torch.allclose(network(x, torch.tensor([[1.0, 0.0]])), network(x, torch.tensor([[0.0, 1.0]])))


@pytest.mark.parametrize("n_frames", range(4, 13))
def test_the_decoder_has_the_layers_of_the_encoder_in_reverse(n_frames: int) -> None:
    encoder = ConvEncoder(n_features=3, window_frames=n_frames, n_outputs=2, channels=(4, 5, 6))
    seen = []
    for layer in encoder.convolutions:
        layer.register_forward_hook(lambda module, given, y: seen.append(y.shape[3]))
    encoder(torch.randn(2, n_frames, 3), torch.zeros(2, 0))
    assert seen == frames_by_layer(n_frames, (4, 5, 6))
    decoder = ConvDecoder(n_features=3, window_frames=n_frames, n_latents=2, channels=(4, 5, 6))
    back: list[int] = []
    for layer in decoder.convolutions:
        layer.register_forward_hook(lambda module, given, y: back.append(y.shape[3]))
    decoder(torch.randn(2, 2), torch.zeros(2, 0))
    assert [decoder.first_shape[0], *back] == seen[::-1]


def test_a_batch_of_one_window_has_no_statistics_and_is_no_error() -> None:
    encoder, decoder = pair("conv", n_features=4, window_frames=8)
    latents = encoder(torch.randn(1, 8, 4), torch.zeros(1, 0))
    assert decoder(latents, torch.zeros(1, 0)).isfinite().all()


@pytest.mark.peer
def test_the_convolutional_pair_reconstructs_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images = torch.from_numpy(datasets.load_digits().images).float() / 16.0
    train, test = images[:1400], images[1400:]
    encoder, decoder = pair("conv", n_latents=32, n_features=8, window_frames=8)
    no_condition = torch.zeros(len(images), 0)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    order = torch.Generator().manual_seed(0)

    def loss() -> torch.Tensor:
        x = train[torch.randint(len(train), (200,), generator=order)]
        return (decoder(encoder(x, no_condition[:200]), no_condition[:200]) - x).square().mean()

    fit(parameters, loss, 400, lr=0.01)
    encoder.eval()
    decoder.eval()
    with torch.no_grad():
        back = decoder(encoder(test, no_condition[:397]), no_condition[:397])
    centred = train - train.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred.flatten(1), full_matrices=False)
    of_test = (test - train.mean(dim=0)).flatten(1)
    error = (back - test).square().mean()
    ten = (of_test - of_test @ axes[:10].T @ axes[:10]).square().mean()
    assert error < ten, "digits that it has not seen come back better than from ten principal components"


def test_sizes_that_no_network_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n_features must be >= 1, got 0.*window_frames must be >= 4, got 3"):
        ConvEncoder(n_features=0, window_frames=3, n_outputs=2)
    with pytest.raises(ValueError, match=r"channels must be >= 1, got \[\]"):
        ConvDecoder(n_features=2, window_frames=4, n_latents=2, channels=())
    with pytest.raises(ValueError, match="hidden_size must be >= 1, got 0"):
        LSTMEncoder(n_features=2, window_frames=4, n_outputs=2, hidden_size=0)
