"""The chain from waveform to scores: what a network that runs over recordings is told, and what it is judged by."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phonaut.data.batches import Batch
from phonaut.features import MFCC
from phonaut.models import DNNHMM, SpeechModel
from phonaut.networks import GRU, LSTM

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "lstm": LSTM,
    "gru both ways": lambda **more: GRU(**more, bidirectional=True),
    "dnnhmm": DNNHMM,
}
every = pytest.mark.parametrize("name", NETWORKS)
RATE = 16_000


def model(name: str, scope: str) -> SpeechModel:
    torch.manual_seed(0)
    front_end = MFCC(n_mfcc=5)
    return SpeechModel(front_end, NETWORKS[name](n_features=5, n_classes=3, scope=scope)).eval()


def batch(lengths: list[int], spans: list[tuple[int, float, float]]) -> Batch:
    """Recordings of noise, and spans `(recording, start_s, end_s)`."""
    audio = torch.zeros(len(lengths), max(lengths))
    for i, n in enumerate(lengths):
        audio[i, :n] = torch.randn(n, generator=torch.Generator().manual_seed(n))
    where, start_s, end_s = (list(column) for column in zip(*spans, strict=True))
    rows = torch.arange(len(lengths))
    times: Any = {"span_start_s": start_s, "span_end_s": end_s}
    return Batch(
        audio=audio, audio_lengths=torch.tensor(lengths), keys=rows, rows=rows,
        audio_start_s=torch.zeros(len(lengths), dtype=torch.float64), span_recording=torch.tensor(where),
        labels=torch.zeros(len(spans), dtype=torch.int64),
        **{key: torch.tensor(value, dtype=torch.float64) for key, value in times.items()},
    )  # fmt: skip


SPANS = [(0, 0.1, 0.2), (0, 0.2, 0.45), (1, 0.0, 0.3), (1, 0.3, 0.31)]


@torch.no_grad()
def scores(made: SpeechModel, of: Batch) -> Tensor:
    return made.classify(*made.segments(of))


@every
@pytest.mark.oracle
def test_over_a_recording_a_segment_is_judged_by_its_own_states(name: str) -> None:
    made, of = model(name, "recording"), batch([8000, 6000], SPANS)
    found, network = scores(made, of), made.network
    for n, (recording, start_s, end_s) in enumerate(SPANS):
        audio = of.audio[recording : recording + 1, : int(of.audio_lengths[recording])]
        with torch.no_grad():
            frames, lengths = made.frames(audio, torch.tensor([audio.shape[1]]))
            states = network.encode(frames, lengths)
            centres = torch.arange(frames.shape[1], dtype=torch.float64) * 0.01
            own = states[:, (centres >= start_s - 1e-9) & (centres < end_s - 1e-9)]
            expected = network.classify(own, torch.tensor([own.shape[1]]))
        torch.testing.assert_close(found[n : n + 1], expected, rtol=1e-4, atol=1e-4)


@every
def test_over_a_recording_what_is_around_a_segment_is_heard_and_over_a_segment_not(name: str) -> None:
    of, other = (batch([8000], [(0, 0.2, 0.3)]) for _ in range(2))
    other.audio[0, :1600] = 0.0  # more than a window before the segment
    for scope, same in (("segment", True), ("recording", False)):
        made = model(name, scope)
        if name == "dnnhmm" and scope == "recording":
            other.audio[0, :2880] = 0.0  # its context is four frames
            same = False
        assert torch.allclose(scores(made, of), scores(made, other), atol=1e-6) == same


@every
def test_a_span_of_a_whole_recording_gets_what_is_exported(name: str) -> None:
    made, of = model(name, "recording"), batch([8000], [(0, 0.0, 0.5)])
    with torch.no_grad():
        exported = made(of.audio, of.audio_lengths)
    torch.testing.assert_close(scores(made, of), exported)


@every
def test_recordings_in_a_batch_do_not_hear_one_another(name: str) -> None:
    made = model(name, "recording")
    both = scores(made, batch([8000, 6000], SPANS))
    parts = [[(0, *span[1:]) for span in SPANS if span[0] == recording] for recording in (0, 1)]
    alone = torch.cat([scores(made, batch([n], part)) for n, part in zip((8000, 6000), parts, strict=True)])
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-4)


def test_another_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="scope=cut is none of segment, recording"):
        model("lstm", "cut")
