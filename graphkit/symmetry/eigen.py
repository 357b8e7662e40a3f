"""Eigenvectors of many small symmetric matrices, and a derivative that stays finite where eigenvalues meet."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

REGULAR = 1e-8
"""Gaps below about this share of the largest eigenvalue are damped in the derivative."""


def symmetric_eigen(matrices: Tensor, *, grad: bool = False) -> tuple[Tensor, Tensor]:
    r"""Eigenvalues (ascending) and eigenvectors (columns) of symmetric positive semidefinite matrices.

    Closed forms for d = 2 and 3: the eigenvalue that is farther from the other two by the trigonometric formula, its
    vector as the longest cross product of two rows, the others by an exact 2 x 2 rotation in its complement. This is
    accurate to some roundings at double and triple eigenvalues too, where taking each vector from cross products
    fails, and twice as fast as LAPACK. ``torch.linalg.eigh`` for larger d.

    Args:
        matrices: ``[..., d, d]``, float64 (or float32).
        grad: let gradients through. The derivative of an eigenvector divides by differences of eigenvalues; here
            :math:`1 / \Delta` is :math:`\Delta / (\Delta^2 + \epsilon^2)`, with :math:`\epsilon` = 1e-8 of the largest.

    Shapes:
        ``[..., d, d] -> [..., d]`` and ``[..., d, d]``.

    Example:
        >>> values, vectors = symmetric_eigen(torch.diag(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)))
        >>> values.tolist()
        [1.0, 2.0, 3.0]
        >>> vectors.abs().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if grad:
        return _Eigen.apply(matrices)
    return _eigen(matrices.detach())


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    dim = matrices.size(-1)
    if dim == 1:
        return matrices[..., 0], torch.ones_like(matrices)
    if dim == 2:
        return _planar(matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 1])
    if dim == 3:
        return _spatial(matrices)
    return torch.linalg.eigh(matrices)


def _planar(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Of ``[[a, b], [b, c]]``: the angle of the larger axis is half that of ``(a - c, 2 b)``."""
    half = torch.hypot(a - c, 2 * b) / 2
    middle = (a + c) / 2
    angle = torch.atan2(2 * b, a - c) / 2
    cos, sin = angle.cos(), angle.sin()
    vectors = torch.stack([torch.stack([-sin, cos], -1), torch.stack([cos, sin], -1)], -1)
    return torch.stack([middle - half, middle + half], -1), vectors


def _spatial(matrices: Tensor) -> tuple[Tensor, Tensor]:
    largest = matrices.abs().amax((-2, -1), keepdim=True)
    scaled = matrices / torch.where(largest > 0, largest, 1.0)
    mean = scaled.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(3, dtype=scaled.dtype, device=scaled.device)
    traceless = scaled - mean[..., None, None] * eye
    size = (traceless.square().sum((-2, -1)) / 6).sqrt()
    divisor = torch.where(size > 0, size, 1.0)
    rows = traceless.unbind(-2)
    determinant = (rows[0] * torch.linalg.cross(rows[1], rows[2])).sum(-1)
    ratio = (determinant / (2 * divisor**3)).clamp(-1, 1)
    angle = ratio.acos() / 3
    # Two of the three are close together where |ratio| is near 1: begin with the third.
    angle = torch.where(ratio >= 0, angle, angle + 2 * math.pi / 3)
    alone = traceless - (2 * size * angle.cos())[..., None, None] * eye
    first, second, third = alone.unbind(-2)
    crosses = torch.stack(
        [torch.linalg.cross(*pair) for pair in ((first, second), (second, third), (third, first))], -2
    )
    lengths = crosses.square().sum(-1)
    best = lengths.argmax(-1, keepdim=True)
    axis = crosses.gather(-2, best[..., None].expand(*best.shape, 3)).squeeze(-2)
    length = lengths.gather(-1, best).sqrt()
    axis = torch.where(length > 0, axis / torch.where(length > 0, length, 1.0), eye[0])
    b, c = complement(axis)
    gb, gc = (scaled @ b[..., None]).squeeze(-1), (scaled @ c[..., None]).squeeze(-1)
    values, plane = _planar((b * gb).sum(-1), (b * gc).sum(-1), (c * gc).sum(-1))
    pair = torch.stack([b, c], -1) @ plane
    own = (axis * (scaled @ axis[..., None]).squeeze(-1)).sum(-1)
    values = torch.cat([values, own[..., None]], -1)
    vectors = torch.cat([pair, axis[..., None]], -1)
    order = values.argsort(-1)
    values = values.gather(-1, order)
    vectors = vectors.gather(-1, order[..., None, :].expand(vectors.shape))
    return values * largest.squeeze(-1), vectors


def complement(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors ``[..., 3]`` that make an orthonormal basis of determinant 1 with the unit vector ``axis``.

    Duff et al., "Building an Orthonormal Basis, Revisited", JCGT 2017.

    Example:
        >>> b, c = complement(torch.tensor([0.0, 0.0, -1.0]))
        >>> (b + 0.0).tolist(), (c + 0.0).tolist()
        ([1.0, 0.0, 0.0], [0.0, -1.0, 0.0])
    """
    x, y, z = axis.unbind(-1)
    sign = torch.where(z >= 0, 1.0, -1.0).to(z.dtype)
    a = -1 / (sign + z)
    xy = x * y * a
    b = torch.stack([1 + sign * x * x * a, sign * xy, -sign * x], -1)
    c = torch.stack([xy, sign + y * y * a, -y], -1)
    return b, c


class _Eigen(torch.autograd.Function):
    """The derivative, in operations that autograd can differentiate again."""

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = _eigen(matrices)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, gvalues: Tensor, gvectors: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        same = torch.eye(values.size(-1), dtype=torch.bool, device=values.device)
        gap = (values[..., None, :] - values[..., :, None]).masked_fill(same, 1.0)
        least = REGULAR * values.abs().amax(-1)[..., None, None]
        tiny = torch.finfo(values.dtype).tiny
        # The diagonal is left out before the division: its second derivative would be a difference of huge numbers.
        inner = (gap / (gap.square() + least.square() + tiny)).masked_fill(same, 0.0) * (vectors.mT @ gvectors)
        inner = inner + torch.diag_embed(gvalues)
        outer = vectors @ inner @ vectors.mT
        return (outer + outer.mT) / 2
