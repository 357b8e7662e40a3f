r"""Convolutions that aggregate linearly and then transform: what is frozen is aggregated once.

:math:`\mathrm{conv}(x) = b + \sum_k (A_k x) W_k^T` for ``GCNConv``, ``SAGEConv`` (mean or sum) and ``GraphConv``.
While a
layer is trained its input does not change, so an epoch costs the products with the weights, for the rows of the loss
alone.

What is kept of an aggregation belongs to one input on one graph: an :class:`Aggregated` is made from both and lives as
long as the layer is trained on them, and a :class:`Topology` keeps the weights of its own edges. There is nothing that
a second input, a negative or another graph could be given by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GraphConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphkit.graph import Graph
from graphkit.ops import gather_reduce
from graphkit.train.forward.losses import row_normalize

# Which adjacency: ("gcn", improved, add_self_loops), ("sum",), ("mean",), the node itself: ("root",), or its neighbours
# and itself, once: ("loops",).
Kind = tuple[object, ...]
_BLOCK = 2**17  # numbers
_SPARSE = 0.1


@dataclass(frozen=True)
class LinearForm:
    """``conv(x) = bias + sum over terms of (A_kind x) weight^T``."""

    terms: tuple[tuple[Kind, Tensor], ...]
    bias: Tensor | None


def linear_form(conv: Any) -> LinearForm | None:
    """The linear form of a convolution as its parameters are now; None if it has none that we know.

    Example:
        >>> [kind for kind, _ in linear_form(SAGEConv(4, 8)).terms]
        [('mean',), ('root',)]
    """
    if type(conv) not in (GCNConv, SAGEConv, GraphConv) or not is_untouched(conv):
        return None
    if type(conv) is GCNConv and conv.aggr == "add" and conv.flow == "source_to_target" and is_plain(conv.lin):
        kind = ("gcn", conv.improved, conv.add_self_loops) if conv.normalize else ("sum",)
        return LinearForm(((kind, conv.lin.weight),), conv.bias)
    if type(conv) is SAGEConv and conv.flow == "source_to_target" and is_plain(conv.lin_l):
        if conv.aggr not in _ADJACENCY or conv.normalize or conv.project:
            return None
        root = ((("root",), conv.lin_r.weight),) if conv.root_weight else ()
        return LinearForm(((_ADJACENCY[conv.aggr], conv.lin_l.weight), *root), conv.lin_l.bias)
    if type(conv) is GraphConv and conv.flow == "source_to_target" and is_plain(conv.lin_rel):
        if conv.aggr not in _ADJACENCY:
            return None
        return LinearForm(
            ((_ADJACENCY[conv.aggr], conv.lin_rel.weight), (("root",), conv.lin_root.weight)), conv.lin_rel.bias
        )
    return None


_ADJACENCY: dict[object, Kind] = {"mean": ("mean",), "add": ("sum",), "sum": ("sum",)}


def is_plain(linear: nn.Module) -> bool:
    """Whether a call of this layer is a product with its weight and nothing else."""
    return type(linear) is Linear and not linear._forward_hooks and not linear._forward_pre_hooks


def is_untouched(conv: Any) -> bool:
    """Whether a convolution of PyG has no hook and no explainer that would see or change what passes through it."""
    hooked = (value for name, value in vars(conv).items() if name.endswith("_hooks") and "forward" in name)
    return not any(hooked) and not conv.explain


class Topology:
    """Edges among ``num_nodes`` nodes, and their weights as linear convolutions see them, worked out once per kind."""

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        self._edges: dict[tuple[Kind, torch.dtype], tuple[Tensor, Tensor]] = {}
        self._graphs: dict[Kind, Graph] = {}

    def edges(self, kind: Kind, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Edges, self-loops included, and weights ``[E']`` such that ``A_kind x`` is the weighted sum of sources."""
        if (kind, dtype) not in self._edges:
            self._edges[kind, dtype] = self._weigh(kind, dtype)
        return self._edges[kind, dtype]

    def _weigh(self, kind: Kind, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        edges, n = self.edge_index, self.num_nodes
        if kind[0] == "gcn":
            _, improved, loops = kind
            return gcn_norm(edges, None, n, bool(improved), bool(loops), "source_to_target", dtype)
        if kind[0] == "root":
            edges = torch.arange(n, device=edges.device).expand(2, -1)
        elif kind[0] == "loops":
            edges, _ = add_self_loops(remove_self_loops(edges)[0], num_nodes=n)
        weight = edges.new_ones(edges.size(1), dtype=dtype)
        if kind[0] == "mean":
            weight = weight.new_zeros(n).index_add_(0, edges[1], weight).reciprocal()[edges[1]]
        return edges, weight

    def aggregate(self, kind: Kind, x: Tensor) -> Tensor:
        """``A_kind x``: ``[n, d] -> [n, d]``."""
        if kind[0] == "root":
            return x
        edges, weight = self.edges(kind, x.dtype)
        if kind not in self._graphs:
            self._graphs[kind] = Graph.from_edge_index(edges, self.num_nodes, copy=False)
        return gather_reduce(x, self._graphs[kind], edge_weight=weight)

    def into(self, kind: Kind, rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The edges into ``rows``: sources, places of the targets in ``rows`` (ascending), weights."""
        edges, weight = self.edges(kind, dtype)
        place = torch.full((self.num_nodes,), -1, device=rows.device)
        place[rows] = torch.arange(rows.numel(), device=rows.device)
        target = place[edges[1]]
        keep = (target >= 0).nonzero().view(-1)
        keep = keep[target[keep].argsort(stable=True)]
        return edges[0, keep], target[keep], weight[keep]


@dataclass
class Features:
    """Frozen features of the real nodes and of the class nodes, and what their rows are to be multiplied by.

    They are kept apart so that no copy of the user's features is made to append the class nodes.

    Args:
        real: ``[N, d]``.
        classes: ``[K, d]``, or None.
        context: further columns of the real nodes, ``[N, K]``, or None.
        normalize: whether layers see rows of length 1.
        scale: what the real rows are multiplied by; worked out if ``normalize``.
    """

    real: Tensor
    classes: Tensor | None = None
    context: Tensor | None = None
    normalize: bool = True
    scale: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.scale is None and self.normalize:
            length = torch.linalg.vector_norm(self.real, dim=1)
            if self.context is not None:
                length = torch.hypot(length, torch.linalg.vector_norm(self.context, dim=1))
            self.scale = (length + 1e-8).reciprocal()

    @property
    def widths(self) -> list[int]:
        """The number of columns, and of context columns if there are."""
        return [self.real.size(1)] + ([] if self.context is None else [self.context.size(1)])

    def scaled_classes(self) -> Tensor | None:
        if self.classes is None or not self.normalize:
            return self.classes
        return row_normalize(self.classes)

    def dense(self) -> Tensor:
        """What a layer sees: ``[N + K, d]``."""
        real = self.real if self.context is None else torch.cat([self.real, self.context], 1)
        real = real if self.scale is None else real * self.scale[:, None]
        classes = self.scaled_classes()
        return real if classes is None else torch.cat([real, classes])

    def is_sparse(self) -> bool:
        """Whether a sum over neighbours is worth keeping without its zeros: wide rows, mostly zero."""
        return self.real.size(1) >= 256 and int(self.real.count_nonzero()) < 0.25 * _SPARSE * self.real.numel()


class Aggregated:
    """Rows of ``A x`` for frozen ``x``, to be multiplied by weights again and again: ``P = S + B V``.

    ``S`` comes from the real nodes, sparse where that is smaller; ``B V`` from the K class nodes, whose features are
    normal random numbers.

    Args:
        topology: the graph.
        kind: which adjacency.
        features: x.
        rows: which rows of ``A x``, ``[R]``.
        classes: whether to add what comes from the class nodes.
    """

    def __init__(self, topology: Topology, kind: Kind, features: Features, rows: Tensor, classes: bool = True) -> None:
        x, count = features.real, rows.numel()
        source, target, weight = topology.into(kind, rows, x.dtype)
        real = source < x.size(0)
        self.mix, self.classes = None, None
        if classes and features.classes is not None:
            self.mix, self.classes = class_mix(topology, kind, features, rows), features.scaled_classes()
        source, target, weight = source[real], target[real], weight[real]
        if features.scale is not None:
            weight = weight * features.scale[source]
        self.dense: Tensor | None = None
        if features.is_sparse():
            self.graph, self.values = _sparse_rows(x, source, target, weight, count)
        else:
            graph = Graph.from_edge_index(torch.stack([source, target]), (x.size(0), count), copy=False)
            self.dense = gather_reduce(x, graph, edge_weight=weight)
            if self.mix is not None and self.classes is not None:
                self.dense.addmm_(self.mix, self.classes)

    def times(self, weight: Tensor) -> Tensor:
        """``P weight^T``: weight ``[H, d]`` -> ``[R, H]``."""
        if self.dense is not None:
            return F.linear(self.dense, weight)
        out = gather_reduce(weight.t().contiguous(), self.graph, edge_weight=self.values)
        if self.mix is not None and self.classes is not None:
            out = out + self.mix @ F.linear(self.classes, weight)
        return out


def class_mix(topology: Topology, kind: Kind, features: Features, rows: Tensor) -> Tensor:
    """How much of each class node's features comes into each row of ``A x``: ``[R, K]``."""
    assert features.classes is not None
    source, target, weight = topology.into(kind, rows, features.real.dtype)
    virtual = source >= features.real.size(0)
    mix = weight.new_zeros(rows.numel(), features.classes.size(0))
    place = (target[virtual], source[virtual] - features.real.size(0))
    return mix.index_put_(place, weight[virtual], accumulate=True)


def _blocks(x: Tensor, source: Tensor, target: Tensor, weight: Tensor, count: int) -> Iterator[tuple[int, Tensor]]:
    """The weighted sums of sources, some rows at a time: the number of the first row, and ``[rows, d]``."""
    step = max(512, _BLOCK // max(1, x.size(1)))
    bounds = torch.arange(0, count + step, step, device=target.device)
    places = torch.searchsorted(target, bounds).tolist()
    for first, low, high in zip(range(0, count, step), places[:-1], places[1:], strict=True):
        edges = torch.stack([source[low:high], target[low:high] - first])
        graph = Graph.from_edge_index(edges, (x.size(0), min(step, count - first)), copy=False)
        yield first, gather_reduce(x, graph, edge_weight=weight[low:high])


def _sparse_rows(x: Tensor, source: Tensor, target: Tensor, weight: Tensor, count: int) -> tuple[Graph, Tensor]:
    """The weighted sums of sources as a graph from columns to rows."""
    places, values = [target.new_empty(2, 0)], [x.new_empty(0)]  # there may be no rows
    for first, block in _blocks(x, source, target, weight, count):
        row, column = block.nonzero(as_tuple=True)
        places.append(torch.stack([column, row + first]))
        values.append(block[row, column])
    graph = Graph.from_edge_index(torch.cat(places, 1), (x.size(1), count), copy=False)
    return graph, torch.cat(values)


def product_of_all_rows(topology: Topology, kind: Kind, features: Features, weight: Tensor) -> Tensor:
    """``A x weight^T`` for every node, once, without anything of the size of ``x``: ``[n, H]``."""
    rows = torch.arange(topology.num_nodes, device=features.real.device)
    x, classes = features.real, features.scaled_classes()
    source, target, edge_weight = topology.into(kind, rows, x.dtype)
    if classes is None:
        out = x.new_zeros(topology.num_nodes, weight.size(0))
    else:
        out = class_mix(topology, kind, features, rows) @ F.linear(classes, weight)
    real = source < x.size(0)
    source, target, edge_weight = source[real], target[real], edge_weight[real]
    if features.scale is not None:
        edge_weight = edge_weight * features.scale[source]
    for first, block in _blocks(x, source, target, edge_weight, topology.num_nodes):
        out[first : first + block.size(0)] += F.linear(block, weight)
    return out
