"""Compressed rows: the sorted form of a topology, and the one sort that makes it.

An edge list sorted by one endpoint is stored as three arrays. Row ``i`` owns the slots
``ptr[i]:ptr[i + 1]``; slot ``k`` holds the other endpoint ``index[k]`` and the position ``perm[k]`` of the
edge in the user's order, so edge features never have to be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.graph.validate import check_range

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Compressed:
    """Edges grouped by one endpoint; ``ptr, index, perm = graph.csc`` unpacks it.

    Attributes:
        ptr: ``[rows + 1]``; row ``i`` owns the slots ``ptr[i]:ptr[i + 1]``.
        index: ``[E]``; the other endpoint of the edge in each slot.
        perm: ``[E]``; the edge's position in the user's order.
    """

    ptr: Tensor
    index: Tensor
    perm: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.ptr, self.index, self.perm))

    @property
    def rows(self) -> Tensor:
        """``[E]``: the row that owns each slot (the inverse of ``ptr``)."""
        count = self.ptr.diff()
        rows = torch.arange(count.numel(), device=self.ptr.device, dtype=self.ptr.dtype)
        return torch.repeat_interleave(rows, count, output_size=self.index.numel())

    def map(self, fn: Callable[[Tensor], Tensor]) -> Compressed:
        """Apply ``fn`` to the three arrays (moving to a device, sharing memory)."""
        return Compressed(fn(self.ptr), fn(self.index), fn(self.perm))


def index_dtype(num_edges: int, *sizes: int) -> torch.dtype:
    """int32 where every index fits (half the traffic of the kernels), else int64."""
    return torch.int32 if max(num_edges, *sizes) < _INT32_MAX else torch.int64


def compress(key: Tensor, other: Tensor, num_keys: int, num_others: int) -> Compressed:
    """Group edges by ``key``, stable in the given order, in O(E + num_keys) on the CPU.

    Args:
        key: int64 ``[E]``, the endpoint to group by, in ``[0, num_keys)``.
        other: int64 ``[E]``, the other endpoint, in ``[0, num_others)``.
        num_keys: number of rows.
        num_others: number of nodes on the other side.

    Raises:
        ValueError: if an index is out of range.
    """
    small = index_dtype(key.numel(), num_keys, num_others) is torch.int32
    return Compressed(*torch.ops.graphkit.compress(key, other, num_keys, num_others, small))


def transpose(form: Compressed, num_rows: int, num_others: int) -> Compressed:
    """The same edges grouped by the other endpoint; within a row they keep the old row order."""
    by_other = compress(form.index.long(), form.rows.long(), num_others, num_rows)
    return Compressed(by_other.ptr, by_other.index, form.perm.index_select(0, by_other.perm))


def _compress_torch(key: Tensor, other: Tensor, num_keys: int, num_others: int, small: bool) -> tuple[Tensor, ...]:
    check_range(key, num_keys, "edge_index")
    check_range(other, num_others, "edge_index")
    dtype = torch.int32 if small else torch.int64
    key, perm = torch.sort(key, stable=True)
    ptr = torch.searchsorted(key, torch.arange(num_keys + 1, device=key.device))
    return ptr.to(dtype), other.index_select(0, perm).to(dtype), perm.to(dtype)


def _compress(key: Tensor, other: Tensor, num_keys: int, num_others: int, small: bool) -> tuple[Tensor, ...]:
    if key.device.type == "cpu":
        from graphkit import native  # the library loads on first use, never at import

        if native.available():
            dtype = torch.int32 if small else torch.int64
            try:
                return native.sort_edges(key.contiguous(), other.contiguous(), num_keys, num_others, dtype)
            except native.IndexOutOfRange:  # found in the sort's own pass; say it in the user's words
                check_range(key, num_keys, "edge_index")
                check_range(other, num_others, "edge_index")
                raise
    return _compress_torch(key, other, num_keys, num_others, small)


# A torch.library operator, so that a plain edge_index can be grouped inside torch.compile(fullgraph=True).
_LIBRARY = torch.library.Library("graphkit", "FRAGMENT")
_LIBRARY.define(
    "compress(Tensor key, Tensor other, SymInt num_keys, SymInt num_others, bool small) -> (Tensor, Tensor, Tensor)"
)
_LIBRARY.impl("compress", _compress, "CompositeExplicitAutograd")


@torch.library.register_fake("graphkit::compress", lib=_LIBRARY)
def _(key: Tensor, other: Tensor, num_keys: int, num_others: int, small: bool) -> tuple[Tensor, ...]:
    dtype = torch.int32 if small else torch.int64
    return (
        key.new_empty(num_keys + 1, dtype=dtype),
        key.new_empty(key.shape, dtype=dtype),
        key.new_empty(key.shape, dtype=dtype),
    )
