"""The sorted forms of a graph against loops over its edges."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch

from graphkit import Graph
from graphkit.graph.compressed import Compressed

from .strategies import CASES, edge_tensor, random_edges


def naive_rows(edges, num_rows, by):
    """Row -> its slots (other endpoint, position), sorted by the other endpoint, then by position."""
    rows = [[] for _ in range(num_rows)]
    for position, edge in enumerate(edges):
        rows[edge[by]].append((edge[1 - by], position))
    return [sorted(row) for row in rows]


def as_rows(form: Compressed):
    ptr, index, perm = (t.tolist() for t in form)
    return [list(zip(index[a:b], perm[a:b], strict=True)) for a, b in pairwise(ptr)]


def naive_reverse(edges):
    """Pair the r-th copy of i -> j with the r-th copy of j -> i."""
    places = {}
    for position, edge in enumerate(edges):
        places.setdefault(edge, []).append(position)
    out = []
    for position, (source, target) in enumerate(edges):
        rank = places[source, target].index(position)
        back = places.get((target, source), [])
        out.append(back[rank] if rank < len(back) else -1)
    return out


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
@pytest.mark.parametrize("case", CASES)
def test_forms_equal_loops(case, dtype):
    edges, size = CASES[case]
    graph = Graph.from_edge_index(edge_tensor(edges, dtype), size)
    assert graph.size == size
    assert graph.num_edges == len(edges)
    assert graph.edge_index.dtype == torch.int64
    assert graph.edge_index.t().tolist() == [list(edge) for edge in edges]
    assert as_rows(graph.csc) == naive_rows(edges, size[1], by=1)
    assert as_rows(graph.csr) == naive_rows(edges, size[0], by=0)
    assert graph.in_degree.tolist() == [sum(t == i for _, t in edges) for i in range(size[1])]
    assert graph.out_degree.tolist() == [sum(s == i for s, _ in edges) for i in range(size[0])]
    assert graph.csc.rows.tolist() == sorted(t for _, t in edges)
    assert {t.dtype for t in (*graph.csc, *graph.csr)} == {torch.int32} == {graph.index_dtype}


@pytest.mark.parametrize("case", [name for name, (_, size) in CASES.items() if size[0] == size[1]])
def test_reverse_equals_loops(case):
    edges, size = CASES[case]
    graph = Graph.from_edge_index(edge_tensor(edges), size)
    assert graph.reverse.dtype == torch.int64
    assert graph.reverse.tolist() == naive_reverse(edges)


def test_reverse_on_a_random_multigraph():
    edge_index = random_edges(12, 400)
    reverse = Graph.from_edge_index(edge_index, 12).reverse
    assert reverse.tolist() == naive_reverse([tuple(e) for e in edge_index.t().tolist()])
    paired = torch.nonzero(reverse >= 0).view(-1)
    assert torch.equal(reverse[reverse[paired]], paired)
    assert torch.equal(edge_index[:, reverse[paired]], edge_index[:, paired].flip(0))


def test_edge_permutation_changes_perm_alone():
    edge_index = torch.unique(random_edges(50, 300), dim=1)
    perm = torch.randperm(edge_index.size(1))
    a, b = Graph.from_edge_index(edge_index, 50), Graph.from_edge_index(edge_index[:, perm], 50)
    for one, two in ((a.csc, b.csc), (a.csr, b.csr)):
        assert torch.equal(one.ptr, two.ptr)
        assert torch.equal(one.index, two.index)
        assert torch.equal(one.perm, perm[two.perm])


def test_inferred_size_and_bipartite_limits():
    edge_index = torch.tensor([[0, 7], [2, 3]])
    assert Graph.from_edge_index(edge_index).num_nodes == 8
    assert Graph.from_edge_index(edge_index[:, :0]).num_nodes == 0
    graph = Graph.from_edge_index(edge_index, (8, 4))
    assert (graph.num_src, graph.num_dst) == (8, 4)
    assert repr(graph) == "Graph(num_src=8, num_dst=4, num_edges=2)"
    for name in ("num_nodes", "reverse"):
        with pytest.raises(ValueError, match=rf"'{name}' needs a homogeneous graph \(got size \(8, 4\)\)"):
            getattr(graph, name)


def test_edges_are_copied_unless_lent():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    kept, lent = Graph.from_edge_index(edge_index), Graph.from_edge_index(edge_index, copy=False)
    edge_index.fill_(0)
    assert kept.edge_index.tolist() == [[0, 1], [1, 0]]
    assert lent.edge_index.data_ptr() == edge_index.data_ptr()


def test_non_contiguous_edges():
    pairs = random_edges(9, 40)
    graph = Graph.from_edge_index(pairs.t().contiguous().t(), 9)
    assert torch.equal(graph.edge_index, pairs)
    assert as_rows(graph.csc) == naive_rows([tuple(e) for e in pairs.t().tolist()], 9, by=1)


@pytest.mark.parametrize("num_segments", [4, None])
def test_segments_by_index(num_segments):
    index = torch.tensor([2, 0, 2, 3, 0, 2], dtype=torch.int32)
    graph = Graph.from_segments(index, num_segments)
    same = Graph.from_edge_index(torch.stack([torch.arange(6), index.long()]), (6, 4))
    assert graph.size == same.size
    for form, other in ((graph.csc, same.csc), (graph.csr, same.csr)):
        assert all(torch.equal(a, b) for a, b in zip(form, other, strict=True))
    assert torch.equal(graph.edge_index, same.edge_index)


@pytest.mark.parametrize("num_rows", [None, 6])
def test_segments_by_ptr(num_rows):
    ptr = torch.tensor([0, 2, 2, 6])
    graph = Graph.from_segments(ptr=ptr, num_rows=num_rows)
    same = Graph.from_segments(torch.tensor([0, 0, 2, 2, 2, 2]), 3)
    assert graph.size == same.size == (6, 3)
    for form, other in ((graph.csc, same.csc), (graph.csr, same.csr)):
        assert all(torch.equal(a, b) for a, b in zip(form, other, strict=True))


def test_empty_segments():
    assert Graph.from_segments(torch.empty(0, dtype=torch.long)).size == (0, 0)
    assert Graph.from_segments(torch.empty(0, dtype=torch.long), 3).in_degree.tolist() == [0, 0, 0]
    assert Graph.from_segments(ptr=torch.tensor([0])).size == (0, 0)
    assert Graph.from_segments(ptr=torch.tensor([0, 0, 0])).size == (0, 2)


def test_a_graph_first_used_in_inference_mode_can_train():
    edge_index = random_edges(6, 20)
    with torch.inference_mode():
        graph = Graph.from_edge_index(edge_index, 6)
        made = [graph.edge_index, *graph.csc, *graph.csr, graph.reverse, graph.in_degree, graph.out_degree]
        of_inference = Graph.from_edge_index(edge_index.clone(), 6)
    assert not any(t.is_inference() for t in made)
    x = torch.randn(6, requires_grad=True)
    (x[graph.edge_index[0]] * x[of_inference.edge_index[1]]).sum().backward()
    assert x.grad is not None


def test_deepcopy_keeps_everything():
    graph = Graph.from_edge_index(
        random_edges(6, 20), 6, node_attrs={"x": torch.randn(6, 2)}, edge_attrs={"w": torch.randn(20)}
    )
    expected = graph.csc
    other = copy.deepcopy(graph)
    assert all(torch.equal(a, b) for a, b in zip(other.csc, expected, strict=True))
    assert other.csc.ptr.data_ptr() != expected.ptr.data_ptr()
    assert torch.equal(other.node_attrs["x"], graph.node_attrs["x"])
    assert torch.equal(other.edge_attrs["w"], graph.edge_attrs["w"])
