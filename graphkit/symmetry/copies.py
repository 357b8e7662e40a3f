"""Copies of graphs of a batch, as index arithmetic."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Rows of several copies.

    Attributes:
        rows: which row each is a copy of.
        copy: which copy it belongs to.
    """

    rows: Tensor
    copy: Tensor


class Copies(NamedTuple):
    """Copies of graphs, side by side.

    Attributes:
        nodes: nodes of the copies, copy by copy.
        edges: edges of the copies.
        shift: what to add to the ends of a copy's edges ``[M]``, where the nodes of each graph stand together.
    """

    nodes: Rows
    edges: Rows
    shift: Tensor


class CopyTable:
    """Where the nodes and edges of each graph of a batch stand, counted once for any number of copies.

    Args:
        node_graph: the graph of each node ``[N]``, ascending.
        edge_graph: the graph of each edge ``[E]``, in any order.
        num_graphs: B.

    Example:
        >>> table = CopyTable(torch.tensor([0, 1, 1]), torch.tensor([1, 0]), 2)
        >>> copies = table.copy(torch.tensor([1, 1]))
        >>> copies.nodes.rows.tolist(), copies.edges.rows.tolist(), copies.shift.tolist()
        ([1, 2, 1, 2], [0, 0], [-1, 1])
    """

    def __init__(self, node_graph: Tensor, edge_graph: Tensor, num_graphs: int) -> None:
        self.sizes = torch.bincount(node_graph, minlength=num_graphs)
        self._first = self.sizes.cumsum(0) - self.sizes
        self._edges = torch.bincount(edge_graph, minlength=num_graphs)
        self._first_edge = self._edges.cumsum(0) - self._edges
        ascending = bool((edge_graph.diff() >= 0).all())
        self._order = None if ascending else edge_graph.argsort(stable=True)

    def copy(self, graphs: Tensor) -> Copies:
        """Copies of some graphs ``[M]``; any number of times, in any order."""
        sizes, first = self.sizes[graphs], self._first[graphs]
        nodes = _rows(first, sizes)
        edges = _rows(self._first_edge[graphs], self._edges[graphs])
        if self._order is not None:
            edges = Rows(self._order[edges.rows], edges.copy)
        return Copies(nodes, edges, sizes.cumsum(0) - sizes - first)


def _rows(first: Tensor, sizes: Tensor) -> Rows:
    copy = torch.arange(sizes.numel(), device=sizes.device).repeat_interleave(sizes)
    slot = torch.arange(copy.numel(), device=sizes.device)
    return Rows(slot + (first - sizes.cumsum(0) + sizes)[copy], copy)
