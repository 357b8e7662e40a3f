"""Any network of two arguments, made commutative."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit.nn.aggr.monoids.base import BinaryOperator

_RANDOM = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class Symmetrized(BinaryOperator):
    r""":math:`a \oplus b = \frac{1}{2} (f(a, b) + f(b, a))` for a module ``f``.

    Args:
        op: called as ``op(a, b)`` on rows ``[M, H]``. It must work row by row and draw no random numbers.

    Raises:
        ValueError: if ``op`` holds dropout or batch normalisation, which are no functions of two rows.

    Example:
        >>> import torch
        >>> op = Symmetrized(torch.nn.Bilinear(4, 4, 4))
        >>> op(torch.randn(3, 4), torch.randn(3, 4)).shape
        torch.Size([3, 4])
    """

    commutative = True

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        if not isinstance(op, nn.Module):
            raise TypeError(f"'op' must be a torch.nn.Module (got {type(op).__name__})")
        for part in op.modules():
            if isinstance(part, _RANDOM):
                raise ValueError(f"'op' must be a function of its two rows (got one with {part}); leave that layer out")
        self.op = op

    def reset_parameters(self) -> None:
        """Reset every part of ``op`` that can be."""
        for part in self.op.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = (self.op(a, b) + self.op(b, a)) / 2
        return out
