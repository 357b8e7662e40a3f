"""The sum of exponentials, in log space."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid, finite_if_empty


class LogSumExp(Monoid):
    r""":math:`\log(e^a + e^b)`, identity :math:`-\infty`."""

    commutative = associative = True

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.logaddexp(a, b)

    def identity(self, state: Tensor) -> Tensor:
        return state.new_full(state.shape[1:], -torch.inf)

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return finite_if_empty(ops.segment_logsumexp(x, graph.edge_index[1], graph.num_dst), graph)
