"""Scatter and segment operators on a tensor that already has one row per element.

They are the fused operators over the bipartite graph rows -> segments (:meth:`graphkit.Graph.from_segments`): the
same kernels, hence deterministic and independent of the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops.check import FLOATS, flatten
from graphkit.ops.gather_reduce import REDUCTIONS, reduce_rows

_ALL = (*REDUCTIONS, "prod")


class TopK(NamedTuple):
    """The largest (or smallest) rows of each segment.

    Attributes:
        values: ``[S, k]``, sorted; 0 where a segment has fewer than k rows.
        indices: int64 ``[S, k]``, rows of ``src``; -1 where a segment has fewer than k rows.
    """

    values: Tensor
    indices: Tensor


def scatter(src: Tensor, index: Tensor, dim_size: int | None = None, reduce: str = "sum", dim: int = 0) -> Tensor:
    r"""Reduce the rows of ``src`` that share an index: ``out[s] = reduce of src[e] over index[e] == s``.

    Args:
        src: ``[..., E, ...]`` with E along ``dim``.
        index: integer ``[E]``, in any order.
        dim_size: number of segments; ``None`` takes the largest index + 1.
        reduce: ``"sum"`` (``"add"``), ``"mean"``, ``"min"``, ``"max"`` or ``"prod"`` (``"mul"``). An empty segment
            gives 0, for ``prod`` 1. Tied extrema share the gradient evenly.
        dim: the dimension of E.

    Shapes:
        ``[..., E, ...] -> [..., dim_size, ...]``

    Raises:
        ValueError: if an index is out of range, sizes disagree, or ``reduce`` is unknown.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.scatter(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 0, 1]), dim_size=3).tolist()
        [2.0, 4.0, 0.0]
    """
    graph, src = _segments(src, index, dim_size, None, dim)
    return _reduce(src, graph, reduce).movedim(0, dim)


def segment(src: Tensor, ptr: Tensor, reduce: str = "sum", dim: int = 0) -> Tensor:
    r"""Reduce consecutive rows: ``out[s] = reduce of src[ptr[s]:ptr[s + 1]]``.

    Args:
        src: ``[..., E, ...]`` with E along ``dim``.
        ptr: integer ``[S + 1]``, from 0 to E, never decreasing.
        reduce: as in :func:`scatter`.
        dim: the dimension of E.

    Raises:
        ValueError: if ``ptr`` is no valid pointer over E rows, or ``reduce`` is unknown.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.segment(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2, 3]), "mean").tolist()
        [1.5, 0.0, 3.0]
    """
    graph, src = _segments(src, None, None, ptr, dim)
    return _reduce(src, graph, reduce).movedim(0, dim)


def segment_logsumexp(
    src: Tensor, index: Tensor | None = None, dim_size: int | None = None, *, ptr: Tensor | None = None
) -> Tensor:
    r"""``out[s] = log sum exp(src[e])`` over the rows of segment ``s``, shifted by their maximum; ``-inf`` if empty.

    Args:
        src: ``[E, *features]``.
        index: integer ``[E]``, the segment of each row; or
        ptr: integer ``[S + 1]``.
        dim_size: number of segments for ``index``.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.segment_logsumexp(torch.zeros(3), torch.tensor([0, 0, 1])).exp().tolist()
        [2.0, 1.0]
    """
    graph, src = _float_segments(src, index, dim_size, ptr)
    total, shift = _exp_sum(src, graph)[1:]
    return torch.where(total > 0, total, torch.ones_like(total)).log() + torch.where(
        total > 0, shift, torch.full_like(shift, float("-inf"))
    )


def segment_softmax(
    src: Tensor, index: Tensor | None = None, dim_size: int | None = None, *, ptr: Tensor | None = None
) -> Tensor:
    r"""Softmax over the rows of each segment: ``out[e] = exp(src[e]) / sum of exp(src) over e's segment``.

    Args:
        src: ``[E, *features]``.
        index: integer ``[E]``, the segment of each row; or
        ptr: integer ``[S + 1]``.
        dim_size: number of segments for ``index``.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.segment_softmax(torch.zeros(3), torch.tensor([0, 0, 1])).tolist()
        [0.5, 0.5, 1.0]
    """
    graph, src = _float_segments(src, index, dim_size, ptr)
    weight, total, _ = _exp_sum(src, graph)
    return weight / total.index_select(0, graph.edge_index[1])


def segment_argmax(
    src: Tensor, index: Tensor | None = None, dim_size: int | None = None, *, ptr: Tensor | None = None
) -> Tensor:
    """The first row of each segment that attains its maximum, per feature: int64 ``[S, *features]``, -1 if empty.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.segment_argmax(torch.tensor([1.0, 5.0, 5.0]), torch.tensor([0, 2, 2])).tolist()
        [0, -1, 1]
    """
    graph, src = _float_segments(src.detach(), index, dim_size, ptr)
    flat = flatten(src)
    target = graph.edge_index[1]
    best = reduce_rows(flat, graph, None, "copy", "max")
    row = graph.edge_index[0][:, None].expand_as(flat)
    row = torch.where(flat == best.index_select(0, target), row, torch.full_like(row, graph.num_src))
    out = torch.full(best.shape, graph.num_src, dtype=torch.int64, device=src.device)
    out.scatter_reduce_(0, target[:, None].expand_as(row), row, "amin")
    return torch.where(out == graph.num_src, torch.full_like(out, -1), out).reshape(-1, *src.shape[1:])


def segment_topk(
    src: Tensor,
    k: int,
    index: Tensor | None = None,
    dim_size: int | None = None,
    *,
    ptr: Tensor | None = None,
    largest: bool = True,
) -> TopK:
    """The ``k`` largest rows of each segment, ties in row order.

    Args:
        src: ``[E]``, one score per row.
        k: rows per segment, at least 1.
        index: integer ``[E]``, the segment of each row; or
        ptr: integer ``[S + 1]``.
        dim_size: number of segments for ``index``.
        largest: whether to take the largest; otherwise the smallest.

    Returns:
        :class:`TopK`; ``values`` is differentiable.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.segment_topk(torch.tensor([1.0, 3.0, 2.0]), 2, torch.tensor([0, 0, 1])).indices.tolist()
        [[1, 0], [2, -1]]
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"'k' must be a positive int (got {k!r})")
    graph, src = _float_segments(src, index, dim_size, ptr)
    if src.dim() != 1:
        raise ValueError(f"'src' must have shape [E], one score per row (got {list(src.shape)})")
    target = graph.edge_index[1]
    by_score = torch.sort(src.detach(), descending=largest, stable=True).indices
    order = by_score[torch.sort(target[by_score], stable=True).indices]
    sorted_target = target[order]
    rank = torch.arange(order.numel(), device=src.device) - graph.csc.ptr.long()[sorted_target]
    kept = rank < k
    indices = torch.full((graph.num_dst, k), -1, dtype=torch.int64, device=src.device)
    indices[sorted_target[kept], rank[kept]] = order[kept]
    filled = indices >= 0
    values = src.new_zeros(indices.shape).masked_scatter(filled, src[indices[filled]])
    return TopK(values, indices)


def _reduce(src: Tensor, graph: Graph, reduce: str) -> Tensor:
    reduce = {"add": "sum", "mul": "prod"}.get(reduce, reduce)
    if reduce not in _ALL:
        raise ValueError(f"unknown reduce (got {reduce!r}, expected one of {', '.join(_ALL)})")
    flat = flatten(src)
    if reduce == "prod":
        index = graph.edge_index[1][:, None].expand_as(flat)
        out = flat.new_ones(graph.num_dst, flat.size(1)).scatter_reduce(0, index, flat, "prod")
    elif src.dtype in FLOATS:
        out = reduce_rows(flat, graph, None, "copy", reduce)
    else:
        out = _reduce_integers(flat, graph, reduce)
    return out.reshape(graph.num_dst, *src.shape[1:])


def _reduce_integers(flat: Tensor, graph: Graph, reduce: str) -> Tensor:
    if reduce == "mean":
        raise ValueError(f"reduce='mean' needs floating point (got {flat.dtype}); use src.float()")
    if flat.dtype == torch.bool or flat.is_complex():
        raise ValueError(f"'src' must hold real numbers (got {flat.dtype})")
    index = graph.edge_index[1][:, None].expand_as(flat)
    out = flat.new_zeros(graph.num_dst, flat.size(1))
    return out.scatter_reduce(0, index, flat, reduce if reduce == "sum" else f"a{reduce}", include_self=reduce == "sum")


def _exp_sum(src: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
    """``exp(src - shift)`` per row, and its sum and the shift per segment."""
    flat = flatten(src)
    target = graph.edge_index[1]
    shift = reduce_rows(flat.detach(), graph, None, "copy", "max")
    shift = torch.where(shift.isfinite(), shift, torch.zeros_like(shift))
    weight = torch.exp(flat - shift.index_select(0, target))
    total = reduce_rows(weight, graph, None, "copy", "sum")
    shape = (graph.num_dst, *src.shape[1:])
    return weight.reshape(src.shape), total.reshape(shape), shift.reshape(shape)


def _segments(
    src: Tensor, index: Tensor | None, dim_size: int | None, ptr: Tensor | None, dim: int = 0
) -> tuple[Graph, Tensor]:
    """The graph rows -> segments, and ``src`` with its rows first."""
    if not isinstance(src, Tensor):
        raise TypeError(f"'src' must be a torch.Tensor (got {type(src).__name__})")
    if not -src.dim() <= dim < src.dim():
        raise ValueError(f"'dim' must lie in [{-src.dim()}, {src.dim()}) for a {src.dim()}-d 'src' (got {dim})")
    src = src.movedim(dim, 0)
    graph = Graph.from_segments(index, dim_size, ptr=ptr, num_rows=None if ptr is None else src.size(0))
    if src.size(0) != graph.num_src:
        raise ValueError(
            f"'src' must have one row per entry of the index, {graph.num_src} (got {src.size(0)} along 'dim')"
        )
    if src.device != graph.device:
        raise ValueError(f"'src' is on {src.device} but the index is on {graph.device}; move one with .to(...)")
    return graph, src


def _float_segments(
    src: Tensor, index: Tensor | None, dim_size: int | None, ptr: Tensor | None
) -> tuple[Graph, Tensor]:
    graph, src = _segments(src, index, dim_size, ptr)
    if src.dtype not in FLOATS:
        raise ValueError(f"'src' must be floating point (got {src.dtype}); use src.float()")
    return graph, src
