"""The same graph in another form: ``EdgeIndex``, sparse tensors, ``Graph``, and ``(x_src, x_dst)``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric import typing as pyg_typing
from torch_geometric.data import Data
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import index_to_mask, to_torch_coo_tensor, to_torch_csc_tensor

from graphkit.testing.adapter import pair_names
from graphkit.testing.case import Case
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable, brief
from graphkit.testing.transforms import sort_by_target, take_edges


def _with(data: Data, topology: Any, drop: tuple[str, ...] = ()) -> Data:
    values = {key: value for key, value in data.to_dict().items() if key not in drop}
    return Data.from_dict({**values, "edge_index": topology, "num_nodes": data.num_nodes})


def _simple(case: Case) -> Data:
    """The data without parallel edges: a sparse matrix cannot hold them."""
    source, target = case.data.edge_index
    key = source * int(case.data.num_nodes or 0) + target
    _, group = key.unique(return_inverse=True)
    first = torch.full((int(group.max()) + 1,), key.numel()).scatter_reduce(0, group, torch.arange(key.numel()), "amin")
    return take_edges(case.data, index_to_mask(first, key.numel()))


def layouts_of(case: Case, data: Data) -> Iterator[tuple[str, Data, Tensor]]:
    """Every form of the data's graph: its name, the data with it, and the new position of each edge.

    Sparse tensors carry the edges' values themselves, so they are used with at most one edge input.
    """
    size = (int(data.num_nodes or 0),) * 2
    same = torch.arange(data.num_edges)
    if not case.sorted_only:
        yield "EdgeIndex, unsorted", _with(data, EdgeIndex(data.edge_index, sparse_size=size)), same
    by_target, order = sort_by_target(data)
    back = torch.empty_like(order)
    back[order] = same
    by_source = take_edges(data, torch.argsort(data.edge_index[0], stable=True))
    to_source = torch.empty_like(order)
    to_source[torch.argsort(data.edge_index[0], stable=True)] = same
    yield (
        "EdgeIndex by target",
        _with(by_target, EdgeIndex(by_target.edge_index, sparse_size=size, sort_order="col")),
        back,
    )
    cached = EdgeIndex(by_target.edge_index, sparse_size=size, sort_order="col").fill_cache_()
    yield "EdgeIndex by target with its cache filled", _with(by_target, cached), back
    if not case.sorted_only:
        rows = EdgeIndex(by_source.edge_index, sparse_size=size, sort_order="row").fill_cache_()
        yield "EdgeIndex by source with its cache filled", _with(by_source, rows), to_source
    if case.graph_input:
        from graphkit import Graph

        yield "graphkit.Graph", _with(data, Graph.from_edge_index(data.edge_index, size[0])), same
    values = case.edge_inputs()
    if len(values) > 1 or case.sorted_only or not case.sparse_input:
        return
    weight = data[values[0]] if values else torch.ones(data.num_edges, dtype=torch.float64)
    drop = tuple(values)
    if weight.dim() == 1:
        csc = to_torch_csc_tensor(data.edge_index, weight, size=size)
        yield "torch.sparse CSR, transposed", _with(data, csc.t(), drop), back
    coo = to_torch_coo_tensor(data.edge_index, weight, size=size)
    yield "torch.sparse COO, transposed", _with(data, coo.transpose(0, 1).coalesce(), drop), back
    if pyg_typing.WITH_TORCH_SPARSE:
        sparse = pyg_typing.SparseTensor.from_edge_index(data.edge_index, weight if values else None, size)
        yield "SparseTensor, transposed", _with(data, sparse.t(), drop), back


@register("layouts", "every form of the same graph gives the same output", needs_edges=True)
def layouts(case: Case) -> None:
    """Plain tensor against ``EdgeIndex`` (sorted both ways, cache filled), ``torch.sparse``, ``Graph``.

    Parallel edges are left out, which a sparse matrix cannot hold. An aggregation is called with ``ptr``
    instead of ``index``.
    """
    module = case.module()
    if isinstance(module, Aggregation):
        _index_or_ptr(case, module)
        return
    if case.data.num_edges == 0 or "edge_index" not in case.data:
        raise NotApplicable("needs an edge")
    data = _simple(case)
    reference = case.run(module, data)
    nodes, graphs = torch.arange(int(data.num_nodes or 0)), torch.zeros(1, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|CSC|invariant)|Converting sparse tensor")
        for name, other, position in layouts_of(case, data):
            try:
                results = case.run(module, other)
            except Exception as error:
                raise BrokenClaim("layouts", f"{name}: the layer raised {brief(error)}") from error
            context = f"when the graph is given as {name}"
            case.require_same(
                "layouts", reference, results, nodes=nodes, edges=position, graphs=graphs, context=context
            )


@register("edge_index_sort", "an EdgeIndex that was sorted again gives the same output", law=False, needs_edges=True)
def edge_index_sort(case: Case) -> None:
    """Sorted by source with its cache filled, then by target with ``EdgeIndex.sort_by``.

    PyG 2.8.1 keeps the pointers of the first sort then (``sort_by`` copies the cache), so a layer that reads them gives
    wrong numbers without an error. The fault is not the layer's: this is an ability, not a law.
    """
    module = case.module()
    if isinstance(module, Aggregation) or case.data.num_edges == 0 or case.sorted_only:
        raise NotApplicable("needs edges in any order")
    data = case.data
    by_source = torch.argsort(data.edge_index[0], stable=True)
    size = (int(data.num_nodes or 0),) * 2
    first = EdgeIndex(data.edge_index[:, by_source], sparse_size=size, sort_order="row").fill_cache_()
    by_target, perm = first.sort_by("col")
    order = by_source if perm is None else by_source[perm]
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel())
    case.require_same(
        "edge_index_sort",
        case.run(module, data),
        case.run(module, _with(take_edges(data, order), by_target)),
        nodes=torch.arange(size[0]),
        edges=position,
        graphs=torch.zeros(1, dtype=torch.long),
        context="when the graph is an EdgeIndex sorted by source, then by target",
    )


def _index_or_ptr(case: Case, module: Aggregation) -> None:
    data, _ = sort_by_target(case.data)
    source, target = data.edge_index
    degree = torch.bincount(target, minlength=int(data.num_nodes or 0))
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), degree.cumsum(0)])
    case.require_same(
        "layouts",
        case.run(module, data),
        [module(data.x[source], ptr=ptr)],
        nodes=torch.arange(int(data.num_nodes or 0)),
        context="when the groups are given as 'ptr'",
    )


@register(
    "bipartite",
    "(x_src, x_dst) with fewer targets than sources gives what the whole graph gives them",
    law=False,
    needs_edges=True,
)
def bipartite(case: Case) -> None:
    """Edges into the first half of the nodes: as a graph, and as a bipartite graph into that half."""
    module = case.module()
    if isinstance(module, Aggregation):
        raise NotApplicable("an aggregation has no source and target nodes")
    num_nodes = int(case.data.num_nodes or 0)
    half = num_nodes // 2
    data = take_edges(case.data, case.data.edge_index[1] < half)
    if data.num_edges == 0 or half == 0 or not isinstance(data.x, Tensor):
        raise NotApplicable("needs node features 'x' and edges into the first half of the nodes")
    nodes = torch.arange(half)
    whole = case.run(module, data)
    expected = [result[nodes] if level == "node" else result for level, result in zip(case.levels, whole, strict=True)]
    pair = _with(data, data.edge_index)
    for name in ("x", *pair_names(module)):
        if isinstance(data.get(name), Tensor):
            pair[name] = (data[name], data[name][:half])
    pair.size = (num_nodes, half)
    results = case.run(module, pair)
    for level, result in zip(case.levels, results, strict=True):
        if level == "node" and result.size(0) != half:
            raise BrokenClaim("bipartite", f"output has {result.size(0)} rows, expected one for each of {half} targets")
    case.require_same(
        "bipartite",
        expected,
        results,
        nodes=nodes,
        edges=torch.arange(data.num_edges),
        context="from the whole graph",
    )
