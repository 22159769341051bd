"""Networks: `forward(frames (B, T, D), lengths (B,)) -> scores (B, C)`, one a file, and what they cost."""

from phonaut.networks.counting import LayerSize, ModelSize, count
from phonaut.networks.recurrent import GRU, LSTM, RNN
from phonaut.networks.tc_resnet import TCResNet8

__all__ = ["GRU", "LSTM", "RNN", "LayerSize", "ModelSize", "TCResNet8", "count"]
