"""Graphs that real data holds and tests forget: no edges, no nodes, isolated nodes, loops, parallel edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.aggr import Aggregation

from graphkit.testing.case import Case
from graphkit.testing.compare import require_equal, require_finite
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable
from graphkit.testing.transforms import append_edges, join, one_graph, subgraph, take_edges, with_edges


def _finite(case: Case, claim: str, results: list[Tensor], context: str) -> None:
    for level, result in zip(case.levels, results, strict=True):
        require_finite(claim, result, element=level, context=context)


@register("empty_graph", "a graph without edges gives finite output of the right size", needs_edges=True)
def empty_graph(case: Case) -> None:
    """All edges are removed; the gradient is finite as well."""
    module = case.module()
    data = take_edges(case.data, torch.arange(0))
    if isinstance(data.x, Tensor) and data.x.is_floating_point():
        data.x = data.x.clone().requires_grad_()
    results = case.run(module, data)
    sizes = {"node": int(data.num_nodes or 0), "edge": 0, "graph": 1}
    for level, result in zip(case.levels, results, strict=True):
        if result.dim() and result.size(0) != sizes[level]:
            raise BrokenClaim(
                "empty_graph",
                f"output has {result.size(0)} rows without edges, expected {sizes[level]} ({level})",
            )
    _finite(case, "empty_graph", results, "without edges")
    total = sum((result.sum() for result in results), torch.zeros((), dtype=torch.float64))
    if total.requires_grad and isinstance(data.x, Tensor) and data.x.requires_grad:
        (grad,) = torch.autograd.grad(total, data.x, allow_unused=True)
        if grad is not None:
            require_finite("empty_graph", grad, context="in the gradient without edges")


@register("no_nodes", "a graph without nodes gives empty output", law=False)
def no_nodes(case: Case) -> None:
    """A mini-batch may lose all nodes of a type."""
    if "graph" in case.levels:
        raise NotApplicable("the output is per graph")
    results = case.run(case.module(), subgraph(case.data, torch.arange(0)))
    for result in results:
        if result.size(0) != 0:
            raise BrokenClaim("no_nodes", f"output has shape {list(result.shape)}, expected 0 rows")


@register("isolated_nodes", "an isolated node gives finite output, the same as alone in a graph")
def isolated_nodes(case: Case) -> None:
    """Every second node loses its edges; it is compared with itself as a graph of one node."""
    module = case.module()
    num_nodes = int(case.data.num_nodes or 0)
    isolated = torch.arange(num_nodes) % 2 == 1
    source, target = case.data.edge_index
    data = take_edges(case.data, ~(isolated[source] | isolated[target]))
    results = case.run(module, data)
    _finite(case, "isolated_nodes", results, "with isolated nodes")
    for node in isolated.nonzero().flatten().tolist():
        alone = case.run(module, take_edges(subgraph(data, torch.tensor([node])), torch.arange(0)))
        case.require_same("isolated_nodes", alone, results, nodes=torch.tensor([node]), context="from the node alone")


@register("empty_groups", "an aggregation of nothing is zero")
def empty_groups(case: Case) -> None:
    """Groups between and behind the others stay empty; PyG's contract gives them zeros."""
    module = case.module()
    if not isinstance(module, Aggregation):
        raise NotApplicable("the layer is no aggregation")
    target = case.data.edge_index[1]
    size = int(case.data.num_nodes or 0)
    data = take_edges(case.data, target % 2 == 0)
    filled = torch.bincount(data.edge_index[1], minlength=size) > 0
    for result in case.run(module, data):
        empty = (~filled).nonzero().flatten()
        require_equal(
            "empty_groups",
            torch.zeros_like(result[empty]),
            result[empty],
            ids=empty,
            context="though its group is empty",
        )


@register("self_loops", "self-loops, several on a node too, give finite output wherever they stand", needs_edges=True)
def self_loops(case: Case) -> None:
    """Loops on every other node, two on the first, give finite output wherever they stand in the list."""
    if case.data.num_edges == 0:
        raise NotApplicable("needs an edge")
    module = case.module()
    nodes = torch.cat([torch.zeros(2, dtype=torch.long), torch.arange(2, int(case.data.num_nodes or 0), 2)])
    data = append_edges(case.data, torch.stack([nodes, nodes]), case.generator())
    _require_order_free(case, module, "self_loops", data, nodes.numel())


@register("multi_edges", "each of several parallel edges counts", needs_edges=True)
def multi_edges(case: Case) -> None:
    r"""Parallel edges may stand apart in the list, and count as often as they stand there.

    For the count: where node j sends two edges to i, one of them may come from a twin of j (same features,
    same incoming edges) instead, and no old node sees a difference. This holds for every layer that looks at
    incoming edges; it is not asked of undirected layers, nor where an edge changes its source's output.
    """
    data = case.data
    if data.num_edges == 0:
        raise NotApplicable("needs an edge")
    module = case.module()
    some = torch.arange(0, data.num_edges, 2)  # not all: a mean over neighbours that are all doubled is the same
    twice = torch.cat([torch.arange(data.num_edges), some])
    _require_order_free(case, module, "multi_edges", with_edges(data, data.edge_index[:, twice], twice), some.numel())
    if case.undirected or "node" not in case.levels:
        return
    # Self-loops go first: some layers treat them apart (GCN replaces its own), and a twin would have none.
    data = take_edges(data, data.edge_index[0] != data.edge_index[1])
    some = torch.arange(0, data.num_edges, 2)
    twice = torch.cat([torch.arange(data.num_edges), some])
    doubled = with_edges(data, data.edge_index[:, twice], twice)
    second = torch.arange(twice.numel()) >= data.num_edges
    _require_twins_alike(case, module, "multi_edges", doubled, second, "a parallel edge")


@register("plain_loops", "a self-loop counts as an edge from a twin of its node would", law=False, needs_edges=True)
def plain_loops(case: Case) -> None:
    """Of layers that neither add self-loops nor treat them apart: a twin has the same features and incoming edges."""
    if case.undirected or "node" not in case.levels or case.data.num_edges == 0:
        raise NotApplicable("needs directed edges and output per node")
    nodes = torch.arange(0, int(case.data.num_nodes or 0), 2)
    data = append_edges(case.data, torch.stack([nodes, nodes]), case.generator())
    loops = data.edge_index[0] == data.edge_index[1]
    if not _require_twins_alike(case, case.module(), "plain_loops", data, loops, "a self-loop"):
        raise NotApplicable("a node's output depends on more than its incoming edges")


def _require_twins_alike(case: Case, module: nn.Module, claim: str, data: Data, moved: Tensor, what: str) -> bool:
    """Require no node to see whether the edges ``moved`` (a mask) come from their sources or from those sources' twins.

    Returns:
        Whether that could be asked: False where they do, but twins alone, or edges to a new node, change what a node
        gives too (it looks at outgoing edges, at every node, ...).
    """
    nodes = torch.arange(int(data.num_nodes or 0))
    expected = case.run(module, data)
    context = f"when {what} comes from a twin of its source"
    try:
        case.require_same(claim, expected, case.run(module, _with_twins(data, moved)), nodes=nodes, context=context)
    except BrokenClaim:
        for other in (_with_twins(data, torch.zeros_like(moved)), _with_sink(case, data)):
            try:
                case.require_same(claim, expected, case.run(module, other), nodes=nodes)
            except BrokenClaim:
                return False
        raise
    return True


def _with_sink(case: Case, data: Data) -> Data:
    """A new node that every node has an edge to."""
    every = torch.arange(int(data.num_nodes or 0))
    sink = take_edges(subgraph(data, every[-1:]), torch.arange(0))
    wider = one_graph(join([data, sink]))
    return append_edges(wider, torch.stack([every, torch.full_like(every, every.numel())]), case.generator())


def _with_twins(data: Data, moved: Tensor) -> Data:
    """Every node again as a twin with the same incoming edges; edges ``moved`` come from the twin of their source."""
    num_nodes = int(data.num_nodes or 0)
    source, target = data.edge_index
    source = source + num_nodes * moved
    edge_index = torch.cat([torch.stack([source, target]), torch.stack([source, target + num_nodes])], dim=1)
    like = torch.arange(data.num_edges).repeat(2)
    return with_edges(one_graph(join([data, data])), edge_index, like)


def _require_order_free(case: Case, module: nn.Module, claim: str, data: Data, added: int) -> None:
    """Finite, and the same with the added edges mixed among the others."""
    results = case.run(module, data)
    _finite(case, claim, results, "with them")
    order = torch.randperm(data.num_edges, generator=case.generator())
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel())
    case.require_same(
        claim,
        results,
        case.run(module, take_edges(data, order)),
        nodes=torch.arange(int(data.num_nodes or 0)),
        edges=position,
        graphs=torch.zeros(1, dtype=torch.long),
        context=f"when the {added} added edges are mixed among the others",
    )
