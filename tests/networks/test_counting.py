"""Parameters, multiply-accumulates and memory equal what is counted by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from phonaut.networks import DSTCN, GDS, LSTM, MDTC, BCResNet, TCResNet8, TCResNet14, count

SIZES = {"n_features": 40, "n_classes": 12}


def test_tc_res8_has_the_published_size() -> None:
    size = count(TCResNet8(n_features=40, n_classes=12), 101, 40)
    assert size.parameters == pytest.approx(65_200, rel=0.01)
    assert size.macs == pytest.approx(1_560_000, rel=0.01)


@pytest.mark.parametrize(
    ("network", "parameters", "multiplies"),
    [
        (TCResNet14(**SIZES), 305e3, 6.7e6),
        (BCResNet(**SIZES, width=1), 9.2e3, 3.1e6),
        (BCResNet(**SIZES, width=3), 54.2e3, 16e6),
        (BCResNet(**SIZES, width=8), 321e3, 89e6),
        (GDS(**SIZES), 62e3, None),  # with the filters of features=sinc, 160 of them
        (MDTC(**SIZES, channels=32, n_stacks=3), 31e3, None),
        (DSTCN(**SIZES), 21e3, None),  # for one word
    ],
    ids=["tc-res14", "bc-res1", "bc-res3", "bc-res8", "gds", "mdtc small", "ds-tcn"],
)
def test_networks_have_nearly_the_published_sizes(network: nn.Module, parameters: float, multiplies: float) -> None:
    size = count(network, 101, 40)
    close = 0.01 if isinstance(network, (TCResNet14, BCResNet)) else 0.1
    assert size.parameters == pytest.approx(parameters, rel=close)
    # Published multiplies of BC-ResNet include those of its normalisations, a fifth of them in the smallest.
    assert multiplies is None or 0.8 * multiplies < size.macs < 1.03 * multiplies


@pytest.mark.oracle
@pytest.mark.parametrize("causal", [False, True])
def test_tc_res8_is_what_one_counts_by_hand(causal: bool) -> None:
    # (in, out, kernel, frames out) of every convolution, 40 features and 101 frames
    convolutions = [(40, 16, 3, 101)]
    for n_in, n_out, n_frames in [(16, 24, 51), (24, 32, 26), (32, 48, 13)]:
        convolutions += [(n_in, n_out, 9, n_frames), (n_out, n_out, 9, n_frames), (n_in, n_out, 1, n_frames)]
    weights = sum(n_in * n_out * kernel for n_in, n_out, kernel, _ in convolutions)
    norms = sum(2 * n_out for _, n_out, _, _ in convolutions)
    size = count(TCResNet8(n_features=40, n_classes=12, causal=causal), 101, 40)
    assert size.parameters == weights + norms + 48 * 12 + 12
    assert size.macs == sum(n_in * n_out * kernel * n for n_in, n_out, kernel, n in convolutions) + 48 * 12
    assert size.activation_bytes == 4 * 101 * (40 + 16), "the first convolution holds the most at once"


@pytest.mark.oracle
def test_a_residual_block_keeps_its_input_for_the_shortcut() -> None:
    # With 10 features the peak is in the first block: its input, what the first convolution made of it, and the second.
    size = count(TCResNet8(n_features=10, n_classes=12), 101, 10)
    first_block = 101 * 16 + 2 * 51 * 24
    assert first_block > 101 * (10 + 16)
    assert size.activation_bytes == 4 * first_block
    by_name = {layer.name: layer for layer in size.layers}
    assert by_name["blocks.0.second.conv"].activation_bytes == 4 * first_block
    assert by_name["blocks.0.shortcut.conv"].activation_bytes == 4 * first_block
    assert by_name["blocks.0.shortcut.norm"].activation_bytes == 4 * 2 * 51 * 24, "the input is needed no more"


@pytest.mark.oracle
def test_lstm_is_what_one_counts_by_hand() -> None:
    size = count(LSTM(n_features=40, n_classes=12), 101, 40)
    assert size.parameters == 4 * 64 * (40 + 64 + 2) + 64 * 12 + 12
    assert size.macs == 101 * 4 * 64 * (40 + 64) + 64 * 12
    assert size.activation_bytes == 4 * (101 * (40 + 64) + 2 * 64), "frames, states, and the last state and cell"


@pytest.mark.oracle
def test_a_bidirectional_lstm_of_two_layers_is_what_one_counts_by_hand() -> None:
    size = count(LSTM(n_features=40, n_classes=12, hidden_size=8, n_layers=2, bidirectional=True), 50, 40)
    weights = 2 * 4 * 8 * (40 + 8) + 2 * 4 * 8 * (16 + 8)
    assert size.parameters == weights + 2 * 2 * 2 * 4 * 8 + 16 * 12 + 12
    assert size.macs == 50 * weights + 16 * 12


class Net(nn.Module):
    """Layers in a row, or whatever `run` does with them."""

    def __init__(self, *layers: nn.Module, run: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.run = run

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        if self.run is not None:
            return self.run(self.layers, frames)
        for layer in self.layers:
            frames = layer(frames)
        return frames


class OverTime(nn.Module):
    """A layer of `(B, D, T)` in a network of `(B, T, D)`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, frames: Tensor) -> Tensor:
        return self.layer(frames.transpose(1, 2)).transpose(1, 2)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("layer", "parameters", "macs", "n_floats"),
    [  # on 10 frames of 6 features; floats alive: those that go in and those that come out
        (nn.Linear(6, 4), 28, 10 * 24, 60 + 40),
        (nn.Linear(6, 4, bias=False), 24, 10 * 24, 60 + 40),
        (OverTime(nn.Conv1d(6, 4, 3, padding=1)), 76, 10 * 72, 60 + 40),
        (OverTime(nn.Conv1d(6, 12, 3, groups=6)), 48, 8 * 36, 60 + 96),
        (OverTime(nn.Conv1d(6, 6, 5, stride=2, dilation=2, bias=False)), 180, 180, 60 + 6),
        (OverTime(nn.ConvTranspose1d(6, 4, 2, stride=2, bias=False)), 48, 10 * 48, 60 + 80),
        (OverTime(nn.ConvTranspose1d(6, 4, 2, stride=2, groups=2, bias=False)), 24, 10 * 24, 60 + 80),
        (OverTime(nn.BatchNorm1d(6)), 12, 0, 60),
        (nn.LayerNorm(6), 12, 0, 60),
        (nn.ReLU(), 0, 0, 60),
        (nn.Dropout(0.5), 0, 0, None),
    ],
)
def test_each_kind_of_layer_is_counted(layer: nn.Module, parameters: int, macs: int, n_floats: int | None) -> None:
    size = count(Net(layer), 10, 6)
    assert (size.parameters, size.macs) == (parameters, macs)
    assert size.activation_bytes == 4 * (n_floats or 0)
    assert [row.parameters for row in size.layers] == ([parameters] if parameters else [])


@pytest.mark.oracle
@pytest.mark.parametrize(("kind", "n_gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_each_kind_of_recurrent_layer_is_counted(kind: type[nn.RNNBase], n_gates: int) -> None:
    net = Net(kind(6, 5, batch_first=True), run=lambda layers, frames: layers[0](frames)[0])
    assert count(net, 10, 6).macs == 10 * n_gates * 5 * (6 + 5)


@pytest.mark.oracle
def test_what_a_later_step_reads_is_alive_until_then() -> None:
    # a (60) -> b (60) -> c (60) -> c + a: three are alive while c is made, not two; the sum writes over one of them.
    layers = [nn.Linear(6, 6) for _ in range(2)]
    row = Net(*layers, run=lambda layers, frames: layers[1](layers[0](frames)))
    residual = Net(*layers, run=lambda layers, frames: layers[1](layers[0](frames)) + frames)
    assert count(row, 10, 6).activation_bytes == 4 * 120
    assert count(residual, 10, 6).activation_bytes == 4 * 180
    late = Net(*layers, run=lambda layers, frames: torch.cat([layers[1](layers[0](frames)), frames], dim=2))
    assert count(late, 10, 6).activation_bytes == 4 * 240, "a and c, and a place for both of them"


@pytest.mark.oracle
def test_an_elementwise_step_takes_no_memory_unless_its_input_is_still_needed() -> None:
    assert count(Net(run=lambda _, frames: frames.relu().tanh()), 10, 6).activation_bytes == 4 * 60
    assert count(Net(run=lambda _, frames: frames * frames.relu()), 10, 6).activation_bytes == 4 * 120
    norm = Net(OverTime(nn.BatchNorm1d(6)), run=lambda layers, frames: layers[0](frames) * frames)
    assert count(norm, 10, 6).layers[0].activation_bytes == 4 * 120


@pytest.mark.oracle
def test_results_are_alive_to_the_end() -> None:
    net = Net(*[nn.Linear(6, 6) for _ in range(3)], run=lambda layers, frames: [layer(frames) for layer in layers])
    assert count(net, 10, 6).activation_bytes == 4 * (60 + 3 * 60)


@pytest.mark.oracle
def test_products_of_activations_are_counted() -> None:
    scaled = torch.nn.functional.scaled_dot_product_attention

    def attention(layers: nn.ModuleList, frames: Tensor) -> Tensor:
        queries, keys, values = layers[0](frames).chunk(3, dim=2)
        return (queries @ keys.transpose(1, 2)).softmax(dim=2) @ values

    size = count(Net(nn.Linear(6, 12), run=attention), 10, 6)
    assert size.macs == 10 * 6 * 12 + 2 * 10 * 10 * 4
    assert [row.kind for row in size.layers] == ["Linear", "bmm", "bmm"]
    fused = Net(nn.Linear(6, 12), run=lambda layers, frames: scaled(*layers[0](frames)[:, None].chunk(3, dim=3)))
    assert count(fused, 10, 6).macs == size.macs


def test_a_layer_that_runs_twice_works_twice_and_weighs_once() -> None:
    size = count(Net(nn.Linear(6, 6), run=lambda layers, frames: layers[0](layers[0](frames))), 10, 6)
    assert (size.parameters, size.macs) == (42, 2 * 360)
    assert [row.parameters for row in size.layers] == [42, 0]


@pytest.mark.parametrize("network", [TCResNet8(n_features=40, n_classes=12), LSTM(n_features=40, n_classes=12)])
def test_the_layers_add_up(network: nn.Module) -> None:
    size = count(network, 101, 40)
    assert sum(layer.parameters for layer in size.layers) == size.parameters
    assert sum(layer.macs for layer in size.layers) == size.macs
    assert max(layer.activation_bytes for layer in size.layers) == size.activation_bytes


def test_counting_leaves_the_network_as_it_was() -> None:
    network = TCResNet8(n_features=40, n_classes=12).double()
    network.first.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, 101, 40)
    assert network.training
    assert not network.first.training
    assert not network.first.norm.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, frames: Tensor) -> Tensor:
        return frames * torch.fft.fft(self.weight).real


class Own(nn.Module):
    """A product with a parameter, and a layer within the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.inner = nn.Parameter(torch.ones(3, 4)), nn.Linear(4, 5, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.inner(frames @ self.weight)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, frames: Tensor) -> Tensor:
        return frames * self.scale


def test_an_operation_that_no_formula_counts_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(
        ValueError, match=r"no formula for _fft_r2c of Fourier: add one with torch\.utils\.flop_counter"
    ):
        count(Net(Fourier()), 5, 3)


@pytest.mark.oracle
def test_a_layer_of_ones_own_is_counted_by_its_operations() -> None:
    assert (count(Net(Odd()), 5, 3).parameters, count(Net(Odd()), 5, 3).macs) == (3, 0)
    size = count(Net(Own()), 5, 3)
    assert (size.parameters, size.macs) == (12 + 20, 5 * 12 + 5 * 20)
    assert [(row.name, row.macs) for row in size.layers] == [("layers.0.inner", 100), ("layers.0", 60)]


def test_a_layer_that_does_not_run_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(ValueError, match=r"did not run.*layers\.1"):
        count(Net(nn.Linear(3, 2), nn.Linear(3, 2), run=lambda layers, frames: layers[0](frames)), 5, 3)
