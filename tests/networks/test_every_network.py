"""What every network promises: padding, neighbours, precision, segments of a single frame, export."""

import warnings
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phonaut.config.compose import draft
from phonaut.config.nodes import class_of, options_of
from phonaut.config.plugins import CONF, choices, node_of_group
from phonaut.config.yaml_files import read_yaml
from phonaut.models import EMClassifier
from phonaut.networks import DSTCN, GDS, GRU, LSTM, MDTC, RNN, BCResNet, Probe, TCResNet8, TCResNet14


def configured() -> dict[str, Callable[..., nn.Module]]:
    """Every network that classifies, as its configuration file has it: a new file is tested by being there."""
    found = {}
    for name in choices()["model"]:
        target = named_in(CONF / "model" / f"{name}.yaml")
        classifies = isinstance(target, type) and {"n_features", "n_classes"} <= signature(target).parameters.keys()
        if classifies and issubclass(target, nn.Module) and not issubclass(target, EMClassifier):
            found[name] = partial(target, **options_of(node_of_group("model", name, {}, {})))
    return found


def named_in(file: Path) -> Any:
    """The class of a model, which may be named by a file that it builds on."""
    content = read_yaml(file) if file.exists() else {}
    return class_of(content if "_target_" in content else draft([f"model={file.stem}"])[0].model)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8 dilated": lambda **sizes: TCResNet8(**sizes, dilation=2),
    "tc-res8 causal": lambda **sizes: TCResNet8(**sizes, causal=True),
    "tc-res8 causal, dilated": lambda **sizes: TCResNet8(**sizes, causal=True, dilation=3),
    "tc-res8 wide": lambda **sizes: TCResNet8(**sizes, width=1.5, kernel_size=4),
    "tc-res8 of one layer": lambda **sizes: TCResNet8(**sizes, channels=[8]),
    "tc-res14 causal, dilated": lambda **sizes: TCResNet14(**sizes, causal=True, dilation=2),
    "bc-res dilated": lambda **sizes: BCResNet(**sizes, dilation=2),
    "bc-res causal": lambda **sizes: BCResNet(**sizes, causal=True, n_bands=3),
    "gds causal, dilated": lambda **sizes: GDS(**sizes, causal=True, dilation=2, pool=3),
    "mdtc causal": lambda **sizes: MDTC(**sizes, channels=8, n_stacks=2, causal=True),
    "ds-tcn causal, even": lambda **sizes: DSTCN(**sizes, channels=8, kernel_size=3, causal=True),
    "lstm causal": lambda **sizes: LSTM(**sizes, causal=True),
    "lstm deep": lambda **sizes: LSTM(**sizes, n_layers=2),
    "lstm both ways": lambda **sizes: LSTM(**sizes, bidirectional=True),
    "lstm deep, both ways": lambda **sizes: LSTM(**sizes, n_layers=2, bidirectional=True),
    "rnn both ways": lambda **sizes: RNN(**sizes, bidirectional=True),
    "gru both ways": lambda **sizes: GRU(**sizes, bidirectional=True),
    "probe, hidden layer": lambda **sizes: Probe(**sizes, hidden_size=5),
    "probe with context": lambda **sizes: Probe(**sizes, context=2),
    "probe of segments": lambda **sizes: Probe(**sizes, scope="segment"),
}
NETWORKS = configured() | VARIANTS


def test_the_table_has_the_networks_of_all_configuration_files() -> None:
    named = {"bc-res1", "bc-res3", "bc-res8", "dnnhmm", "ds-tcn", "gds", "gru", "lstm", "mdtc", "probe", "rnn"}
    assert named | {"branchy-tc-res8", "tc-res8", "tc-res14"} <= NETWORKS.keys()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[request.param](n_features=6, n_classes=4).double()
    for module in network.modules():  # statistics as after some training
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.bias)
    return network.eval()


def frames(n: int, seed: int = 1) -> Tensor:
    return torch.randn(1, n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def padded(segments: list[Tensor], n_frames: int, padding: float = 7.0) -> tuple[Tensor, Tensor]:
    batch = torch.full((len(segments), n_frames, 6), padding, dtype=torch.float64)
    for i, segment in enumerate(segments):
        batch[i, : segment.shape[1]] = segment[0]
    return batch, torch.tensor([segment.shape[1] for segment in segments])


def alone(network: nn.Module, segments: list[Tensor]) -> Tensor:
    return torch.cat([network(segment, torch.tensor([segment.shape[1]])) for segment in segments])


@pytest.mark.parametrize("padding", [0.0, 7.0, float("nan"), float("inf")])
def test_padding_and_neighbours_never_change_a_score(network: nn.Module, padding: float) -> None:
    segments = [frames(n, seed=n) for n in (1, 2, 3, 7, 8, 9, 30, 31)]
    expected = alone(network, segments)
    torch.testing.assert_close(network(*padded(segments, 31, padding)), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(network(*padded(segments, 50, padding)), expected, rtol=0, atol=1e-12)


def test_padding_that_all_share_never_changes_a_score(network: nn.Module) -> None:
    segments = [frames(9, seed=seed) for seed in (1, 2)]
    torch.testing.assert_close(network(*padded(segments, 20)), alone(network, segments), rtol=0, atol=1e-12)


def test_padding_never_changes_a_gradient(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.0
        if isinstance(module, nn.LSTM):
            module.dropout = 0.0
    gradients = []
    for n_frames, padding in ((12, 0.0), (12, float("nan")), (30, 7.0)):
        network.zero_grad()
        network.train()(*padded([frames(12), frames(5)], n_frames, padding)).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(gradients[2], gradients[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_items", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_segments_of_one_frame_have_scores_and_gradients(network: nn.Module, training: bool, n_items: int) -> None:
    segments = torch.cat([frames(1, seed) for seed in range(n_items)]).requires_grad_()
    scores = network.train(training)(segments, torch.ones(n_items, dtype=torch.int64))
    assert scores.shape == (n_items, 4)
    scores.square().sum().backward()
    assert segments.grad is not None
    assert torch.isfinite(segments.grad).all()
    assert training or segments.grad.abs().sum() > 0


def test_every_parameter_is_trained(network: nn.Module) -> None:
    scores = getattr(network.train(), "exit_scores", network)(*padded([frames(20), frames(30)], 30))
    scores.square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert still == []


ONE_OF_EACH = ("branchy-tc-res8", "bc-res1", "ds-tcn", "gds", "gru", "lstm", "mdtc", "tc-res8", "tc-res14")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_toy_is_learned_in_seconds(name: str) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    made = torch.randn(48, 30, 6, generator=generator)
    for i, start in enumerate(torch.randint(0, 20, (48,), generator=generator).tolist()):
        made[i, start : start + 10, [0, 2, 4][i % 3]] += 3.0  # a class is a tone, which begins anywhere
    network = NETWORKS[name](n_features=6, n_classes=3, dropout=0.0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.3  # the statistics of evaluation follow within so few steps
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    lengths = torch.full((24,), 30)
    for _ in range(40):
        scores = getattr(network, "exit_scores", network)(made[:24], lengths)
        loss = nn.functional.cross_entropy(scores.view(-1, 3), labels.repeat(scores.numel() // 72))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = network.eval()(made[24:], lengths).argmax(dim=1) == labels
    assert right.float().mean() >= 0.8, right.float().mean()


def test_half_precision_gives_nearly_the_same_scores(network: nn.Module) -> None:
    batch, lengths = padded([frames(20), frames(30)], 30)
    network = network.float()
    expected = network(batch.float(), lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(network(batch.float(), lengths).float(), expected, rtol=0.05, atol=0.05)
        assert torch.isfinite(network.train()(batch.float(), lengths)).all()


@pytest.mark.parametrize(
    ("batch", "lengths", "message"),
    [
        (torch.zeros(2, 5, 6), torch.tensor([5, 0]), r"1 \.\.\. 5.*got 0 \.\.\. 5"),
        (torch.zeros(2, 5, 6), torch.tensor([5, 6]), r"1 \.\.\. 5.*got 5 \.\.\. 6"),
        (torch.zeros(2, 5, 6), torch.tensor([5]), r"\(2, 5, 6\) and \(1,\)"),
        (torch.zeros(5, 6), torch.tensor([5]), r"\(5, 6\)"),
    ],
)
def test_lengths_that_cannot_be_are_refused(network: nn.Module, batch: Tensor, lengths: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(batch.double(), lengths)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TCResNet8(n_features=0, n_classes=4), "must be >= 1"),
        (lambda: TCResNet8(n_features=6, n_classes=4, channels=[]), "channels"),
        (lambda: TCResNet8(n_features=6, n_classes=4, width=0.01), "width"),
        (lambda: LSTM(n_features=6, n_classes=4, hidden_size=0), "hidden_size"),
        (lambda: LSTM(n_features=6, n_classes=4, bidirectional=True, causal=True), "later frames"),
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("causal", [False, True])
def test_an_exported_network_takes_segments_of_any_number_and_length(causal: bool) -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=6, n_classes=4, causal=causal).double().eval()
    batch, some = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("some", min=9, max=1000)
    example = padded([frames(20), frames(30)], 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(
            network, example, dynamic_shapes={"frames": {0: batch, 1: some}, "lengths": {0: batch}}
        ).module()
    for segments, n_frames in (([frames(11), frames(1), frames(9)], 13), ([frames(40), frames(40)], 40)):
        other = padded(segments, n_frames)
        torch.testing.assert_close(exported(*other), network(*other), rtol=0, atol=1e-12)


@pytest.mark.cuda
def test_a_gpu_gives_the_scores_of_the_cpu(network: nn.Module) -> None:
    batch, lengths = padded([frames(20), frames(30)], 30)
    expected = network(batch, lengths)
    torch.testing.assert_close(network.cuda()(batch.cuda(), lengths.cuda()).cpu(), expected, rtol=0, atol=1e-9)


def test_many_segments_of_all_lengths_get_the_scores_that_each_gets_alone(network: nn.Module) -> None:
    segments = [frames(n, seed=n) for n in np.random.default_rng(0).integers(1, 40, 23).tolist()]
    together = network(*padded(segments, 45, padding=float("nan")))
    torch.testing.assert_close(together, alone(network, segments), rtol=1e-9, atol=1e-9)
