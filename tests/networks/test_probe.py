"""A probe against what it says: stacked frames, one softmax a frame, the mean of a segment."""

import pytest
import torch
import torch.nn.functional as F

from phonaut.networks import Probe
from phonaut.networks.padding import surrounded


@pytest.mark.oracle
@pytest.mark.parametrize("hidden_size", [None, 7])
def test_with_context_it_is_a_layer_on_stacked_frames(hidden_size: int | None) -> None:
    torch.manual_seed(0)
    probe = Probe(n_features=4, n_classes=3, hidden_size=hidden_size, context=2).double()
    frames, lengths = torch.randn(2, 9, 4, dtype=torch.float64), torch.tensor([9, 6])
    expected = []
    for i, n in enumerate(lengths.tolist()):
        weight = probe.first.weight.flatten(1)
        rows = probe.rest(F.linear(surrounded(frames[i : i + 1, :n], 2)[0], weight, probe.first.bias))
        expected.append(rows.log_softmax(dim=1).mean(dim=0))
    torch.testing.assert_close(probe(frames, lengths), torch.stack(expected))


@pytest.mark.oracle
def test_frames_are_scored_as_in_their_segment() -> None:
    torch.manual_seed(0)
    probe = Probe(n_features=4, n_classes=3, hidden_size=5)
    frames, lengths = torch.randn(3, 6, 4), torch.tensor([6, 1, 4])
    scores, segment = probe.frame_logits(frames, lengths)
    assert segment.tolist() == [0] * 6 + [1] + [2] * 4
    for i in range(3):
        torch.testing.assert_close(probe(frames, lengths)[i], scores[segment == i].log_softmax(dim=1).mean(dim=0))


@pytest.mark.oracle
@pytest.mark.parametrize("hidden_size", [None, 7])
def test_over_segments_the_mean_of_the_frames_is_classified(hidden_size: int | None) -> None:
    torch.manual_seed(0)
    probe = Probe(n_features=4, n_classes=3, hidden_size=hidden_size, scope="segment")
    frames = torch.randn(2, 5, 4)
    frames[1, 3:] = float("nan")
    means = torch.stack([frames[0].mean(dim=0), frames[1, :3].mean(dim=0)])
    torch.testing.assert_close(probe(frames, torch.tensor([5, 3])), probe.rest(probe.first(means)))


@pytest.mark.parametrize("wrong", [{"scope": "word"}, {"hidden_size": 0}, {"context": -1}, {"n_classes": 0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Probe(**{"n_features": 4, "n_classes": 3} | wrong)  # type: ignore[arg-type]
