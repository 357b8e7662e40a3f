"""Frames of Euclidean groups by principal axes and by Gram-Schmidt, and what they do to values of each kind.

References:
    1. Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022.
    2. Lin et al., "Equivariance via Minimal Frame Averaging for More Symmetries and Efficiency", ICML 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit import ops
from graphkit.symmetry.cloud import Cloud
from graphkit.symmetry.eigen import symmetric_eigen
from graphkit.symmetry.groups import Euclidean


def sign_set(group: Euclidean) -> Tensor:
    """The sign changes of principal axes that a group holds: ``[2^d, d]``; without reflections, relative to axes of
    determinant 1, ``[2^(d-1), d]``; without rotations ``[1, d]``.

    Example:
        >>> sign_set(Euclidean.named("SO(3)")).tolist()
        [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    if not group.rotations:
        return torch.ones(1, group.dim, dtype=torch.float64)
    pair = torch.tensor([1.0, -1.0], dtype=torch.float64)
    if group.reflections:
        return torch.cartesian_prod(*[pair] * group.dim).reshape(-1, group.dim)
    if group.dim == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    free = torch.cartesian_prod(*[pair] * (group.dim - 1)).reshape(-1, group.dim - 1)
    return torch.cat([free, free.prod(1, keepdim=True)], 1)


@dataclass(frozen=True)
class EuclideanFrame:
    """Frames of a batch of clouds: each is ``rotation`` with the signs of its columns changed.

    Attributes:
        group: the group.
        rotation: ``[B, d, d]`` float64, axes in columns.
        signs: ``[S, d]``.
        center: ``[B, d]``.
        scale: ``[B]``; 1 without scalings.
        eigenvalues: ``[B, d]`` of the covariance, ascending (QR: zeros).
        damping: ``[B, d]``: 0 for axes that a cloud does not determine, along which outputs must vanish; None: none.
        batch: the cloud of each node ``[N]``.
    """

    group: Euclidean
    rotation: Tensor
    signs: Tensor
    center: Tensor
    scale: Tensor
    eigenvalues: Tensor
    damping: Tensor | None
    batch: Tensor

    def elements(self) -> Tensor:
        """All frames as matrices, ``[B, S, d, d]``."""
        return self.rotation[:, None] * self.signs[:, None]

    def index(self, rows: int) -> Tensor:
        """The cloud of each row of a value with a row per node or per cloud.

        Raises:
            ValueError: if the number of rows is neither.
        """
        if rows == self.batch.numel():
            return self.batch
        if rows == self.center.size(0):
            return torch.arange(rows, device=self.batch.device)
        raise ValueError(
            f"expected a row per node ({self.batch.numel()}) or per cloud ({self.center.size(0)}), got {rows}"
        )

    def canonicalize(self, value: Tensor, kind: str) -> Tensor:
        """Coordinates in each frame: ``[n, ...] -> [S, n, ...]``; rotated once, then signs are changed."""
        index = self.index(value.size(0))
        local = to_axes(value, kind, index, self.rotation, self.center, self.scale)
        return flip(local[None], kind, self.signs)

    def restore(self, values: Tensor, kind: str) -> Tensor:
        """The mean of values given in each frame, in the coordinates of space: ``[S, n, ...] -> [n, ...]``."""
        mean = flip(values, kind, self.signs).mean(0)
        index = self.index(mean.size(0))
        mean = damp(mean, kind, None if self.damping is None else self.damping[index])
        back = from_axes(mean, kind, self.rotation[index], self.scale[index])
        return back + rows_like(self.center[index], back) if kind == "position" else back


def to_axes(value: Tensor, kind: str, index: Tensor, rotation: Tensor, center: Tensor, scale: Tensor) -> Tensor:
    """Coordinates of values in the axes of their clouds, ``[n, ...] -> [n, ...]``.

    Args:
        value: rows of values.
        kind: their kind.
        index: the cloud of each row.
        rotation: ``[B, d, d]``.
        center: ``[B, d]``; positions count from it.
        scale: ``[B]``; lengths are divided by it.
    """
    if kind == "scalar":
        return value
    local = value
    if kind == "position":
        local = (value.double() - rows_like(center.index_select(0, index), value)).to(value.dtype)
    local = _rotate(local, kind, rotation.to(value.dtype).index_select(0, index))
    return local / _scale_of(kind, scale, index, local)


def from_axes(value: Tensor, kind: str, rotation: Tensor, scale: Tensor) -> Tensor:
    """The way back, without the centre; ``rotation`` and ``scale`` per row."""
    if kind == "scalar":
        return value
    moved = _rotate(value, kind, rotation.mT.to(value.dtype))
    if kind in ("pseudovector", "tensor"):
        scale = scale.square()
    return moved * rows_like(scale, moved).to(value.dtype)


def flip(values: Tensor, kind: str, signs: Tensor) -> Tensor:
    """The coordinates after axes have changed sign: one value for all, ``[1, n, ...]``, or one per row of ``signs``
    ``[S, d]``, give ``[S, n, ...]``."""
    if kind == "scalar":
        return values.expand(signs.size(0), *values.shape[1:])
    signs = signs.to(values.dtype)
    if kind == "pseudovector":
        signs = signs * signs.prod(-1, keepdim=True)
    factor = signs[:, :, None] * signs[:, None, :] if kind == "tensor" else signs
    return values * rows_like(factor, values)


def damp(value: Tensor, kind: str, damping: Tensor | None) -> Tensor:
    """Takes out what axes that are not determined cannot have: their vector components, and of tensors all but the
    mean of their diagonal."""
    if damping is None or kind == "scalar":
        return value
    damping = damping.to(value.dtype)
    axes = value.dim() - 1 - (1 if kind == "tensor" else 0)
    m = damping.reshape(damping.size(0), *(1,) * (axes - 1), damping.size(1))
    if kind != "tensor":
        return value * m
    diagonal = value.diagonal(dim1=-2, dim2=-1)
    loose = (1 - m).sum(-1, keepdim=True)
    mean = ((1 - m) * diagonal).sum(-1, keepdim=True) / torch.where(loose > 0, loose, 1.0)
    kept = value * m[..., :, None] * m[..., None, :]
    return kept + torch.diag_embed(m * diagonal + (1 - m) * mean - kept.diagonal(dim1=-2, dim2=-1))


def pca_frame(group: Euclidean, cloud: Cloud, *, grad: bool = False) -> EuclideanFrame:
    """Frames by principal axes: columns are eigenvectors of the covariance, eigenvalues ascending; without
    reflections the last axis is the one that makes the determinant 1 (in space: first times second).

    Args:
        group: the group.
        cloud: see :func:`graphkit.symmetry.cloud.make_cloud`.
        grad: let gradients through axes and scale.
    """
    values, rotation = symmetric_eigen(cloud.covariance, grad=grad)
    if not group.rotations:
        rotation = torch.eye(group.dim, dtype=values.dtype, device=values.device).expand_as(rotation)
    elif not group.reflections:
        rotation = proper(rotation)
    signs = sign_set(group).to(values.device)
    # A single point determines no axis: what moves with the group must vanish, not only up to rounding.
    damping = (~cloud.single).to(values)[:, None].expand(-1, group.dim) if group.rotations else None
    return EuclideanFrame(group, rotation, signs, cloud.center, _scale(group, cloud), values, damping, cloud.batch)


def qr_frame(group: Euclidean, cloud: Cloud, *, grad: bool = False, tol: float = 1e-6) -> EuclideanFrame:
    """One frame by Gram-Schmidt on the first points that are independent: exact at any rank, for one call of the
    network; but it depends on the order of the points, and jumps where points become dependent.

    Args:
        group: the group.
        cloud: its points in an order that means something (a chain).
        grad: let gradients through.
        tol: a point is independent if its distance from the span of those before is more than this share of the
            largest distance from the origin.
    """
    dim, number = group.dim, cloud.num_graphs
    points = torch.cat([part for part, _ in cloud.points])
    index = torch.cat([part for _, part in cloud.points])
    points = points if grad else points.detach()
    largest = ops.scatter(points.detach().norm(dim=1, keepdim=True), index, number, "max").squeeze(1)
    order = torch.arange(points.size(0), device=points.device)
    axes: list[Tensor] = []
    determined: list[Tensor] = []
    rest = points
    for _ in range(dim):
        length = rest.detach().norm(dim=1)
        usable = length > tol * largest[index]
        none = points.size(0)
        first = torch.full((number,), none, device=points.device).scatter_reduce(
            0, index, torch.where(usable, order, none), "amin"
        )
        found = (first < none) & ~cloud.single
        row = rest[first.clamp(max=none - 1)] if none else points.new_zeros(number, dim)
        axis = torch.where(found[:, None], row, _completion(axes, number, points))
        for earlier in axes:  # once more: what the first pass left of the span by rounding
            axis = axis - (axis * earlier).sum(1, keepdim=True) * earlier
        axis = axis / axis.norm(dim=1, keepdim=True)
        axes.append(axis)
        determined.append(found)
        rest = rest - (rest * axis[index]).sum(1, keepdim=True) * axis[index]
    rotation = torch.stack(axes, 2)
    damping = torch.stack(determined, 1).to(rotation.dtype)
    if not group.rotations:
        rotation = torch.eye(dim, dtype=rotation.dtype, device=rotation.device).expand_as(rotation)
        damping = torch.ones_like(damping)
    elif not group.reflections:
        rotation = proper(rotation)
        # The last axis is known from the others.
        damping = torch.cat([damping[:, :-1], damping[:, -2:-1] if dim > 1 else torch.ones_like(damping)], 1)
    signs = torch.ones(1, dim, dtype=rotation.dtype, device=rotation.device)
    values = torch.zeros(number, dim, dtype=rotation.dtype, device=rotation.device)
    return EuclideanFrame(group, rotation, signs, cloud.center, _scale(group, cloud), values, damping, cloud.batch)


def proper(rotation: Tensor) -> Tensor:
    """Orthogonal matrices ``[B, d, d]`` with the sign of the last axis that makes the determinant 1.

    Example:
        >>> proper(-torch.eye(3)[None])[0].diagonal().tolist()
        [-1.0, -1.0, 1.0]
    """
    return torch.cat([rotation[..., :-1], rotation[..., -1:] * _determinant(rotation)], -1)


def _completion(axes: list[Tensor], number: int, like: Tensor) -> Tensor:
    """A unit vector that is far from the span of the axes: the coordinate axis of the smallest projection."""
    dim = like.size(1)
    projection = like.new_zeros(number, dim)
    for axis in axes:
        projection = projection + axis.detach().square()
    return torch.nn.functional.one_hot(projection.argmin(1), dim).to(like.dtype)


def _determinant(rotation: Tensor) -> Tensor:
    """The sign of the determinant of orthogonal matrices, ``[B, 1, 1]``."""
    if rotation.size(-1) == 3:
        first, second, third = rotation.detach().unbind(-1)
        return (torch.linalg.cross(first, second) * third).sum(-1).sign()[:, None, None]
    return torch.linalg.det(rotation.detach()).sign()[:, None, None]


def _scale(group: Euclidean, cloud: Cloud) -> Tensor:
    """Root mean square distance of a cloud's points; 0 for a single point."""
    if not group.scalings:
        return cloud.center.new_ones(cloud.num_graphs)
    square = cloud.covariance.diagonal(dim1=1, dim2=2).sum(1) / cloud.num_nodes.clamp(min=1)
    return torch.where(cloud.single, 0.0, torch.where(cloud.single, 1.0, square).sqrt())


def _scale_of(kind: str, scale: Tensor, index: Tensor, like: Tensor) -> Tensor:
    factor = torch.where(scale > 0, scale, 1.0).to(like.dtype)[index]
    return rows_like(factor.square() if kind in ("pseudovector", "tensor") else factor, like)


def _rotate(value: Tensor, kind: str, rotation: Tensor) -> Tensor:
    """Rows times their matrices; ``rotation`` ``[n, d, d]``."""
    if kind == "tensor":
        extra = (1,) * (value.dim() - 3)
        matrix = rotation.reshape(rotation.size(0), *extra, *rotation.shape[1:])
        return matrix.mT @ value @ matrix
    flat = value.reshape(value.size(0), math.prod(value.shape[1:-1]), value.size(-1))
    moved = (flat @ rotation).reshape(value.shape)
    if kind == "pseudovector":
        return moved * rows_like(torch.linalg.det(rotation), moved)
    return moved


def rows_like(value: Tensor, like: Tensor) -> Tensor:
    """``[n]`` or ``[n, d]`` with axes of size 1 put in after the first, to meet rows ``[n, ..., d]``."""
    return value.reshape(value.size(0), *(1,) * (like.dim() - value.dim()), *value.shape[1:])
