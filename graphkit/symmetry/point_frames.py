"""Frames of clouds whose principal axes are not determined, each with a weight: from other moments, from the points.

Every function takes the points of some clouds as ``[G, n + 1, d]``, filled up with zeros, of which each cloud has one
at least, and gives, for M frames, ``(cloud [M], rotation [M, d, d], weight [M], damping [M, d])``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.symmetry.cloud import Cloud, eigenvalue_gaps
from graphkit.symmetry.eigen import complement, symmetric_eigen

MOST_POINTS = 32
"""Points of a cloud that make frames; of larger clouds the outermost, and those about as far out as the last."""
BAND = 0.1
"""Squared lengths that count as about the same, in shares of the shorter."""
MOST_ALIKE = 128
"""Points that may be about as far out as each other; orbits of finite point groups have up to 120."""
LINE = 0.05
"""Clouds whose spread across a line is less than this share count as nearly collinear (pairs of points)."""

FramePart = tuple[Tensor, Tensor, Tensor, Tensor]


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, in between :math:`x^2 (3 - 2 x)`."""
    x = x.clamp(0, 1)
    return x.square() * (3 - 2 * x)


def gap_switches(values: Tensor, switch: tuple[float, float]) -> Tensor:
    """The switch of each gap between neighbouring eigenvalues, ``[G, d] -> [G, d - 1]``."""
    low, high = switch
    return smoothstep((eigenvalue_gaps(values) - low) / (high - low))


def padded_points(cloud: Cloud, chosen: Tensor, grad: bool) -> Tensor:
    """The points of the chosen clouds, ``[G, n + 1, d]``."""
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


def reweighted_axes(points: Tensor, share: Tensor, switch: tuple[float, float], grad: bool) -> tuple[FramePart, Tensor]:
    """Principal axes of the same points where the inner ones count more, by ``exp(-2 |p|^2 / mean |p|^2)``.

    Equal eigenvalues of one covariance are mostly chance, and then those of another differ: one frame instead of one
    per point. Where symmetry makes them equal, they are equal in both. (Of Gaussian clouds of 4 to 28 points, 14 % have
    eigenvalues within a tenth of the largest, 3 % in both covariances. More and steeper weights leave fewer, but what
    is left at a symmetric cloud that is moved a little grows with them.)

    Returns:
        Frames with weights that sum to at most ``share``, and the share ``[G]`` that is left.
    """
    square = points.square().sum(2)
    fourth = square.square().sum(1, keepdim=True)
    # Over their mean, in which each counts by itself: it needs no number of points.
    ratio = square * square.sum(1, keepdim=True) / torch.where(fourth > 0, fourth, 1.0)
    values, axes = symmetric_eigen((points * (-2 * ratio).exp()[..., None]).mT @ points, grad=grad)
    gate = gap_switches(values if grad else values.detach(), switch).prod(1)
    every = torch.arange(share.numel(), device=share.device)
    return (every, axes, share * gate, torch.ones_like(values)), share * (1 - gate)


def single_point(rows: Tensor, points: Tensor, damping: float = 0.0) -> FramePart:
    """One frame for a single point; no axis is determined."""
    zero = points.new_zeros(rows.numel(), points.size(2))
    return rows, torch.diag_embed(zero + 1), zero[:, 0] + 1, zero + damping


def plane_frames(points: Tensor, axes: Tensor, which: tuple[int, int], share: Tensor) -> FramePart:
    """Frames along the projections z of the points into the plane of two principal axes, weights as ``|z|^2``."""
    open_ = (share.detach() > 0).nonzero().squeeze(1)
    points, axes, share = points[open_], axes[open_], share[open_]
    z = points @ axes[:, :, list(which)]
    spread = z.square().sum((1, 2)) / points.square().sum((1, 2))
    z, weight, _ = _outermost(z)
    square = z.square().sum(2)
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


def pair_frames(points: Tensor, share: Tensor, damped: bool) -> FramePart:
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
    spread = area / torch.where(total > 0, total, 1.0)[:, None]
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


def _outermost(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The outermost points of each cloud, farthest first.

    Returns:
        Points ``[G, K, d]``; their weights ``[G, K]``, which sum to 1: squared lengths less somewhat less than that of
        the first point after the ``MOST_POINTS`` farthest, so that clouds of points that are all as far out keep all;
        and the factors ``[G, K]`` by which this made squared lengths smaller.
    """
    square = points.square().sum(2)
    top = square.detach().topk(min(points.size(1), MOST_ALIKE + 1), dim=1).indices
    points, square = points.gather(1, top[..., None].expand(*top.shape, points.size(2))), square.gather(1, top)
    least = torch.maximum((1 - BAND) * square[:, min(square.size(1) - 1, MOST_POINTS), None], square[:, -1:])
    over = (square - least).clamp(min=0)
    # More points than are looked at, all as far out as the one left out: as good as a sphere.
    alike = over.detach()[:, :1] <= 1e-9 * square.detach()[:, :1]
    over = torch.where(alike, square, over)
    kept = max(1, int((over.detach() > 0).sum(1).max())) if over.size(0) else 1
    points, square, over = points[:, :kept], square[:, :kept], over[:, :kept]
    total = over.sum(1, keepdim=True)
    return points, over / torch.where(total > 0, total, 1.0), over / torch.where(square > 0, square, 1.0)


def _first_axis(points: Tensor) -> Tensor:
    return (torch.arange(points.size(-1), device=points.device) == 0).to(points)
