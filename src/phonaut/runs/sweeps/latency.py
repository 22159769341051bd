"""How long a trained model takes."""

from __future__ import annotations

import torch

from phonaut.runs.export import WINDOW_S
from phonaut.runs.export import latency_ms as median_ms
from phonaut.runs.load import LoadedRun
from phonaut.runs.run import Run


def latency_ms(run: Run) -> float:
    """Median milliseconds of one recording, audio to scores, by PyTorch on one thread.

    Args:
        run: finished, of classification.
    """
    loaded = LoadedRun(run)
    lengths = torch.tensor([round((loaded.clip_s or WINDOW_S) * loaded.model.front_end.sample_rate)])
    audio = 0.1 * torch.randn(1, int(lengths), generator=torch.Generator().manual_seed(0))
    return median_ms({"pytorch": lambda: loaded.model(audio, lengths)})["pytorch"]
