"""What PyG's layers need of pyg-lib, where it is not installed: it is not on PyPI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch_geometric.typing as pyg_typing
from torch import Tensor

SEARCHES = ("DynamicEdgeConv", "GravNetConv", "XConv")
"""Layers that call ``torch.ops.pyg.knn``."""


def k_nearest(x: Tensor, y: Tensor, ptr_x: Tensor | None, ptr_y: Tensor | None, k: int) -> Tensor:
    """The k points of ``x`` nearest to each point of ``y`` (fewer in smaller groups), ``[2, E]``: of y, of x.

    Example:
        >>> k_nearest(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[4.0]]), None, None, 2).tolist()
        [[0, 0], [2, 1]]
    """
    ends_x = [0, x.size(0)] if ptr_x is None else ptr_x.tolist()
    ends_y = [0, y.size(0)] if ptr_y is None else ptr_y.tolist()
    pairs = [x.new_zeros(2, 0, dtype=torch.long)]
    for (a, b), (c, d) in zip(pairwise(ends_x), pairwise(ends_y), strict=True):
        apart = (y[c:d, None].double() - x[None, a:b].double()).square().sum(2)
        near = apart.argsort(dim=1, stable=True)[:, :k]
        own = torch.arange(c, d, device=y.device)[:, None].expand_as(near)
        pairs.append(torch.stack([own.flatten(), near.flatten() + a]))
    return torch.cat(pairs, 1)


@contextmanager
def nearest_neighbours() -> Iterator[None]:
    """Inside, ``torch.ops.pyg.knn`` is :func:`k_nearest`, unless pyg-lib brings it."""
    if pyg_typing.WITH_KNN:
        yield
        return
    library = torch.library.Library("pyg", "FRAGMENT")
    library.define("knn(Tensor x, Tensor y, Tensor? ptr_x, Tensor? ptr_y, int k, bool cosine, int workers) -> Tensor")
    library.impl("knn", lambda *args: k_nearest(*args[:5]), "CompositeExplicitAutograd")
    pyg_typing.WITH_KNN = True
    try:
        yield
    finally:
        pyg_typing.WITH_KNN = False
        library._destroy()
