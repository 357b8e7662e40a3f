r"""Frames that stay exact and continuous where principal axes are not determined.

The axes of a cloud with two equal eigenvalues are free to turn in a plane, with three in space. There, frames are
built from the points themselves, weighted so that nothing jumps:

* two eigenvalues meet: the third axis stays, in the plane of the two one frame per point, along its projection z,
  with weight :math:`|z|^2`;
* three meet, or everywhere (``"weighted"``): one frame per pair of points, u along the first, v in the half-plane of
  the second, with weight :math:`|p_i|^2 \cdot |p_i \times p_j|^2 / \sum_j |p_i \times p_j|^2`.

Each gap between eigenvalues has a switch :math:`s_k`, smooth from 0 below ``low`` to 1 above ``high``; in space,
principal axes have the share :math:`s_1 s_2`, the planes :math:`(1 - s_1) s_2` and :math:`s_1 (1 - s_2)`, pairs the
rest. All parts are exactly equivariant and all shares are invariant and continuous, so the mixture is both.

Weighted frames after Dym, Lawrence, Siegel, "Equivariant Frames and the Impossibility of Continuous Canonicalization",
ICML 2024; these constructions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.symmetry.cloud import Cloud, eigenvalue_gaps
from graphkit.symmetry.eigen import complement
from graphkit.symmetry.frames import EuclideanFrame
from graphkit.symmetry.groups import Euclidean

MOST_POINTS = 32
"""Points of a cloud that make frames; of larger clouds the outermost, with weights that fall to 0 at the next one."""
LINE = 0.05
"""Clouds whose spread across a line is less than this share count as nearly collinear (pairs of points)."""
POLICIES = ("ignore", "weighted", "blend")


@dataclass(frozen=True)
class FrameMixture:
    """Principal axes with a share, and further weighted frames.

    Attributes:
        share: ``[B]``, the weight of the principal axes' frames together.
        graph: the cloud of each further frame ``[M]``, ascending.
        rotation: ``[M, d, d]``.
        weight: ``[M]``; those of a cloud sum to 1 - share.
        damping: ``[M, d]``, see :class:`~graphkit.symmetry.EuclideanFrame`.
    """

    share: Tensor
    graph: Tensor
    rotation: Tensor
    weight: Tensor
    damping: Tensor


def frame_mixture(
    group: Euclidean,
    cloud: Cloud,
    frame: EuclideanFrame,
    policy: str = "blend",
    *,
    switch: tuple[float, float] = (0.02, 0.1),
    grad: bool = False,
    signs: Tensor | None = None,
) -> FrameMixture | None:
    """The weighted frames of those clouds of a batch that need some; None if none does.

    Args:
        group: the group; d = 1, 2 or 3.
        cloud: see :func:`graphkit.symmetry.cloud.make_cloud`.
        frame: its principal axes.
        policy: ``"ignore"``: principal axes alone, ``"weighted"``: points or pairs of points alone, ``"blend"``.
        switch: ``(low, high)``, in shares of the largest eigenvalue.
        grad: let gradients through.
        signs: sign changes that every further frame comes with, ``[S, d]``. Default: those that exactness needs
            (``"weighted"``), or all of the group's (``"blend"``), whose mean takes a constant vector to 0, so that
            averages are continuous at a single point, too.

    Raises:
        ValueError: if the policy is unknown, or d > 3 and it is not ``"ignore"``.
    """
    if policy not in POLICIES:
        raise ValueError(f"'degenerate' must be one of {', '.join(POLICIES)}, got {policy!r}")
    if policy == "ignore" or not group.rotations or group.dim == 1:
        return None
    if group.dim > 3:
        raise ValueError(
            f"degenerate={policy!r} is for 2 and 3 dimensions, got {group.name}; use degenerate='ignore', whose "
            f"averages are exact where frame_condition is not 0"
        )
    if signs is None:
        signs = frame.signs if policy == "blend" else _least_signs(group)
    values = frame.eigenvalues
    if policy == "weighted":
        gates = values.new_zeros(cloud.num_graphs, group.dim - 1)
    else:
        low, high = switch
        gates = smoothstep((eigenvalue_gaps(values) - low) / (high - low))
    gates = torch.where(cloud.single[:, None], 0.0, gates if grad else gates.detach())
    share = gates.prod(1)
    chosen = (share.detach() < 1).nonzero().squeeze(1)
    if chosen.numel() == 0:
        return None
    points = _padded(cloud, chosen, grad)
    single, axes, gates = cloud.single[chosen], frame.rotation[chosen], gates[chosen]
    axes = axes if grad else axes.detach()
    first, last = gates[:, 0], gates[:, -1]
    parts = [_single(single.nonzero().squeeze(1), points)]
    if group.dim == 2:
        parts += [_plane(points, axes, (0, 1), (1 - first) * ~single)]
    else:
        parts += [_pairs(points, (1 - first) * (1 - last) * ~single, damped=policy == "weighted")]
        parts += [_plane(points, axes, (0, 1), (1 - first) * last)]
        parts += [_plane(points, axes, (1, 2), first * (1 - last))]
    row, rotation, weight, damping = (torch.cat(column) for column in zip(*parts, strict=True))
    kept = (weight.detach() > 0).nonzero().squeeze(1)
    kept = kept[row[kept].argsort(stable=True)]
    number = signs.size(0)
    signs = signs.to(rotation)
    return FrameMixture(
        share,
        chosen[row[kept]].repeat_interleave(number),
        (rotation[kept, None] * signs[:, None]).flatten(0, 1),
        (weight[kept] / number).repeat_interleave(number),
        damping[kept].repeat_interleave(number, 0),
    )


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, in between :math:`x^2 (3 - 2 x)`."""
    x = x.clamp(0, 1)
    return x.square() * (3 - 2 * x)


def _least_signs(group: Euclidean) -> Tensor:
    """Both signs of the last axis where the group has reflections: one of them is the symmetry of planar clouds (in
    the plane: of collinear ones)."""
    signs = torch.ones(1, group.dim, dtype=torch.float64)
    if not group.reflections:
        return signs
    other = signs.clone()
    other[:, -1] = -1
    return torch.cat([signs, other])


_Part = tuple[Tensor, Tensor, Tensor, Tensor]


def _padded(cloud: Cloud, chosen: Tensor, grad: bool) -> Tensor:
    """The points of the chosen clouds, ``[G, n + 1, d]``, filled up with zeros, of which each has one at least."""
    place = torch.full((cloud.num_graphs,), -1, device=chosen.device)
    place[chosen] = torch.arange(chosen.numel(), device=chosen.device)
    points = torch.cat([part for part, _ in cloud.points])
    row = place[torch.cat([index for _, index in cloud.points])]
    points, row = points[row >= 0], row[row >= 0]
    order = row.argsort(stable=True)
    points, row = points[order], row[order]
    counts = torch.bincount(row, minlength=chosen.numel())
    rank = torch.arange(row.numel(), device=row.device) - (counts.cumsum(0) - counts)[row]
    padded = points.new_zeros(chosen.numel(), int(counts.max()) + 1, points.size(1))
    return padded.index_put((row, rank), points if grad else points.detach())


def _outermost(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At most ``MOST_POINTS`` points of each cloud, farthest first.

    Args:
        points: ``[G, n + 1, d]``.

    Returns:
        Points ``[G, K, d]``; their weights ``[G, K]``, which sum to 1: squared lengths less that of the first point
        that is left out; and the factors ``[G, K]`` by which this made squared lengths smaller.
    """
    square = points.square().sum(2)
    top = square.detach().topk(min(points.size(1), MOST_POINTS + 1), dim=1).indices
    points, square = points.gather(1, top[..., None].expand(*top.shape, points.size(2))), square.gather(1, top)
    points, square, least = points[:, :-1], square[:, :-1], square[:, -1:]
    over = square - least
    # All are as far out as the one left out: a symmetric cloud, whose points are alike.
    alike = over.detach()[:, :1] <= 1e-9 * square.detach()[:, :1]
    over = torch.where(alike, square, over)
    total = over.sum(1, keepdim=True)
    return points, over / torch.where(total > 0, total, 1.0), over / torch.where(square > 0, square, 1.0)


def _single(rows: Tensor, points: Tensor) -> _Part:
    """One frame for a single point; no axis is determined."""
    zero = points.new_zeros(rows.numel(), points.size(2))
    return rows, torch.diag_embed(zero + 1), zero[:, 0] + 1, zero


def _plane(points: Tensor, axes: Tensor, which: tuple[int, int], share: Tensor) -> _Part:
    """Frames along the projections of the points into the plane of two principal axes."""
    open_ = (share.detach() > 0).nonzero().squeeze(1)
    points, axes, share = points[open_], axes[open_], share[open_]
    z, weight, _ = _outermost(points @ axes[:, :, list(which)])
    square = z.square().sum(2)
    spread = square.sum(1) / points.square().sum((1, 2))
    # A cloud on the third axis: any turn of the other two will do.
    line = square.detach().sum(1) == 0
    weight = torch.where(line[:, None], (torch.arange(weight.size(1), device=weight.device) == 0).to(weight), weight)
    length = torch.where(square > 0, square, 1.0).sqrt()
    cos, sin = torch.where(square > 0, z[..., 0] / length, 1.0), torch.where(square > 0, z[..., 1] / length, 0.0)
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    rotation = axes[:, None].expand(*cos.shape, *axes.shape[1:]).clone()
    rotation[..., list(which)] = axes[:, None][..., list(which)] @ turn
    damping = torch.ones_like(rotation[..., 0])
    if axes.size(-1) > 2:
        damping[..., list(which)] = smoothstep(spread / LINE)[:, None, None].expand(*cos.shape, 2)
    row = open_[:, None].expand(cos.shape)
    return row.flatten(), rotation.flatten(0, 1), (weight * share[:, None]).flatten(), damping.flatten(0, 1)


def _pairs(points: Tensor, share: Tensor, damped: bool) -> _Part:
    """Frames of pairs of points in space: u along the first, v towards the second, w = u x v."""
    open_ = (share.detach() > 0).nonzero().squeeze(1)
    points, share = points[open_], share[open_]
    total = points.square().sum((1, 2))
    points, weight, factor = _outermost(points)
    square = points.square().sum(2)
    length = torch.where(square > 0, square, 1.0).sqrt()
    u = torch.where(square[..., None] > 0, points / length[..., None], _first_axis(points))
    u, p = u[:, :, None], points[:, None]
    across = p - (u * p).sum(-1, keepdim=True) * u
    across = across - (u * across).sum(-1, keepdim=True) * u  # once more: what rounding left along u
    height = across.square().sum(-1)
    apart = height.detach() > 1e-26 * total[:, None, None]
    height = torch.where(apart, height, 0.0)
    area = (height * factor[:, None]).sum(2)
    spread = torch.where(apart, height, 0.0).sum(2) / torch.where(total > 0, total, 1.0)[:, None]
    # All points on the line of the first: any completion will do, once, on the diagonal of the table of pairs.
    line = (area.detach() == 0)[..., None] & torch.eye(points.size(1), dtype=torch.bool, device=points.device)
    second = torch.where(line, 1.0, height * factor[:, None] / torch.where(area > 0, area, 1.0)[..., None])
    v = torch.where(apart[..., None], across / torch.where(apart, height, 1.0).sqrt()[..., None], complement(u)[0])
    u = u.expand_as(v)
    rotation = torch.stack([u, v, torch.linalg.cross(u, v)], -1)
    m = smoothstep(spread / LINE)[..., None].expand(height.shape) if damped else torch.ones_like(height)
    damping = torch.stack([torch.ones_like(m), m, m], -1)
    row = open_[:, None, None].expand(height.shape)
    weight = weight[..., None] * second * share[:, None, None]
    return row.flatten(), rotation.flatten(0, 2), weight.flatten(), damping.flatten(0, 2)


def _first_axis(points: Tensor) -> Tensor:
    return (torch.arange(points.size(-1), device=points.device) == 0).to(points)
