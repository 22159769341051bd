"""Hop by hop, a causal model gives what it gives over the whole recording; its state is all that it remembers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phonaut.deploy import StreamingModel, StreamState
from phonaut.features import CMVN, MFCC, FixedPoint, FrontEnd, MelSpectrogram, Raw
from phonaut.models import SpeechModel
from phonaut.networks import (
    DSTCN,
    GDS,
    GRU,
    LSTM,
    MDTC,
    RNN,
    BCResNet,
    BranchyTCResNet8,
    ConvolutionalNetwork,
    Ecapa,
    Probe,
    TCResNet8,
    TCResNet14,
)

CAUSAL: dict[str, Any] = {"framing": "causal", "top_db": None, "n_mels": 10}
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8": lambda **more: TCResNet8(**more, causal=True),
    "tc-res8 dilated, even": lambda **more: TCResNet8(**more, causal=True, dilation=2, kernel_size=4),
    "tc-res14": lambda **more: TCResNet14(**more, causal=True, width=0.5),
    "branchy-tc-res8": lambda **more: BranchyTCResNet8(**more, causal=True, confidence=1.0),
    "gds": lambda **more: GDS(**more, causal=True, channels=[12] * 5),
    "gds of threes": lambda **more: GDS(**more, causal=True, channels=[6] * 2, kernel_sizes=[5] * 2, strides=[1, 3],
                                        groups=[1] * 2, pool=3),
    "bc-res1": lambda **more: BCResNet(**more, causal=True),
    "mdtc": lambda **more: MDTC(**more, causal=True, channels=8, n_stacks=2),
    "ds-tcn": lambda **more: DSTCN(**more, causal=True, channels=8),
    "gru": GRU,
    "lstm deep": lambda **more: LSTM(**more, n_layers=2),
    "rnn": RNN,
}  # fmt: skip
FRONT_ENDS: dict[str, Callable[[], FrontEnd]] = {
    "mfcc": lambda: MFCC(**CAUSAL, n_mfcc=10),
    "mfcc with slopes of slopes": lambda: MFCC(**CAUSAL, n_mfcc=5, deltas=2, n_fft=1024, preemphasis=0.9),
    "melspec with fits": lambda: MelSpectrogram(**CAUSAL, deltas=2, delta_kind="librosa", remove_dc_offset=True),
    "raw": lambda: Raw(framing="causal", win_length=64, hop_length=64),
}


def model_of(network: str, front_end: str = "mfcc", normalizer: nn.Module | None = None) -> SpeechModel:
    torch.manual_seed(0)
    made = FRONT_ENDS[front_end]()
    model = SpeechModel(made, NETWORKS[network](n_features=made.n_features, n_classes=4), normalizer)
    for module in model.modules():  # statistics as after some training
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -2, 2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.double().eval()


def sound(seconds: float, n: int = 1) -> Tensor:
    noise = torch.randn(n, round(16000 * seconds), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return 0.1 * noise * torch.linspace(0.1, 1, noise.shape[1], dtype=torch.float64)


def chunks(stream: StreamingModel, audio: Tensor, sizes: list[int]) -> Tensor:
    """All scores of a recording that comes in chunks of `sizes`, again and again."""
    state, scores, at, i = stream.initial_state(len(audio)), [], 0, 0
    while at < audio.shape[1]:
        part = audio[:, at : at + sizes[i % len(sizes)]]
        found, state = stream.step(part, state)
        scores.append(found)
        at, i = at + sizes[i % len(sizes)], i + 1
    return torch.cat(scores, dim=1)


def reference(model: SpeechModel, audio: Tensor, window_ms: float) -> Tensor:
    """The offline network over the whole recording, the mean over the last `window_ms` at each hidden frame."""
    network: Any = model.network
    with torch.no_grad():
        frames, lengths = model.frames(audio, torch.tensor([audio.shape[1]]))
        hidden = network.hidden(frames, lengths)[0] if isinstance(network, ConvolutionalNetwork) else network.encode(
            frames, lengths)  # fmt: skip
        n = round(window_ms / 1000 / (model.front_end.frame_shift_s * network.time_stride))
        means = [hidden[:, max(0, m - n + 1) : m + 1].mean(dim=1) for m in range(hidden.shape[1])]
        return torch.stack([network.classifier(mean) for mean in means], dim=1)


@pytest.mark.oracle
@pytest.mark.parametrize("network", NETWORKS)
def test_every_division_into_chunks_gives_the_offline_scores_of_the_whole_recording(network: str) -> None:
    model, audio = model_of(network), sound(1.3)
    stream, expected = StreamingModel(model, window_ms=640), reference(model, audio, 640)
    for sizes in ([160], [audio.shape[1]], [1, 700, 0, 33, 2000]):
        torch.testing.assert_close(chunks(stream, audio, sizes), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(stream.offline(audio), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_every_front_end_goes_on(front_end: str) -> None:
    model, audio = model_of("tc-res8", front_end, FixedPoint()), sound(0.6)
    expected = reference(model, audio, 320)
    stream = StreamingModel(model, window_ms=320)
    for sizes in ([160], [audio.shape[1]], [1, 700, 0, 33]):
        torch.testing.assert_close(chunks(stream, audio, sizes), expected, rtol=0, atol=1e-9)


def test_in_single_precision_the_difference_is_rounding() -> None:
    model, audio = model_of("tc-res8").float(), sound(2.0).float()
    stream = StreamingModel(model)
    torch.testing.assert_close(chunks(stream, audio, [160]), stream.offline(audio), rtol=1e-4, atol=1e-4)


def test_scores_come_when_they_are_due_and_streams_run_side_by_side() -> None:
    model, audio = model_of("tc-res8"), sound(0.5, n=3)
    stream = StreamingModel(model)
    state, due = stream.initial_state(3), []
    for at in range(0, audio.shape[1], 160):
        scores, state = stream.step(audio[:, at : at + 160], state)
        due += [(at + 160) / 16000] * scores.shape[1]
    assert due == pytest.approx([stream.first_score_s + m * stream.score_shift_s for m in range(7)])
    for i in range(3):
        alone = chunks(stream, audio[i : i + 1], [160])
        torch.testing.assert_close(stream.offline(audio)[i : i + 1], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_state_has_the_same_bytes_always_and_goes_through_a_file_unchanged(network: str) -> None:
    stream, audio = StreamingModel(model_of(network, "mfcc with slopes of slopes")), sound(0.4)
    first, other = stream.initial_state(), stream.initial_state()
    before = {name: value.clone() for name, value in first.tensors.items()}
    _, state = stream.step(audio, first)
    assert all(torch.equal(value, before[name]) for name, value in first.tensors.items()), "a state is never changed"
    assert state.n_bytes == other.n_bytes
    assert state.tensors.keys() == other.tensors.keys()
    again = StreamState.from_bytes(state.to_bytes())
    assert again.n_bytes == state.n_bytes
    assert torch.equal(stream.step(audio, again)[0], stream.step(audio, state)[0])


def test_bytes_that_are_no_state_are_refused() -> None:
    with pytest.raises(ValueError, match="no state of a stream"):
        StreamState.from_bytes(b"RIFF....")


CAUSAL_MFCC = MFCC(**CAUSAL, n_mfcc=10)
SIZES = {"n_features": 10, "n_classes": 4}


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (SpeechModel(MFCC(), TCResNet8(n_features=40, n_classes=4, causal=True)), "framing=center looks at later"),
        (SpeechModel(CAUSAL_MFCC, TCResNet8(**SIZES)), "TCResNet8 looks at later frames"),
        (SpeechModel(CAUSAL_MFCC, GRU(**SIZES, bidirectional=True)), "GRU looks at later frames"),
        (SpeechModel(CAUSAL_MFCC, Probe(**SIZES)), "Probe scores a segment as a whole"),
        (SpeechModel(CAUSAL_MFCC, Ecapa(**SIZES)), "Ecapa scores a segment as a whole"),
        (SpeechModel(CAUSAL_MFCC, GRU(**SIZES), CMVN()), "CMVN needs the whole recording"),
    ],
)
def test_what_cannot_stream_says_why(model: SpeechModel, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        StreamingModel(model)
