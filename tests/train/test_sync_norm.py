"""Batch norm over processes; what two of them compute is in test_distributed.py (mode graph-norm)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from graphkit.train.sync_norm import SyncBatchNorm1d, synchronize_batch_norm


def rows() -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 2


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=3)
    norm = SyncBatchNorm1d(4).double()
    # 6, 3 and 0 rows
    x = rows()[[slice(0, 6), slice(6, 9), slice(9, 9)][rank]].requires_grad_()
    out = norm(x)
    (out.square() * torch.arange(1.0, 5.0)).sum().backward()
    torch.save([out.detach(), x.grad, norm.state_dict(), norm.weight.grad], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_three_processes_are_one() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(work, (folder,), nprocs=3, start_method="spawn")
        parts = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(3)]
    norm = nn.BatchNorm1d(4).double()
    x = rows().requires_grad_()
    out = norm(x)
    (out.square() * torch.arange(1.0, 5.0)).sum().backward()
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), out.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), x.grad, rtol=1e-10, atol=1e-12)
    for part in parts:
        for key, value in norm.state_dict().items():
            torch.testing.assert_close(part[2][key], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sum(part[3] for part in parts), norm.weight.grad, rtol=1e-10, atol=1e-12)


def test_alone_it_is_batch_norm() -> None:
    norm, synced = nn.BatchNorm1d(4).double(), SyncBatchNorm1d(4).double()
    assert synced(rows()).equal(norm(rows()))
    assert synced.eval()(rows()).equal(norm.eval()(rows()))


def test_replaces_every_batch_norm_and_keeps_the_parameters() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()), nn.LayerNorm(4))
    weight, keys = model[1][0].weight, list(model.state_dict())
    model[1][0].eval()
    synchronize_batch_norm(model)
    assert isinstance(model[1][0], SyncBatchNorm1d)
    assert model[1][0].weight is weight
    assert not model[1][0].training
    assert list(model.state_dict()) == keys
    assert isinstance(model[2], nn.LayerNorm)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU"))])  # fmt: skip
def test_on_a_gpu(device: str) -> None:
    x = rows().to(device)
    torch.testing.assert_close(SyncBatchNorm1d(4).double().to(device)(x), nn.BatchNorm1d(4).double().to(device)(x))
