"""Statistics and means are those of the valid frames, laid end to end."""

import pytest
import torch
from torch import Tensor, nn

from phonaut.networks.padding import MaskedBatchNorm, length_mask, masked_mean

LENGTHS = (4, 9, 17)


def ragged() -> tuple[Tensor, Tensor, Tensor]:
    """A batch `(B, D, 1, T)` far from zero with rubbish as padding, its mask, its valid frames `(N, D)`."""
    generator = torch.Generator().manual_seed(0)
    x = 30.0 + 3.0 * torch.randn(3, 6, 1, 17, dtype=torch.float64, generator=generator)
    mask = length_mask(torch.tensor(LENGTHS), 17)
    return torch.where(mask[:, None, None], x, 999.0), mask, joined(x)


def joined(x: Tensor) -> Tensor:
    return torch.cat([x[i, :, 0, :n].T for i, n in enumerate(LENGTHS)])


def batch_norms() -> tuple[MaskedBatchNorm, nn.BatchNorm1d]:
    ours, theirs = MaskedBatchNorm(6).double(), nn.BatchNorm1d(6).double()
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.peer
def test_training_normalises_by_the_valid_frames() -> None:
    x, mask, valid = ragged()
    ours, theirs = batch_norms()
    for _ in range(3):
        torch.testing.assert_close(joined(ours(x, mask)), theirs(valid), rtol=0, atol=1e-12)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-12)


@pytest.mark.peer
def test_gradients_are_those_of_the_valid_frames() -> None:
    x, mask, valid = ragged()
    ours, theirs = batch_norms()
    x.requires_grad_()
    valid.requires_grad_()
    joined(ours(x, mask)).sin().sum().backward()
    theirs(valid).sin().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(joined(x.grad), valid.grad, rtol=0, atol=1e-12)
    assert x.grad.masked_select(~mask[:, None, None]).abs().max() == 0
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, rtol=0, atol=1e-12)


def test_the_fast_path_gives_what_the_mask_gives() -> None:
    x, _, _ = ragged()
    with_mask, without = batch_norms()[0], MaskedBatchNorm(6).double()
    without.load_state_dict(with_mask.state_dict())
    everything = torch.ones(3, 17, dtype=torch.bool)
    torch.testing.assert_close(with_mask(x, everything), without(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(with_mask.running_var, without.running_var, rtol=1e-14, atol=0)


def test_a_lone_frame_is_normalised_by_what_was_learned_and_teaches_nothing() -> None:
    norm, _ = batch_norms()
    nn.init.normal_(norm.running_mean)
    x = torch.randn(1, 6, 1, 1, dtype=torch.float64)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    in_training = norm.train()(x)
    assert torch.equal(in_training, norm.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_half_precision_counts_all_frames() -> None:
    # 16,000 frames: in bfloat16 a count stops at 256, a float16 at 65,504 and sums long before
    x = (2.0 + torch.randn(16, 3, 1, 1000, generator=torch.Generator().manual_seed(0))).bfloat16()
    mask = length_mask(torch.tensor([999] + [1000] * 15), 1000)
    norm = MaskedBatchNorm(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(x, mask)
    assert y.dtype == torch.bfloat16
    expected = x.float().permute(0, 2, 3, 1).reshape(-1, 3)[mask.flatten()]
    torch.testing.assert_close(norm.running_mean, 0.1 * expected.mean(dim=0), rtol=1e-4, atol=0)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * expected.var(dim=0), rtol=1e-4, atol=0)


def test_a_mean_is_that_of_the_valid_frames() -> None:
    x, mask, _ = ragged()
    frames = x[:, :, 0].transpose(1, 2)
    expected = torch.stack([frames[i, :n].mean(dim=0) for i, n in enumerate(LENGTHS)])
    torch.testing.assert_close(masked_mean(frames, mask), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(masked_mean(frames[2:], None), expected[2:], rtol=0, atol=1e-12)
