from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.testing import example_data
from graphkit.testing.transforms import (
    append_edges,
    cast_floats,
    edge_keys,
    join,
    node_keys,
    one_graph,
    relabel_nodes,
    sort_by_target,
    subgraph,
    take_edges,
)


def data() -> Data:
    return example_data(("x", "pos", "edge_attr", "edge_weight"), channels=3, edge_dim=2)


def edges(data: Data) -> list[tuple[list[float], ...]]:
    """Each edge as what stands at its ends and on it: independent of labels and order."""
    parts = (data.x[data.edge_index[0]], data.x[data.edge_index[1]], data.edge_attr)
    return sorted(zip(*(part.tolist() for part in parts), strict=True))


def test_attributes_are_told_apart() -> None:
    assert sorted(node_keys(data())) == ["pos", "x"]
    assert sorted(edge_keys(data())) == ["edge_attr", "edge_weight"]


def test_relabelling_keeps_the_graph() -> None:
    original = data()
    label = torch.randperm(12)
    moved = relabel_nodes(original, label)
    assert torch.equal(moved.x[label], original.x)
    assert torch.equal(moved.edge_attr, original.edge_attr)
    assert edges(moved) == edges(original)


def test_reordering_and_sorting_keep_the_graph() -> None:
    original = data()
    assert edges(take_edges(original, torch.randperm(original.num_edges))) == edges(original)
    ordered, order = sort_by_target(original)
    assert edges(ordered) == edges(original)
    assert bool((ordered.edge_index[1].diff() >= 0).all())
    assert torch.equal(original.edge_index[:, order], ordered.edge_index)


def test_subgraph_holds_the_edges_between_its_nodes() -> None:
    original = data()
    nodes = torch.tensor([4, 0, 2])
    part = subgraph(original, nodes)
    inside = torch.isin(original.edge_index, nodes).all(dim=0)
    assert part.num_nodes == 3
    assert edges(part) == edges(take_edges(original, inside))


def test_join_tells_graphs_apart_and_one_graph_forgets() -> None:
    original = data()
    both = join([original, subgraph(original, torch.arange(1))])
    assert both.batch.tolist() == [0] * 12 + [1]
    single = one_graph(both)
    assert single.num_nodes == 13
    assert "batch" not in single
    assert edges(take_edges(single, single.edge_index[0] < 12)) == edges(original)


def test_append_edges_copies_attributes() -> None:
    original = data()
    more = append_edges(original, torch.tensor([[0, 1], [1, 0]]), torch.Generator().manual_seed(0))
    assert more.num_edges == original.num_edges + 2
    assert all(any(torch.equal(row, old) for old in original.edge_attr) for row in more.edge_attr[-2:])


def test_cast_copies_and_keeps_the_batch() -> None:
    original = join([data(), data()])
    low = cast_floats(original, torch.float32)
    assert low.x.dtype == low.edge_weight.dtype == torch.float32
    assert low.batch.tolist() == original.batch.tolist()
    same = cast_floats(data(), torch.float64)
    assert isinstance(same.x, Tensor)
    assert same.x.data_ptr() != original.x.data_ptr()
