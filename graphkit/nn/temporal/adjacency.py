"""The weights of a normalised adjacency, made once per graph."""

from __future__ import annotations

import weakref
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from graphkit.graph import Graph

SelfLoops = Literal["add", "remaining"]


class Adjacency(NamedTuple):
    """What a sum along the edges is weighted by.

    Attributes:
        edge_weight: ``[E]``; ``None``: ones.
        loops: weights of the loops that are added to the edges, ``[N]`` or one for all; ``None``: there are none.
    """

    edge_weight: Tensor | None
    loops: Tensor | float | None


_Stamp = list[tuple[weakref.ref[Tensor], int] | None]
# Graph -> (self loops, dtype) -> (stamp of the tensors it was made of, weights). Keys are weak and no value holds a
# graph, so an entry dies with its graph.
_MEMORY: WeakKeyDictionary[Graph, dict[tuple[SelfLoops | None, torch.dtype], tuple[_Stamp, Adjacency]]] = (
    WeakKeyDictionary()
)


def normalized_adjacency(
    graph: Graph,
    edge_weight: Tensor | None = None,
    degree: Tensor | None = None,
    *,
    self_loops: SelfLoops | None = "add",
    dtype: torch.dtype = torch.float32,
) -> Adjacency:
    r""":math:`D^{-1/2} (A + I) D^{-1/2}`, D being the sums over each node's incoming edges and its loop.

    Remembered with the graph, for as long as weights and degrees are the same tensors and torch has counted no edit of
    them; made anew at each call where they need a gradient. A node of degree 0 gets weights 0. Self loops: see
    :class:`~graphkit.nn.EvolveGCNO`.

    Args:
        graph: the topology.
        edge_weight: ``[E]``; ones if ``None``.
        degree: sums of the weights of each node's incoming edges ``[N]``, if somebody has added them up.
        self_loops: which are added.
        dtype: of the weights.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> weights = normalized_adjacency(graph)
        >>> weights.edge_weight.round(decimals=3).tolist(), weights.loops.round(decimals=3).tolist()
        ([0.5, 0.5], [0.5, 0.5])
        >>> normalized_adjacency(graph).edge_weight is weights.edge_weight
        True
    """
    given = (edge_weight, degree)
    if torch.compiler.is_compiling() or any(t is not None and (t.requires_grad or t.is_inference()) for t in given):
        return _make(graph, edge_weight, degree, self_loops, dtype)
    known = _MEMORY.setdefault(graph, {})
    entry = known.get((self_loops, dtype))
    if entry is None or not all(map(_is_unchanged, entry[0], given)):
        stamp: _Stamp = [None if t is None else (weakref.ref(t), t._version) for t in given]
        # Made in inference mode, it must serve training too.
        with torch.inference_mode(False), torch.no_grad():
            entry = (stamp, _make(graph, edge_weight, degree, self_loops, dtype))
        known[self_loops, dtype] = entry
    return entry[1]


def _is_unchanged(stamp: tuple[weakref.ref[Tensor], int] | None, tensor: Tensor | None) -> bool:
    if stamp is None or tensor is None:
        return stamp is None and tensor is None
    return stamp[0]() is tensor and stamp[1] == tensor._version


def _make(
    graph: Graph, edge_weight: Tensor | None, degree: Tensor | None, self_loops: SelfLoops | None, dtype: torch.dtype
) -> Adjacency:
    if edge_weight is not None:
        edge_weight = edge_weight.to(dtype)
    if degree is None:
        degree = graph.in_degree if edge_weight is None else _sums(graph, edge_weight)
    degree = degree.to(dtype)
    loops = added_loops(graph, self_loops, dtype)
    degree = degree if loops is None else degree + loops
    empty = degree == 0
    # The inner masked_fill keeps the infinite slope of x**-0.5 at 0 out of the gradient.
    scale = degree.masked_fill(empty, 1.0).rsqrt().masked_fill(empty, 0.0)
    source, target = graph.edge_index
    both = scale[source] * scale[target]
    return Adjacency(
        both if edge_weight is None else edge_weight * both, None if loops is None else loops * scale.square()
    )


def added_loops(graph: Graph, self_loops: SelfLoops | None, dtype: torch.dtype) -> Tensor | float | None:
    """The weights of the loops that are added, before any normalisation."""
    if self_loops != "remaining":
        return 1.0 if self_loops == "add" else None
    source, target = graph.edge_index
    looped = torch.zeros(graph.num_dst, dtype=dtype, device=graph.device)
    # Assigned by an addition, which torch.compile can trace whatever the number of loops.
    looped = looped.index_add(0, target, (source == target).to(dtype))
    return (looped == 0).to(dtype)


def _sums(graph: Graph, edge_weight: Tensor) -> Tensor:
    return edge_weight.new_zeros(graph.num_dst).index_add(0, graph.edge_index[1], edge_weight)
