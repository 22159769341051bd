"""Parameters, multiply-accumulates and memory equal what is counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from phonaut.networks import LSTM, TCResNet8, count


def test_tc_res8_has_the_published_size() -> None:
    size = count(TCResNet8(n_features=40, n_classes=12), 101, 40)
    assert size.parameters == pytest.approx(65_200, rel=0.01)
    assert size.macs == pytest.approx(1_560_000, rel=0.01)


@pytest.mark.oracle
def test_tc_res8_is_what_one_counts_by_hand() -> None:
    # (in, out, kernel, frames out) of every convolution, 40 features and 101 frames
    convolutions = [(40, 16, 3, 101)]
    for n_in, n_out, n_frames in [(16, 24, 51), (24, 32, 26), (32, 48, 13)]:
        convolutions += [(n_in, n_out, 9, n_frames), (n_out, n_out, 9, n_frames), (n_in, n_out, 1, n_frames)]
    weights = sum(n_in * n_out * kernel for n_in, n_out, kernel, _ in convolutions)
    norms = sum(2 * n_out for _, n_out, _, _ in convolutions)
    size = count(TCResNet8(n_features=40, n_classes=12), 101, 40)
    assert size.parameters == weights + norms + 48 * 12 + 12
    assert size.macs == sum(n_in * n_out * kernel * n for n_in, n_out, kernel, n in convolutions) + 48 * 12
    assert size.activation_bytes == 4 * 101 * (40 + 16), "the first convolution holds the most at once"


@pytest.mark.oracle
def test_lstm_is_what_one_counts_by_hand() -> None:
    size = count(LSTM(n_features=40, n_classes=12), 101, 40)
    assert size.parameters == 4 * 64 * (40 + 64 + 2) + 64 * 12 + 12
    assert size.macs == 101 * 4 * 64 * (40 + 64) + 64 * 12
    assert size.activation_bytes == 4 * 101 * (40 + 64)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = TCResNet8(n_features=40, n_classes=12)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, 101, 40)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return (frames * self.scale).sum(dim=1)


def test_a_layer_that_no_rule_counts_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(ValueError, match="no rule counts the operations of Odd"):
        count(Odd(), 5, 3)
