"""The undirected edges that a sheaf lives on, from any graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkit.graph import Graph

# Graph -> (its symmetric graph, origin), or None where it is symmetric itself. Graphs never change.
_MEMORY: WeakIdKeyDictionary = WeakIdKeyDictionary()


def symmetric(graph: Graph) -> tuple[Graph, Tensor | None]:
    """The graph with a reverse for every edge, and which edge of the user's each of its edges stands for.

    An edge without its reverse gets one, put after the user's edges; copies of an edge pair up with copies of its
    reverse in the user's order (:attr:`Graph.reverse`), so that u and v with ``a`` edges one way and ``b`` the other
    way are joined by ``max(a, b)`` undirected edges. The result is remembered as long as the graph lives.

    Under ``torch.compile``, where the number of edges must not depend on their values, nothing is added, and the
    sheaf Laplacian raises ``ValueError`` for an edge without its reverse.

    Args:
        graph: a homogeneous graph.

    Returns:
        The graph itself and ``None`` where every edge has its reverse; else the completed graph and ``[E']``, the
        user's edge that each edge is or completes.

    Raises:
        ValueError: if the graph is bipartite.

    Example:
        >>> graph, origin = symmetric(Graph.from_edge_index(torch.tensor([[0, 1, 1], [1, 0, 2]])))
        >>> graph.edge_index.tolist(), origin.tolist()
        ([[0, 1, 1, 2], [1, 0, 2, 1]], [0, 1, 2, 2])
    """
    if torch.compiler.is_compiling():
        return graph, None
    if graph not in _MEMORY:
        _MEMORY[graph] = _complete(graph)
    found: tuple[Graph, Tensor] | None = _MEMORY[graph]
    return (graph, None) if found is None else found


def _complete(graph: Graph) -> tuple[Graph, Tensor] | None:
    with torch.inference_mode(False):
        missing = (graph.reverse < 0).nonzero().view(-1)
        if missing.numel() == 0:
            return None
        edge_index = torch.cat([graph.edge_index, graph.edge_index[:, missing].flip(0)], dim=1)
        origin = torch.cat([torch.arange(graph.num_edges, device=graph.device), missing])
        return Graph(edge_index, graph.size), origin
