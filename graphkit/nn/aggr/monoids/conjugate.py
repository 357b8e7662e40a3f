"""A monoid by construction: the sum in other coordinates."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoids.base import Monoid
from graphkit.ops.check import accumulator


class Conjugate(Monoid):
    r""":math:`a \oplus b = \varphi^{-1}(\varphi(a) + \varphi(b))`, exactly associative and commutative for every
    :math:`\varphi`, identity :math:`\varphi^{-1}(0)`.

    Evaluated as one sum. With an invertible network (a flow) for :math:`\varphi` it is the strictest learnable monoid,
    and the least expressive: by its coordinates it is a fixed aggregator.

    Args:
        phi: module ``[M, H] -> [M, S]``.
        phi_inv: module ``[M, S] -> [M, H]``. If it is not the inverse of ``phi``, a segment of one row does not give
            that row.

    Example:
        >>> import torch
        >>> class Log(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x.log()
        >>> class Exp(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x.exp()
        >>> from graphkit.nn import MonoidAggregation
        >>> product = MonoidAggregation(Conjugate(Log(), Exp()))
        >>> round(product(torch.tensor([[2.0], [3.0], [4.0]]), torch.tensor([0, 0, 0])).item(), 4)
        24.0
    """

    commutative = associative = True

    def __init__(self, phi: nn.Module, phi_inv: nn.Module) -> None:
        super().__init__()
        self.phi = phi
        self.phi_inv = phi_inv

    def reset_parameters(self) -> None:
        """Reset every part of both maps that can be."""
        for part in (*self.phi.modules(), *self.phi_inv.modules()):
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()

    def lift(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x)
        return out

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def lower(self, state: Tensor) -> Tensor:
        out: Tensor = self.phi_inv(state)
        return out

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        """One sum of the lifted rows, in float32 for half types."""
        state = self.lift(x)
        total = ops.gather_reduce(state.to(accumulator(state.dtype)), graph, reduce="sum")
        return self.lower(total.to(state.dtype)).to(x.dtype)
