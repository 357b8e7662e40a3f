"""Random partitions: every node once, all inner edges, PyG's subgraphs."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit import Graph
from graphkit.graph.sampling import RandomPartition
from graphkit.graph.sampling.clusters import induced_subgraph
from graphkit.graph.sampling.neighbors import Topology
from tests.graph.sampling.checks import BACKENDS, assert_equally_likely, random_graph


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("num_parts", [1, 2, 5, 100])
def test_parts_are_pygs_subgraphs(backend: str, num_parts: int) -> None:
    graph = random_graph(80, 900)
    data = Data(edge_index=graph.edge_index, edge_id=torch.arange(900), num_nodes=80)
    parts = RandomPartition(graph, num_parts, seed=3, backend=backend)
    assert len(parts) == num_parts
    assert sorted(torch.cat([part.node for part in parts]).tolist()) == list(range(80))
    for part in parts:
        expected = data.subgraph(part.node)
        assert torch.equal(torch.stack([part.row, part.col]), expected.edge_index)
        assert torch.equal(part.edge, expected.edge_id)


def test_nodes_choose_their_parts_independently_and_uniformly() -> None:
    graph = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.int64), 20_000)
    part = torch.empty(20_000, dtype=torch.int64)
    for number, found in enumerate(RandomPartition(graph, 4, seed=5)):
        part[found.node] = number
    assert_equally_likely(part.tolist(), 4)
    assert_equally_likely(zip(part[:-1].tolist(), part[1:].tolist(), strict=True), 16)


def test_the_seed_decides() -> None:
    graph = random_graph(80, 900)

    def nodes(seed: int | None) -> list[int]:
        return RandomPartition(graph, 3, seed=seed)[0].node.tolist()

    assert nodes(1) == nodes(1) != nodes(2)
    assert nodes(None) != nodes(None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_graphs_without_nodes_or_edges(backend: str) -> None:
    none = torch.empty(2, 0, dtype=torch.int64)
    (part,) = RandomPartition(Graph.from_edge_index(none, 4), 1, backend=backend)
    assert part.node.tolist() == [0, 1, 2, 3]
    assert part.edge.numel() == 0
    assert [p.node.numel() for p in RandomPartition(Graph.from_edge_index(none, 0), 2, backend=backend)] == [0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_edited_edge_index_is_noticed(backend: str) -> None:
    edge_index = torch.tensor([[0, 1], [1, 0]])
    graph = Graph.from_edge_index(edge_index, 2, copy=False)
    edge_index[0, 1] = 10**9
    with pytest.raises(IndexError):
        RandomPartition(graph, 2, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_induced_subgraph_of_given_nodes(backend: str) -> None:
    graph = random_graph(80, 900)
    nodes = torch.tensor([7, 0, 30, 31, 2])
    out = induced_subgraph(Topology.of(graph), nodes, backend)
    assert torch.equal(out.node[torch.stack([out.row, out.col])], graph.edge_index[:, out.edge])
    assert sorted(out.edge.tolist()) == torch.isin(graph.edge_index, nodes).all(0).nonzero().flatten().tolist()


def test_bad_arguments_are_named() -> None:
    graph = random_graph(80, 900)
    with pytest.raises(ValueError, match="num_parts"):
        RandomPartition(graph, 0)
    with pytest.raises(TypeError, match="num_parts"):
        RandomPartition(graph, 2.5)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="part 2 of 2"):
        _ = RandomPartition(graph, 2)[2]
    with pytest.raises(ValueError, match="homogeneous"):
        RandomPartition(Graph.from_edge_index(torch.tensor([[0], [0]]), (1, 2)), 2)
