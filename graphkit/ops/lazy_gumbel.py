"""Gumbel top-k without a draw for every pair, for costs that increase with the distance."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.nearest import Method, nearest_neighbors
from graphkit.ops.point_sets import PairCost, PointSets
from graphkit.ops.random import fold, gumbel, signed, uniform

_CANDIDATES = 64
_MOST = 1024  # most expected others of a row that are drawn one by one
_ROWS = 4096
_PIECE = 1 << 18  # pairs whose cost is computed at a time
_DRAWS = 16  # others of a row that are drawn at a time
# Draws of a row for its candidates are children 0, 1, ... of its key; those for others come after all of them.
_SKIP, _HEIGHT = 1 << 40, 1 << 41


def lazy_gumbel_topk(
    points: Tensor,
    sets: PointSets,
    k: int,
    cost: PairCost | None,
    scale: float,
    noise_scale: float,
    key: int,
    loop: bool,
    *,
    search: Method = "auto",
    candidates: int = _CANDIDATES,
    most: int = _MOST,
) -> Tensor:
    r"""The law of :func:`graphkit.ops.gumbel_topk`, exactly, in O(N (m + tail)) evaluations of the cost.

    Draw noise for the m nearest points of a row. Let S be the k-th best of their :math:`-s c + \tau g`. Another point
    costs at least :math:`c_m`, so it can enter only if :math:`g > L = (S + s c_m) / \tau`, which has probability
    :math:`q = 1 - \exp(-e^{-L})`, independently for each. The points that pass are drawn by geometric skips, their
    noise from the Gumbel law above L, and only their costs are computed. Rows that expect more than ``most`` of them
    are drawn in full.

    Every draw is a hash of (seed, row, place): nothing depends on blocks.

    Args:
        points: sorted by set, ``[N, d]``.
        sets: which sets.
        k, cost, scale, noise_scale, key, loop: as :func:`graphkit.ops.gumbel_topk`; the cost increases.
        search: how the nearest points are found.
        candidates: m; at least 4 k are taken.
        most: see above.

    Returns:
        int64 ``[N, k]``, numbers of sorted points, -1 where there are fewer.
    """
    from graphkit.ops.gumbel import full_gumbel_topk  # which calls us

    count = points.size(0)
    if count == 0:
        return torch.empty(0, k, dtype=torch.int64, device=points.device)
    width = max(min(max(candidates, 4 * k), count - int(not loop)), k)
    one_set = int(sets.end[0]) == count
    near = nearest_neighbors(points, width, batch=None if one_set else sets.begin, loop=loop, method=search).indices
    pair_cost = _squared if cost is None else cost

    def costs(i: Tensor, j: Tensor) -> Tensor:
        pieces = zip(i.split(_PIECE), j.split(_PIECE), strict=True)
        return scale * torch.cat([pair_cost(points[a], points[b]).double() for a, b in pieces])

    index = near.new_empty(count, k)
    crowded = []
    for rows in torch.arange(count, device=points.device).split(_ROWS):
        index[rows], over = _draw(rows, near[rows], sets, k, costs, noise_scale, key, loop, most)
        crowded.append(rows[over])
    full = torch.cat(crowded)
    if full.numel() > 0:
        index[full] = full_gumbel_topk(points, sets, full, k, cost, scale, noise_scale, key, loop)
    return index


def _draw(
    rows: Tensor,
    near: Tensor,
    sets: PointSets,
    k: int,
    costs: PairCost,
    noise_scale: float,
    key: int,
    loop: bool,
    most: int,
) -> tuple[Tensor, Tensor]:
    """The k best ``[rows, k]``, and which rows expect too many others: theirs are not right."""
    keys = fold(signed(key), rows).unsqueeze(1)
    there, place = near >= 0, near.clamp(min=0)
    cost = costs(rows.unsqueeze(1).expand_as(near).reshape(-1), place.reshape(-1)).view(near.shape)
    value = (noise_scale * gumbel(fold(keys, place)) - cost).masked_fill_(~there, -float("inf"))
    best, order = value.topk(k, dim=1)
    index = near.gather(1, order)

    found = there.sum(1, keepdim=True)
    others = (sets.end - sets.begin)[rows].unsqueeze(1) - found - int(not loop)
    farthest = cost.gather(1, (found - 1).clamp(min=0))
    height = (best[:, -1:] + farthest) / noise_scale  # L
    # The probability of not passing is exp(-rate); no digits are lost where it is nearly 1.
    rate = torch.exp(-height)
    passing = -torch.expm1(-rate)
    over = (others * passing > most).squeeze(1)
    others = others.masked_fill(over.unsqueeze(1), 0)

    # The p-th place among the others, as a number of a point: p, and the excluded places up to there.
    excluded = torch.where(there, near, torch.iinfo(torch.int64).max // 2)
    if not loop:
        excluded = torch.cat([excluded, rows.unsqueeze(1)], 1)
    excluded = excluded.sort(dim=1).values - sets.begin[rows].unsqueeze(1)
    excluded -= torch.arange(excluded.size(1), device=rows.device)
    reached = torch.full_like(others, -1)
    alive = (others > 0).squeeze(1).nonzero().view(-1)
    start = 0
    while alive.numel() > 0:
        draws = torch.arange(start, start + _DRAWS, device=rows.device)
        skip = torch.floor(-torch.log(uniform(fold(keys[alive], draws + _SKIP))) / rate[alive])
        skip = skip.clamp(max=float(1 << 40)).long() + 1
        reach = reached[alive] + skip.cumsum(1)
        inside = reach < others[alive]
        point = reach + torch.searchsorted(excluded[alive], reach, right=True) + sets.begin[rows[alive]].unsqueeze(1)
        which, slot = inside.nonzero(as_tuple=True)
        lifted = uniform(fold(keys[alive[which], 0], draws[slot] + _HEIGHT)) * passing[alive[which], 0]
        noise = -torch.log(-torch.log1p(-lifted))
        new = best.new_full(inside.shape, -float("inf"))
        chosen = point[which, slot]
        if which.numel() > 0:
            new[which, slot] = noise_scale * noise - costs(rows[alive[which]], chosen)
        merged = torch.cat([best[alive], new], 1).topk(k, dim=1)
        index[alive] = torch.cat([index[alive], point], 1).gather(1, merged.indices)
        best[alive] = merged.values
        reached[alive] = reach[:, -1:]
        alive = alive[inside[:, -1]]
        start += _DRAWS
    return index.masked_fill_(best == -float("inf"), -1), over


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() - y.double()).square().sum(-1)
