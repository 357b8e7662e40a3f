"""Moving, pickling and sharing a graph, in this process and in others."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
import torch.multiprocessing as mp

from graphkit import Graph

from .strategies import random_edges


def graph_with_attributes() -> Graph:
    return Graph.from_edge_index(
        random_edges(20, 100), 20, node_attrs={"x": torch.randn(20, 3)}, edge_attrs={"w": torch.randn(100)}
    )


def tensors(graph: Graph) -> list[torch.Tensor]:
    made = [graph.reverse, graph.in_degree, graph.out_degree]
    attrs = [*graph.node_attrs.values(), *graph.edge_attrs.values()]
    return [graph.edge_index, *graph.csc, *graph.csr, *made, *attrs]


def assert_same(a: Graph, b: Graph):
    assert a.size == b.size
    for one, two in zip(tensors(a), tensors(b), strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)


@pytest.mark.parametrize("sorted_before", [False, True])
def test_pickle(sorted_before):
    graph = graph_with_attributes()
    if sorted_before:
        _ = graph.reverse
    other = pickle.loads(pickle.dumps(graph))
    assert (other._csc is not None) == sorted_before
    assert_same(other, graph)


def test_torch_save():
    graph, buffer = graph_with_attributes(), io.BytesIO()
    _ = graph.csr
    torch.save(graph, buffer)
    buffer.seek(0)
    assert_same(torch.load(buffer, weights_only=False), graph)


def test_to():
    graph = graph_with_attributes()
    assert graph.to("cpu") is graph
    assert graph.to(torch.device("cpu")) is graph
    _ = graph.reverse, graph.in_degree, graph.out_degree
    moved = graph.to("meta")
    assert moved.device.type == "meta"
    assert moved.size == graph.size
    assert all(t.is_meta and t.shape == s.shape for t, s in zip(tensors(moved), tensors(graph), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda():
    graph = graph_with_attributes()
    before, after = graph.to("cuda"), graph_with_attributes()
    fresh = Graph.from_edge_index(graph.edge_index.cuda(), 20)
    assert_same(before.to("cpu"), graph)
    assert torch.equal(fresh.csc.perm.cpu(), graph.csc.perm)
    assert torch.equal(fresh.reverse.cpu(), after.edge_index.new_tensor(graph.reverse.tolist()))


def _use_and_edit(graph: Graph, queue) -> None:
    """In the worker: everything is there and shared, nothing is sorted again."""
    queue.put((graph._csc is not None, graph._csr is not None, graph.is_shared(), graph.csc.perm.sum().item()))
    graph.node_attrs["x"].fill_(5.0)


@pytest.mark.parametrize("method", [pytest.param("fork"), pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_shared_with_another_process(method):
    graph = graph_with_attributes()
    expected = graph.csc.perm.clone()
    assert not graph.is_shared()
    assert graph.share_memory_() is graph
    assert all(t.is_shared() for t in (graph.edge_index, *graph.csc, *graph.csr, *graph.node_attrs.values()))
    assert torch.equal(graph.csc.perm, expected)

    context = mp.get_context(method)
    queue = context.SimpleQueue()
    worker = context.Process(target=_use_and_edit, args=(graph, queue))
    worker.start()
    worker.join(120)
    assert worker.exitcode == 0
    assert queue.get() == (True, True, True, expected.sum().item())
    assert (graph.node_attrs["x"] == 5).all(), "the worker wrote to the same memory"
