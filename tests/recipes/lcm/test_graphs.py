"""Labels of the multitask set against networkx and scipy."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from graphkit.recipes.lcm.families import draw_graphs
from graphkit.recipes.lcm.graphs import TASKS, distances, draw_batch, labels


@pytest.fixture
def adjacency() -> torch.Tensor:
    """Dense and sparse ones, connected and not."""
    two = nx.to_numpy_array(nx.disjoint_union(nx.path_graph(9), nx.cycle_graph(6)), dtype=bool)
    return torch.from_numpy(np.concatenate([draw_graphs(60, 15, np.random.default_rng(0)), two[None]]))


def test_labels_are_those_of_networkx_and_numpy(adjacency: torch.Tensor) -> None:
    rng = np.random.default_rng(1)
    value = torch.from_numpy(rng.random((len(adjacency), 15)))
    start = torch.from_numpy(rng.integers(0, 15, len(adjacency)))
    nodes, graphs = labels(adjacency, value, start)
    for k, matrix in enumerate(adjacency.numpy()):
        graph = nx.from_numpy_array(matrix)
        parts = [graph.subgraph(part) for part in nx.connected_components(graph)]
        shortest = nx.single_source_shortest_path_length(graph, int(start[k]))
        eccentricity = {node: far for part in parts for node, far in nx.eccentricity(part).items()}
        laplacian = nx.laplacian_matrix(graph).toarray() @ value[k].numpy()
        expected = [[shortest.get(i, 0), eccentricity[i], laplacian[i]] for i in range(15)]
        np.testing.assert_allclose(nodes[k], expected, atol=1e-12)
        radius = max(abs(np.linalg.eigvals(matrix.astype(float))))
        of_graph = [nx.is_connected(graph), max(nx.diameter(part) for part in parts), radius]
        np.testing.assert_allclose(graphs[k], of_graph, atol=1e-9)
    assert 0 < graphs[:, 0].sum() < len(adjacency)  # both kinds were there


def test_distances_are_those_of_scipy(adjacency: torch.Tensor) -> None:
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    for found, matrix in zip(distances(adjacency), adjacency.numpy(), strict=True):
        np.testing.assert_array_equal(found, csgraph.shortest_path(matrix.astype(float), unweighted=True))


def test_a_batch_is_its_graphs_side_by_side() -> None:
    batch = draw_batch(8, 15, np.random.default_rng(5))
    again = draw_batch(8, 15, np.random.default_rng(5))
    assert torch.equal(batch.x, again.x)
    assert torch.equal(batch.source, again.source)
    assert batch.size == 15
    assert torch.equal(batch.source // 15, batch.target // 15)
    assert batch.x[:, 1].view(8, 15).sum(1).tolist() == [1.0] * 8
    adjacency = torch.zeros(120, 120, dtype=torch.bool)
    adjacency[batch.source, batch.target] = True
    blocks = torch.stack([adjacency[i : i + 15, i : i + 15] for i in range(0, 120, 15)])
    nodes, graphs = labels(blocks, batch.x[:, 0].view(8, 15).double(), batch.x[:, 1].view(8, 15).argmax(1))
    torch.testing.assert_close(nodes.flatten(0, 1).float(), batch.nodes)
    torch.testing.assert_close(graphs.float(), batch.graphs)
    assert batch.nodes.size(1) + batch.graphs.size(1) == len(TASKS)


def test_shuffling_moves_edges_alone() -> None:
    batch = draw_batch(4, 15, np.random.default_rng(5))
    moved = batch.shuffled(torch.Generator().manual_seed(0))
    before = set(zip(batch.source.tolist(), batch.target.tolist(), strict=True))
    assert set(zip(moved.source.tolist(), moved.target.tolist(), strict=True)) == before
    assert not torch.equal(moved.source, batch.source)
    assert moved.nodes is batch.nodes
    scaled = batch.scaled(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 8.0]))
    assert torch.equal(scaled.nodes[:, 2] * 4, batch.nodes[:, 2])
    assert torch.equal(scaled.graphs[:, 2] * 8, batch.graphs[:, 2])
