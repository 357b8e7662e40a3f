r"""Weighted frames that stay exact and continuous where principal axes are not determined.

The axes of a cloud with two equal eigenvalues are free to turn in a plane, with three in space. There, frames are
built from the points themselves, weighted so that nothing jumps:

* two eigenvalues meet: the third axis stays, in the plane of the two one frame per point, along its projection z,
  with weight :math:`|z|^2`;
* three meet, or everywhere (``"weighted"``): one frame per pair of points, u along the first, v in the half-plane of
  the second, with weight :math:`|p_i|^2 \cdot |p_i \times p_j|^2 / \sum_j |p_i \times p_j|^2`.

Each gap between eigenvalues has a switch :math:`s_k`, smooth from 0 below ``low`` to 1 above ``high``, and principal
axes have the share :math:`s = \prod_k s_k`. Of the rest, principal axes of the same points weighted by their distance
get what their own switches let through; what is left goes, in space, to the planes as :math:`(1 - s_1) s_2` and
:math:`s_1 (1 - s_2)`, and to pairs as :math:`(1 - s_1) (1 - s_2)`. All parts are exactly equivariant and all shares
are invariant and continuous, so the mixture is both. A cloud whose eigenvalues are close by chance costs one frame
more, one that is symmetric costs one per point or pair.

Weighted frames after Dym, Lawrence, Siegel, "Equivariant Frames and the Impossibility of Continuous Canonicalization",
ICML 2024; these constructions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.symmetry.cloud import Cloud
from graphkit.symmetry.frames import EuclideanFrame, proper
from graphkit.symmetry.groups import Euclidean
from graphkit.symmetry.point_frames import (
    gap_switches,
    padded_points,
    pair_frames,
    plane_frames,
    reweighted_axes,
    single_point,
)

POLICIES = ("ignore", "weighted", "blend")


@dataclass(frozen=True)
class FrameMixture:
    """Frames of a batch of clouds, each with a weight; every one stands for its sign changes, too.

    Attributes:
        graph: the cloud of each frame ``[M]``.
        rotation: ``[M, d, d]``, axes in columns.
        weight: ``[M]``, above 0; those of a cloud sum to 1.
        damping: ``[M, d]``: 0 for axes that a frame does not determine, along which outputs must vanish.
        signs: ``[S, d]``; outputs are averaged over them before they are weighted.
        plain: whether there is one frame per cloud, in their order.
    """

    graph: Tensor
    rotation: Tensor
    weight: Tensor
    damping: Tensor
    signs: Tensor
    plain: bool

    def draw(self, number: int, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Random frames of each cloud, as likely as they are weighted; signs without replacement.

        Returns:
            Rotations ``[k, B, d, d]`` and their damping ``[k, B, d]``; k is ``number``, at most S if plain.
        """
        device, signs = self.rotation.device, self.signs
        number = min(number, signs.size(0)) if self.plain else number
        which = torch.rand(num_graphs, signs.size(0), device=device).argsort(1)
        which = which.repeat(1, -(-number // which.size(1)))[:, :number].T
        if self.plain:
            pick = torch.arange(num_graphs, device=device).expand(number, -1)
        else:
            order = self.graph.argsort(stable=True)
            counts = torch.bincount(self.graph, minlength=num_graphs)
            last = counts.cumsum(0) - 1
            total = self.weight.detach()[order].cumsum(0)
            before = total[last] - torch.zeros_like(total[last]).index_add_(0, self.graph, self.weight.detach())
            draw = before + torch.rand(number, num_graphs, device=device, dtype=total.dtype) * (total[last] - before)
            pick = torch.searchsorted(total, draw, right=True)
            pick = order[pick.clamp((last - counts + 1).expand_as(pick), last.expand_as(pick))]
        return self.rotation[pick] * signs[which][:, :, None, :], self.damping[pick]


def frame_mixture(
    group: Euclidean,
    cloud: Cloud,
    frame: EuclideanFrame,
    policy: str = "blend",
    *,
    switch: tuple[float, float] = (0.02, 0.1),
    grad: bool = False,
    turns: bool = False,
) -> FrameMixture:
    """The weighted frames of a batch of clouds.

    Args:
        group: the group; d = 1, 2 or 3 unless the policy is ``"ignore"``.
        cloud: see :func:`graphkit.symmetry.cloud.make_cloud`.
        frame: its principal axes.
        policy: ``"ignore"``: principal axes alone, ``"weighted"``: points or pairs of points alone, ``"blend"``.
        switch: ``(low, high)``, in shares of the largest eigenvalue.
        grad: let gradients through.
        turns: ``"blend"``: each frame comes with its axes in cyclic order too (in the plane: a quarter turn), weighted
            alike. Their mean takes a constant tensor to its part that no rotation changes, as the mean over all signs
            takes a constant vector to 0, so that averages of tensors are continuous at a single point.

    Raises:
        ValueError: if the policy is unknown, or d > 3 and it is not ``"ignore"``.
    """
    if policy not in POLICIES:
        raise ValueError(f"'degenerate' must be one of {', '.join(POLICIES)}, got {policy!r}")
    values, every = frame.eigenvalues, torch.arange(cloud.num_graphs, device=frame.rotation.device)
    damping = torch.ones_like(frame.rotation[..., 0]) if frame.damping is None else frame.damping
    principal = (every, frame.rotation, torch.ones_like(damping[:, 0]), damping)
    if policy == "ignore" or not group.rotations or group.dim == 1:
        return FrameMixture(*principal, frame.signs, True)
    if group.dim > 3:
        raise ValueError(
            f"degenerate={policy!r} is for 2 and 3 dimensions, got {group.name}; use degenerate='ignore', whose "
            f"averages are exact where frame_condition is not 0"
        )
    gates = values.new_zeros(cloud.num_graphs, group.dim - 1)
    if policy == "blend":
        gates = gap_switches(values if grad else values.detach(), switch)
        gates = torch.where(cloud.single[:, None], 0.0, gates)
    share = gates.prod(1)
    parts = [(every, frame.rotation, share, damping)]
    chosen = (share.detach() < 1).nonzero().squeeze(1)
    if chosen.numel():
        points = padded_points(cloud, chosen, grad)
        single, axes, gates = cloud.single[chosen], frame.rotation[chosen], gates[chosen]
        axes = axes if grad else axes.detach()
        # Signs and turns alone leave what a rotation of the plane leaves: more than the mean of the diagonal.
        alone = float(turns and group.dim == 2 and not group.reflections)
        further = [single_point(single.nonzero().squeeze(1), points, alone)]
        first, last, left = gates[:, 0], gates[:, -1], 1 - share[chosen]
        ratio = torch.where(single, 0.0, 1.0).to(left)
        if policy == "blend":
            part, rest = reweighted_axes(points, left * ratio, switch, grad)
            further, ratio = [*further, part], rest / left
        if group.dim == 2:
            further += [plane_frames(points, axes, (0, 1), (1 - first) * ratio)]
        else:
            further += [pair_frames(points, (1 - first) * (1 - last) * ratio, damped=policy == "weighted")]
            further += [plane_frames(points, axes, (0, 1), (1 - first) * last * ratio)]
            further += [plane_frames(points, axes, (1, 2), first * (1 - last) * ratio)]
        parts += [(chosen[rows], rotation, weight, loose) for rows, rotation, weight, loose in further]
    graph, rotation, weight, damping = (torch.cat(column) for column in zip(*parts, strict=True))
    kept = (weight.detach() > 0).nonzero().squeeze(1)
    graph, rotation, weight, damping = graph[kept], rotation[kept], weight[kept], damping[kept]
    if not group.reflections:
        rotation = proper(rotation)
    if turns and policy == "blend":
        turn = _turns(group.dim).to(rotation)
        graph, weight = graph.repeat_interleave(len(turn)), (weight / len(turn)).repeat_interleave(len(turn))
        rotation = (rotation[:, None] @ turn).flatten(0, 1)
        damping = (damping[:, None, None] @ turn.abs()).flatten(0, 2)
    signs = frame.signs if policy == "blend" else _least_signs(group).to(frame.signs)
    return FrameMixture(graph, rotation, weight, damping, signs, chosen.numel() == 0 and graph.numel() == len(every))


def _turns(dim: int) -> Tensor:
    """Matrices ``[d, d, d]`` that put axes in cyclic order, of determinant 1."""
    if dim == 2:
        return torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]])
    return torch.stack([torch.eye(3).roll(places, 1) for places in range(3)])


def _least_signs(group: Euclidean) -> Tensor:
    """Both signs of the last axis where the group has reflections: one of them is the symmetry of planar clouds (in
    the plane: of collinear ones)."""
    signs = torch.ones(1, group.dim, dtype=torch.float64)
    if not group.reflections:
        return signs
    other = signs.clone()
    other[:, -1] = -1
    return torch.cat([signs, other])
