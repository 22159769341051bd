"""Batch normalisation of two processes is that of one that has all the frames, padding apart."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.processes import CONTEXT, meeting_place
from phonaut.features.batch_norm import share_statistics
from phonaut.features.functional import batch_normalized, length_mask
from phonaut.networks.padding import MaskedBatchNorm

LENGTHS = torch.tensor([4, 9, 7, 9, 2])


def normalized(rows: list[int], folder: Path | None = None, masked: bool = True) -> dict[str, list[float]]:
    """Output, gradients and statistics of a layer and of a normaliser for some recordings of a batch."""
    generator = torch.Generator().manual_seed(0)
    x = 30 + 3 * torch.randn(5, 6, 2, 9, dtype=torch.float64, generator=generator)
    weights = torch.randn(5, 6, 2, 9, dtype=torch.float64, generator=generator)
    layer, normalizer = MaskedBatchNorm(6).double(), torch.nn.BatchNorm1d(6, affine=False).double()
    torch.nn.init.normal_(layer.weight, generator=generator)
    share_statistics(torch.nn.ModuleList([layer, normalizer]), folder is not None)
    part, lengths = x[rows].requires_grad_(), LENGTHS[rows]
    mask = length_mask(lengths, 9) if masked else None
    inside: Tensor | float = 1.0 if mask is None else mask[:, None, None].double()
    y = layer(part, mask) * inside
    z = batch_normalized(normalizer, part.mean(dim=2).transpose(1, 2), lengths)
    ((y.sin() * weights[rows]).sum() + (z.cos() * weights[rows, :, 0].transpose(1, 2)).sum()).backward()
    assert part.grad is not None
    assert layer.weight.grad is not None
    of_all = {"weight": layer.weight.grad} | {
        f"{name} {key}": value
        for name, one in (("layer", layer), ("normalizer", normalizer))
        for key, value in one.named_buffers()
    }
    by_row = {"y": y, "z": z, "x": part.grad}
    return {key: value.double().flatten().tolist() for key, value in {**of_all, **by_row}.items()}


def be_one_of_two(rank: int, folder: Path, place: dict[str, str]) -> None:
    os.environ.update(place)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    for masked in (True, False):
        found = normalized([0, 1] if rank == 0 else [2, 3, 4], folder, masked)
        (folder / f"{rank}-{masked}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_normalise_as_one(tmp_path: Path) -> None:
    place = meeting_place()
    ranks = [CONTEXT.Process(target=be_one_of_two, args=(rank, tmp_path, place)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    for masked in (True, False):
        one = normalized([0, 1, 2, 3, 4], masked=masked)
        first, second = (json.loads((tmp_path / f"{rank}-{masked}.json").read_text()) for rank in (0, 1))
        for key in ("y", "z", "x"):
            assert [*first[key], *second[key]] == pytest.approx(one[key], abs=1e-10), key
        for key in one.keys() - {"y", "z", "x", "weight"}:
            assert first[key] == second[key] == pytest.approx(one[key], abs=1e-10), key
        both = [a + b for a, b in zip(first["weight"], second["weight"], strict=True)]
        assert both == pytest.approx(one["weight"], abs=1e-10)
