"""Stable counting sort of edges, with the check of both ends in the same pass."""

from __future__ import annotations

import ctypes
import struct

import torch
from torch import Tensor

from graphkit.native.library import load

__all__ = ["IndexOutOfRange", "sort_edges"]

# SortArgs of src/sort.cpp: sizes, addresses, wide, and three results.
_block = struct.Struct("=3q5Qq3q")


class IndexOutOfRange(ValueError):  # noqa: N818 (reads as what happened)
    """An end of an edge is not a node.

    Attributes:
        which: ``"key"`` or ``"other"``.
        position: Edge at which the first such value stands.
        value: The value.
        limit: Number of nodes on that side; values must lie in ``[0, limit)``.
    """

    def __init__(self, which: str, position: int, value: int, limit: int) -> None:
        super().__init__(f"{which}[{position}] is {value}, expected a value in [0, {limit})")
        self.which = which
        self.position = position
        self.value = value
        self.limit = limit


def sort_edges(
    key: Tensor, other: Tensor, num_keys: int, num_others: int, index_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Groups edges by ``key``, keeping their order within a group, in O(E + num_keys).

    Args:
        key: int64 [E] on the CPU, contiguous.
        other: int64 [E], likewise: the other end of each edge.
        num_keys: Keys lie in ``[0, num_keys)``.
        num_others: Other ends lie in ``[0, num_others)``.
        index_dtype: ``torch.int32`` (E and both counts must fit) or ``torch.int64``.

    Returns:
        ``ptr`` [num_keys + 1], ``other`` in the new order [E], ``perm`` [E] (the old position of each edge).

    Raises:
        IndexOutOfRange: An end lies outside its range; any int64 content is safe.
    """
    edges = key.shape[0]
    ptr = torch.empty(num_keys + 1, dtype=index_dtype)
    index = torch.empty(edges, dtype=index_dtype)
    perm = torch.empty(edges, dtype=index_dtype)
    block = bytearray(
        _block.pack(
            edges, num_keys, num_others,
            key.data_ptr(), other.data_ptr(), ptr.data_ptr(), index.data_ptr(), perm.data_ptr(),
            index_dtype is torch.int64, 0, 0, 0,
        )
    )  # fmt: skip
    load().graphkit_sort_edges((ctypes.c_char * len(block)).from_buffer(block))
    bad, position, value = _block.unpack(block)[-3:]
    if bad:
        which, limit = ("key", num_keys) if bad == 1 else ("other", num_others)
        raise IndexOutOfRange(which, position, value, limit)
    return ptr, index, perm
