"""Blocks of edges and sparse products: what the kernels of backend ``torch`` are made of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from graphkit.ops.check import accumulator

OptTensor = Tensor | None
SPARSE = (torch.float32, torch.float64)  # what torch's CSR product supports
_BLOCK = 4096  # edges per block: 4096 x 64 float32 is 1 MB, the size of an L2 cache


def blocks(ptr: Tensor, index: Tensor, perm: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of slots as ``(row, other, edge)`` int64 index vectors; a block may start or end inside a row."""
    for start in range(0, index.numel(), _BLOCK):
        stop = min(start + _BLOCK, index.numel())
        slot = torch.arange(start, stop, device=ptr.device, dtype=ptr.dtype)
        yield torch.searchsorted(ptr, slot, right=True) - 1, index[start:stop].long(), perm[start:stop].long()


def linear_message(x: Tensor, source: Tensor, edge_id: Tensor, edge: OptTensor, message: str) -> Tensor:
    """The message before relu and eps, in the accumulation dtype."""
    m = x.index_select(0, source).to(accumulator(x.dtype))
    if edge is None:
        return m
    e = edge.index_select(0, edge_id).to(m.dtype)
    e = e[:, None] if e.dim() == 1 else e
    return m * e if message == "mul" else m + e


def finish(m: Tensor, message: str, eps: float) -> Tensor:
    """relu and eps of an ``add_relu`` message."""
    return torch.relu(m) + eps if message == "add_relu" else m


def add_(out: Tensor, row: Tensor, value: Tensor) -> None:
    """``out[row] += value`` in place, for rows in ascending order."""
    part, row = _part(out, row)
    part.index_add_(0, row, value)


def amax_(out: Tensor, row: Tensor, value: Tensor, reduce: str = "max") -> None:
    """``out[row] = max(out[row], value)`` in place, for rows in ascending order."""
    part, row = _part(out, row)
    part.scatter_reduce_(0, row[:, None].expand_as(value), value, f"a{reduce}", include_self=True)


def _part(out: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of ``out`` that a block touches: torch's scatter takes time for every row it is given."""
    first = int(row[0])
    return out[first : int(row[-1]) + 1], row - first


@lru_cache(maxsize=1)
def _silence_beta_warning() -> None:
    with warnings.catch_warnings():  # torch warns once per process that CSR is in beta
        warnings.simplefilter("ignore")
        zero = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(zero, zero[:0], torch.zeros(0), size=(0, 1), check_invariants=False)


def product(ptr: Tensor, index: Tensor, value: OptTensor, x: Tensor) -> Tensor:
    """``out_i = sum over the slots k of row i of value_k x[index_k]`` by torch's CSR product."""
    _silence_beta_warning()
    value = x.new_ones(index.numel()) if value is None else value
    size = (ptr.numel() - 1, x.size(0))
    with torch.autocast(x.device.type, enabled=False):  # it would cast to bfloat16, which CSR does not support
        return torch.sparse_csr_tensor(ptr, index, value, size=size, check_invariants=False) @ x


def underflows(total: Tensor) -> Tensor:
    """Whether a row lies so far below the shift that its terms lost digits (also true for NaN)."""
    return ~(total >= (1e-20 if total.dtype == torch.float32 else 1e-280))
