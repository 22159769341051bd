"""Networks: `forward(frames (B, T, D), lengths (B,)) -> scores (B, C)`, one a file, and what they cost.

Encoders give representations in place of scores: `-> (frames (B, T', H), lengths (B,))`.
"""

from phonaut.networks.counting import LayerSize, ModelSize, count
from phonaut.networks.ecapa import Ecapa
from phonaut.networks.embedding import EmbeddingNetwork
from phonaut.networks.mockingjay import Mockingjay, PredictionHead
from phonaut.networks.probe import Probe
from phonaut.networks.recurrent import GRU, LSTM, RNN
from phonaut.networks.redimnet import ReDimNet
from phonaut.networks.tc_resnet import TCResNet8

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Ecapa",
    "EmbeddingNetwork",
    "LayerSize",
    "Mockingjay",
    "ModelSize",
    "PredictionHead",
    "Probe",
    "ReDimNet",
    "TCResNet8",
    "count",
]
