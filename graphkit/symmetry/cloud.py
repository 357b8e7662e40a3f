"""What a Euclidean frame is made from: the points of each cloud of a ragged batch, and their covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit import ops
from graphkit.symmetry.eigen import symmetric_eigen
from graphkit.symmetry.groups import Euclidean

ROUNDINGS = 64
"""A cloud narrower than this many roundings of its centre's coordinates is a single point."""


@dataclass(frozen=True)
class Cloud:
    """The clouds of a batch.

    Attributes:
        points: per input that makes the frame, its rows ``[n, d]`` in float64 (positions: centred) and the cloud of
            each row ``[n]``.
        center: ``[B, d]`` float64; 0 for groups without translations.
        batch: the cloud of each node ``[N]``.
        covariance: ``[B, d, d]``, the sum of the points' outer products.
        single: bool ``[B]``, clouds that are one point as far as their numbers can tell.
        num_nodes: nodes of each cloud, ``[B]``.
    """

    points: tuple[tuple[Tensor, Tensor], ...]
    center: Tensor
    batch: Tensor
    covariance: Tensor
    single: Tensor
    num_nodes: Tensor

    @property
    def num_graphs(self) -> int:
        """Number of clouds B."""
        return self.center.size(0)


def make_cloud(
    group: Euclidean,
    data: Mapping[str, Tensor],
    kinds: Mapping[str, str],
    batch: Tensor | None = None,
    num_graphs: int | None = None,
    *,
    frame_from: Sequence[str] | None = None,
    grad: bool = False,
) -> Cloud:
    r"""Gathers the points that make the frames.

    Positions count from the centre (groups with translations: the mean of the first position input, which further
    positions share). Vectors are points of their own, so that collinear positions with velocities across the line have
    exact frames; pseudovectors are two opposite points (a reflection may turn them round). Rank-2 tensors take no part.

    Args:
        group: the group.
        data: values by name, one row per node ``[N, ..., d]`` or per cloud ``[B, ..., d]``.
        kinds: their kinds.
        batch: the cloud of each node ``[N]``; one cloud where None.
        num_graphs: number of clouds; the largest entry of ``batch`` + 1 where None.
        frame_from: names of the inputs that make the frame; all positions, vectors and pseudovectors where None.
        grad: keep the gradient of points and covariance; the centre has it in any case.

    Raises:
        ValueError: if there is nothing to make a frame from, or shapes do not fit.
    """
    moved = {key: kind for key, kind in kinds.items() if key in data and group.check_kind(key, data[key], kind)}
    known = [key for key, kind in moved.items() if kind != "tensor"]
    chosen = known if frame_from is None else list(frame_from)
    if unknown := sorted(set(chosen) - set(known)):
        raise ValueError(f"'frame_from' names {unknown}, expected some of {known}: no other input makes a frame")
    if not chosen:
        raise ValueError(f"a frame needs a position, vector or pseudovector, got kinds {dict(kinds)}")
    first = next((data[key] for key, kind in moved.items() if kind == "position"), data[chosen[0]])
    if batch is None:
        batch = torch.zeros(first.size(0), dtype=torch.long, device=first.device)
        num_graphs = 1 if num_graphs is None else num_graphs
    if num_graphs is None:
        num_graphs = int(batch.max()) + 1 if batch.numel() else 0
    graphs = torch.arange(num_graphs, device=batch.device)
    num_nodes = torch.bincount(batch, minlength=num_graphs)

    rows = {key: _rows(key, data[key], batch.numel(), num_graphs, group.dim) for key in known}
    center = rows[chosen[0]].new_zeros(num_graphs, group.dim)
    if group.translations:
        origin = next((rows[key] for key, kind in moved.items() if kind == "position"), None)
        if origin is None or origin.size(0) != batch.numel():
            raise ValueError(f"{group.name} has translations: it needs a position of each node, got inputs {moved}")
        center = ops.scatter(origin.mean(1), batch, num_graphs, "mean")
    with torch.set_grad_enabled(grad and torch.is_grad_enabled()):
        points = []
        covariance = rows[chosen[0]].new_zeros(num_graphs, group.dim, group.dim)
        for key in chosen:
            index = batch if rows[key].size(0) == batch.numel() else graphs
            value = rows[key]
            if moved[key] == "position" and group.translations:
                value = value - center.index_select(0, index)[:, None]
            if moved[key] == "pseudovector":
                value = torch.cat([value, -value], 1)
            covariance = covariance + _covariance(value, index, num_graphs)
            points.append((value.flatten(0, 1), index.repeat_interleave(value.size(1))))
        spread = covariance.detach().diagonal(dim1=1, dim2=2).sum(1)
        eps = torch.finfo(first.dtype if first.is_floating_point() else torch.float64).eps
        rounding = num_nodes * (ROUNDINGS * eps * center.detach().abs().amax(1)).square()
    return Cloud(tuple(points), center, batch, covariance, spread <= rounding, num_nodes)


def _rows(key: str, value: Tensor, num_nodes: int, num_graphs: int, dim: int) -> Tensor:
    """``[n, k, d]`` in float64."""
    if value.dim() < 2 or value.size(0) not in (num_nodes, num_graphs):
        raise ValueError(
            f"'{key}' must have a row per node ({num_nodes}) or per cloud ({num_graphs}), got {list(value.shape)}"
        )
    return value.reshape(value.size(0), math.prod(value.shape[1:-1]), dim).double()


def _covariance(points: Tensor, index: Tensor, num_graphs: int) -> Tensor:
    """Sums of outer products per cloud, ``[n, k, d] -> [B, d, d]``: each product of two columns is made once."""
    dim = points.size(-1)
    columns = points.unbind(-1)
    pairs = [(i, j) for i in range(dim) for j in range(i, dim)]
    products = torch.stack([columns[i] * columns[j] for i, j in pairs], -1)
    products = products.squeeze(1) if products.size(1) == 1 else products.sum(1)
    sums = ops.scatter(products, index, num_graphs, "sum")
    where = [pairs.index((min(i, j), max(i, j))) for i in range(dim) for j in range(dim)]
    return sums[:, where].reshape(-1, dim, dim)


def eigenvalue_gaps(values: Tensor) -> Tensor:
    """Differences of neighbouring eigenvalues over the largest one: ``[B, d]`` ascending -> ``[B, d - 1]``.

    Example:
        >>> eigenvalue_gaps(torch.tensor([[1.0, 1.0, 4.0], [0.0, 0.0, 0.0]])).tolist()
        [[0.0, 0.75], [0.0, 0.0]]
    """
    largest = values[:, -1:]
    return values.diff(dim=1) / torch.where(largest > 0, largest, 1.0)


def frame_condition(x: Tensor, batch: Tensor | None = None, *, group: str = "E") -> Tensor:
    r"""How well the axes of each cloud are told apart: :math:`\min_k (\lambda_{k+1} - \lambda_k) / \lambda_d`.

    0: axes are not determined (regular shapes, collinear clouds in space), and averages over their frames alone are
    neither exact nor continuous there; roundings in x are amplified by the inverse of this number.

    Args:
        x: points ``[N, d]``.
        batch: the cloud of each point ``[N]``; one cloud where None.
        group: ``"E"`` counts points from their centre, ``"O"`` from the origin.

    Shapes:
        ``[N, d] -> [B]``; 1 where d = 1.

    Example:
        >>> square = torch.tensor([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
        >>> frame_condition(square).tolist()
        [0.0]
    """
    if x.dim() != 2:
        raise ValueError(f"'x' must have shape [N, d], got {list(x.shape)}")
    cloud = make_cloud(Euclidean.named(f"{group}({x.size(1)})"), {"x": x}, {"x": "position"}, batch)
    if x.size(1) == 1:
        return x.new_ones(cloud.num_graphs)
    return eigenvalue_gaps(symmetric_eigen(cloud.covariance)[0]).amin(1).to(x.dtype)
