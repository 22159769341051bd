"""Pairs of spans that are mixed, and their labels with them."""

from __future__ import annotations

import torch

from phonaut.training.gradient import mixed


def test_labels_are_weights_of_what_was_mixed() -> None:
    torch.manual_seed(0)
    labels = torch.arange(200) % 4
    segments = torch.nn.functional.one_hot(labels, 4).float()[:, None].expand(-1, 5, -1)  # a span is its own label
    lengths = torch.full((200,), 5)
    got, targets = mixed(segments, lengths, labels, 4, 0.5)
    torch.testing.assert_close(got[:, 2], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(200))
    assert torch.equal(targets.argmax(dim=1), labels), "the larger part is its own"
    assert ((targets > 0).sum(dim=1) == 2).float().mean() > 0.5


def test_spans_without_a_label_or_of_another_length_are_left_alone() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, -1, 1, 0, 1])
    lengths = torch.tensor([5, 5, 5, 5, 3, 4])
    segments = torch.randn(6, 5, 2)
    for _ in range(20):
        got, targets = mixed(segments, lengths, labels, 2, 1.0)
        assert torch.equal(got[[2, 4, 5]], segments[[2, 4, 5]])
        assert targets[2].tolist() == [0, 0]
        assert targets[[4, 5]].tolist() == [[1, 0], [0, 1]]
