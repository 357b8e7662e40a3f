"""The learnable commutative monoid of the paper: a symmetrised gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Parameter

from graphkit.nn.aggr.monoids.base import BinaryOperator


class SymmetricGRU(BinaryOperator):
    r""":math:`a \oplus b = \frac{1}{2} (\mathrm{GRU}(a, b) + \mathrm{GRU}(b, a))`, commutative by construction.

    One GRU cell with input and state of the same width; parameters, their names and their initial values are those of
    ``torch.nn.GRUCell``.

    Args:
        channels: width H of the rows.

    Shapes:
        ``[*, H]`` twice ``-> [*, H]``

    Source: Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", LoG 2022 (Binary-GRU).

    Example:
        >>> import torch
        >>> op = SymmetricGRU(4)
        >>> a, b = torch.randn(3, 4), torch.randn(3, 4)
        >>> torch.equal(op(a, b), op(b, a))
        True
    """

    commutative = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight_ih = Parameter(torch.empty(3 * channels, channels))
        self.weight_hh = Parameter(torch.empty(3 * channels, channels))
        self.bias_ih = Parameter(torch.empty(3 * channels))
        self.bias_hh = Parameter(torch.empty(3 * channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in :math:`\\pm 1 / \\sqrt{H}`, as ``torch.nn.GRUCell``."""
        bound = self.channels**-0.5 if self.channels > 0 else 0.0
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """See the class."""
        return _combine(a, b, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def pure(self) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        """See :meth:`Monoid.pure`; nothing to swap, so it is cheap."""
        return _combine, (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.channels}"


def _combine(a: Tensor, b: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    shape = a.shape
    a, b = a.reshape(-1, shape[-1]), b.reshape(-1, shape[-1])
    # Two calls and not one on [a; b]: a row then stands in the same place in both orders, and the bits are equal.
    one, other = torch.gru_cell(a, b, w_ih, w_hh, b_ih, b_hh), torch.gru_cell(b, a, w_ih, w_hh, b_ih, b_hh)
    return ((one + other) / 2).reshape(shape)
