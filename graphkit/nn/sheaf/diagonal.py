"""Diagonal maps."""

from __future__ import annotations

from torch import Tensor

from graphkit.graph import Graph
from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf
from graphkit.nn.sheaf.learner import MakeLearner, learn


class DiagonalMaps(RestrictionMaps):
    """One learned number per stalk row (Diag-NSD): stalk rows do not mix.

    Args:
        in_channels: width of the features that the maps are learned from.
        stalk_dim: dimension of the stalks.
        learner: makes the learner from ``in_channels`` and ``stalk_dim``.

    Example:
        >>> import torch
        >>> from graphkit.nn.sheaf import ConcatLearner
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> DiagonalMaps(8, 3, ConcatLearner)(torch.randn(2, 8), graph).maps.shape
        torch.Size([2, 3])
    """

    def __init__(self, in_channels: int, stalk_dim: int, learner: MakeLearner) -> None:
        super().__init__(stalk_dim)
        self.learner = learner(in_channels, stalk_dim)

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """``[N, C] -> [E, d]``."""
        return Sheaf(learn(self.learner, x, graph))
