"""Gumbel top-k of a learned cost by the native search, which knows the cost only from below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphkit.native import nearest as native
from graphkit.ops.point_sets import CostPart, PairCost, PointSets

_SPARE = 8  # candidates beyond k, or half of k if that is more
_OCTAVES = 64  # powers of two of the squared distance that a table spans; nearer points count as costing nothing


def bounded_gumbel_topk(
    points: Tensor,
    sets: PointSets,
    k: int,
    cost: PairCost,
    scale: float,
    noise_scale: float,
    key: int,
    loop: bool,
    parts: Sequence[CostPart] | None = None,
) -> Tensor:
    r"""The k best of every row under a cost that the native search can bound; what drawing every pair in full gives.

    The cost, or each part of it, at the lower ends of some thirty thousand bins of distances bounds that of every pair
    from below, to a part in a thousand. The native search finds the k + 8 best under the bound, with the noise of each
    pair. Their true costs are then computed; if the k-th best of them is better than the worst bound that was kept, no
    other pair can enter. The few rows where it is not are drawn in blocks.

    Args:
        points: sorted by set, on the CPU.
        sets: which sets.
        k, cost, scale, noise_scale, key, loop: as :func:`graphkit.ops.gumbel_topk`.
        parts: whose sum the cost is, with points sorted by set; None: the cost increases with the Euclidean distance.

    Returns:
        int64 ``[N, k]``, numbers of sorted points, -1 where there are fewer.
    """
    from graphkit.ops.gumbel import full_gumbel_topk, gumbel_noise  # which calls us

    rows = torch.arange(points.size(0))
    wide = k + max(_SPARE, k // 2)
    terms = [CostPart(points, None, _of_square(points, cost))] if parts is None else parts
    columns = torch.cat([part.points for part in terms], 1).t().contiguous()
    noise = (key, scale, float(noise_scale)) if noise_scale > 0 else None
    near, bound = native.nearest(columns, rows, sets.begin, sets.end, wide, loop, noise, cost_tables(terms))
    if noise is None:
        bound = scale * bound
    there = near >= 0
    place = near.clamp(min=0)
    others, owners = place[there], rows.unsqueeze(1).expand_as(near)[there]
    value = torch.full(near.shape, float("inf"), dtype=torch.float64)
    pieces = zip(owners.split(1 << 18), others.split(1 << 18), strict=True)
    true = [cost(points[a], points[b]).double() for a, b in pieces]
    if true:
        value[there] = scale * torch.cat(true)
    if noise is not None:
        value[there] -= noise_scale * gumbel_noise(key, owners, others)
    order = near.argsort(dim=1)  # of equal values the smaller number comes first
    value, near = value.gather(1, order), near.gather(1, order)
    value, order = value.sort(dim=1, stable=True)
    index = near.gather(1, order)[:, :k].contiguous()
    # A row whose bounds end in infinity has no other candidates.
    unsure = ((value[:, k - 1] >= bound[:, -1]) & bound[:, -1].isfinite()).nonzero().view(-1)
    if unsure.numel() > 0:
        index[unsure] = full_gumbel_topk(points, sets, unsure, k, cost, scale, noise_scale, key, loop)
    return index


def cost_tables(parts: Sequence[CostPart]) -> native.CostTables:
    """For every part and every bin of its squared distances a bound of the cost from below."""
    firsts, rows = [], []
    for points, weight, cost in parts:
        centred = (points - points.mean(0)).double() if points.size(0) else points.double()
        most = 4 * float(centred.square().sum(1).max()) if points.size(0) else 0.0
        if weight is not None and points.size(0):
            most *= float(weight.max()) ** 2
        last = _bits(min(max(most, 1e-30), 1e38)) >> native.BIN_SHIFT
        first = max(last - _OCTAVES * (1 << (23 - native.BIN_SHIFT)), 0)
        ends = (torch.arange(first, last + 1, dtype=torch.int64) << native.BIN_SHIFT).to(torch.int32)
        # Rounding up by the last digits of the cost, and of the distance in it, would not be from below.
        row = cost(ends.view(torch.float32).to(points.dtype)).double() * (1 - 1e-5)
        row[0] = 0.0
        firsts.append(first)
        rows.append(row.cummax(0).values.float())
    bins = max(row.numel() for row in rows)
    costs = torch.stack([torch.cat([row, row[-1:].expand(bins - row.numel())]) for row in rows])
    weights = None
    if any(part.weight is not None for part in parts):
        ones = torch.ones_like(parts[0].points[:, 0])
        weights = torch.stack([ones if part.weight is None else part.weight for part in parts])
    dims = torch.tensor([part.points.size(1) for part in parts])
    return native.CostTables(dims, torch.tensor(firsts), costs, weights)


def _of_square(points: Tensor, cost: PairCost) -> Callable[[Tensor], Tensor]:
    """A cost that increases with the distance as a function of its square."""

    def of_square(square: Tensor) -> Tensor:
        distance = square.sqrt().unsqueeze(1)
        x = torch.cat([distance, distance.new_zeros(distance.size(0), points.size(1) - 1)], 1)
        return cost(x, torch.zeros_like(x))

    return of_square


def _bits(value: float) -> int:
    return int(torch.tensor(value, dtype=torch.float32).view(torch.int32))
