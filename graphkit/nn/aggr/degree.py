"""Between the mean and the sum: an aggregation scaled by a power of the number of messages."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

from graphkit.graph import Graph
from graphkit.nn.aggr.base import FusableAggregation


class DegreeScaledAggregation(FusableAggregation):
    r"""An aggregation times a power of the in-degree.

    .. math:: y_i = n_i^{\sigma(y)} \cdot \mathrm{AGG}_j(m_j)

    Over the softmax or power mean this is ``softmax_sum`` or ``power_sum``. The exponent is the sigmoid of
    ``y``, as in the published code: 0.5 at ``y = 0``, in (0, 1) always. The paper writes the exponent itself
    as ``y``.

    Args:
        aggr: the aggregation to scale.
        y: initial logit of the exponent.
        learn: learn ``y``.

    Shapes:
        as ``aggr``; an empty group gives 0.

    Source: Li et al., "DeeperGCN: All You Need to Train Deeper GCNs", arXiv 2006.07739, section 3.2. PyG has
    no counterpart.

    Example:
        >>> import torch
        >>> from graphkit.nn import SoftmaxAggregation
        >>> aggr = DegreeScaledAggregation(SoftmaxAggregation(t=0.0))
        >>> aggr(torch.ones(4, 1), torch.zeros(4, dtype=torch.long)).item()
        2.0
    """

    def __init__(self, aggr: FusableAggregation, y: float = 0.0, learn: bool = False) -> None:
        super().__init__()
        self.aggr = aggr
        self._init_y = y
        self.learn = learn
        self.y: Tensor | float = Parameter(torch.empty(1)) if learn else y
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``y``, and what the inner aggregation learns, to their initial values."""
        self.aggr.reset_parameters()
        if isinstance(self.y, Tensor):
            torch.nn.init.constant_(self.y, self._init_y)

    def over(
        self,
        x: Tensor,
        graph: Graph,
        edge_attr: Tensor | None = None,
        *,
        message: str = "copy",
        eps: float = 0.0,
    ) -> Tensor:
        """See :meth:`FusableAggregation.over`."""
        out = self.aggr.over(x, graph, edge_attr, message=message, eps=eps)
        y = self.y if isinstance(self.y, Tensor) else torch.full((1,), self.y, dtype=torch.float64)
        # Half types do not hold large degrees.
        exponent = torch.sigmoid(y.to(out.device, torch.promote_types(out.dtype, torch.float32)))
        degree = graph.in_degree.to(exponent.dtype)
        # An empty group is 0 whatever the aggregation says, and 0**y would have a NaN gradient.
        scale = torch.where(degree > 0, degree.clamp(min=1) ** exponent, torch.zeros_like(degree))
        return (out * scale.view(-1, *[1] * (out.dim() - 1))).to(out.dtype)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.aggr}, learn={self.learn})"
