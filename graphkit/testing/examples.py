"""The graph that a layer is tested on where the user gives none: small, with every awkward thing in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data


def example_edges(generator: torch.Generator, num_nodes: int = 12, undirected: bool = False) -> Tensor:
    """Edges of a multigraph of two components with a hub, a self-loop, a double edge and an isolated last
    node.

    Args:
        generator: Source of randomness.
        num_nodes: Number of nodes, at least 8.
        undirected: Give every edge its reverse.

    Returns:
        Edge index [2, E] in no particular order.

    Example:
        >>> edge_index = example_edges(torch.Generator().manual_seed(0))
        >>> bool((edge_index == 11).any()), int((edge_index[0] == edge_index[1]).sum())
        (False, 1)
    """
    if num_nodes < 8:
        raise ValueError(f"'num_nodes' must be at least 8 to hold the example's parts, got {num_nodes}")
    first = 2 * (num_nodes - 1) // 3
    parts = []
    for start, stop in ((0, first), (first, num_nodes - 1)):
        nodes = torch.arange(start, stop)
        source = torch.randint(start, stop, (2 * len(nodes),), generator=generator)
        target = torch.randint(start, stop, (2 * len(nodes),), generator=generator)
        edges = torch.stack([source, target])
        parts.append(edges[:, source != target])
    parts.append(torch.stack([torch.arange(1, first), torch.zeros(first - 1, dtype=torch.long)]))  # the hub: node 0
    parts.append(parts[0][:, :1])  # a double edge
    edges = torch.cat(parts, dim=1)
    if undirected:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    edges = torch.cat([edges, torch.tensor([[1], [1]])], dim=1)  # the self-loop
    return edges[:, torch.randperm(edges.size(1), generator=generator)]


class Filler:
    """Makes the inputs a layer's ``forward`` names, by name (see :data:`FILLERS`)."""

    def __init__(
        self, generator: torch.Generator, num_nodes: int, num_edges: int, channels: int, edge_dim: int
    ) -> None:
        self.generator = generator
        self.num_nodes = num_nodes
        self.num_edges = num_edges
        self.channels = channels
        self.edge_dim = edge_dim

    def normal(self, *size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=self.generator)

    def node_features(self) -> Tensor:
        return self.normal(self.num_nodes, self.channels)

    def positions(self) -> Tensor:
        return self.normal(self.num_nodes, 3)

    def edge_attr(self) -> Tensor:
        return self.normal(self.num_edges, self.edge_dim)

    def edge_weight(self) -> Tensor:
        return 0.5 + torch.rand(self.num_edges, dtype=torch.float64, generator=self.generator)

    def edge_type(self) -> Tensor:
        return torch.randint(2, (self.num_edges,), generator=self.generator)


FILLERS: dict[str, Callable[[Filler], Tensor]] = {
    "x": Filler.node_features,
    "x_0": Filler.node_features,
    "h": Filler.node_features,
    "msg": Filler.node_features,
    "pos": Filler.positions,
    "vel": Filler.positions,
    "edge_attr": Filler.edge_attr,
    "edge_weight": Filler.edge_weight,
    "edge_type": Filler.edge_type,
}
"""How to make an input from its name in ``forward``; names missing here need ``data=`` or ``call=``."""


def example_data(
    names: tuple[str, ...] = ("x",),
    *,
    channels: int = 8,
    edge_dim: int = 4,
    num_nodes: int = 12,
    undirected: bool = False,
    seed: int = 0,
) -> Data:
    """A ``Data`` on :func:`example_edges` with the named inputs, float64.

    Example:
        >>> data = example_data(("x", "edge_attr"), channels=3, edge_dim=2)
        >>> data.x.shape, data.edge_attr.size(1)
        (torch.Size([12, 3]), 2)
    """
    generator = torch.Generator().manual_seed(seed)
    edge_index = example_edges(generator, num_nodes, undirected)
    filler = Filler(generator, num_nodes, edge_index.size(1), channels, edge_dim)
    data = Data(edge_index=edge_index, num_nodes=num_nodes)
    for name in names:
        data[name] = FILLERS[name](filler)
    return data
