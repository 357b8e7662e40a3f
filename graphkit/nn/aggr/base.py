"""What graphkit's aggregations share: rows in groups, and one reduction over edges without messages or over rows
that exist already."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.aggr import (
    Aggregation,
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    MultiAggregation,
    SumAggregation,
)

from graphkit import ops
from graphkit.graph import Graph
from graphkit.graph.segments import as_segments

# PyG's stateless aggregations have nothing of their own to learn: the operator layer stands in for them.
_REDUCE: dict[type[Aggregation], str] = {
    SumAggregation: "sum",
    MeanAggregation: "mean",
    MinAggregation: "min",
    MaxAggregation: "max",
}


class GroupAggregation(Aggregation):
    r"""An aggregation over groups of rows in any order, given by an ``index`` or a ``ptr``.

    A member implements :meth:`fold`.
    """

    def fold(self, x: Tensor, graph: Graph) -> Tensor:
        """:meth:`forward` on rows ``[E, *features]`` over a prepared graph rows -> groups."""
        raise TypeError(f"'{type(self).__name__}' must override 'fold'")

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        """Aggregate the rows of ``x`` that share an index.

        Args:
            x: ``[..., E, ...]`` with E along ``dim``.
            index: integer ``[E]``, the group of each row, in any order; or
            ptr: integer ``[dim_size + 1]``, group ``s`` owns the rows ``ptr[s]:ptr[s + 1]``. With both, ``index``
                counts.
            dim_size: number of groups; ``None`` takes the largest index + 1.
            dim: the dimension of E.
            max_num_elements: taken for PyG's sake; nothing is padded.

        Shapes:
            ``[..., E, ...] -> [..., dim_size, ...]``
        """
        graph = segments(x.size(dim), index, ptr, dim_size)
        return self.fold(x.movedim(dim, 0), graph).movedim(0, dim)


class FusableAggregation(GroupAggregation):
    r"""An aggregation that reduces messages without writing them.

    A member implements :meth:`over`, the reduction of messages along the edges of a graph. Called as PyG's
    ``Aggregation`` on rows with an ``index`` or a ``ptr``, it is the same reduction over the bipartite graph
    rows -> groups. A group without rows gives 0.
    """

    def over(
        self,
        x: Tensor,
        graph: Graph,
        edge_attr: Tensor | None = None,
        *,
        message: str = "copy",
        eps: float = 0.0,
    ) -> Tensor:
        r"""Aggregate along the incoming edges of every target.

        Args:
            x: node features ``[num_src, *features]``.
            graph: the topology.
            edge_attr: ``[E, *features]`` in the user's edge order, for ``message="add_relu"``.
            message: ``"copy"`` for :math:`m_{ji} = x_j`, ``"add_relu"`` for
                :math:`m_{ji} = \mathrm{relu}(x_j + e_{ji}) + \epsilon`.
            eps: the constant in ``add_relu`` messages.

        Shapes:
            ``[num_src, *features] -> [num_dst, *features]``
        """
        raise TypeError(f"'{type(self).__name__}' must override 'over'")

    def fold(self, x: Tensor, graph: Graph) -> Tensor:
        """See :meth:`GroupAggregation.fold`."""
        return self.over(x, graph)


def segments(num_rows: int, index: Tensor | None, ptr: Tensor | None, dim_size: int | None) -> Graph:
    """The graph rows -> groups; that of an ``index`` is remembered while the tensor lives unchanged."""
    if index is None and ptr is not None and torch.compiler.is_compiling():
        # Reading ptr[-1] would break a compiled graph; the number of rows is known.
        groups = torch.arange(ptr.numel() - 1, device=ptr.device)
        index = torch.repeat_interleave(groups, ptr.diff(), output_size=num_rows)
        dim_size = ptr.numel() - 1
    return as_segments(index, dim_size) if index is not None else Graph.from_segments(ptr=ptr)


def can_fuse(aggr: Aggregation | None) -> bool:
    """Whether :func:`aggregate` can run ``aggr``: ours, PyG's sum, mean, min, max, and lists of these."""
    if isinstance(aggr, MultiAggregation):
        return all(can_fuse(part) for part in aggr.aggrs)
    return isinstance(aggr, FusableAggregation) or type(aggr) in _REDUCE


def aggregate(
    aggr: Aggregation,
    x: Tensor,
    graph: Graph,
    edge_attr: Tensor | None = None,
    *,
    message: str = "copy",
    eps: float = 0.0,
) -> Tensor:
    """Run an aggregation along the edges of a graph in one pass; arguments as
    :meth:`FusableAggregation.over`.

    Raises:
        ValueError: if ``aggr`` cannot be fused (:func:`can_fuse`).
    """
    if isinstance(aggr, FusableAggregation):
        return aggr.over(x, graph, edge_attr, message=message, eps=eps)
    if isinstance(aggr, MultiAggregation):
        return aggr.combine([aggregate(part, x, graph, edge_attr, message=message, eps=eps) for part in aggr.aggrs])
    if type(aggr) not in _REDUCE:
        raise ValueError(f"'aggr' cannot be fused (got {aggr}); see graphkit.nn.aggr.can_fuse")
    return ops.gather_reduce(x, graph, edge_attr=edge_attr, message=message, reduce=_REDUCE[type(aggr)], eps=eps)
