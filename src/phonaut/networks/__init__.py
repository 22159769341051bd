"""Networks: `forward(frames (B, T, D), lengths (B,)) -> scores (B, C)`, one a file, and what they cost."""

from phonaut.networks.counting import LayerSize, ModelSize, count
from phonaut.networks.lstm import LSTM
from phonaut.networks.tc_resnet import TCResNet8

__all__ = ["LSTM", "LayerSize", "ModelSize", "TCResNet8", "count"]
