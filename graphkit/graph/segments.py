"""The bipartite graph rows -> segments, over which ``scatter`` and ``segment`` gather and reduce."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkit.graph.compressed import Compressed, compress, index_dtype
from graphkit.graph.topology import Graph
from graphkit.graph.validate import check_index_dtype, check_range, check_size


def from_index(index: Tensor, num_segments: int | None = None) -> Graph:
    """Row ``e`` belongs to segment ``index[e]``; see :meth:`Graph.from_segments`."""
    index = _check_vector(index, "index")
    if num_segments is None:
        num_segments = int(index.max()) + 1 if index.numel() > 0 else 0
    num_segments = check_size(num_segments, "num_segments")
    if not torch.compiler.is_compiling():  # under compile the sort itself checks
        check_range(index, num_segments, "index", "segments")
    num_rows = index.numel()
    rows = torch.arange(num_rows, device=index.device)
    csc = compress(index, rows, num_segments, num_rows)
    return _graph(rows, index, csc, num_segments)


def from_ptr(ptr: Tensor, num_rows: int | None = None) -> Graph:
    """Segment ``s`` owns the rows ``ptr[s]:ptr[s + 1]``; see :meth:`Graph.from_segments`."""
    ptr = _check_vector(ptr, "ptr")
    if ptr.numel() == 0:
        raise ValueError("'ptr' must have shape [S + 1] (got [0]); no segments are ptr = [0]")
    if not torch.compiler.is_compiling() or num_rows is None:
        first, last = int(ptr[0]), int(ptr[-1])
        if first != 0 or bool((ptr.diff() < 0).any()):
            raise ValueError(f"'ptr' must start at 0 and never decrease (got {ptr[:8].tolist()} ...)")
        if num_rows is not None and check_size(num_rows, "num_rows") != last:
            raise ValueError(f"'ptr' must end at the number of rows, {num_rows} (got {last})")
        num_rows = last
    num_segments = ptr.numel() - 1
    rows = torch.arange(num_rows, device=ptr.device)
    segments = torch.arange(num_segments, device=ptr.device)
    index = torch.repeat_interleave(segments, ptr.diff(), output_size=num_rows)
    dtype = index_dtype(num_rows, num_segments)
    slots = rows.to(dtype)
    return _graph(rows, index, Compressed(ptr.to(dtype), slots, slots), num_segments)


def _graph(rows: Tensor, index: Tensor, csc: Compressed, num_segments: int) -> Graph:
    """Each row has one edge, so the form by row needs no sorting."""
    dtype = csc.ptr.dtype
    num_rows = rows.numel()
    ptr = torch.arange(num_rows + 1, device=rows.device, dtype=dtype)
    csr = Compressed(ptr, index.to(dtype), rows.to(dtype))
    return Graph(torch.stack([rows, index]), (num_rows, num_segments), csc=csc, csr=csr)


def _check_vector(index: Tensor, name: str) -> Tensor:
    if not isinstance(index, Tensor):
        raise TypeError(f"'{name}' must be a torch.Tensor (got {type(index).__name__})")
    if index.layout != torch.strided or index.dim() != 1:
        raise ValueError(f"'{name}' must be a dense vector (got shape {list(index.shape)}, {index.layout})")
    return check_index_dtype(index, name)


# The tensor behind an index -> (stamp, number of segments) -> graph. PyG's layers make a new view `edge_index[1]` at
# every call: what stays the same is the tensor they look into. Keys are weak, and the graphs hold copies.
_MEMORY: WeakIdKeyDictionary = WeakIdKeyDictionary()
_VIEWS = 4


def as_segments(index: Tensor, num_segments: int | None = None) -> Graph:
    """:func:`from_index`, at most once for an index that lives unchanged, or for views of a tensor that does.

    As :func:`graphkit.graph.as_graph`, it notices edits that torch counts. At most four views of a tensor are
    remembered.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> as_segments(edge_index[1], 3) is as_segments(edge_index[1], 3)
        True
    """
    if torch.compiler.is_compiling() or not isinstance(index, Tensor) or index.is_inference():
        return from_index(index, num_segments)
    root = index if index._base is None else index._base
    stamp = (index._version, index.data_ptr(), index.shape, index.stride(), index.dtype, num_segments)
    graphs = _MEMORY.get(root)
    if graphs is None:
        graphs = _MEMORY[root] = {}
    graph = graphs.get(stamp)
    if graph is None:
        if len(graphs) >= _VIEWS:
            graphs.clear()
        graph = graphs[stamp] = from_index(index, num_segments)
    return graph
