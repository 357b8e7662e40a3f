"""Orthogonal maps: a discrete vector bundle."""

from __future__ import annotations

from torch import Tensor

from graphkit.graph import Graph
from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf
from graphkit.nn.sheaf.learner import ConcatLearner, MakeLearner, learn
from graphkit.nn.sheaf.orthogonal import PARAMETRISATIONS, num_parameters, orthogonal_matrix


class BundleMaps(RestrictionMaps):
    r"""Learned orthogonal matrices (O(d)-NSD), and a learned weight per edge.

    .. math:: F_{u \to v} = a_{uv} a_{vu} Q_{u \to v}, \qquad Q_{u \to v}^T Q_{u \to v} = I, \qquad
        a_{uv} = \mathrm{sigmoid}(w^T [x_u \| x_v])

    The sheaf carries Q as its maps and :math:`(a_{uv} a_{vu})^2` as its weights.

    Args:
        in_channels: width of the features that the maps are learned from.
        stalk_dim: dimension of the stalks, at least 2.
        learner: makes the learner from ``in_channels`` and ``stalk_dim (stalk_dim - 1) / 2``.
        orthogonal: ``"householder"``, ``"cayley"``, ``"matrix_exp"`` or ``"euler"``
            (:mod:`graphkit.nn.sheaf.orthogonal`).
        edge_weights: learn the weights; without them all are 1.

    Raises:
        ValueError: if ``stalk_dim`` is 1 or does not go with ``orthogonal``, or that is unknown.

    Example:
        >>> import torch
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> sheaf = BundleMaps(8, 3, ConcatLearner)(torch.randn(2, 8), graph)
        >>> torch.dist(sheaf.maps @ sheaf.maps.mT, torch.eye(3).expand(2, 3, 3)) < 1e-5
        tensor(True)
    """

    def __init__(
        self,
        in_channels: int,
        stalk_dim: int,
        learner: MakeLearner,
        orthogonal: str = "householder",
        edge_weights: bool = True,
    ) -> None:
        super().__init__(stalk_dim)
        if orthogonal not in PARAMETRISATIONS:
            raise ValueError(
                f"'orthogonal' must be one of {', '.join(map(repr, PARAMETRISATIONS))} (got {orthogonal!r})"
            )
        if stalk_dim < 2:
            raise ValueError(f"'stalk_dim' must be at least 2 for maps='bundle' (got {stalk_dim}); use maps='diagonal'")
        if orthogonal == "euler" and stalk_dim > 3:
            raise ValueError(f"orthogonal='euler' needs stalk_dim 2 or 3 (got {stalk_dim}); use 'householder'")
        self.orthogonal = orthogonal
        self.learner = learner(in_channels, num_parameters(stalk_dim))
        self.weight_learner = ConcatLearner(in_channels, 1, act="sigmoid") if edge_weights else None

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """``[N, C] -> [E, d, d]`` and weights ``[E]``."""
        maps = orthogonal_matrix(learn(self.learner, x, graph), self.stalk_dim, self.orthogonal)
        weight = None
        if self.weight_learner is not None:
            one_way = learn(self.weight_learner, x, graph).squeeze(-1)
            # An edge without its reverse, which only a compiled model can meet, is the operator's to report.
            weight = (one_way * one_way.index_select(0, graph.reverse.clamp(min=0))).square()
        return Sheaf(maps, weight, orthogonal=True)

    def extra_repr(self) -> str:
        return f"orthogonal={self.orthogonal}"
