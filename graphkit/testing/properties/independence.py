"""A graph's output depends on that graph alone, a node's on what it is connected to."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.testing.case import Case
from graphkit.testing.properties.base import register
from graphkit.testing.report import NotApplicable
from graphkit.testing.transforms import append_edges, join, one_graph, relabel_nodes, subgraph, take_edges


@register("batch", "a graph alone gives what it gives in a batch")
def batch(case: Case) -> None:
    """Graphs of several sizes, one without edges and one of a single node, alone and side by side."""
    if "graph" in case.levels and not case.takes_batch:
        raise NotApplicable("the layer pools over all nodes and takes no 'batch'")
    module = case.module()
    num_nodes = int(case.data.num_nodes or 0)
    half = torch.randperm(num_nodes, generator=case.generator())[: max(1, num_nodes // 2)]
    graphs = [
        case.data,
        subgraph(case.data, half),
        take_edges(case.data, torch.arange(0)),
        subgraph(case.data, torch.arange(1)),
        case.data,
    ]
    together = case.run(module, join(graphs))
    first_node, first_edge = 0, 0
    for number, graph in enumerate(graphs):
        size = int(graph.num_nodes or 0)
        case.require_same(
            "batch",
            case.run(module, graph),
            together,
            nodes=torch.arange(first_node, first_node + size),
            edges=torch.arange(first_edge, first_edge + graph.num_edges),
            graphs=torch.tensor([number]),
            context=f"of graph {number} in a batch of {len(graphs)}",
        )
        first_node += size
        first_edge += graph.num_edges


@register("batch_order", "the order of the graphs in a batch, and of the nodes in each, carries no meaning")
def batch_order(case: Case) -> None:
    """Three graphs side by side; then in another order, the nodes of each relabelled."""
    if "graph" in case.levels and not case.takes_batch:
        raise NotApplicable("the layer pools over all nodes and takes no 'batch'")
    module = case.module()
    generator = case.generator()
    num_nodes = int(case.data.num_nodes or 0)
    graphs = [
        case.data,
        subgraph(case.data, torch.randperm(num_nodes, generator=generator)[: max(1, num_nodes // 2)]),
        take_edges(case.data, torch.arange(0, case.data.num_edges, 2)),
    ]
    labels = [torch.randperm(int(graph.num_nodes or 0), generator=generator) for graph in graphs]
    order = [2, 0, 1]
    moved = [relabel_nodes(graphs[number], labels[number]) for number in order]
    first_node, first_edge = {}, {}
    nodes_before = edges_before = 0
    for number in order:
        first_node[number], first_edge[number] = nodes_before, edges_before
        nodes_before += int(graphs[number].num_nodes or 0)
        edges_before += graphs[number].num_edges
    everyone = range(len(graphs))
    case.require_same(
        "batch_order",
        case.run(module, join(graphs)),
        case.run(module, join(moved)),
        nodes=torch.cat([labels[k] + first_node[k] for k in everyone]),
        edges=torch.cat([torch.arange(graphs[k].num_edges) + first_edge[k] for k in everyone]),
        graphs=torch.tensor([order.index(k) for k in everyone]),
        context="of a batch after reordering its graphs and relabelling their nodes",
    )


@register("locality", "an unrelated component changes nothing, not even a hub of high degree")
def locality(case: Case) -> None:
    """A copy of the graph, with a hub that exceeds every degree (one of each node type), is put behind and before."""
    if set(case.levels) == {"graph"}:
        raise NotApplicable("the output is per graph: a component is part of it")
    if case.data.num_edges == 0:
        raise NotApplicable("needs an edge")
    module = case.module()
    num_nodes, num_edges = int(case.data.num_nodes or 0), case.data.num_edges
    alone = case.run(module, case.data)
    generator = case.generator()
    other = relabel_nodes(case.data, torch.arange(num_nodes).roll(1))  # no node where the graph has its like
    hubs = torch.tensor([num_nodes - 1])
    if "node_type" in other:  # one of each type: a relation enters some types alone
        hubs = torch.cat([(other.node_type == kind).nonzero()[-1] for kind in other.node_type.unique()])
    source = torch.randint(num_nodes, (3 * num_edges * hubs.numel(),), generator=generator)
    spokes = torch.stack([source, hubs.repeat_interleave(3 * num_edges)])
    if case.undirected:
        spokes = torch.cat([spokes, spokes.flip(0)], dim=1)
    hub = append_edges(other, spokes, generator)

    def rows(start: int, number: int) -> Tensor:
        return torch.arange(start, start + number)

    case.require_same(
        "locality",
        alone,
        case.run(module, one_graph(join([case.data, hub]))),
        nodes=rows(0, num_nodes),
        edges=rows(0, num_edges),
        context="when an unrelated hub follows",
    )
    case.require_same(
        "locality",
        alone,
        case.run(module, one_graph(join([hub, case.data]))),
        nodes=rows(num_nodes, num_nodes),
        edges=rows(hub.num_edges, num_edges),
        context="when an unrelated hub comes first",
    )
