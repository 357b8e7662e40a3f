"""The product."""

from __future__ import annotations

from torch import Tensor

from graphkit.nn.aggr.monoids.base import Monoid


class Product(Monoid):
    r""":math:`a b`, identity 1. By the tree: its gradients need no division, so zeros among the rows are no harm."""

    commutative = associative = True

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def identity(self, state: Tensor) -> Tensor:
        return state.new_ones(state.shape[1:])
