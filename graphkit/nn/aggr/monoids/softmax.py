"""The softmax-weighted sum in its online form."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid


class Softmax(Monoid):
    r"""Softmax-weighted sum, :math:`\sum_i \mathrm{softmax}_i(t x_i)\, x_i`.

    State (largest exponent, weight, weighted sum), :math:`(m, w, s) \oplus (m', w', s') = (M, w e^{m - M} + w' e^{m' -
    M}, s e^{m - M} + s' e^{m' - M})` with :math:`M = \max(m, m')`, lowered to :math:`s / w`. To learn ``t``, take
    :class:`graphkit.nn.SoftmaxAggregation`.

    Args:
        t: inverse temperature.
    """

    commutative = associative = True

    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        self.t = t

    def lift(self, x: Tensor) -> Tensor:
        return torch.stack([self.t * x, torch.ones_like(x), x], dim=1)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        largest = torch.maximum(a[:, :1], b[:, :1])
        rest = a[:, 1:] * torch.exp(a[:, :1] - largest) + b[:, 1:] * torch.exp(b[:, :1] - largest)
        return torch.cat([largest, rest], dim=1)

    def lower(self, state: Tensor) -> Tensor:
        weight = state[:, 1]
        return state[:, 2] / torch.where(weight > 0, weight, torch.ones_like(weight))

    def identity(self, state: Tensor) -> Tensor:
        nothing = state.new_zeros(state.shape[1:])
        nothing[0] = -torch.inf
        return nothing

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.softmax_aggregate(x, graph, t=self.t, message="copy")

    def extra_repr(self) -> str:
        return f"t={self.t}"
