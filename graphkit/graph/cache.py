"""``as_graph``: take whatever a PyG layer takes, sort it once, remember it while it lives unchanged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkit.graph.convert import from_sparse, is_sparse_adjacency, plain_edge_index
from graphkit.graph.topology import Graph
from graphkit.graph.validate import NumNodes, check_num_nodes

# Tensor object -> (stamp, graphs by size). Keys are weak: the entry dies with the user's
# tensor. The graphs hold their own copy of the edges, so a value never keeps its key alive.
_MEMORY: WeakIdKeyDictionary = WeakIdKeyDictionary()


def as_graph(edge_index: Any, num_nodes: NumNodes = None) -> Graph:
    """Return ``edge_index`` as a :class:`Graph`, converting a plain tensor at most once.

    A conversion is remembered while the tensor object lives and its version counter stands still; an in-place
    edit is noticed at the next call. Edits that torch does not count (through a numpy view or ``.data``) are
    not. Sparse matrices and inference tensors are converted at every call: make a ``Graph`` of them once.

    Args:
        edge_index: a ``Graph`` (returned as it is), an integer tensor ``[2, E]``, a PyG ``EdgeIndex``, or a
            *transposed* sparse adjacency (``torch.sparse`` or ``SparseTensor``).
        num_nodes: number of nodes, or ``(num_src, num_dst)``; checked against a ``Graph``'s own size.

    Raises:
        TypeError: if the input is none of these.
        ValueError: as :meth:`Graph.from_edge_index`, or if sizes disagree.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> as_graph(edge_index, 2) is as_graph(edge_index, 2)
        True
        >>> _ = edge_index.fill_(0)
        >>> as_graph(edge_index, 2).edge_index.tolist()
        [[0, 0], [0, 0]]
    """
    if isinstance(edge_index, Graph):
        _check_size(edge_index, num_nodes)
        return edge_index
    if is_sparse_adjacency(edge_index):
        graph = from_sparse(edge_index)
        _check_size(graph, num_nodes)
        return graph
    if torch.compiler.is_compiling() or not isinstance(edge_index, Tensor) or edge_index.is_inference():
        return Graph.from_edge_index(edge_index, num_nodes, copy=False)

    stamp = _stamp(edge_index)
    entry = _MEMORY.get(edge_index)
    if entry is None or entry[0] != stamp:
        entry = _MEMORY[edge_index] = (stamp, {})
    # A layer called with N and one called with (N, N) share the graph; the common case skips the checks.
    size = (num_nodes, num_nodes) if type(num_nodes) is int else check_num_nodes(num_nodes)
    graph = entry[1].get(size)
    if graph is None:
        graph = entry[1][size] = Graph.from_edge_index(edge_index, num_nodes)
    return graph


def _stamp(edge_index: Tensor) -> tuple[object, ...]:
    """What changes when the edges do: torch's count of in-place edits, and the storage behind the tensor."""
    if type(edge_index) is Tensor:
        return edge_index._version, edge_index.data_ptr(), edge_index.shape
    plain = plain_edge_index(edge_index)  # an EdgeIndex and the tensor inside it count their edits apart
    return edge_index._version, plain._version, plain.data_ptr(), plain.shape


def _check_size(graph: Graph, num_nodes: NumNodes) -> None:
    size = check_num_nodes(num_nodes)
    if size is not None and size != graph.size:
        raise ValueError(
            f"sizes disagree: the graph has (num_src, num_dst) = {graph.size}, but {size} was expected from "
            f"the node features; build the Graph with num_nodes={size if size[0] != size[1] else size[0]}"
        )
