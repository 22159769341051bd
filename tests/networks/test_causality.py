"""A causal network's answer at a frame knows nothing of later frames; each output frame ends where it should."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from phonaut.networks import TCResNet8


def hidden(network: TCResNet8, frames: Tensor) -> Tensor:
    return network.hidden(frames, torch.tensor([frames.shape[1]]))[0]


def network_of(**settings: object) -> TCResNet8:
    torch.manual_seed(0)
    return TCResNet8(n_features=6, n_classes=4, **settings).double().eval()


def some_frames(n: int) -> Tensor:
    return torch.randn(1, n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_blocks", [0, 1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("n_frames", [16, 17])
def test_a_later_frame_changes_nothing_before_it(n_blocks: int, dilation: int, n_frames: int) -> None:
    network = network_of(causal=True, dilation=dilation, channels=(8, 10, 12, 14)[: n_blocks + 1])
    frames = some_frames(n_frames)
    before = hidden(network, frames)
    stride = 2**n_blocks  # frame t of the result ends at frame t * stride
    assert before.shape[1] == -(-n_frames // stride)
    for changed in range(n_frames):
        other = frames.clone()
        other[:, changed:] += torch.randn(n_frames - changed, 6, dtype=torch.float64)
        untouched = -(-changed // stride)
        assert torch.equal(hidden(network, other)[:, :untouched], before[:, :untouched])


@pytest.mark.parametrize("n_blocks", [0, 1, 2, 3])
def test_a_frame_changes_the_result_that_ends_there_at_once(n_blocks: int) -> None:
    network = network_of(causal=True, channels=(8, 10, 12, 14)[: n_blocks + 1])
    frames = some_frames(33)
    before = hidden(network, frames)
    for t in range(before.shape[1]):
        other = frames.clone()
        other[:, t * 2**n_blocks] += 1.0
        assert (hidden(network, other) - before)[:, t].abs().max() > 1e-9


@pytest.mark.parametrize("n_frames", [24, 25])
def test_a_recording_that_goes_on_keeps_what_was_said_before(n_frames: int) -> None:
    network = network_of(causal=True)
    frames = some_frames(n_frames)
    whole = hidden(network, frames)
    for n_heard, n_more in pairwise(range(1, n_frames + 1)):
        heard = hidden(network, frames[:, :n_heard])
        torch.testing.assert_close(heard, whole[:, : heard.shape[1]], rtol=0, atol=1e-12)
        assert hidden(network, frames[:, :n_more]).shape[1] >= heard.shape[1]


def test_a_network_that_is_not_causal_looks_ahead_as_far_as_back() -> None:
    network = network_of(channels=(8, 10))
    frames = some_frames(65)
    before = hidden(network, frames)
    other = frames.clone()
    other[:, 32] += 1.0
    reached = ((hidden(network, other) - before).abs().amax(dim=(0, 2)) > 1e-12).nonzero()[:, 0].tolist()
    # frames 31 ... 33 reach 14 ... 18 (9 taps with stride 2), these 10 ... 22 (9 taps)
    assert (reached[0], reached[-1]) == (10, 22)
