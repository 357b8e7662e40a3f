"""Checks of user input, shared by every door into the graph layer.

Each message names the argument, what was got, what was expected and what to do, so that a bad index is a
``ValueError`` here rather than a crash or a silent wrong number in a kernel later.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

# Sizes stay below what an int64 pointer array of size + 1 rows can count.
_LARGEST = 2**63 - 2

NumNodes = int | tuple[int, int] | None


def check_edge_index(edge_index: object, name: str = "edge_index") -> Tensor:
    """Return ``edge_index`` as an int64 tensor of shape ``[2, E]``, or raise naming what is wrong."""
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"'{name}' must be a torch.Tensor of shape [2, E] (got {type(edge_index).__name__}); "
            f"convert it with torch.as_tensor(...)"
        )
    if edge_index.layout != torch.strided:
        raise ValueError(
            f"'{name}' must be a dense tensor of shape [2, E] (got {edge_index.layout}); "
            f"a sparse adjacency matrix goes through Graph.from_sparse or as_graph"
        )
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        hint = ""
        if edge_index.dim() == 2 and edge_index.size(1) == 2:
            hint = "; a list of (source, target) pairs must be transposed first: edge_index.t()"
        raise ValueError(f"'{name}' must have shape [2, E] (got {list(edge_index.shape)}){hint}")
    return check_index_dtype(edge_index, name)


def check_index_dtype(index: Tensor, name: str) -> Tensor:
    """Return an integer tensor as int64; floats and bools are refused instead of being truncated."""
    if index.dtype not in _INTEGERS:
        raise ValueError(f"'{name}' must hold integers, e.g. torch.int64 (got {index.dtype}); use {name}.long()")
    if index.is_meta:
        raise ValueError(f"'{name}' must hold data (got a tensor on the meta device)")
    return index.long()


def check_num_nodes(num_nodes: object, name: str = "num_nodes") -> tuple[int, int] | None:
    """Return ``(num_src, num_dst)``, or ``None`` if the sizes are to be read off the edges."""
    if num_nodes is None:
        return None
    if not isinstance(num_nodes, (tuple, list)):
        num_nodes = (num_nodes, num_nodes)
    if len(num_nodes) != 2:
        raise ValueError(f"'{name}' must be an int or a pair (num_src, num_dst) (got {num_nodes!r})")
    return check_size(num_nodes[0], name), check_size(num_nodes[1], name)


def check_size(value: object, name: str) -> int:
    """Return a number of nodes or rows as an int, or raise."""
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | torch.SymInt):
        raise TypeError(f"'{name}' must be an int or a pair of ints (got {value!r})")
    if value < 0 or value > _LARGEST:
        raise ValueError(f"'{name}' must lie between 0 and 2**63 - 2 (got {value!r})")
    return cast(int, value)  # a SymInt stands for an int under torch.compile


def check_attr(value: object, rows: int, device: torch.device, name: str, what: str) -> None:
    """Raise unless ``value`` is a tensor on ``device`` with one row per node or edge (``what``)."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor (got {type(value).__name__})")
    if value.layout != torch.strided or value.dim() == 0 or value.size(0) != rows:
        raise ValueError(f"{name} must have one row per {what}, {rows} (got shape {list(value.shape)}, {value.layout})")
    if value.device != device:
        raise ValueError(f"{name} must be on {device}, where the edges are (got {value.device}); move one of them")


def check_range(index: Tensor, limit: int, name: str, what: str = "nodes") -> None:
    """Raise if an entry of ``index`` lies outside ``[0, limit)``; names the first offender's position."""
    if index.numel() == 0:
        return
    low, high = torch.aminmax(index)
    if int(low) >= 0 and int(high) < limit:
        return
    position = int(torch.nonzero((index < 0) | (index >= limit))[0])
    raise ValueError(
        f"'{name}' must lie in [0, {limit}) because there are {limit} {what} "
        f"(got {int(index[position])} at position {position}); "
        f"pass a larger size or remove the entry"
    )


def infer_size(edge_index: Tensor) -> tuple[int, int]:
    """Number of nodes of a homogeneous graph as the largest index + 1 (0 without edges)."""
    if edge_index.numel() == 0:
        return 0, 0
    low, high = torch.aminmax(edge_index)
    if int(low) < 0:
        check_range(edge_index.reshape(-1), int(high) + 1, "edge_index")
    size = int(high) + 1
    if size > _LARGEST:
        raise ValueError(f"'edge_index' must stay below 2**63 - 2 (got {size - 1})")
    return size, size
