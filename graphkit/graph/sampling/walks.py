"""Uniform random walks along the direction of the edges."""

from __future__ import annotations

from torch import Tensor

from graphkit.graph.sampling.backend import kernels
from graphkit.graph.sampling.neighbors import check_nodes
from graphkit.graph.sampling.random import check_key
from graphkit.graph.topology import Graph
from graphkit.graph.validate import check_size


def random_walk(graph: Graph, start: Tensor, length: int, *, seed: int | None = None, backend: str = "auto") -> Tensor:
    """Walk ``length`` steps from each node of ``start``; a step follows an out-edge chosen uniformly.

    A draw depends on ``seed``, the number of the walk and the step, not on the number of threads.

    Args:
        graph: the graph; homogeneous.
        start: integer ``[n]``, where the walks start.
        length: number of steps.
        seed: what the draws depend on; ``None`` takes a number from torch's random state.
        backend: ``"auto"``, ``"native"`` or ``"torch"``; both give the same walks.

    Returns:
        int64 ``[n, length + 1]``: the nodes of each walk, from its start. After a node without out-edges a walk
        holds -1 (as DGL's; torch-cluster's stays at the node).

    Raises:
        TypeError: if ``start`` is no tensor, or ``length`` or ``seed`` no int.
        ValueError: if ``start`` is no vector of integers in range, ``length`` is negative or the graph is bipartite.

    Example:
        >>> import torch
        >>> from graphkit import Graph
        >>> from graphkit.graph.sampling import random_walk
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4)  # a path
        >>> random_walk(graph, torch.tensor([0, 2]), 3).tolist()
        [[0, 1, 2, 3], [2, 3, -1, -1]]
    """
    start = check_nodes(start, graph.num_nodes, "start")
    walk: Tensor = kernels(backend).random_walk(
        graph.to("cpu").csr, start, check_size(length, "length"), check_key(seed)
    )
    return walk
