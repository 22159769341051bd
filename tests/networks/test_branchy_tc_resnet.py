"""A network with exits answers from the first that is sure, and computes nothing beyond it."""

import pytest
import torch
from torch import Tensor

from phonaut.networks import BranchyTCResNet8, TCResNet8


def network_of(confidence: float) -> BranchyTCResNet8:
    torch.manual_seed(0)
    network = BranchyTCResNet8(n_features=6, n_classes=4, confidence=confidence).double()
    for linear in (*network.exits, network.classifier):
        torch.nn.init.normal_(linear.weight, std=0.6)
    return network.eval()


def some_frames(n: int) -> tuple[Tensor, Tensor]:
    frames = 3 * torch.randn(n, 40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return frames, torch.randint(10, 41, (n,), generator=torch.Generator().manual_seed(2))


@pytest.mark.oracle
def test_each_segment_has_the_scores_of_its_first_sure_exit() -> None:
    network, (frames, lengths) = network_of(0.5), some_frames(40)
    of_exits = network.exit_scores(frames, lengths)
    sure = network.confidence = float(of_exits[:2].softmax(dim=2).amax(dim=2).quantile(0.6))  # some of each exit
    given, taken = network(frames, lengths), []
    for i, scores in enumerate(given):
        probabilities = [row.softmax(dim=0).max().item() for row in of_exits[:, i]]
        first = next((e for e, p in enumerate(probabilities) if p >= sure), 2)
        torch.testing.assert_close(scores, of_exits[first, i], rtol=0, atol=1e-12)
        taken.append(first)
    assert set(taken) == {0, 1, 2}
    assert network.chosen(of_exits)[1].tolist() == taken


@pytest.mark.parametrize("confidence", [1e-9, 1.0])
def test_a_batch_of_one_runs_the_blocks_to_its_exit_and_no_others(confidence: float) -> None:
    network, (frames, lengths) = network_of(confidence), some_frames(1)
    ran: list[int] = []
    for i, block in enumerate(network.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    network(frames, lengths)
    assert ran == ([0] if confidence < 1 else [0, 1, 2])


def test_its_last_exit_is_a_tc_res8() -> None:
    branchy, (frames, lengths) = network_of(1.0), some_frames(3)
    plain = TCResNet8(n_features=6, n_classes=4).double().eval()
    plain.load_state_dict({k: v for k, v in branchy.state_dict().items() if not k.startswith("exits.")})
    torch.testing.assert_close(branchy(frames, lengths), plain(frames, lengths), rtol=0, atol=1e-12)


def test_weights_that_are_not_one_a_block_are_refused() -> None:
    with pytest.raises(ValueError, match="3 that add up to 1"):
        BranchyTCResNet8(n_features=6, n_classes=4, exit_weights=[0.5, 0.5])


@pytest.mark.oracle
def test_the_cost_of_an_exit_is_what_one_counts_by_hand() -> None:
    network = BranchyTCResNet8(n_features=40, n_classes=12)
    first = 40 * 16 * 3 * 101
    costs = [(16 * 24 * 9 + 24 * 24 * 9 + 16 * 24) * 51 + 24 * 12, (24 * 32 * 9 + 32 * 32 * 9 + 24 * 32) * 26 + 32 * 12]
    last = (32 * 48 * 9 + 48 * 48 * 9 + 32 * 48) * 13 + 48 * 12
    expected = [first + costs[0], first + sum(costs), first + sum(costs) + last]
    assert network.exit_macs(101, 40) == expected
