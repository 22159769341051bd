"""The chain of pre-training: what counts is what the objective says, batches change nothing, the truth is the truth."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonaut.data.batches import Batch
from phonaut.features import CMVN, MelSpectrogram, Spectrogram
from phonaut.models import RepresentationModel
from phonaut.models.objectives import APC, DrawKey, Mockingjay, Objective, Tera
from phonaut.networks import Mockingjay as Network

MakeBatch = Callable[..., Batch]
OBJECTIVES = {
    "mockingjay": Mockingjay(mask_prob=0.4, mask_length=2),
    "tera": Tera(noise_prob=0.5),
    "apc": APC(n_future=2),
}


@pytest.fixture
def make_batch() -> MakeBatch:
    def make(lengths: list[int], first: int = 0) -> Batch:
        audio = torch.zeros(len(lengths), max(lengths))
        for i, n in enumerate(lengths):
            audio[i, :n] = torch.randn(n, generator=torch.Generator().manual_seed(first + i)) * 0.1
        empty = torch.zeros(0, dtype=torch.int64)
        return Batch(
            audio=audio,
            audio_lengths=torch.tensor(lengths),
            keys=(torch.arange(len(lengths)) + first + 1) * 0x1234567890ABCDE,
            rows=torch.arange(len(lengths)) + first,
            audio_start_s=torch.zeros(len(lengths), dtype=torch.float64),
            span_recording=empty,
            span_start_s=empty.double(),
            span_end_s=empty.double(),
            labels=empty,
        )

    return make


def model(objective: Objective, *, stack_size: int = 2, other_target: bool = False) -> RepresentationModel:
    torch.manual_seed(0)
    size = {"n_fft": 256, "win_length": 200, "hop_length": 100}
    front_end = MelSpectrogram(n_mels=8, deltas=1, **size)
    sizes = {"hidden_size": 12, "n_layers": 1, "n_heads": 2, "intermediate_size": 16}
    network = Network(n_features=16, stack_size=stack_size, causal=objective.causal, **sizes)
    return (
        RepresentationModel(front_end, network, CMVN(), Spectrogram(**size) if other_target else None).double().eval()
    )


def place(batch: Batch) -> DrawKey:
    return DrawKey(batch.draw_keys, 0, 0, "train")


def distances(made: RepresentationModel, batch: Batch, objective: Objective) -> torch.Tensor:
    frames, targets, lengths = made.inputs_and_targets(batch)
    return made.recording_losses(frames, targets, lengths, made.task(frames, lengths, objective, place(batch)))


@pytest.mark.oracle
@pytest.mark.parametrize("other_target", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_error_is_that_of_the_whole_reconstruction_where_it_counts(
    name: str, other_target: bool, make_batch: MakeBatch
) -> None:
    objective = OBJECTIVES[name]
    made, batch = model(objective, other_target=other_target), make_batch([4000, 3300, 900])
    batch.audio = batch.audio.double()
    frames, targets, lengths = made.inputs_and_targets(batch)
    task = made.task(frames, lengths, objective, place(batch))
    hidden, _ = made.network.hidden_states(task.frames.view(3, -1, 16), lengths * 2)
    predicted = made.head(hidden[-1]).detach()
    found = distances(made, batch, objective)
    for i, n in enumerate(lengths.tolist()):
        total, number = 0.0, 0
        for t in range(n):
            for d in range(targets.shape[2]):
                hidden_feature = task.bins is not None and bool(task.bins[i].any() if other_target else task.bins[i, d])
                if t + task.n_future < n and (bool(task.target_mask[i, t]) or hidden_feature):
                    total += abs(float(predicted[i, t, d]) - float(targets[i, t + task.n_future, d]))
                    number += 1
        assert found[i].tolist() == pytest.approx([total, number], rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_neighbours_in_the_batch_change_no_error(name: str, make_batch: MakeBatch) -> None:
    objective = OBJECTIVES[name]
    made, lengths = model(objective), [4000, 3300, 900, 120]
    together = make_batch(lengths)
    together.audio = together.audio.double()
    found = distances(made, together, objective)
    for i, n in enumerate(lengths):
        alone = make_batch([n], first=i)
        alone.audio = alone.audio.double()
        torch.testing.assert_close(distances(made, alone, objective)[0], found[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("other_target", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_truth_is_the_truth_and_the_input_is_what_was_seen(
    name: str, other_target: bool, make_batch: MakeBatch
) -> None:
    objective = OBJECTIVES[name]
    made, batch = model(objective, other_target=other_target).float(), make_batch([4000, 3300])
    found = made.reconstruction(batch, objective, place(batch))
    front_end = made.target_front_end or made.front_end
    truth, lengths = front_end(batch.audio, batch.audio_lengths)
    truth = CMVN()(truth, lengths)
    for i in range(2):
        n = int(found.lengths[i])
        assert n == int(lengths[i]) // 2 * 2
        torch.testing.assert_close(found.truth[i, :n], truth[i, :n], rtol=0, atol=1e-6)
        clean = made.frames(batch.audio, batch.audio_lengths)[0][i, :n]
        differs = (found.seen[i, :n] != clean).any(dim=1)
        if name == "mockingjay":
            assert differs.any()
            assert not (differs & ~found.chosen[i, :n]).any()
        if name == "apc":
            assert not differs.any()
    assert found.predicted.shape == found.truth.shape


def test_a_prediction_of_what_comes_is_shown_where_it_comes(make_batch: MakeBatch) -> None:
    objective = APC(n_future=2)
    made, batch = model(objective, stack_size=1).float(), make_batch([3000])
    found = made.reconstruction(batch, objective, place(batch))
    frames, _, lengths = made.inputs_and_targets(batch)
    predicted = made.head(made.network(frames, lengths)[0])
    torch.testing.assert_close(found.predicted[0, 2:], predicted[0, :-2], rtol=0, atol=1e-6)
    assert not found.chosen[0, :2].any()
    assert found.chosen[0, 2:].all()


def test_representations_come_without_head_and_objective(make_batch: MakeBatch) -> None:
    made, batch = model(Mockingjay()).float(), make_batch([4000, 900])
    hidden, lengths = made(batch.audio, batch.audio_lengths)
    n_frames = made.front_end.n_frames(batch.audio_lengths) // 2
    assert hidden.shape == (2, int(n_frames.max()), 12)
    np.testing.assert_array_equal(lengths.numpy(), n_frames.numpy())
