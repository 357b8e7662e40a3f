"""NeuralSpacetime, a trainable quasi-metric of space coordinates and a partial order of time coordinates."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn.latent.base import Metric
from graphkit.ops.spacetime import partial_order, quasi_metric, relaxation


class NeuralSpacetime(Metric):
    r"""Points of D space and T time coordinates: a distance of the first, a partial order by the second, of `"Neural
    Spacetimes for DAG representation learning" <https://arxiv.org/abs/2408.13885>`_ (Borde et al., ICLR 2025).

    The distance (:func:`graphkit.ops.spacetime.quasi_metric`) treats every coordinate apart: it does not follow the
    Euclidean order, so that neighbours are searched among all pairs, in blocks. The order
    (:func:`graphkit.ops.spacetime.partial_order`): u precedes v iff no time of u is later than that of v.

    Unlike the published code, exponents are softplus of free parameters that start at 1 (there, ``1 + |s|``: they can
    only expand), weights too, biases start at 0, and one layer works.

    Args:
        space_dim: D.
        time_dim: T; 0 for a quasi-metric alone.
        hidden_channels: width of the networks.
        num_layers: J.
        eps: see :func:`graphkit.ops.spacetime.two_sided_power`.

    Shapes:
        ``[..., D + T]``, ``[..., D + T]`` -> ``[...]``

    Raises:
        ValueError: if a size is out of range, or points have another dimension.

    Example:
        >>> import torch
        >>> spacetime = NeuralSpacetime(2, 1)
        >>> x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> spacetime(x[0], x[1]).item(), spacetime.precedes(x[0], x[1]).item(), spacetime.precedes(x[1], x[0]).item()
        (0.0, True, False)
    """

    def __init__(
        self, space_dim: int, time_dim: int = 0, hidden_channels: int = 10, num_layers: int = 2, eps: float = 1e-6
    ) -> None:
        super().__init__()
        if min(space_dim, hidden_channels, num_layers) < 1 or time_dim < 0:
            raise ValueError(
                f"'space_dim', 'hidden_channels' and 'num_layers' must be positive and 'time_dim' not negative "
                f"(got {space_dim}, {hidden_channels}, {num_layers}, {time_dim})"
            )
        self.space_dim, self.time_dim, self.eps = space_dim, time_dim, eps
        between = [hidden_channels] * (num_layers - 1)
        self.small = nn.Parameter(torch.empty(num_layers + 1))
        self.large = nn.Parameter(torch.empty(num_layers + 1))
        self.space = _matrices([space_dim, *between, 1])
        self.power = nn.Parameter(torch.empty(num_layers if time_dim else 0))
        self.time_weight = _matrices([time_dim, *between, time_dim] if time_dim else [])
        self.time_bias = nn.ParameterList(torch.empty(weight.size(1)) for weight in self.time_weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: sums of coordinate differences with random weights about their mean."""
        one = math.log(math.expm1(1.0))
        with torch.no_grad():
            for exponent in (self.small, self.large, self.power):
                exponent.fill_(one)
            for weight in (*self.space, *self.time_weight):
                weight.copy_(math.log(math.expm1(1 / weight.size(0))) + 0.3 * torch.randn_like(weight))
            for bias in self.time_bias:
                bias.zero_()

    def powers(self) -> list[tuple[Tensor, Tensor]]:
        """J + 1 pairs (s, l), positive."""
        return list(zip(F.softplus(self.small).unbind(), F.softplus(self.large).unbind(), strict=True))

    @property
    def relaxation(self) -> float:
        """The constant of the relaxed triangle inequality of the distance."""
        with torch.no_grad():
            return relaxation([(float(small), float(large)) for small, large in self.powers()])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        for name, points in (("x", x), ("y", y)):
            if points.size(-1) != self.space_dim + self.time_dim:
                raise ValueError(
                    f"'{name}' must have {self.space_dim} space and {self.time_dim} time coordinates "
                    f"(got shape {list(points.shape)})"
                )
        weights = [F.softplus(weight) for weight in self.space]
        x, y = x[..., : self.space_dim], y[..., : self.space_dim]
        return quasi_metric(x, y, self.powers(), weights, self.eps)

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        distance: Tensor = self(x, y)
        return distance

    def time(self, x: Tensor) -> Tensor:
        """T(x): ``[..., D + T] -> [..., T]``, increasing in every time coordinate."""
        weights = [F.softplus(weight) for weight in self.time_weight]
        powers = list(F.softplus(self.power).unbind())
        return partial_order(x[..., self.space_dim :], powers, weights, list(self.time_bias))

    def precedes(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether x precedes y: bool ``[...]``."""
        return (self.time(x) <= self.time(y)).all(-1)

    def extra_repr(self) -> str:
        return f"space_dim={self.space_dim}, time_dim={self.time_dim}"


def _matrices(widths: list[int]) -> nn.ParameterList:
    return nn.ParameterList(torch.empty(before, after) for before, after in itertools.pairwise(widths))
