"""TC-ResNet14: TC-ResNet8 with two blocks a stage (Choi et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from phonaut.networks.tc_resnet import TCResNet8


class TCResNet14(TCResNet8):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`, as TCResNet8, with two blocks a stage.

    The second block of a stage has no stride, and its input is its shortcut. With 1.5 times the width, 40 features and
    12 classes: 303,012 parameters (305 k published).

    The arguments are those of `TCResNet8`.
    """

    blocks_per_stage: ClassVar[int] = 2

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: Sequence[int] = (16, 24, 32, 48),
        kernel_size: int = 9,
        first_kernel_size: int = 3,
        width: float = 1.5,
        dropout: float = 0.5,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__(
            n_features=n_features, n_classes=n_classes, channels=channels, kernel_size=kernel_size,
            first_kernel_size=first_kernel_size, width=width, dropout=dropout, dilation=dilation, causal=causal,
        )  # fmt: skip
