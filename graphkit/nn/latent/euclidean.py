"""The Euclidean metric and the Poincare ball, the geometries of the published graph module."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.nn.latent.base import Metric
from graphkit.ops.point_sets import CostPart
from graphkit.ops.snowflake import safe_norm


class Euclidean(Metric):
    """The Euclidean distance; edges cost its square.

    Example:
        >>> Euclidean()(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0]))
        tensor(5.)
    """

    increasing = True
    squared = True
    temperature = 4.0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return safe_norm(x - y)

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum(-1)


class PoincareBall(Metric):
    r"""The hyperbolic distance of points of the unit ball, as the published graph module has it; edges cost its square.

    .. math:: d = 2\,\mathrm{asinh}\sqrt{\frac{|p - q|^2}{(1 - |p|^2)(1 - |q|^2)}}, \qquad p = x / (1.01 \max(|x|, 1))

    Points outside the ball keep their direction alone. Use a hyperbolic block of
    :class:`~graphkit.nn.latent.ProductManifold` where lengths should count.

    Args:
        legacy: the published arithmetic: ``1e-6`` inside the hyperbolic cosine, so that a point is at distance 1.4e-3
            from itself. Ours has 0 there, and a finite gradient at x = 0, which the published code has not.

    Source: Kazi et al., "Differentiable graph module (DGM) for graph convolutional networks", arXiv 2002.04999.

    Example:
        >>> PoincareBall()(torch.zeros(2), torch.tensor([0.505, 0.0])).item()  # 2 atanh(1/2)
        1.098612...
    """

    def __init__(self, *, legacy: bool = False) -> None:
        super().__init__()
        self.legacy = legacy

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        p, q = self._project(x), self._project(y)
        inside = (1 - p.square().sum(-1)) * (1 - q.square().sum(-1))
        if self.legacy:
            return torch.acosh(1 + 1e-6 + 2 * (p - q).square().sum(-1) / inside)
        return 2 * torch.asinh(safe_norm(p - q) / inside.sqrt())

    def parts(self, z: Tensor) -> list[CostPart]:
        p = self._project(z.double())
        return [CostPart(p, 1 / (1 - p.square().sum(-1)), self._of_ratio)]

    def _of_ratio(self, q: Tensor) -> Tensor:
        distance = torch.acosh(1 + 1e-6 + 2 * q) if self.legacy else 2 * torch.asinh(q.sqrt())
        return distance.square()

    @staticmethod
    def _project(x: Tensor) -> Tensor:
        return x / (1.01 * safe_norm(x).clamp(min=1).unsqueeze(-1))
