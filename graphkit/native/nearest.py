"""The native search for nearest points: exact, with or without Gumbel noise, without anything of size N x N."""

from __future__ import annotations

import ctypes
import struct
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.native import library

__all__ = ["BIN_SHIFT", "CostTables", "nearest", "nearest_why_not"]

# NearestArgs of src/nearest.cpp: 10 integers, the seed unsigned, 10 addresses, two scales.
_pack = struct.Struct("=10qQ10Q2d").pack

#: Bits of a squared distance as a float32 that are no part of the number of its bin.
BIN_SHIFT = 14


class CostTables(NamedTuple):
    """A cost in the place of the squared distance: a sum over parts of the coordinates.

    In each part the cost is a table by the bin of the squared distance q in the part, times the weights of both points:
    entry ``(bits of q's float32 >> BIN_SHIFT) - first``, clamped to those there are.

    Attributes:
        dims: int64 ``[parts]``, coordinates of each part, in the order of the columns.
        first: int64 ``[parts]``.
        costs: float32 ``[parts, bins]``, rows increasing.
        weight: ``[parts, N]`` of the points' dtype, or None for ones.
    """

    dims: Tensor
    first: Tensor
    costs: Tensor
    weight: Tensor | None = None


def nearest_why_not() -> str:
    """The reason why :func:`nearest` cannot run, or an empty string; a library from before it lacks this entry."""
    if not library.available():
        return library.why_not()
    if not hasattr(library.load(), "graphkit_nearest"):
        return "the loaded library was compiled before the search was written: reinstall graphkit to compile it again"
    return ""


def nearest(
    columns: Tensor,
    query: Tensor,
    begin: Tensor,
    end: Tensor,
    k: int,
    loop: bool,
    noise: tuple[int, float, float] | None = None,
    tables: CostTables | None = None,
) -> tuple[Tensor, Tensor]:
    """The k points of the smallest keys, of equal ones those of the smaller number.

    The key of the pair (i, j) is its squared distance, in float64; with ``noise = (seed, cost_scale, noise_scale)`` it
    is ``cost_scale * squared distance - noise_scale * g`` with ``g = gumbel_noise(seed, i, j)`` of
    :mod:`graphkit.ops.gumbel`.

    Args:
        columns: the points, contiguous ``[d, N]``, finite float32 or float64.
        query: int64 ``[Q]``, the points whose neighbours are wanted.
        begin, end: int64 ``[Q]``, the range of candidates of each.
        k: how many, at least 1.
        loop: whether a point is a candidate of its own.
        noise: seed and scales.
        tables: a cost in the place of the squared distance.

    Returns:
        int64 ``[Q, k]``, best first and -1 where there are fewer candidates, and the keys, float64 (infinite there).

    Raises:
        RuntimeError: there is no library with this entry.
    """
    reason = nearest_why_not()
    if reason:
        raise RuntimeError(f"graphkit's native search is not available: {reason}")
    seed, cost_scale, noise_scale = (0, 1.0, 0.0) if noise is None else noise
    index = torch.empty(query.shape[0], k, dtype=torch.int64)
    key = torch.empty(query.shape[0], k, dtype=torch.float64)
    parts = () if tables is None else tables
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in parts] or [0] * 4
    arguments = _pack(
        columns.dtype is torch.float64, torch.get_num_threads(), query.shape[0], columns.shape[0], columns.shape[1],
        k, loop, noise is not None, 0 if tables is None else tables.costs.shape[0],
        0 if tables is None else tables.costs.shape[1], seed, *addresses,
        columns.data_ptr(), query.data_ptr(), begin.data_ptr(), end.data_ptr(), index.data_ptr(), key.data_ptr(),
        cost_scale, noise_scale,
    )  # fmt: skip
    if library.load().graphkit_nearest(ctypes.c_char_p(arguments)):
        raise MemoryError("the native search could not allocate its heaps")
    return index, key
