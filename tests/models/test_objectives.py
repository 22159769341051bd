"""What an encoder is asked for: inputs, what counts, and a loss that counts nothing else."""

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.models.objectives import APC, DrawKey, Mockingjay, Objective, Tera, masked_l1

KEYS = np.arange(1, 9, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
STRIDE, BANDS, WIDTH = 2, 2, 10


def place(first: int = 0, n: int = 4, epoch: int = 0, stage: str = "train", seed: int = 0) -> DrawKey:
    return DrawKey(KEYS[first : first + n], seed, epoch, stage)


def batch(n_frames: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = 1.0 + torch.rand(4, n_frames, STRIDE * BANDS * WIDTH, generator=generator)  # nowhere zero
    return frames, torch.tensor([n_frames, 41, 13, n_frames])


def task_of(objective: Objective, frames: Tensor, lengths: Tensor, where: DrawKey | None = None):  # type: ignore[no-untyped-def]
    return objective.task(frames, lengths, where or place(), n_bands=BANDS, stack_size=STRIDE)


@pytest.mark.oracle
@pytest.mark.parametrize("by_feature", [False, True])
def test_the_loss_is_that_of_a_naive_loop(by_feature: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    predicted, truth = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)
    counted = torch.rand(6, 3, generator=generator) < 0.5
    recording = [0, 2, 2, 0, 3, 2]
    expected = [[0.0, 0.0] for _ in range(4)]
    for i in range(6):
        for d in range(3):
            if not by_feature or counted[i, d]:
                expected[recording[i]][0] += abs(float(predicted[i, d]) - float(truth[i, d]))
                expected[recording[i]][1] += 1
    found = masked_l1(predicted, truth, counted if by_feature else None, torch.tensor(recording), 4)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "objective", [Mockingjay(mask_prob=0.4, mask_length=3), Tera(noise_prob=0.0, mask_frequency=0.0)]
)
def test_the_input_differs_in_masked_frames_only_and_there_as_stated(objective: Objective) -> None:
    frames, lengths = batch()
    before = frames.clone()
    task = task_of(objective, frames, lengths)
    assert torch.equal(frames, before), "the truth is not written over"
    differs = (task.frames != frames).any(dim=2)
    assert not (differs & ~task.target_mask).any()
    for i, n in enumerate(lengths.tolist()):
        assert not task.target_mask[i, n:].any(), "padding is never predicted"
        for t in task.target_mask[i].nonzero().flatten().tolist():
            seen = task.frames[i, t]
            assert not seen.any() or (frames[i, :n] == seen).all(dim=1).any(), "zero, or a frame of the recording"


def test_tera_hides_the_same_features_and_their_slopes_in_all_frames_and_counts_them() -> None:
    frames, lengths = batch()
    task = task_of(Tera(mask_prob=0.1, noise_prob=0.0, mask_frequency=0.5), frames, lengths)
    assert task.bins is not None
    blocks = task.bins.view(4, STRIDE * BANDS, WIDTH)
    assert (blocks == blocks[:, :1]).all(), "in each of the stacked frames, and in the slopes"
    assert task.bins.any()
    hidden = task.bins[:, None, :].expand_as(frames)
    assert not task.frames[hidden].any()
    shown = ~hidden & ~task.target_mask[:, :, None]
    assert torch.equal(task.frames[shown], frames[shown])


def test_tera_adds_noise_of_the_stated_variance_to_a_share_of_the_recordings() -> None:
    n = 600
    keys = np.arange(n, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
    frames, lengths = torch.zeros(n, 5, 20), torch.full((n,), 5)
    objective = Tera(mask_prob=0.15, mask_frequency=0.0, noise_prob=0.3, noise_variance=0.2)
    task = objective.task(frames, lengths, DrawKey(keys, 0, 0, "train"), n_bands=1, stack_size=1)
    noisy = task.frames.flatten(1).any(dim=1)
    assert abs(float(noisy.float().mean()) - 0.3) < 4 * (0.21 / n) ** 0.5
    values = task.frames[noisy].double()
    assert abs(float(values.mean())) < 4 * (0.2 / values.numel()) ** 0.5
    assert float(values.var()) == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(("ahead", "stack_size", "stacked"), [(3, 1, 3), (3, 3, 1), (3, 2, 2), (1, 3, 1)])
def test_apc_sees_everything_and_predicts_what_has_a_future(ahead: int, stack_size: int, stacked: int) -> None:
    frames, lengths = batch()
    task = APC(n_future=ahead).task(frames, lengths, place(), n_bands=1, stack_size=stack_size)
    assert torch.equal(task.frames, frames)
    assert task.n_future == stacked
    assert task.target_mask.sum(dim=1).tolist() == [n - stacked for n in lengths.tolist()]
    assert APC.causal


@pytest.mark.parametrize("objective", [Mockingjay(), Tera(noise_prob=0.5), APC()])
def test_a_task_belongs_to_cut_seed_epoch_and_stage_and_to_nothing_else(objective: Objective) -> None:
    frames, lengths = batch()
    together = task_of(objective, frames, lengths)
    for i, n in enumerate(lengths.tolist()):
        alone = task_of(objective, frames[i : i + 1, :n], lengths[i : i + 1], place(i, 1))
        torch.testing.assert_close(together.frames[i, :n], alone.frames[0], rtol=0, atol=1e-6)
        assert torch.equal(together.target_mask[i, :n], alone.target_mask[0])
    if isinstance(objective, APC):
        return
    for other in (place(epoch=1), place(stage="validation"), place(seed=1), place(first=4)):
        assert not torch.equal(task_of(objective, frames, lengths, other).target_mask, together.target_mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mockingjay(mask_prob=1.5), r"objective.mask_prob=1.5: must be in \[0, 1\]"),
        (lambda: Mockingjay(mask_prob=0.0), "nothing would be predicted"),
        (lambda: Mockingjay(mask_length=0), "mask_length=0"),
        (lambda: Mockingjay(mask_zero_prob=0.9, mask_random_prob=0.2), "sum must be <= 1"),
        (lambda: Tera(noise_variance=-1.0), "noise_variance"),
        (lambda: APC(n_future=0), "n_future=0"),
    ],
)
def test_impossible_objectives_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
