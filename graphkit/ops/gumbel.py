"""Gumbel top-k: sampling neighbours without replacement, with noise that is a hash of (seed, row, column)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from graphkit.graph.sampling.random import check_key
from graphkit.native import nearest as native
from graphkit.ops.bounded_gumbel import bounded_gumbel_topk
from graphkit.ops.lazy_gumbel import lazy_gumbel_topk
from graphkit.ops.nearest import Method, nearest_neighbors, runs_native, to_users
from graphkit.ops.point_sets import (
    CostPart,
    PairCost,
    PointSets,
    check_k,
    check_points,
    outside,
    point_sets,
    row_blocks,
    smallest,
    squared_distances,
)
from graphkit.ops.random import fold, gumbel, signed

Sampling = Literal["auto", "full", "lazy"]


def gumbel_noise(seed: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Gumbel(0, 1) draws of pairs, each a hash of (seed, row, column): float64, of the broadcast shape.

    Args:
        seed: 0 to 2**64 - 1.
        rows, columns: int64.

    Example:
        >>> places = torch.arange(3)
        >>> whole = gumbel_noise(0, places[:, None], places)
        >>> bool(whole[1, 2] == gumbel_noise(0, places[1], places[2]))
        True
    """
    return gumbel(fold(fold(signed(seed), rows), columns))


@torch.no_grad()
def gumbel_topk(
    x: Tensor,
    k: int,
    cost: PairCost | None = None,
    *,
    scale: float | Tensor = 1.0,
    noise_scale: float = 1.0,
    seed: int | None = None,
    batch: Tensor | None = None,
    loop: bool = False,
    increasing: bool = False,
    sampling: Sampling = "auto",
    search: Method = "auto",
    noise: Tensor | None = None,
    parts: Sequence[CostPart] | None = None,
) -> Tensor:
    r"""Draws k neighbours of every point without replacement, the likelier the less they cost.

    The k pairs of the smallest :math:`s\,c_{ij} - \tau g_{ij}`, with costs :math:`c_{ij}`, scale :math:`s` and standard
    Gumbel noise :math:`g`: a draw from the Plackett-Luce law with weights :math:`\exp(-s c_{ij} / \tau)` (Kool et al.,
    "Stochastic beams and where to find them", ICML 2019). Nothing of size N x N is made, and no result depends on
    blocks or threads. Not differentiable: compute what follows from the pairs.

    How it is done: ``"full"`` draws the noise of every pair, by the native search for the squared distance, for a cost
    that increases with the distance and for a sum of such (:mod:`graphkit.ops.bounded_gumbel`), else by blocks of rows:
    the same graph.
    ``"lazy"`` takes the nearest points and those few others whose noise can lift them above these
    (:func:`graphkit.ops.lazy_gumbel.lazy_gumbel_topk`): another draw from the same law, for costs that increase with
    the distance. It is what ``"auto"`` takes for these where the native search is missing.

    Args:
        x: points ``[N, d]``, finite.
        k: how many.
        cost: maps points ``[..., d]``, ``[..., d]`` to costs; None is the squared Euclidean distance.
        scale: of the costs, positive.
        noise_scale: :math:`\tau`; 0 draws nothing and takes the k cheapest.
        seed: what the draws depend on; None takes a number from torch's random state.
        batch: integer ``[N]``, the set of each point.
        loop: whether a point may be drawn for itself.
        increasing: the cost increases with the Euclidean distance.
        sampling: as above; ``"auto"`` takes the fastest.
        search: how the nearest points are found, see :func:`~graphkit.ops.nearest_neighbors`. With ``"approximate"``
            the draw is lazy, and a near point that the search misses may be drawn too rarely.
        noise: ``[N, N]``, noise to use in the place of draws: entry (i, j) is that of candidate j of point i.
        parts: the same cost as a sum of functions of distances, which the native search can bound. Costs are then
            computed in float64.

    Returns:
        int64 ``[N, k]``, best first; -1 where a set has fewer points.

    Raises:
        TypeError: if ``x`` is no tensor, or ``k`` or ``seed`` no int.
        ValueError: if points are not finite, or an argument is out of range.

    Unlike the published dense code (github.com/lcosmo/DGM_pytorch), noise is subtracted from costs, not added, and the
    seed decides every draw; unlike its KeOps form also on the CPU.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0]])
        >>> gumbel_topk(x, 1, scale=100.0, seed=0).tolist()
        [[1], [0], [1]]
    """
    x, k = check_points(x.detach() if isinstance(x, Tensor) else x), check_k(k)
    if noise_scale < 0:
        raise ValueError(f"'noise_scale' must not be negative (got {noise_scale})")
    if sampling not in ("auto", "full", "lazy"):
        raise ValueError(f"'sampling' must be 'auto', 'full' or 'lazy' (got {sampling!r})")
    increasing = increasing or cost is None
    factor = float(scale.detach() if isinstance(scale, Tensor) else scale)
    if not factor > 0:
        raise ValueError(f"'scale' must be positive (got {factor})")
    if noise is None and noise_scale == 0 and increasing:
        return nearest_neighbors(x, k, batch=batch, loop=loop, method=search).indices
    if noise is not None and noise.shape != (x.size(0), x.size(0)):
        raise ValueError(f"'noise' must have shape [{x.size(0)}, {x.size(0)}] (got {list(noise.shape)})")
    if sampling == "lazy" and (noise is not None or not increasing):
        raise ValueError("sampling='lazy' needs a cost that increases with the distance, and draws its own noise")

    key = check_key(seed) if noise is None and noise_scale > 0 else 0
    sets = point_sets(x, batch)
    points = sets.sort(x if x.dtype in (torch.float32, torch.float64) else x.float())
    if parts is not None:
        points = points.double()
        parts = [_sorted(part, sets) for part in parts]
    bounded = increasing or parts is not None
    in_kernel = bounded and noise is None and search in ("auto", "native") and runs_native(points)
    if sampling == "lazy" or (sampling == "auto" and increasing and noise is None and not in_kernel):
        index = lazy_gumbel_topk(points, sets, k, cost, factor, noise_scale, key, loop, search=search)
    elif in_kernel and cost is None:
        rows = torch.arange(points.size(0))
        scales = (key, factor, float(noise_scale))
        index, _ = native.nearest(points.t().contiguous(), rows, sets.begin, sets.end, k, loop, scales)
    elif in_kernel and cost is not None:
        index = bounded_gumbel_topk(points, sets, k, cost, factor, noise_scale, key, loop, parts)
    else:
        rows = torch.arange(points.size(0), device=x.device)
        index = full_gumbel_topk(points, sets, rows, k, cost, factor, noise_scale, key, loop, noise)
    return to_users(sets, index, index)[0]


def _sorted(part: CostPart, sets: PointSets) -> CostPart:
    weight = None if part.weight is None else sets.sort(part.weight.double())
    return CostPart(sets.sort(part.points.double()), weight, part.cost)


def full_gumbel_topk(
    points: Tensor,
    sets: PointSets,
    rows: Tensor,
    k: int,
    cost: PairCost | None,
    scale: float,
    noise_scale: float,
    key: int,
    loop: bool,
    noise: Tensor | None = None,
) -> Tensor:
    """Every pair of ``rows`` (ascending) in blocks: int64 ``[rows, k]``; arguments as :func:`gumbel_topk`."""
    index = rows.new_empty(rows.numel(), k)
    wide = points.double() if cost is None else points
    columns = torch.arange(points.size(0), device=points.device)
    done = 0
    for block, first, last in row_blocks(sets, rows):
        if cost is None:
            keys = squared_distances(wide[block], wide[first:last])
        else:
            keys = cost(wide[block].unsqueeze(1), wide[first:last].unsqueeze(0)).double()
        keys = keys * scale
        if noise is not None:
            users = sets.users(block).unsqueeze(1), sets.users(columns[first:last]).unsqueeze(0)
            keys -= noise_scale * noise[users]
        elif noise_scale > 0:
            keys -= noise_scale * gumbel_noise(key, block.unsqueeze(1), columns[first:last])
        keys.masked_fill_(outside(sets, block, first, last, loop=loop), float("inf"))
        column = smallest(keys, k)[1]
        index[done : done + block.numel()] = torch.where(column < 0, column, column + first)
        done += block.numel()
    return index
