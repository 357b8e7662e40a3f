"""The variance, by Chan's update."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid
from graphkit.ops.check import accumulator


class Variance(Monoid):
    r"""Mean square distance from the mean, :math:`\frac{1}{n} \sum_i (x_i - \bar x)^2`.

    State (count, mean, sum of squares around it). Unlike :math:`\overline{x^2} - \bar x^2`, which PyG's
    ``VarAggregation`` takes, it loses no digits where the mean is large.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """

    commutative = associative = True

    def lift(self, x: Tensor) -> Tensor:
        return torch.stack([torch.ones_like(x), x, torch.zeros_like(x)], dim=1)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        count = a[:, 0] + b[:, 0]
        share = b[:, 0] / count.clamp(min=1)
        gap = b[:, 1] - a[:, 1]
        squares = a[:, 2] + b[:, 2] + gap * gap * a[:, 0] * share
        return torch.stack([count, a[:, 1] + gap * share, squares], dim=1)

    def lower(self, state: Tensor) -> Tensor:
        return state[:, 2] / state[:, 0].clamp(min=1)

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        wide = x.to(accumulator(x.dtype))
        mean = ops.gather_reduce(wide, graph, reduce="mean")
        gap = wide - mean.index_select(0, graph.edge_index[1])
        return ops.gather_reduce(gap * gap, graph, reduce="mean").to(x.dtype)
