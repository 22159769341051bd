"""What every network promises: padding, batches, causality, and segments of a single frame."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phonaut.networks import LSTM, TCResNet8
from phonaut.networks.masking import MaskedBatchNorm1d, mask_of

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8": TCResNet8,
    "tc-res8 dilated": lambda **sizes: TCResNet8(**sizes, dilation=2),
    "tc-res8 causal": lambda **sizes: TCResNet8(**sizes, causal=True),
    "tc-res8 wide": lambda **sizes: TCResNet8(**sizes, width=1.5, kernel_size=4),
    "lstm": LSTM,
    "lstm deep": lambda **sizes: LSTM(**sizes, n_layers=2),
    "lstm both ways": lambda **sizes: LSTM(**sizes, bidirectional=True),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[request.param](n_features=6, n_classes=4).double()
    for module in network.modules():  # statistics as after some training
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.bias)
    return network.eval()


def frames(n: int, seed: int = 1) -> Tensor:
    return torch.randn(1, n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def padded(segments: list[Tensor], n_frames: int) -> tuple[Tensor, Tensor]:
    batch = torch.full((len(segments), n_frames, 6), 7.0, dtype=torch.float64)  # padding is not even zero
    for i, segment in enumerate(segments):
        batch[i, : segment.shape[1]] = segment[0]
    return batch, torch.tensor([segment.shape[1] for segment in segments])


def test_padding_and_neighbours_never_change_a_score(network: nn.Module) -> None:
    segments = [frames(n, seed=n) for n in (1, 2, 3, 7, 8, 9, 30, 31)]
    alone = torch.cat([network(segment, torch.tensor([segment.shape[1]])) for segment in segments])
    torch.testing.assert_close(network(*padded(segments, 31)), alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(network(*padded(segments, 50)), alone, rtol=0, atol=1e-12)


def test_a_segment_of_one_frame_has_scores_and_gradients(network: nn.Module) -> None:
    segment = frames(1).requires_grad_()
    scores = network(segment, torch.tensor([1]))
    assert scores.shape == (1, 4)
    scores.sum().backward()
    assert segment.grad is not None
    assert segment.grad.abs().sum() > 0


def test_every_parameter_is_trained(network: nn.Module) -> None:
    network.train()(*padded([frames(20), frames(30)], 30)).square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert still == []


@pytest.mark.parametrize("n_frames", [16, 17])
def test_a_causal_convolution_looks_at_no_later_frame(n_frames: int) -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=6, n_classes=4, causal=True).double().eval()
    x = frames(n_frames).transpose(1, 2)

    def activations(x: Tensor) -> list[Tensor]:
        found = [network.first(x, None)]
        for block in network.blocks:
            found.append(block(found[-1], None))
        return found

    before = activations(x)
    for changed in range(n_frames):
        y = x.clone()
        y[:, :, changed] += 1.0
        for depth, (a, b) in enumerate(zip(before, activations(y), strict=True)):
            reached = (a - b).abs().amax(dim=(0, 1)) > 0
            first = int(reached.nonzero()[0]) if reached.any() else a.shape[2]
            assert first * 2**depth >= changed, f"frame {changed} changes output {first} at depth {depth}"


def test_a_network_that_is_not_causal_looks_ahead() -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=6, n_classes=4).double().eval()
    x = frames(16).transpose(1, 2)
    y = x.clone()
    y[:, :, 9] += 1.0
    assert (network.first(x, None) - network.first(y, None))[:, :, 8].abs().max() > 0


def test_training_statistics_are_those_of_the_valid_frames() -> None:
    segments = [frames(n, seed=n) for n in (4, 9, 17)]
    batch, lengths = padded(segments, 17)
    ours, theirs = MaskedBatchNorm1d(6).double(), nn.BatchNorm1d(6).double()
    result = ours(batch.transpose(1, 2), mask_of(lengths, 17))
    joined = torch.cat(segments, dim=1).transpose(1, 2)  # PyTorch's own, over the frames without their padding
    expected = theirs(joined)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=0, atol=1e-12)
    valid = torch.cat([result[i, :, :n] for i, n in enumerate(lengths)], dim=1)
    torch.testing.assert_close(valid, expected[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TCResNet8(n_features=0, n_classes=4), "at least 1"),
        (lambda: TCResNet8(n_features=6, n_classes=4, width=0.01), "width"),
        (lambda: LSTM(n_features=6, n_classes=4, hidden_size=0), "hidden_size"),
        (lambda: LSTM(n_features=6, n_classes=4, bidirectional=True, causal=True), "later frames"),
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.cuda
def test_a_gpu_gives_the_scores_of_the_cpu(network: nn.Module) -> None:
    batch, lengths = padded([frames(20), frames(30)], 30)
    expected = network(batch, lengths)
    torch.testing.assert_close(network.cuda()(batch.cuda(), lengths.cuda()).cpu(), expected, rtol=0, atol=1e-9)
