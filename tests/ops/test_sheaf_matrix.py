"""The assembled Laplacian and the maps of fixed stalk rows."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph, ops
from tests.ops.sheaf_cases import KINDS, NORMALIZATIONS, dense_laplacian, draw, draw_maps, options, undirected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NORMALIZATIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_applies_what_the_operator_applies(kind: str, name: str, weighted: bool) -> None:
    graph, d = undirected(), 3
    maps, x = draw_maps(kind, graph, d).requires_grad_(), draw(12, d, 4)
    weight = draw(graph.num_edges, seed=3).abs() if weighted else None
    chosen = {**options(kind, name), "edge_weight": weight}
    expected = ops.sheaf_laplacian(x, graph, maps, **chosen).flatten(0, 1)
    dense = ops.sheaf_laplacian_matrix(graph, maps, **chosen)
    torch.testing.assert_close(dense @ x.flatten(0, 1), expected)
    cotangent = draw(12 * d, 4, seed=7)
    (a,) = torch.autograd.grad((dense @ x.flatten(0, 1) * cotangent).sum(), maps)
    (b,) = torch.autograd.grad((expected * cotangent).sum(), maps)
    torch.testing.assert_close(a, b)
    for layout in (torch.sparse_coo, torch.sparse_csr):
        sparse = ops.sheaf_laplacian_matrix(graph, maps.detach(), layout=layout, **chosen)
        assert sparse.layout == layout
        torch.testing.assert_close(sparse.to_dense(), dense.detach())
    if name == "plain":
        torch.testing.assert_close(dense, dense_laplacian(graph, maps, weight))


def test_without_edges() -> None:
    graph = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), 2)
    for layout in (torch.strided, torch.sparse_coo, torch.sparse_csr):
        assert not ops.sheaf_laplacian_matrix(graph, torch.empty(0, 3, 3), layout=layout).to_dense().any()


def test_unknown_layout() -> None:
    with pytest.raises(ValueError, match=r"unknown layout .*torch.sparse_csc"):
        ops.sheaf_laplacian_matrix(undirected(), torch.ones(undirected().num_edges, 1), layout=torch.sparse_csc)


def test_fixed_maps_give_both_laplacians_of_the_graph() -> None:
    graph = undirected()
    row, col = graph.edge_index
    other = row != col
    adjacency = torch.zeros(12, 12).index_put((row[other], col[other]), torch.ones(int(other.sum())), accumulate=True)
    degree = torch.diag(adjacency.sum(1))
    maps = ops.sheaf_fixed_maps(graph, low_pass=True, high_pass=True, like=torch.empty(0))
    matrix = ops.sheaf_laplacian_matrix(graph, maps).view(12, 2, 12, 2)
    torch.testing.assert_close(matrix[:, 0, :, 0], degree + adjacency)
    torch.testing.assert_close(matrix[:, 1, :, 1], degree - adjacency)
    assert not matrix[:, 0, :, 1].any()
    assert ops.sheaf_fixed_maps(graph, like=torch.empty(0).double()).shape == (graph.num_edges, 0)
