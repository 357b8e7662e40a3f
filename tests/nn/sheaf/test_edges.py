"""The undirected edges of a directed graph."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph
from graphkit.nn.sheaf import symmetric


def test_a_symmetric_graph_is_itself() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2, 2], [1, 0, 2, 2]]), 4)
    assert symmetric(graph) == (graph, None)


def test_every_copy_without_a_partner_gets_one() -> None:
    edge_index = torch.tensor([[0, 1, 0, 2, 0, 3], [1, 0, 1, 3, 1, 3]])  # 0 -> 1 three times, 1 -> 0 once
    graph = Graph.from_edge_index(edge_index, 5)
    whole, origin = symmetric(graph)
    assert origin is not None
    assert whole.size == (5, 5)
    assert whole.edge_index[:, :6].equal(edge_index)
    assert whole.edge_index[:, 6:].tolist() == [[1, 3, 1], [0, 2, 0]]
    assert origin.tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 4]
    assert whole.reverse.tolist() == [1, 0, 6, 7, 8, 5, 2, 3, 4]
    assert symmetric(graph)[0] is whole


def test_memory_ends_with_the_graph() -> None:
    from graphkit.nn.sheaf import edges

    before = len(edges._MEMORY)
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]))
    symmetric(graph)
    assert len(edges._MEMORY) == before + 1
    del graph
    assert len(edges._MEMORY) == before


def test_bipartite_graphs_have_no_reverse() -> None:
    with pytest.raises(ValueError, match="homogeneous"):
        symmetric(Graph.from_edge_index(torch.tensor([[0], [1]]), (2, 3)))
