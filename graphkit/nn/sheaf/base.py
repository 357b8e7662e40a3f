"""``Sheaf``, and what every family of restriction maps is."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from graphkit.graph import Graph


class Sheaf(NamedTuple):
    """Restriction maps on the edges of a graph in which every edge has its reverse.

    Attributes:
        maps: ``[E, d]`` (diagonal) or ``[E, d, d]``: the map of each edge's source into the undirected edge, in the
            graph's edge order. The map of the other end is that of the reversed edge.
        weight: ``[E]``, the weight of the undirected edge in the Laplacian (the square of a factor of both its maps),
            equal on an edge and its reverse; ``None`` is 1.
        orthogonal: whether the matrices are orthogonal, so that the node blocks of the Laplacian are scalars.
    """

    maps: Tensor
    weight: Tensor | None = None
    orthogonal: bool = False


class RestrictionMaps(nn.Module):
    """Base of the families: node features ``[N, C]`` and a graph with reverses to a :class:`Sheaf`.

    Args:
        stalk_dim: dimension ``d`` of the stalks.

    Raises:
        ValueError: if ``stalk_dim`` is not positive.
    """

    def __init__(self, stalk_dim: int) -> None:
        super().__init__()
        if stalk_dim < 1:
            raise ValueError(f"'stalk_dim' must be at least 1 (got {stalk_dim})")
        self.stalk_dim = stalk_dim

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """The sheaf; every family defines it."""
        raise TypeError(f"{type(self).__name__} does not define forward(x, graph)")
