"""The k nearest neighbours of every point, exact by four methods or approximate by a library."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from graphkit.native import nearest as native
from graphkit.ops.backend import select
from graphkit.ops.matmul_search import matmul_search
from graphkit.ops.point_sets import (
    PointSets,
    check_k,
    check_points,
    outside,
    point_sets,
    row_blocks,
    smallest,
    squared_distances,
)

Method = Literal["auto", "native", "tree", "matmul", "blocked", "approximate"]

# From here on a tree beats the native search, by dimension (`python -m benchmarks --only snowflake`).
_TREE_FROM = {1: 3_000, 2: 3_000, 3: 4_000, 4: 5_000, 5: 10_000, 6: 40_000}


_MATMUL_FROM = 512  # dimensions; without the native search, always


class Neighbors(NamedTuple):
    """What :func:`nearest_neighbors` found.

    Attributes:
        indices: int64 ``[N, k]``, nearest first; -1 where a set has fewer other points.
        sq_distance: float64 ``[N, k]``; infinite there.
        method: how they were found.
    """

    indices: Tensor
    sq_distance: Tensor
    method: str


def nearest_neighbors(
    x: Tensor, k: int, *, batch: Tensor | None = None, loop: bool = False, method: Method = "auto"
) -> Neighbors:
    r"""For every point the k nearest others of its set, in Euclidean distance.

    Exact: the order is that of squared distances in float64, of equal ones the smaller number is first, whatever the
    method, the device and the number of threads. Nothing of size N x N is made. Not differentiable.

    Args:
        x: points ``[N, d]``, finite.
        k: how many.
        batch: integer ``[N]``, the set of each point; neighbours are of the same set.
        loop: whether a point is a neighbour of its own, at distance 0.
        method: ``"native"`` (C++, every pair), ``"tree"`` (scipy's k-d tree, for few dimensions and one set),
            ``"matmul"`` (products of matrices; any device), ``"blocked"`` (differences of every pair: the reference),
            or ``"approximate"`` (inverted lists of faiss, for many points in many dimensions: most of the neighbours,
            see :func:`neighbor_recall`). ``"auto"`` takes the fastest exact one, by sizes that were measured.

    Shapes:
        ``[N, d] -> [N, k]``

    Raises:
        TypeError: if ``x`` is no tensor or ``k`` no int.
        ValueError: if points are not finite, ``k`` is not positive or ``batch`` does not fit; if a method is unknown or
            cannot run here.
        ImportError: if scipy or faiss is asked for and missing.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> ops.nearest_neighbors(torch.tensor([[0.0], [1.0], [3.0]]), 2).indices.tolist()
        [[1, 2], [0, 2], [1, 0]]
    """
    x, k = check_points(x.detach() if isinstance(x, Tensor) else x), check_k(k)
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    sets = point_sets(x, batch)
    points = sets.sort(x)
    name = fastest_exact(points, sets) if method == "auto" else method
    if name == "native":
        found = _native(points, sets, k, loop)
    elif name == "tree":
        found = _tree(points, sets, k, loop)
    elif name == "matmul":
        found = matmul_search(points, sets, k, loop)
    elif name == "blocked":
        rows = torch.arange(points.size(0), device=x.device)
        found = _blocked(points.double(), sets, rows, k, loop)
    elif name == "approximate":
        from graphkit.ops.approximate import approximate

        found = approximate(points, sets, k, loop)
    else:
        raise ValueError(
            f"unknown method (got {method!r}, expected 'auto', 'native', 'tree', 'matmul', 'blocked' or 'approximate')"
        )
    return Neighbors(*to_users(sets, *found), name)


def neighbor_recall(x: Tensor, neighbors: Neighbors, *, batch: Tensor | None = None, rows: int = 256) -> float:
    """The share of the true nearest neighbours among those found, on a sample of the points.

    Args:
        x: the points.
        neighbors: what was found, with ``loop=False``.
        batch: as it was.
        rows: how many points are looked at, spread evenly.

    Example:
        >>> x = torch.randn(50, 3)
        >>> neighbor_recall(x, nearest_neighbors(x, 5))
        1.0
    """
    x = check_points(x.detach())
    sets = point_sets(x, batch)
    points = sets.sort(x).double()
    count, k = neighbors.indices.shape
    if count == 0:
        return 1.0
    sample = torch.linspace(0, count - 1, min(rows, count), device=x.device).round().long()
    true, _ = _blocked(points, sets, sample, k, False)
    found = neighbors.indices[sets.users(sample)]
    true = torch.where(true < 0, true, sets.users(true.clamp(min=0)))
    there = true >= 0
    hits = ((true.unsqueeze(2) == found.unsqueeze(1)).any(2) & there).sum()
    return float(hits) / max(int(there.sum()), 1)


def to_users(sets: PointSets, index: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of sorted points, as numbers of the user's and in the user's order."""
    if sets.order is None:
        return index, key
    inverse = torch.empty_like(sets.order)
    inverse[sets.order] = torch.arange(sets.order.numel(), device=sets.order.device)
    return torch.where(index < 0, index, sets.order[index.clamp(min=0)])[inverse], key[inverse]


def fastest_exact(points: Tensor, sets: PointSets) -> str:
    """The method that ``"auto"`` is for these points, sorted by set."""
    count, dim = points.shape
    one_set = count > 0 and int(sets.end[0]) == count
    on_cpu = points.device.type == "cpu" and select(points) in ("native", "torch")
    if on_cpu and one_set and count >= _TREE_FROM.get(dim, count + 1):
        try:
            import scipy.spatial  # noqa: F401
        except ImportError:
            pass  # optional: the next one is exact as well
        else:
            return "tree"
    if select(points) == "reference":
        return "blocked"
    return "native" if runs_native(points) and dim < _MATMUL_FROM else "matmul"


def runs_native(x: Tensor) -> bool:
    """Whether the native search runs on ``x`` unless another backend is forced."""
    return x.device.type == "cpu" and select(x) == "native" and not native.nearest_why_not()


def _native(points: Tensor, sets: PointSets, k: int, loop: bool) -> tuple[Tensor, Tensor]:
    reason = native.nearest_why_not() if points.device.type == "cpu" else f"it runs on the CPU, not {points.device}"
    if reason:
        raise ValueError(f"method 'native' is not available: {reason}; use method='matmul'")
    rows = torch.arange(points.size(0))
    return native.nearest(points.t().contiguous(), rows, sets.begin, sets.end, k, loop)


def _blocked(points: Tensor, sets: PointSets, rows: Tensor, k: int, loop: bool) -> tuple[Tensor, Tensor]:
    """Every pair, in blocks; ``rows`` ascending."""
    index = rows.new_empty(rows.numel(), k)
    key = points.new_empty(rows.numel(), k)
    done = 0
    for block, first, last in row_blocks(sets, rows):
        distance = squared_distances(points[block], points[first:last])
        distance.masked_fill_(outside(sets, block, first, last, loop=loop), float("inf"))
        value, column = smallest(distance, k)
        part = slice(done, done + block.numel())
        key[part], index[part] = value, torch.where(column < 0, column, column + first)
        done += block.numel()
    return index, key


def _tree(points: Tensor, sets: PointSets, k: int, loop: bool) -> tuple[Tensor, Tensor]:
    try:
        from scipy.spatial import cKDTree
    except ImportError as error:
        raise ImportError("method='tree' needs scipy: pip install 'graphkit[datasets]'") from error
    count = points.size(0)
    if points.device.type != "cpu" or (count > 0 and int(sets.end[0]) != count):
        raise ValueError("method 'tree' is for one set of points on the CPU; use method='auto'")
    wide = points.double()
    asked = k + (not loop) + 1  # itself, and one more to see whether the last has its equal
    if asked > count:
        return _blocked(wide, sets, torch.arange(count), k, loop)
    values = wide.numpy()
    near = torch.from_numpy(cKDTree(values).query(values, k=asked, workers=torch.get_num_threads())[1]).long()
    distance = (wide.unsqueeze(1) - wide[near]).square().sum(2)
    if not loop:
        distance[near == torch.arange(count).unsqueeze(1)] = float("inf")
    # Of equal distances the smaller number comes first.
    by_number = near.argsort(dim=1)
    near, distance = near.gather(1, by_number), distance.gather(1, by_number)
    distance, order = distance.sort(dim=1, stable=True)
    near = near.gather(1, order)
    # One more than k was asked for. Where it is as near as the k-th, others may be as well that were not asked for.
    unsure = (distance[:, k] <= distance[:, k - 1] * (1 + 1e-12)).nonzero().view(-1)
    index, key = near[:, :k].contiguous(), distance[:, :k].contiguous()
    if unsure.numel() > 0:
        index[unsure], key[unsure] = _blocked(wide, sets, unsure, k, loop)
    return index, key
