"""General maps."""

from __future__ import annotations

from torch import Tensor

from graphkit.graph import Graph
from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf
from graphkit.nn.sheaf.learner import MakeLearner, learn


class GeneralMaps(RestrictionMaps):
    """Any ``d x d`` matrix, all entries learned (Gen-NSD).

    Args:
        in_channels: width of the features that the maps are learned from.
        stalk_dim: dimension of the stalks.
        learner: makes the learner from ``in_channels`` and ``stalk_dim ** 2``.

    Example:
        >>> import torch
        >>> from graphkit.nn.sheaf import AttentionLearner
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> GeneralMaps(8, 3, AttentionLearner)(torch.randn(2, 8), graph).maps.shape
        torch.Size([2, 3, 3])
    """

    def __init__(self, in_channels: int, stalk_dim: int, learner: MakeLearner) -> None:
        super().__init__(stalk_dim)
        self.learner = learner(in_channels, stalk_dim * stalk_dim)

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """``[N, C] -> [E, d, d]``."""
        return Sheaf(learn(self.learner, x, graph).unflatten(-1, (self.stalk_dim, self.stalk_dim)))
