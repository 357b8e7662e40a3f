"""The multitask set: random graphs with three labels of nodes and three of graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.recipes.lcm.families import draw_graphs

TASKS = ("SSSP", "Ecc", "Lap", "Conn", "Diam", "SpecRad")
"""Of nodes: shortest path from the source, eccentricity, Laplacian times feature. Of graphs: whether connected,
diameter, spectral radius."""


@dataclass(frozen=True)
class GraphBatch:
    """Graphs of one size N with their labels.

    Attributes:
        x: ``[B * N, 2]``, a number in [0, 1) and 1 at the source, one node of each graph.
        source, target: int64 ``[E]``, the edges, both directions, in the order in which aggregations read them.
        num_graphs: B.
        nodes: ``[B * N, 3]``, labels of the nodes.
        graphs: ``[B, 3]``, labels of the graphs.
    """

    x: Tensor
    source: Tensor
    target: Tensor
    num_graphs: int
    nodes: Tensor
    graphs: Tensor

    @property
    def size(self) -> int:
        """Nodes of each graph."""
        return self.x.size(0) // self.num_graphs

    def shuffled(self, generator: torch.Generator) -> GraphBatch:
        """With its edges in random order, as the paper has it for what a learned aggregation reads in training."""
        order = torch.randperm(self.source.numel(), generator=generator).to(self.source.device)
        source, target = self.source[order], self.target[order]
        return GraphBatch(self.x, source, target, self.num_graphs, self.nodes, self.graphs)

    def scaled(self, nodes: Tensor, graphs: Tensor) -> GraphBatch:
        """With its labels divided by these."""
        return GraphBatch(self.x, self.source, self.target, self.num_graphs, self.nodes / nodes, self.graphs / graphs)

    def to(self, device: torch.device) -> GraphBatch:
        """On a device."""
        tensors = (t.to(device) for t in (self.x, self.source, self.target, self.nodes, self.graphs))
        x, source, target, nodes, graphs = tensors
        return GraphBatch(x, source, target, self.num_graphs, nodes, graphs)


def draw_batch(count: int, num_nodes: int, rng: np.random.Generator) -> GraphBatch:
    """Random graphs (:func:`~graphkit.recipes.lcm.families.draw_graphs`), features and labels, not scaled.

    Args:
        count: number of graphs.
        num_nodes: nodes of each.
        rng: where they are drawn from.

    Example:
        >>> batch = draw_batch(4, 15, np.random.default_rng(0))
        >>> batch.x.shape, batch.nodes.shape, batch.graphs.shape
        (torch.Size([60, 2]), torch.Size([60, 3]), torch.Size([4, 3]))
    """
    adjacency = torch.from_numpy(draw_graphs(count, num_nodes, rng))
    value = torch.from_numpy(rng.random((count, num_nodes)))
    start = torch.from_numpy(rng.integers(0, num_nodes, count))
    nodes, graphs = labels(adjacency, value, start)
    graph, source, target = adjacency.nonzero().unbind(1)
    x = torch.stack([value, F.one_hot(start, num_nodes).double()], dim=2)
    first = graph * num_nodes
    return GraphBatch(
        x.flatten(0, 1).float(),
        source + first,
        target + first,
        count,
        nodes.flatten(0, 1).float(),
        graphs.float(),
    )


def labels(adjacency: Tensor, value: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """What the network has to say about each node and each graph, in the order of :data:`TASKS`.

    Distances are those within a connected component: a node that the source does not reach has distance 0, and
    eccentricity and diameter take the largest finite distance.

    Args:
        adjacency: bool ``[B, N, N]``, symmetric.
        value: ``[B, N]``, a number per node.
        start: int64 ``[B]``, the source.

    Returns:
        float64 ``[B, N, 3]`` and ``[B, 3]``.
    """
    distance = distances(adjacency)
    finite = torch.where(distance.isinf(), 0.0, distance)
    eccentricity = finite.amax(2)
    weight = adjacency.double()
    laplacian = weight.sum(2) * value - (weight @ value.unsqueeze(2)).squeeze(2)
    shortest = finite[torch.arange(start.numel()), start]
    connected = distance.isfinite().all(2).all(1).double()
    radius = torch.linalg.eigvalsh(weight).abs().amax(1)
    return (
        torch.stack([shortest, eccentricity, laplacian], dim=2),
        torch.stack([connected, eccentricity.amax(1), radius], dim=1),
    )


def distances(adjacency: Tensor) -> Tensor:
    """Lengths of the shortest paths between all pairs, infinite where there is none: ``[B, N, N]``.

    Example:
        >>> path = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.bool)
        >>> distances(path[None])[0, 0].tolist()
        [0.0, 1.0, 2.0]
    """
    step = adjacency.float()
    reached = torch.eye(adjacency.size(1), dtype=torch.bool).expand_as(adjacency)
    length = torch.where(reached, 0.0, torch.inf).double()
    for hops in range(1, adjacency.size(1)):
        new = (reached.float() @ step > 0) & ~reached
        if not new.any():
            break
        length[new] = hops
        reached = reached | new
    return length
