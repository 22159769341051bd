"""Pictures of training: recordings of a few samples, which are fewer than a frame, have them too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from phonaut.data.batches import Batch
from phonaut.features import KALDI, MFCC, FrontEnd, MelSpectrogram, Raw, Spectrogram
from phonaut.training.callbacks.monitoring import TensorBoardPictures

FRONT_ENDS: dict[str, Any] = {
    "mfcc": lambda: MFCC(),
    "mfcc of snipped edges": lambda: MFCC(framing="snip_edges", deltas=2),
    "kaldi": lambda: MelSpectrogram(**KALDI),
    "spectrogram": lambda: Spectrogram(),
    "raw": lambda: Raw(),
}


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_recordings_of_a_few_samples_have_pictures_and_sounds(front_end: str, tmp_path: Path) -> None:
    lengths = torch.tensor([1, 2, 10, 159])
    made: FrontEnd = FRONT_ENDS[front_end]()
    audio = 0.1 * torch.randn(4, 159) * (torch.arange(159) < lengths[:, None])
    batch = Batch(
        audio, lengths, *(torch.zeros(4, dtype=torch.int64),) * 2, torch.zeros(4), torch.arange(4), torch.zeros(4),
        lengths / 16000, torch.tensor([0, 1, 0, -1]),
    )  # fmt: skip
    shown: list[str] = []
    with SummaryWriter(tmp_path) as writer:
        for kind in ("audio", "figure"):
            add = getattr(writer, f"add_{kind}")
            setattr(writer, f"add_{kind}", lambda *a, add=add, **b: (shown.append(a[0]), add(*a, **b)))
        for alone in (False, True):
            chosen = batch if not alone else Batch(audio[:1, :1], lengths[:1], *(x[:1] for x in parts_of(batch)))
            module: Any = SimpleNamespace(
                augmented=lambda batch: batch,
                classes=["yes", "no"],
                model=SimpleNamespace(
                    front_end=made, frames_of=lambda batch: made(batch.audio, batch.audio_lengths)[:2]
                ),
            )
            TensorBoardPictures().show_examples(writer, module, chosen)
    assert (
        shown
        == ["train/0_yes"] * 2
        + ["train/1_no"] * 2
        + ["train/2_yes"] * 2
        + ["train/3_no_label"] * 2
        + ["train/0_yes"] * 2
    )


def parts_of(batch: Batch) -> tuple[torch.Tensor, ...]:
    return (
        batch.keys, batch.rows, batch.audio_start_s, batch.span_recording, batch.span_start_s, batch.span_end_s,
        batch.labels,
    )  # fmt: skip
