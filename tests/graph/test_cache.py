"""``as_graph`` remembers a tensor while it lives and is unchanged, and not a moment longer."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import Graph
from graphkit.graph import as_graph, cache

from .strategies import random_edges


def test_remembers_the_same_object():
    edge_index = random_edges(5, 20)
    graph = as_graph(edge_index, 5)
    assert as_graph(edge_index, 5) is graph
    assert as_graph(edge_index, (5, 5)) is graph
    assert as_graph(edge_index.clone(), 5) is not graph


def test_a_graph_is_returned_as_it_is():
    graph = Graph.from_edge_index(random_edges(5, 20), 5)
    assert as_graph(graph) is graph
    assert as_graph(graph, 5) is graph
    with pytest.raises(ValueError, match=r"the graph has \(num_src, num_dst\) = \(5, 5\), but \(6, 6\)"):
        as_graph(graph, 6)


def edit_entry(t):
    t[0, 0] = 4


def edit_view(t):
    t[1].fill_(2)


def edit_detached(t):
    t.detach().zero_()


def edit_in_inference_mode(t):
    with torch.inference_mode():
        t.fill_(3)


def edit_storage(t):
    t.set_(torch.ones(2, 20, dtype=torch.long))


def edit_layout(t):
    t.swapaxes_(0, 1).resize_(2, 20)


@pytest.mark.parametrize(
    "edit", [edit_entry, edit_view, edit_detached, edit_in_inference_mode, edit_storage, edit_layout]
)
def test_in_place_edit_is_noticed(edit):
    edge_index = random_edges(5, 20)
    before = as_graph(edge_index, 5)
    kept = before.edge_index.clone()
    edit(edge_index)
    after = as_graph(edge_index, 5)
    assert after is not before
    assert torch.equal(after.edge_index, edge_index)
    assert torch.equal(before.edge_index, kept), "a graph made earlier must not change"
    assert as_graph(edge_index, 5) is after


def test_edit_of_the_base_of_a_view_is_noticed():
    base = random_edges(5, 40)
    edge_index = base[:, :20]
    before = as_graph(edge_index, 5)
    base[0, 0] = (base[0, 0] + 1) % 5
    assert as_graph(edge_index, 5) is not before
    assert torch.equal(as_graph(edge_index, 5).edge_index, base[:, :20])


def test_an_edit_to_a_bad_index_is_refused():
    edge_index = random_edges(5, 20)
    as_graph(edge_index, 5)
    edge_index[1, 3] = 5
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 5\)"):
        as_graph(edge_index, 5)


def test_sizes_are_remembered_apart():
    edge_index = random_edges(5, 20)
    five, more = as_graph(edge_index, 5), as_graph(edge_index, (7, 6))
    assert five.size == (5, 5)
    assert more.size == (7, 6)
    assert as_graph(edge_index, 5) is five
    assert as_graph(edge_index, (7, 6)) is more
    assert as_graph(edge_index).num_nodes == int(edge_index.max()) + 1
    for bad in (-1, True, 5.0, "5", (5,), {}):
        with pytest.raises((ValueError, TypeError), match="num_nodes"):
            as_graph(edge_index, bad)


def test_memory_dies_with_the_tensor():
    gc.collect()
    before = len(cache._MEMORY)
    edge_index = random_edges(5, 20)
    tensor, graph = weakref.ref(edge_index), weakref.ref(as_graph(edge_index, 5))
    assert len(cache._MEMORY) == before + 1
    del edge_index
    gc.collect()
    assert tensor() is None
    assert graph() is None
    assert len(cache._MEMORY) == before


def test_inference_tensors_are_converted_every_time():
    with torch.inference_mode():
        edge_index = random_edges(5, 20) + 0  # it has no version counter to watch
    assert as_graph(edge_index, 5) is not as_graph(edge_index, 5)
    assert torch.equal(as_graph(edge_index, 5).edge_index, edge_index)


def test_remembered_across_inference_mode():
    edge_index = random_edges(5, 20)
    with torch.inference_mode():
        graph = as_graph(edge_index, 5)
        assert not graph.csr.perm.is_inference()
    assert as_graph(edge_index, 5) is graph


def test_copies_of_a_remembered_tensor_stand_alone():
    edge_index = random_edges(5, 20)
    graph = as_graph(edge_index, 5)
    buffer = io.BytesIO()
    torch.save(edge_index, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(edge_index), pickle.loads(pickle.dumps(edge_index)), torch.load(buffer)):
        other[0, 0] = (other[0, 0] + 1) % 5
        assert torch.equal(as_graph(other, 5).edge_index, other)
    assert as_graph(edge_index, 5) is graph


@pytest.mark.parametrize("inside", [False, True])
def test_edge_index_class(inside):
    plain = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 0]])
    edge_index = EdgeIndex(plain.clone(), sparse_size=(4, 5), sort_order="row")
    graph = as_graph(edge_index)
    assert graph.size == (4, 5)
    assert type(graph.edge_index) is torch.Tensor
    assert torch.equal(graph.edge_index, plain)
    assert as_graph(edge_index) is graph
    (edge_index.as_tensor() if inside else edge_index).fill_(0)
    assert as_graph(edge_index).edge_index.tolist() == [[0] * 4, [0] * 4]


def test_edge_index_class_whose_cached_pointers_are_wrong():
    """PyG 2.8.1 swaps the pointers of an EdgeIndex that is sorted twice; ours never reads them."""
    plain = torch.tensor([[0, 0, 0, 1], [1, 2, 3, 3]])
    edge_index = EdgeIndex(plain, sparse_size=(4, 4), sort_order="row")
    edge_index.fill_cache_()
    twice = edge_index.sort_by("col").values
    graph, expected = as_graph(twice, 4), Graph.from_edge_index(plain, 4)
    assert torch.equal(graph.csc.ptr, expected.csc.ptr)
    assert torch.equal(graph.csr.ptr, expected.csr.ptr)


def test_sparse_adjacency_is_transposed():
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 2]]), (3, 4))
    adj_t = torch.zeros(4, 3).index_put((graph.edge_index[1], graph.edge_index[0]), torch.ones(3)).to_sparse()
    assert torch.equal(as_graph(adj_t, (3, 4)).csc.index, graph.csc.index)
    with pytest.raises(ValueError, match="sizes disagree"):
        as_graph(adj_t, (4, 3))


@pytest.mark.parametrize("bad", [None, 3, "edges", [[0, 1], [1, 0]], {}])
def test_other_objects_are_refused(bad):
    with pytest.raises(TypeError, match=r"'edge_index' must be a torch.Tensor of shape \[2, E\]"):
        as_graph(bad, 3)
