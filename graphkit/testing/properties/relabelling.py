"""Names and order carry no meaning: permuted nodes, permuted edges, sorted or not."""

from __future__ import annotations

import torch

from graphkit.testing.case import Case
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable
from graphkit.testing.transforms import relabel_nodes, sort_by_target, take_edges


@register("permutation", "relabelling the nodes relabels the output")
def permutation(case: Case) -> None:
    r"""For a permutation P: :math:`f(PX, PAP^T) = P f(X, A)` per node, :math:`f(X, A)` per edge or graph."""
    module = case.module()
    num_nodes = int(case.data.num_nodes or 0)
    label = torch.randperm(num_nodes, generator=case.generator())
    moved = relabel_nodes(case.data, label)
    order = torch.arange(case.data.num_edges)
    if case.sorted_only:
        # Sorted edges go by the new labels of both ends, as `torch_geometric.utils.sort_edge_index` has them.
        order = torch.argsort(moved.edge_index[1] * num_nodes + moved.edge_index[0], stable=True)
        moved = take_edges(moved, order)
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel())
    case.require_same(
        "permutation",
        case.run(module, case.data),
        case.run(module, moved),
        nodes=label,
        edges=position,
        graphs=torch.zeros(1, dtype=torch.long),
        context="after relabelling",
    )


@register("edge_permutation", "the order of the edges, with their attributes, changes nothing", needs_edges=True)
def edge_permutation(case: Case) -> None:
    """A layer that only takes edges sorted by target is tested on orders within each target."""
    if case.data.num_edges < 2:
        raise NotApplicable("needs two edges")
    module = case.module()
    order = torch.randperm(case.data.num_edges, generator=case.generator())
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel())
    case.require_same(
        "edge_permutation",
        case.run(module, case.data),
        case.run(module, take_edges(case.data, order)),
        nodes=torch.arange(int(case.data.num_nodes or 0)),
        edges=position,
        graphs=torch.zeros(1, dtype=torch.long),
        context="after shuffling the edges",
    )


@register("unsorted_edges", "edges need not be sorted", needs_edges=True)
def unsorted_edges(case: Case) -> None:
    """Unlike ``edge_permutation``, a layer that refuses unsorted edges breaks this claim."""
    if case.sorted_only:
        raise BrokenClaim("unsorted_edges", "the layer accepts only edges sorted by target")
    module = case.module()
    by_target, order = sort_by_target(case.data)
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel())
    case.require_same(
        "unsorted_edges",
        case.run(module, by_target),
        case.run(module, case.data),
        nodes=torch.arange(int(case.data.num_nodes or 0)),
        edges=order,
        graphs=torch.zeros(1, dtype=torch.long),
        context="where edges are not sorted",
    )
