"""The sum."""

from __future__ import annotations

from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid


class Sum(Monoid):
    r""":math:`a + b`, identity 0."""

    commutative = associative = True

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.gather_reduce(x, graph, reduce="sum")
