"""Graphs inside ``torch.compile(fullgraph=True)``."""

from __future__ import annotations

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import Graph
from graphkit.graph import as_graph

from .strategies import random_edges


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def degree_normalised_sum(x, graph):
    """A mean over neighbours that reads every part of a graph; ``edge_index`` scatters, the CSC gathers."""
    ptr, index, perm = graph.csc
    messages = x[index] / graph.out_degree[index].unsqueeze(-1)
    out = torch.zeros(graph.num_dst, x.size(1)).index_add(0, graph.csc.rows, messages)
    edge = x[graph.edge_index[0]] * (graph.reverse[perm] >= 0).unsqueeze(-1)
    return out.index_add(0, graph.edge_index[1], edge) + ptr.diff().unsqueeze(-1)


def layer(x, edge_index):
    return degree_normalised_sum(x, as_graph(edge_index, x.size(0)))


def check(function, plain, x, topology):
    x = x.clone().requires_grad_()
    expected = plain(x, topology)
    (expected_grad,) = torch.autograd.grad(expected.sum(), x)
    for _ in range(2):  # the second call finds what the first one sorted
        out = function(x, topology)
        (grad,) = torch.autograd.grad(out.sum(), x)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("sorted_before", [False, True])
def test_graph_argument(sorted_before):
    graph = Graph.from_edge_index(random_edges(8, 30), 8)
    if sorted_before:
        _ = graph.reverse, graph.out_degree
    check(compiled(degree_normalised_sum), degree_normalised_sum, torch.randn(8, 3), graph)
    assert graph._csc is not None


def test_plain_edge_index_argument():
    function = compiled(layer)
    for num_edges in (30, 31, 57):
        check(function, layer, torch.randn(8, 3), random_edges(8, num_edges, seed=num_edges))


def test_pyg_edge_index_argument():
    edge_index = EdgeIndex(random_edges(8, 30), sparse_size=(8, 8))
    check(compiled(layer), layer, torch.randn(8, 3), edge_index)


def test_an_edit_between_two_compiled_calls_is_seen():
    function, x, edge_index = compiled(layer), torch.randn(8, 3), random_edges(8, 30)
    function(x, edge_index)
    edge_index[0].zero_()
    torch.testing.assert_close(function(x, edge_index), layer(x, edge_index))


def test_bad_indices_are_refused_at_run_time():
    function, x = compiled(layer), torch.randn(8, 3)
    function(x, random_edges(8, 30))
    for bad in (8, -1):
        with pytest.raises(ValueError, match=r"must lie in \[0, 8\)"):
            function(x, torch.full((2, 30), bad))


def segment_sizes(x, index):
    return x * Graph.from_segments(index, 6).in_degree[index].unsqueeze(-1)


def pointer_rows(x, ptr):
    return x * Graph.from_segments(ptr=ptr, num_rows=x.size(0)).edge_index[1].unsqueeze(-1)


@pytest.mark.parametrize(
    ("function", "topology"),
    [(segment_sizes, torch.tensor([5, 0, 0, 2, 5])), (pointer_rows, torch.tensor([0, 1, 1, 5]))],
)
def test_segments(function, topology):
    check(compiled(function), function, torch.randn(5, 2), topology)


def test_after_an_evaluation_in_inference_mode():
    graph, x = Graph.from_edge_index(random_edges(8, 30), 8), torch.randn(8, 3)
    with torch.inference_mode():
        degree_normalised_sum(x, graph)
    check(compiled(degree_normalised_sum), degree_normalised_sum, x, graph)
