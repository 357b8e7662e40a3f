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


def copy_graphs(graphs: Tensor, node_graph: Tensor, edge_graph: Tensor, num_graphs: int) -> Copies:
    """Index arithmetic for copies of some graphs of a batch.

    Args:
        graphs: which graphs ``[M]``; any number of times, in any order.
        node_graph: the graph of each node ``[N]``, ascending.
        edge_graph: the graph of each edge ``[E]``, in any order.
        num_graphs: B.

    Example:
        >>> copies = copy_graphs(torch.tensor([1, 1]), torch.tensor([0, 1, 1]), torch.tensor([1, 0]), 2)
        >>> copies.nodes.rows.tolist(), copies.edges.rows.tolist(), copies.shift.tolist()
        ([1, 2, 1, 2], [0, 0], [-1, 1])
    """
    nodes, first = _rows(graphs, node_graph, None, num_graphs)
    edges, _ = _rows(graphs, edge_graph, edge_graph.argsort(stable=True), num_graphs)
    sizes = torch.bincount(node_graph, minlength=num_graphs)[graphs]
    return Copies(nodes, edges, sizes.cumsum(0) - sizes - first)


def _rows(graphs: Tensor, owner: Tensor, order: Tensor | None, num_graphs: int) -> tuple[Rows, Tensor]:
    counts = torch.bincount(owner, minlength=num_graphs)
    first, sizes = (counts.cumsum(0) - counts)[graphs], counts[graphs]
    copy = torch.arange(graphs.numel(), device=owner.device).repeat_interleave(sizes)
    slot = torch.arange(copy.numel(), device=owner.device) - (sizes.cumsum(0) - sizes)[copy] + first[copy]
    return Rows(slot if order is None else order[slot], copy), first
