"""The power mean, in log space."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid


class PowerMean(Monoid):
    r"""Power mean of positive numbers, :math:`(\frac{1}{n} \sum_i x_i^p)^{1/p}`.

    State :math:`(\log \sum_i x_i^p, n)`; for ``p = 0``, the geometric mean, :math:`(\sum_i \log x_i, n)`. To learn
    ``p``, take :class:`graphkit.nn.PowerMeanAggregation`.

    Args:
        p: the power.
        eps: floor of the rows.
    """

    commutative = associative = True

    def __init__(self, p: float = 1.0, eps: float = 1e-7) -> None:
        super().__init__()
        self.p = p
        self.eps = eps

    def lift(self, x: Tensor) -> Tensor:
        log = x.clamp(min=self.eps).log()
        return torch.stack([self.p * log if self.p != 0 else log, torch.ones_like(x)], dim=1)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        first = a[:, 0] + b[:, 0] if self.p == 0 else torch.logaddexp(a[:, 0], b[:, 0])
        return torch.stack([first, a[:, 1] + b[:, 1]], dim=1)

    def lower(self, state: Tensor) -> Tensor:
        total, count = state.unbind(1)
        some = count.clamp(min=1)
        log_mean = total / some if self.p == 0 else (total - some.log()) / self.p
        return torch.where(count > 0, log_mean.exp(), torch.zeros_like(total))

    def identity(self, state: Tensor) -> Tensor:
        nothing = state.new_zeros(state.shape[1:])
        nothing[0] = 0.0 if self.p == 0 else -torch.inf
        return nothing

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.powermean_aggregate(x, graph, None, self.p, self.eps, message="copy")

    def extra_repr(self) -> str:
        return f"p={self.p}"
