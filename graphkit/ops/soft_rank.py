"""Soft choice of each target's best edges, as many as the target asks for: the operator of DGG."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops.check import check_features, check_graph


def edge_ranks(scores: Tensor, graph: Graph) -> Tensor:
    """The rank of each edge among those of its target, 0 for the largest score, of equal ones the smaller source first.

    Args:
        scores: ``[E]``, in the user's edge order.
        graph: the topology.

    Returns:
        int64 ``[E]``, in the user's order; by one sort of the edge list.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]]), 4)
        >>> edge_ranks(torch.tensor([0.1, 0.7, 0.5, 0.2]), graph).tolist()
        [2, 0, 1, 0]
    """
    graph = check_graph(graph)
    scores = check_features(scores, graph.num_edges, "scores", "edge", graph.device)
    source, target = graph.edge_index
    order = source.argsort(stable=True)
    order = order[scores.detach()[order].argsort(descending=True, stable=True)]
    order = order[target[order].argsort(stable=True)]
    first = graph.in_degree.cumsum(0) - graph.in_degree
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(order.numel(), device=order.device) - first[target[order]]
    return ranks


def soft_first_k(scores: Tensor, k: Tensor, graph: Graph, width: float = 1.0) -> Tensor:
    r"""Nearly 1 for the first k edges of each target, 1/2 for the one of rank k, nearly 0 beyond; differentiable in k.

    .. math:: f(r; k) = 1 - \tfrac12 \big(1 + \tanh \tfrac{r - k}{w}\big)

    Sparse: the edges of each target are ranked by one sort, nothing of size N x N is made.

    Args:
        scores: ``[E]``, in the user's edge order; they rank, and get no gradient.
        k: ``[num_dst]``, how many edges each target asks for, real.
        graph: the topology.
        width: w, positive.

    Shapes:
        ``[E]``, ``[num_dst]`` -> ``[E]``

    Raises:
        ValueError: if shapes disagree or ``width`` is not positive.

    Source: Saha et al., "Learning adaptive neighborhoods for graph neural networks", ICCV 2023.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [3, 3, 3]]), 4)
        >>> soft_first_k(torch.tensor([0.9, 0.5, 0.7]), torch.full((4,), 1.0), graph)
        tensor([0.8808, 0.1192, 0.5000])
    """
    if not width > 0:
        raise ValueError(f"'width' must be positive (got {width})")
    ranks = edge_ranks(scores, graph)
    k = check_features(k, graph.num_dst, "k", "target node", graph.device)
    return torch.sigmoid(2 * (k[graph.edge_index[1]] - ranks) / width)
