"""The native samplers: one hop of neighbour sampling, induced subgraphs, random partitions and random walks.

Every function takes checked CPU tensors; ``form`` is ``(ptr, index, perm)``, all int32 or all int64. Draws depend on
``key`` and on the place where they are used, never on the number of threads; :mod:`graphkit.graph.sampling.reference`
makes the same draws.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable

import torch
from torch import Tensor

from graphkit.native import library

__all__ = ["induced", "mark", "partition", "random_walk", "sample_hop", "unmark"]

Form = Iterable[Tensor]
Edges = tuple[Tensor, Tensor, Tensor]

# HopArgs of src/sample_neighbors.cpp, PartitionArgs and WalkArgs of src/sample_nodes.cpp.
_hop = struct.Struct("=2q4QQ4qQ5Qq")
_partition = struct.Struct("=5q2QQ11Qq")
_walk = struct.Struct("=2q2QQ2qQQ")
_int64 = struct.Struct("=q")
_MARK, _UNMARK, _COUNT, _FILL, _INDUCED_COUNT, _INDUCED_FILL = range(6)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _last(block: bytearray) -> int:
    """The last field, which the library writes."""
    return int(_int64.unpack_from(block, len(block) - _int64.size)[0])


def _run_hop(
    step: int,
    numbers: Tensor,
    nodes: Tensor,
    first: int,
    form: Form | None = None,
    fanout: int = -1,
    replace: bool = False,
    key: int = 0,
    offsets: Tensor | None = None,
    edges: tuple[int, int, int] = (0, 0, 0),
    found: int = 0,
    local: int = 0,
) -> int:
    ptr, index, perm = (None, None, None) if form is None else form
    block = bytearray(
        _hop.pack(
            numbers.dtype is torch.int64, torch.get_num_threads(),
            _address(ptr), _address(index), _address(perm), numbers.data_ptr(),
            nodes.data_ptr(), nodes.shape[0], first, fanout, replace, key,
            _address(offsets), *edges, found, local,
        )
    )  # fmt: skip
    if library.load().graphkit_sample_hop(ctypes.c_int64(step), (ctypes.c_char * len(block)).from_buffer(block)):
        raise MemoryError("the sampler could not allocate its table of chosen neighbours")
    return _last(block)


def mark(numbers: Tensor, nodes: Tensor, first: int) -> None:
    """``numbers[nodes[i]] = first + i + 1`` for nodes that have no number; the first of equal nodes counts."""
    _run_hop(_MARK, numbers, nodes, first)


def unmark(numbers: Tensor, nodes: Tensor) -> None:
    """``numbers[nodes] = 0``."""
    _run_hop(_UNMARK, numbers, nodes, 0)


def _grow(edges: Edges, count: int) -> tuple[int, int, int]:
    """Appends ``count`` entries to each tensor; returns the addresses of the new ones."""
    start = edges[0].shape[0]
    for tensor in edges:
        tensor.resize_(start + count)
    return edges[0].data_ptr() + 8 * start, edges[1].data_ptr() + 8 * start, edges[2].data_ptr() + 8 * start


def sample_hop(
    form: Form,
    numbers: Tensor,
    nodes: Tensor,
    first: int,
    fanout: int,
    replace: bool,
    key: int,
    found: Tensor,
    edges: Edges,
) -> None:
    """Samples up to ``fanout`` edges (-1: all) of each row in ``nodes`` and appends them to ``edges``.

    Args:
        form: the compressed edges.
        numbers: local number plus 1 of every node at the other end, or 0; in the dtype of ``form``. New nodes
            get the next numbers.
        nodes: int64 ``[n]``, rows; the first has the local number ``first``.
        first: local number of ``nodes[0]``.
        fanout: edges per row.
        replace: whether an edge can be drawn twice.
        key: what the draws depend on, together with the local number of the row.
        found: int64, the nodes at the other end numbered so far; new nodes are appended.
        edges: ``(row, col, edge)``, int64: local numbers of both ends and the position of the edge.
    """
    offsets = torch.empty(nodes.shape[0] + 1, dtype=torch.int64)
    form = tuple(form)
    _run_hop(_COUNT, numbers, nodes, first, form, fanout, replace, key, offsets)
    total = int(offsets[-1])
    local = found.shape[0]
    found.resize_(local + total)  # `nodes` may be a part of it, and stays one
    local = _run_hop(
        _FILL, numbers, nodes, first, form, fanout, replace, key, offsets,
        _grow(edges, total), found.data_ptr() + 8 * local, local,
    )  # fmt: skip
    found.resize_(local)


def induced(form: Form, numbers: Tensor, nodes: Tensor, edges: Edges) -> None:
    """Appends to ``edges`` all edges between marked nodes that lie in the rows ``nodes``."""
    offsets = torch.empty(nodes.shape[0] + 1, dtype=torch.int64)
    form = tuple(form)
    _run_hop(_INDUCED_COUNT, numbers, nodes, 0, form, offsets=offsets)
    _run_hop(_INDUCED_FILL, numbers, nodes, 0, form, offsets=offsets, edges=_grow(edges, int(offsets[-1])))


def partition(
    edge_index: Tensor, num_nodes: int, parts: int, key: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Draws a part for every node and collects each part's nodes and inner edges, in O(N + E).

    Returns:
        ``node_ptr`` [parts + 1], ``nodes`` [N], ``edge_ptr`` [parts + 1], and local ``row``, ``col`` and position
        ``edge`` of the inner edges, by part and in the user's order.

    Raises:
        IndexError: an end of an edge is not a node.
    """
    num_edges = edge_index.shape[1]
    source, target = edge_index[0].contiguous(), edge_index[1].contiguous()
    threads = torch.get_num_threads()
    chunks = max(1, min(threads, num_edges))

    def new(*size: int) -> Tensor:
        return torch.empty(size, dtype=torch.int64)

    part = torch.empty(num_nodes, dtype=torch.int32)
    local, node_ptr, nodes = new(num_nodes), new(parts + 1), new(num_nodes)
    kept, kept_count, counts, edge_ptr = new(num_edges), new(chunks), new(chunks, parts), new(parts + 1)

    def run(step: int, edges: Edges | None) -> int:
        block = bytearray(
            _partition.pack(
                threads, num_nodes, num_edges, parts, chunks,
                source.data_ptr(), target.data_ptr(), key,
                *(t.data_ptr() for t in (part, local, node_ptr, nodes, kept, kept_count, counts, edge_ptr)),
                *((0, 0, 0) if edges is None else (t.data_ptr() for t in edges)), -1,
            )
        )  # fmt: skip
        library.load().graphkit_partition(ctypes.c_int64(step), (ctypes.c_char * len(block)).from_buffer(block))
        return _last(block)

    bad = run(0, None)
    if bad >= 0:
        raise IndexError(f"edge {bad} is {edge_index[:, bad].tolist()}, but there are {num_nodes} nodes")
    total = int(edge_ptr[-1])
    row, col, edge = new(total), new(total), new(total)
    run(1, (row, col, edge))
    return node_ptr, nodes, edge_ptr, row, col, edge


def random_walk(form: Form, start: Tensor, length: int, key: int) -> Tensor:
    """Walks ``length`` uniform steps along the rows of ``form``; int64 ``[n, length + 1]``, -1 after a dead end."""
    ptr, index, _ = form
    walk = torch.empty((start.shape[0], length + 1), dtype=torch.int64)
    block = _walk.pack(
        ptr.dtype is torch.int64, torch.get_num_threads(), ptr.data_ptr(), index.data_ptr(),
        start.data_ptr(), start.shape[0], length, key, walk.data_ptr(),
    )  # fmt: skip
    library.load().graphkit_random_walk(ctypes.c_char_p(block))
    return walk
