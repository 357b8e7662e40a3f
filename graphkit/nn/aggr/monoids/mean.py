"""The mean: sums and counts."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid


class Mean(Monoid):
    r"""State (sum, count), :math:`(s, n) \oplus (s', n') = (s + s', n + n')`, lowered to :math:`s / n`."""

    commutative = associative = True

    def lift(self, x: Tensor) -> Tensor:
        return torch.stack([x, torch.ones_like(x)], dim=1)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def lower(self, state: Tensor) -> Tensor:
        total, count = state.unbind(1)
        return total / count.clamp(min=1)

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.gather_reduce(x, graph, reduce="mean")
