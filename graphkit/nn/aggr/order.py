"""In which order the rows of a group become the leaves of its tree."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.graph.compressed import compress
from graphkit.ops.check import flatten

ORDERS = ("auto", "given", "random", "sorted")


def leaf_order(x: Tensor, graph: Graph, order: str) -> Tensor | None:
    """The rows of ``x`` group by group, int ``[E]``, or ``None`` for the given order.

    Args:
        x: ``[E, *features]``.
        graph: rows -> groups.
        order: ``"given"``, ``"random"`` or ``"sorted"``.
    """
    if order == "given":
        return None
    if order == "random":
        first = torch.randperm(graph.num_edges, device=graph.device)
    else:
        first = torch.argsort(_key(x), stable=True)
    # Grouping is stable: within a group the rows stay in the order of `first`.
    target = graph.edge_index[1].index_select(0, first)
    return compress(target, first, graph.num_dst, graph.num_edges).index


def _key(x: Tensor) -> Tensor:
    """A number per row by which rows are told apart: a projection on directions without a pattern.

    Rows with equal keys may still change places. They are equal, but for a set of measure zero.
    """
    flat = flatten(x.detach()).double()
    direction = torch.arange(1, flat.size(1) + 1, device=x.device, dtype=torch.float64)
    return (flat * torch.sin(direction * direction)).sum(1)
