"""Maximum and minimum."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid


class Max(Monoid):
    r""":math:`\max(a, b)`, identity :math:`-\infty`. Tied rows share the gradient."""

    commutative = associative = True

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)

    def identity(self, state: Tensor) -> Tensor:
        return state.new_full(state.shape[1:], -torch.inf)

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.gather_reduce(x, graph, reduce="max")


class Min(Monoid):
    r""":math:`\min(a, b)`, identity :math:`+\infty`. Tied rows share the gradient."""

    commutative = associative = True

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)

    def identity(self, state: Tensor) -> Tensor:
        return state.new_full(state.shape[1:], torch.inf)

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        return ops.gather_reduce(x, graph, reduce="min")
