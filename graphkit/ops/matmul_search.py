"""Exact nearest neighbours in many dimensions: products of matrices find candidates, differences decide."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.point_sets import PointSets, outside, row_blocks

_PIECE = 1 << 22  # entries of differences that are held at a time


def matmul_search(points: Tensor, sets: PointSets, k: int, loop: bool) -> tuple[Tensor, Tensor]:
    r"""Neighbours and squared distances of sorted points, as :func:`graphkit.ops.nearest_neighbors` describes them.

    :math:`|x|^2 + |y|^2 - 2 \langle x, y \rangle` of centred points is one product per block, but loses digits. Every
    point that it puts within twice its error of the k-th is measured again, by differences in float64: the result is
    exact, with copies and ties too.
    """
    count, dim = points.shape
    centred = points - points.mean(0) if count else points
    norm = centred.square().sum(1)
    wide = points.double()
    # Rounding of each of the three terms, and of the centre.
    error = 8 * (dim + 8) * torch.finfo(points.dtype).eps * norm.amax() if count else norm.sum()
    index = torch.full((count, k), -1, dtype=torch.int64, device=points.device)
    key = torch.full((count, k), float("inf"), dtype=torch.float64, device=points.device)
    for block, first, last in row_blocks(sets, torch.arange(count, device=points.device)):
        columns = centred[first:last]
        near = torch.addmm(norm[first:last], centred[block], columns.T, alpha=-2).add_(norm[block].unsqueeze(1))
        near.masked_fill_(outside(sets, block, first, last, loop=loop), float("inf"))
        limit = near.topk(min(k, near.size(1)), dim=1, largest=False).values[:, -1:] + 2 * error
        row, column = ((near <= limit) & near.isfinite()).nonzero(as_tuple=True)
        distance = torch.cat(
            [
                (wide[block[a]] - wide[b + first]).square().sum(1)
                for a, b in zip(*(part.split(max(1, _PIECE // dim)) for part in (row, column)), strict=True)
            ]
        )
        # By row, then distance, then column.
        order = distance.argsort(stable=True)
        order = order[row[order].argsort(stable=True)]
        row, column, distance = row[order], column[order], distance[order]
        counts = torch.bincount(row, minlength=block.numel())
        place = torch.arange(row.numel(), device=row.device) - (counts.cumsum(0) - counts)[row]
        kept = place < k
        index[block[row[kept]], place[kept]] = column[kept] + first
        key[block[row[kept]], place[kept]] = distance[kept]
    return index, key
