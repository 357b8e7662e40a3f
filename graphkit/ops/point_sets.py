"""Several sets of points in one tensor: which rows belong together, and blocks of rows that a search can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 1 << 22  # most entries of a block of pairs: 32 MB in float64
_ROWS = 256

PairCost = Callable[[Tensor, Tensor], Tensor]
"""Maps points ``[..., d]`` and ``[..., d]``, whose leading shapes broadcast, to costs ``[...]``."""


class CostPart(NamedTuple):
    """One term of a cost that is a sum: a function of the weighted squared distance of points of its own.

    Attributes:
        points: ``[N, d]``, a row for each point.
        weight: ``[N]``: the squared distance of two points is taken times the weights of both; None: 1.
        cost: maps that to the term; 0 or more, increasing.
    """

    points: Tensor
    weight: Tensor | None
    cost: Callable[[Tensor], Tensor]


class PointSets(NamedTuple):
    """Points sorted by set, and where each one's set begins and ends.

    Attributes:
        order: int64 ``[N]``, which point of the user comes at each place; None where they were sorted.
        begin: int64 ``[N]``, where the set of each sorted point begins.
        end: int64 ``[N]``, where it ends.
    """

    order: Tensor | None
    begin: Tensor
    end: Tensor

    def sort(self, rows: Tensor) -> Tensor:
        """Rows in the user's order, sorted by set."""
        return rows if self.order is None else rows[self.order]

    def users(self, places: Tensor) -> Tensor:
        """Numbers of sorted points as the user's numbers."""
        return places if self.order is None else self.order[places]


def point_sets(x: Tensor, batch: Tensor | None = None) -> PointSets:
    """The sets that ``batch`` makes of the rows of ``x``; one set without it.

    Args:
        x: points ``[N, d]``.
        batch: integer ``[N]``, the set of each point, in any order.

    Raises:
        ValueError: if ``batch`` has another length, another device or no integers.

    Example:
        >>> sets = point_sets(torch.zeros(4, 2), torch.tensor([1, 0, 1, 1]))
        >>> sets.order.tolist(), sets.begin.tolist(), sets.end.tolist()
        ([1, 0, 2, 3], [0, 1, 1, 1], [1, 4, 4, 4])
    """
    count = x.size(0)
    if batch is None:
        begin = torch.zeros(count, dtype=torch.int64, device=x.device)
        return PointSets(None, begin, begin + count)
    if not isinstance(batch, Tensor) or batch.shape != (count,) or batch.is_floating_point():
        got = f"{batch.dtype} {list(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
        raise ValueError(f"'batch' must hold the set of each of the {count} points, integers (got {got})")
    if batch.device != x.device:
        raise ValueError(f"'batch' is on {batch.device} but the points are on {x.device}; move one with .to(...)")
    order = None
    if bool((batch[1:] < batch[:-1]).any()):
        order = batch.argsort(stable=True)
        batch = batch[order]
    _, which, counts = torch.unique_consecutive(batch, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    return PointSets(order, (ends - counts)[which], ends[which])


def row_blocks(sets: PointSets, rows: Tensor) -> Iterator[tuple[Tensor, int, int]]:
    """Blocks of ``rows`` (ascending numbers of sorted points), each with the range of columns that it needs."""
    if rows.numel() == 0:
        return
    largest = int((sets.end - sets.begin)[rows].max())
    for block in rows.split(max(1, min(_ROWS, _BLOCK // max(largest, 1)))):
        yield block, int(sets.begin[block[0]]), int(sets.end[block[-1]])


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``[n, d]``, ``[m, d]`` -> ``[n, m]``: a difference for every pair and coordinate, so that no digits cancel."""
    total = x.new_zeros(x.size(0), y.size(0))
    for a, b in zip(x.unbind(1), y.unbind(1), strict=True):
        total += (a.unsqueeze(1) - b.unsqueeze(0)).square_()
    return total


def outside(sets: PointSets, block: Tensor, first: int, last: int, *, loop: bool) -> Tensor:
    """``[rows, last - first]``: the columns that are no candidates of a row, of another set or the row itself."""
    columns = torch.arange(first, last, device=block.device)
    wrong = (columns < sets.begin[block].unsqueeze(1)) | (columns >= sets.end[block].unsqueeze(1))
    return wrong if loop else wrong | (columns == block.unsqueeze(1))


def smallest(keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, best first, of equal keys the one of the smaller column: (keys, columns).

    Infinite keys are no candidates and get the column -1; so does what is missing where there are fewer than k columns.
    """
    wide = min(k + 1, keys.size(1))
    value, column = keys.topk(wide, dim=1, largest=False)
    if wide > k:
        tied = (value[:, k - 1] == value[:, k]) & value[:, k].isfinite()
        value, column = value[:, :k], column[:, :k]
        if bool(tied.any()):  # topk takes any of them: take the first instead
            rows, last = keys[tied], value[tied, -1:]
            equal = rows == last
            better = rows < last
            equal &= equal.cumsum(1) <= k - better.sum(1, keepdim=True)
            chosen = (better | equal).nonzero()[:, 1].view(-1, k)
            value[tied], column[tied] = rows.gather(1, chosen), chosen
    order = column.argsort(dim=1)
    value, column = value.gather(1, order), column.gather(1, order)
    value, order = value.sort(dim=1, stable=True)
    column = column.gather(1, order).masked_fill_(value == float("inf"), -1)
    if value.size(1) < k:
        missing = k - value.size(1)
        value = torch.nn.functional.pad(value, (0, missing), value=float("inf"))
        column = torch.nn.functional.pad(column, (0, missing), value=-1)
    return value, column


def check_points(x: object, name: str = "x") -> Tensor:
    """Return ``x`` if it holds finite points ``[N, d]``, or raise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"'{name}' must be a torch.Tensor (got {type(x).__name__})")
    if x.dim() != 2 or x.size(1) == 0 or not x.is_floating_point():
        raise ValueError(
            f"'{name}' must be floating-point points of shape [N, d], d > 0 (got {x.dtype} {list(x.shape)})"
        )
    if not bool(x.isfinite().all()):
        row = int((~x.isfinite()).any(1).nonzero()[0])
        raise ValueError(
            f"'{name}' must be finite, row {row} is {x[row].tolist()[:8]}; check the learning rate, or normalise the "
            f"encoder's input"
        )
    return x


def check_k(k: object) -> int:
    """Return ``k`` if it is a positive int, or raise."""
    if isinstance(k, bool) or not isinstance(k, int):
        raise TypeError(f"'k' must be an int (got {type(k).__name__})")
    if k < 1:
        raise ValueError(f"'k' must be at least 1 (got {k})")
    return k
