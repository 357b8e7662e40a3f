"""The samplers in plain numpy: slow, easy to check, draw for draw equal to :mod:`graphkit.native.sampling`.

They run where the native library is absent, and the tests compare the two bit for bit. Signatures and results are
those of the native functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphkit.graph.sampling.random import bounded, fold

Form = Iterable[Tensor]
Edges = tuple[Tensor, Tensor, Tensor]
Array = npt.NDArray[Any]


def mark(numbers: Tensor, nodes: Tensor, first: int) -> None:
    """See :func:`graphkit.native.sampling.mark`."""
    unmarked = nodes.clone().numpy()[::-1]  # the last write wins, so equal nodes are written in reverse
    places = np.arange(nodes.numel(), dtype=np.int64)[::-1]
    new = numbers.numpy()[unmarked] == 0
    numbers.numpy()[unmarked[new]] = first + places[new] + 1


def unmark(numbers: Tensor, nodes: Tensor) -> None:
    """See :func:`graphkit.native.sampling.unmark`."""
    numbers.index_fill_(0, nodes, 0)


def choose(degree: Array, fanout: int, replace: bool, keys: Array) -> Array:
    """``[n, fanout]``: positions of the chosen edges among the ``degree[i]`` edges of row ``i``.

    Without replacement by Floyd's method, one column at a time: draw ``t`` from the first ``m`` positions, where
    ``m`` grows to ``degree`` with the columns; if ``t`` is taken, take position ``m - 1``, which cannot be. Every
    subset of ``fanout`` positions is equally likely (Bentley and Floyd, CACM 30(9), 1987).
    """
    chosen = np.empty((degree.size, fanout), dtype=np.int64)
    for j in range(fanout):
        if replace:
            chosen[:, j] = bounded(fold(keys, j), degree)
            continue
        limit = degree - fanout + j + 1
        t = bounded(fold(keys, j), limit)
        taken = (chosen[:, :j] == t[:, None]).any(axis=1)
        chosen[:, j] = np.where(taken, limit - 1, t)
    return chosen


def sample_hop(
    form: Form,
    numbers: Tensor,
    nodes: Tensor,
    first: int,
    fanout: int,
    replace: bool,
    key: int,
    found: Tensor,
    edges: Edges,
) -> None:
    """See :func:`graphkit.native.sampling.sample_hop`."""
    ptr, index, perm = (t.numpy() for t in form)
    rows = nodes.clone().numpy()  # a part of `found`, which cannot grow while numpy looks at it
    begin = ptr[rows].astype(np.int64)
    degree = ptr[rows + 1].astype(np.int64) - begin
    whole = (degree == 0) | (fanout < 0) | ((not replace) & (degree <= fanout))
    count = np.where(whole, degree, fanout)
    col = np.repeat(np.arange(rows.size), count)
    # Position of each edge within its row: all of them in order, or the chosen ones.
    position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    some = np.flatnonzero(~whole)
    if some.size > 0:
        chosen = choose(degree[some], fanout, replace, fold(key, first + some))
        position[~whole[col]] = chosen.reshape(-1)
    slot = begin[col] + position

    number = numbers.numpy()
    source = index[slot].astype(np.int64)
    unique, at = np.unique(source[number[source] == 0], return_index=True)
    new = unique[np.argsort(at)]  # in the order in which the edges meet them
    number[new] = found.numel() + 1 + np.arange(new.size)
    _append(found, new)
    for tensor, values in zip(edges, (number[source].astype(np.int64) - 1, first + col, perm[slot]), strict=True):
        _append(tensor, values)


def induced(form: Form, numbers: Tensor, nodes: Tensor, edges: Edges) -> None:
    """See :func:`graphkit.native.sampling.induced`."""
    ptr, index, perm = (t.numpy() for t in form)
    rows = nodes.clone().numpy()
    begin = ptr[rows].astype(np.int64)
    count = ptr[rows + 1].astype(np.int64) - begin
    col = np.repeat(np.arange(rows.size), count)
    slot = begin[col] + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    number = numbers.numpy()[index[slot]].astype(np.int64)
    inside = number > 0
    for tensor, values in zip(edges, (number[inside] - 1, col[inside], perm[slot[inside]]), strict=True):
        _append(tensor, values)


def partition(
    edge_index: Tensor, num_nodes: int, parts: int, key: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`graphkit.native.sampling.partition`."""
    source, target = edge_index.numpy()
    part = bounded(fold(key, np.arange(num_nodes)), parts)
    nodes = np.argsort(part, kind="stable")
    node_ptr = np.searchsorted(part[nodes], np.arange(parts + 1))
    local = np.empty(num_nodes, dtype=np.int64)
    local[nodes] = np.arange(num_nodes) - node_ptr[part[nodes]]
    kept = np.flatnonzero(part[source] == part[target])
    edge = kept[np.argsort(part[source[kept]], kind="stable")]
    edge_ptr = np.searchsorted(part[source[edge]], np.arange(parts + 1))
    arrays = (node_ptr, nodes, edge_ptr, local[source[edge]], local[target[edge]], edge)
    first, second, third, fourth, fifth, sixth = (torch.from_numpy(array.astype(np.int64)) for array in arrays)
    return first, second, third, fourth, fifth, sixth


def random_walk(form: Form, start: Tensor, length: int, key: int) -> Tensor:
    """See :func:`graphkit.native.sampling.random_walk`."""
    ptr, index, _ = (t.numpy() for t in form)
    keys = fold(key, np.arange(start.numel()))
    walk = np.full((start.numel(), length + 1), -1, dtype=np.int64)
    walk[:, 0] = start.numpy()
    for step in range(length):
        here = walk[:, step]
        degree = np.where(here < 0, 0, ptr[here + 1].astype(np.int64) - ptr[here])
        alive = np.flatnonzero(degree)
        slot = ptr[here[alive]] + bounded(fold(keys[alive], step), degree[alive])
        walk[alive, step + 1] = index[slot]
    return torch.from_numpy(walk)


def _append(tensor: Tensor, values: Array) -> None:
    start = tensor.shape[0]
    tensor.resize_(start + values.size)
    tensor[start:] = torch.from_numpy(values.astype(np.int64))
