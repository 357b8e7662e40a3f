"""A symmetrised multilayer perceptron."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn import functional as F

from graphkit.nn.aggr.monoids.base import BinaryOperator


class SymmetricMLP(BinaryOperator):
    r""":math:`a \oplus b = \frac{1}{2} (f(a, b) + f(b, a))` with :math:`f(a, b) = W_2\,
    \mathrm{relu}(W_1 [a \Vert b])`, commutative by construction.

    Args:
        channels: width H of the rows.
        hidden_channels: width of the hidden layer, ``2 H`` by default.

    Shapes:
        ``[*, H]`` twice ``-> [*, H]``
    """

    commutative = True

    def __init__(self, channels: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.hidden_channels = 2 * channels if hidden_channels is None else hidden_channels
        self.lin1 = Linear(2 * channels, self.hidden_channels)
        self.lin2 = Linear(self.hidden_channels, channels)

    def reset_parameters(self) -> None:
        """Draw both layers anew."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """See the class."""
        # The second layer is linear: the mean may be taken before it.
        one, other = self.lin1(torch.cat([a, b], dim=-1)), self.lin1(torch.cat([b, a], dim=-1))
        out: Tensor = self.lin2((F.relu(one) + F.relu(other)) / 2)
        return out

    def extra_repr(self) -> str:
        return f"{self.channels}, hidden_channels={self.hidden_channels}"
