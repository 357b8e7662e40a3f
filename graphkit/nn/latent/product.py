"""ProductManifold, Euclidean, hyperbolic and spherical blocks with learned curvature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn.latent.base import Metric
from graphkit.ops.manifolds import euclidean_sq_distance, hyperbolic_sq_distance, spherical_sq_distance
from graphkit.ops.point_sets import CostPart
from graphkit.ops.snowflake import safe_norm

_SIGNS = {"euclidean": 0, "hyperbolic": -1, "spherical": 1}
_FAR = {"euclidean": math.inf, "hyperbolic": 12.0, "spherical": 1e4}  # beyond, charts lose too many digits


class ProductManifold(Metric):
    r"""The product of spaces of constant curvature, of `"Latent graph inference using product manifolds"
    <https://arxiv.org/abs/2211.16199>`_ (Borde et al., ICLR 2023); edges cost the squared distance.

    .. math:: d^2(u, v) = \sum_m w_m^2\, d_m^2(\exp_0 u_m, \exp_0 v_m)

    over blocks of coordinates, each in the Euclidean space, the hyperbolic space of curvature -1 or the unit sphere.
    Scaling a space by w divides its curvature by :math:`w^2`, so the curvatures (:attr:`curvatures`) are learned by the
    scales; learning both would be learning the same twice. :math:`|u_m|` is the length of the geodesic from the origin.

    Args:
        blocks: pairs of ``"euclidean"``, ``"hyperbolic"`` or ``"spherical"`` and a dimension.
        learn_scale: learn w; else it is 1.

    Shapes:
        ``[..., d]``, ``[..., d]`` -> ``[...]`` with d the sum of the dimensions

    Raises:
        ValueError: if a block is unknown or empty, or points have another dimension.

    Example:
        >>> import torch
        >>> metric = ProductManifold([("euclidean", 2), ("hyperbolic", 2)])
        >>> x = torch.tensor([3.0, 0.0, 0.0, 0.0]); y = torch.tensor([0.0, 0.0, 4.0, 0.0])
        >>> round(metric(x, y).item(), 4)
        5.0
    """

    def __init__(self, blocks: Sequence[tuple[str, int]], *, learn_scale: bool = True) -> None:
        super().__init__()
        if not blocks or any(kind not in _SIGNS or dim < 1 for kind, dim in blocks):
            raise ValueError(f"'blocks' must be pairs of one of {list(_SIGNS)} and a positive dimension (got {blocks})")
        self.blocks = [(kind, int(dim)) for kind, dim in blocks]
        start = torch.full((len(blocks),), math.log(math.expm1(1.0)))
        self.raw_scale = nn.Parameter(start) if learn_scale else None

    def reset_parameters(self) -> None:
        """Set all scales to 1."""
        if self.raw_scale is not None:
            nn.init.constant_(self.raw_scale, math.log(math.expm1(1.0)))

    @property
    def scales(self) -> Tensor:
        """``[blocks]``: w."""
        return torch.ones(len(self.blocks)) if self.raw_scale is None else F.softplus(self.raw_scale)

    @property
    def curvatures(self) -> Tensor:
        """``[blocks]``: the curvature of each space, 0 for Euclidean ones."""
        signs = torch.tensor([float(_SIGNS[kind]) for kind, _ in self.blocks])
        return signs / self.scales.detach().cpu().square()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        square = self.cost(x, y)
        # The root's slope is infinite at 0, where the distance has a kink: no gradient there.
        return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        parts = zip(self._split(x.to(wide)), self._split(y.to(wide)), strict=True)
        total: Tensor | None = None
        for (kind, _), scale, (u, v) in zip(self.blocks, self.scales, parts, strict=True):
            if kind == "hyperbolic":
                square = hyperbolic_sq_distance(u, v)
            elif kind == "spherical":
                square = spherical_sq_distance(u, v)
            else:
                square = euclidean_sq_distance(u, v)
            square = square * scale.to(square).square()
            total = square if total is None else total + square
        assert total is not None  # there is a block
        return total

    def parts(self, z: Tensor) -> list[CostPart] | None:
        r"""The squared distance as a sum over blocks of functions of q, the squared distance in a chart of each.

        On the sphere :math:`4 \arcsin^2 (\sqrt q / 2)` of points of :math:`R^{d + 1}`; in hyperbolic space
        :math:`4\,\mathrm{asinh}^2 \sqrt{q\, c_u c_v}` of points of the Poincare ball, :math:`c = \cosh^2(|u| / 2)`.
        """
        blocks = self._split(z.double())
        lengths = [safe_norm(u) for u in blocks]
        if any(bool((r > _FAR[kind]).any()) for (kind, _), r in zip(self.blocks, lengths, strict=True)):
            return None
        scales = self.scales.detach().double()
        parts = []
        for (kind, _), w, u, r in zip(self.blocks, scales, blocks, lengths, strict=True):
            unit = u / torch.where(r > 0, r, 1.0).unsqueeze(-1)
            if kind == "hyperbolic":
                ball = unit * torch.tanh(r / 2).unsqueeze(-1)
                parts.append(CostPart(ball, torch.cosh(r / 2).square(), partial(_hyperbolic, w)))
            elif kind == "spherical":
                sphere = torch.cat([torch.cos(r).unsqueeze(-1), unit * torch.sin(r).unsqueeze(-1)], -1)
                parts.append(CostPart(sphere, None, partial(_spherical, w)))
            else:
                parts.append(CostPart(u, None, partial(torch.mul, w.square())))
        return parts

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        dims = [dim for _, dim in self.blocks]
        if x.size(-1) != sum(dims):
            raise ValueError(f"points must have {sum(dims)} coordinates for {self.blocks} (got shape {list(x.shape)})")
        return x.split(dims, -1)

    def extra_repr(self) -> str:
        return " x ".join(f"{kind}({dim})" for kind, dim in self.blocks)


def _hyperbolic(w: Tensor, q: Tensor) -> Tensor:
    return (2 * w * torch.asinh(q.sqrt())).square()


def _spherical(w: Tensor, q: Tensor) -> Tensor:
    return (2 * w * torch.asin((q.sqrt() / 2).clamp(max=1))).square()
