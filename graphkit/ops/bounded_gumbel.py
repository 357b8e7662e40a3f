"""Gumbel top-k of a learned cost by the native search, which knows the cost only from below."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.native import nearest as native
from graphkit.ops.point_sets import PairCost, PointSets

_SPARE = 8  # candidates beyond k, or half of k if that is more
_OCTAVES = 40  # powers of two of the squared distance that the table spans; nearer points count as costing nothing


def bounded_gumbel_topk(
    points: Tensor,
    sets: PointSets,
    k: int,
    cost: PairCost,
    scale: float,
    noise_scale: float,
    key: int,
    loop: bool,
) -> Tensor:
    r"""The k best of every row under a cost that increases with the distance; what drawing every pair in full gives.

    The cost at the lower ends of some twenty thousand bins of distances bounds that of every pair from below, to a part
    in a thousand. The native search finds the k + 8 best under the bound, with the noise of each pair. Their true costs
    are then computed; if the k-th best of them is better than the worst bound that was kept, no other pair can enter.
    The few rows where it is not are drawn in blocks.

    Args:
        points: sorted by set, on the CPU.
        sets: which sets.
        k, cost, scale, noise_scale, key, loop: as :func:`graphkit.ops.gumbel_topk`.

    Returns:
        int64 ``[N, k]``, numbers of sorted points, -1 where there are fewer.
    """
    from graphkit.ops.gumbel import full_gumbel_topk, gumbel_noise  # which calls us

    rows = torch.arange(points.size(0))
    wide = k + max(_SPARE, k // 2)
    near, bound = native.nearest(
        points.t().contiguous(), rows, sets.begin, sets.end, wide, loop,
        (key, scale, float(noise_scale)), cost_table(points, cost),
    )  # fmt: skip
    there = near >= 0
    place = near.clamp(min=0)
    columns, owners = place[there], rows.unsqueeze(1).expand_as(near)[there]
    value = torch.full(near.shape, float("inf"), dtype=torch.float64)
    pieces = zip(owners.split(1 << 18), columns.split(1 << 18), strict=True)
    true = [cost(points[a], points[b]).double() for a, b in pieces]
    if true:
        value[there] = scale * torch.cat(true) - noise_scale * gumbel_noise(key, owners, columns)
    order = near.argsort(dim=1)  # of equal values the smaller number comes first
    value, near = value.gather(1, order), near.gather(1, order)
    value, order = value.sort(dim=1, stable=True)
    index = near.gather(1, order)[:, :k].contiguous()
    # A row whose bounds end in infinity has no other candidates.
    unsure = ((value[:, k - 1] >= bound[:, -1]) & bound[:, -1].isfinite()).nonzero().view(-1)
    if unsure.numel() > 0:
        index[unsure] = full_gumbel_topk(points, sets, unsure, k, cost, scale, noise_scale, key, loop)
    return index


def cost_table(points: Tensor, cost: PairCost) -> tuple[int, Tensor]:
    """The number of the first bin of squared distances, and for every bin a bound of the cost from below, float32."""
    centred = (points - points.mean(0)).double() if points.size(0) else points.double()
    most = 4 * float(centred.square().sum(1).max()) if points.size(0) else 0.0
    most = min(max(most, 1e-30), 1e38)
    last = _bits(most) >> native.BIN_SHIFT
    first = max(last - _OCTAVES * (1 << (23 - native.BIN_SHIFT)), 0)
    ends = (torch.arange(first, last + 1, dtype=torch.int64) << native.BIN_SHIFT).to(torch.int32).view(torch.float32)
    distance = ends.to(points.dtype).sqrt().unsqueeze(1)
    x = torch.cat([distance, distance.new_zeros(distance.size(0), points.size(1) - 1)], 1)
    table = cost(x, torch.zeros_like(x)).double()
    # Rounding up by the last digits of the cost, and of the distance in it, would not be from below.
    table = table * (1 - 1e-5)
    table[0] = 0.0
    return first, table.cummax(0).values.float()


def _bits(value: float) -> int:
    return int(torch.tensor(value, dtype=torch.float32).view(torch.int32))
