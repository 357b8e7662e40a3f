"""The trivial sheaf."""

from __future__ import annotations

from torch import Tensor

from graphkit.graph import Graph
from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf


class IdentityMaps(RestrictionMaps):
    """All maps are the identity: the sheaf Laplacian is the graph's, on every stalk row. The control experiment.

    Example:
        >>> import torch
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> IdentityMaps(3)(torch.randn(2, 8), graph).maps.shape
        torch.Size([2, 3])
    """

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """``[N, C] -> [E, d]`` of ones."""
        return Sheaf(x.new_ones(graph.num_edges, self.stalk_dim))
