"""Networks: `forward(frames (B, T, D), lengths (B,)) -> scores (B, C)`, one a file, and what they cost.

Encoders give representations in place of scores: `-> (frames (B, T', H), lengths (B,))`.
"""

from phonaut.networks.bc_resnet import BCResNet
from phonaut.networks.branchy_tc_resnet import BranchyTCResNet8
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.counting import LayerSize, ModelSize, count
from phonaut.networks.ds_tcn import DSTCN
from phonaut.networks.ecapa import Ecapa
from phonaut.networks.embedding import EmbeddingNetwork
from phonaut.networks.gds import GDS
from phonaut.networks.mdtc import MDTC
from phonaut.networks.mockingjay import Mockingjay, PredictionHead
from phonaut.networks.probe import Probe
from phonaut.networks.recurrent import GRU, LSTM, RNN
from phonaut.networks.redimnet import ReDimNet
from phonaut.networks.tc_resnet import TCResNet8
from phonaut.networks.tc_resnet14 import TCResNet14

__all__ = [
    "DSTCN",
    "GDS",
    "GRU",
    "LSTM",
    "MDTC",
    "RNN",
    "BCResNet",
    "BranchyTCResNet8",
    "ConvolutionalNetwork",
    "Ecapa",
    "EmbeddingNetwork",
    "LayerSize",
    "Mockingjay",
    "ModelSize",
    "PredictionHead",
    "Probe",
    "ReDimNet",
    "TCResNet8",
    "TCResNet14",
    "count",
]
