"""A classifier in place of a front end: its hidden frames, which its own last layer turns into its own scores."""

import pytest
import torch

from phonaut.features import MFCC
from phonaut.models.encoded_words import EncodedWords
from phonaut.models.speech_model import SpeechModel
from phonaut.networks import LSTM, TCResNet8


def test_the_mean_of_the_frames_is_what_the_classifier_decides_by() -> None:
    torch.manual_seed(0)
    front_end = MFCC(n_mels=20, n_mfcc=10)
    network = TCResNet8(n_features=10, n_classes=4, channels=[4, 6, 8]).eval()
    encoder = EncodedWords(front_end, network).eval()
    audio, lengths = 0.1 * torch.randn(3, 16000), torch.tensor([16000, 9000, 4321])
    frames, n = encoder(audio, lengths)
    assert n.tolist() == encoder.n_frames(lengths).tolist()
    assert frames.shape == (3, int(n.max()), encoder.n_features)
    assert encoder.frame_shift_s == pytest.approx(4 * front_end.frame_shift_s)
    assert all(not row[k:].any() for row, k in zip(frames, n, strict=True)), "zero past the end"
    mean = frames.sum(dim=1) / n[:, None]
    torch.testing.assert_close(network.classifier(mean), SpeechModel(front_end, network)(audio, lengths))
    assert not any(p.requires_grad for p in encoder.parameters())


def test_what_a_classifier_has_not_is_refused() -> None:
    front_end = MFCC(n_mels=20, n_mfcc=10)
    network = TCResNet8(n_features=10, n_classes=4)
    with pytest.raises(ValueError, match=r"encoder\.layer=1"):
        EncodedWords(front_end, network, layer=1)
    with pytest.raises(ValueError, match=r"encoder\.mode=finetune"):
        EncodedWords(front_end, network, mode="finetune")
    with pytest.raises(ValueError, match="LSTM has no hidden frames"):
        EncodedWords(front_end, LSTM(n_features=10, n_classes=4))
