"""How long a trained model takes."""

from __future__ import annotations

import time

import numpy as np
import torch

from phonaut.runs.load import LoadedRun
from phonaut.runs.run import Run

N_TIMED = 50
WINDOW_S = 1.0  # where the clips of a corpus have lengths of their own


def latency_ms(run: Run) -> float:
    """Median milliseconds of one recording, audio to scores, by PyTorch on one thread.

    Args:
        run: finished, of classification.
    """
    model = LoadedRun(run).model
    clip_s = (run.corpus.get("summary") or {}).get("clip_s") or WINDOW_S
    lengths = torch.tensor([round(clip_s * model.front_end.sample_rate)])
    audio = 0.1 * torch.randn(1, int(lengths), generator=torch.Generator().manual_seed(0))
    n_threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(N_TIMED):
                begun = time.perf_counter()
                model(audio, lengths)
                times.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(n_threads)
    return 1000 * float(np.median(times))
