"""Transforms against PyG's utilities where PyG has them, and against loops where the conventions differ."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm as pyg_gcn_norm
from torch_geometric.utils import (
    add_remaining_self_loops,
    contains_isolated_nodes,
    is_undirected,
)
from torch_geometric.utils import subgraph as pyg_subgraph
from torch_geometric.utils import to_undirected as pyg_to_undirected

from graphkit import Graph
from graphkit.graph.compressed import Compressed

from .strategies import CASES, edge_tensor, random_edges

SQUARE = [name for name, (_, size) in CASES.items() if size[0] == size[1]]


def case_graph(case: str) -> Graph:
    edges, size = CASES[case]
    count = len(edges)
    return Graph.from_edge_index(
        edge_tensor(edges),
        size[0],
        node_attrs={"x": torch.arange(2.0 * size[0]).view(-1, 2)},
        edge_attrs={"w": torch.arange(1.0, count + 1), "kind": torch.arange(2 * count).view(-1, 2)},
    )


def dense(edge_index, value, num_nodes):
    out = torch.zeros(num_nodes, num_nodes, dtype=value.dtype)
    return out.index_put((edge_index[0], edge_index[1]), value, accumulate=True)


def assert_same_form(a: Compressed, b: Compressed):
    for one, two in zip(a, b, strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)


@pytest.mark.parametrize("case", SQUARE)
def test_with_self_loops(case):
    graph = case_graph(case)
    out = graph.with_self_loops(7)
    edges = CASES[case][0]
    new = [(i, i) for i in range(graph.num_nodes) if (i, i) not in edges]
    assert [tuple(e) for e in out.edge_index.t().tolist()] == edges + new
    assert out.edge_attrs["w"].tolist() == graph.edge_attrs["w"].tolist() + [7.0] * len(new)
    assert out.edge_attrs["kind"].tolist() == graph.edge_attrs["kind"].tolist() + [[7, 7]] * len(new)
    assert torch.equal(out.node_attrs["x"], graph.node_attrs["x"])
    assert out.with_self_loops().num_edges == out.num_edges


def test_with_self_loops_equals_pyg_on_a_simple_graph():
    edge_index = torch.unique(random_edges(20, 60), dim=1)
    weight = torch.rand(edge_index.size(1))
    out = Graph.from_edge_index(edge_index, 20, edge_attrs={"w": weight}).with_self_loops(0.5)
    expected = add_remaining_self_loops(edge_index, weight, 0.5, 20)
    assert torch.equal(dense(out.edge_index, out.edge_attrs["w"], 20), dense(*expected, 20))


def test_fill_value_must_fit_the_attribute():
    graph = Graph.from_edge_index(random_edges(4, 6), 4, edge_attrs={"kind": torch.arange(6)})
    for value in (0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"'fill_value' must be an integer for edge attribute 'kind'"):
            graph.with_self_loops(value)


@pytest.mark.parametrize("case", SQUARE)
def test_to_undirected(case):
    graph = case_graph(case)
    out = graph.to_undirected()
    count = graph.num_edges
    assert torch.equal(out.edge_index[:, :count], graph.edge_index)
    assert (out.reverse >= 0).all()
    single = torch.nonzero(graph.reverse < 0).view(-1)
    assert out.edge_index[:, count:].tolist() == graph.edge_index[:, single].flip(0).tolist()
    for name, value in graph.edge_attrs.items():
        assert torch.equal(out.edge_attrs[name], torch.cat([value, value[single]]))
    assert torch.equal(out.to_undirected().edge_index, out.edge_index)


def test_to_undirected_equals_pyg_on_a_simple_graph():
    edge_index = torch.unique(random_edges(20, 60), dim=1)
    out = Graph.from_edge_index(edge_index, 20).to_undirected()
    expected = pyg_to_undirected(edge_index, num_nodes=20)
    assert is_undirected(out.edge_index, num_nodes=20)
    assert torch.equal(torch.unique(out.edge_index, dim=1), expected)
    assert out.num_edges == expected.size(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_gcn_norm_equals_pyg(dtype, self_loops, weighted):
    edge_index = torch.unique(random_edges(30, 60), dim=1)
    assert contains_isolated_nodes(edge_index, 30)
    assert (edge_index[0] == edge_index[1]).any()
    weight = torch.rand(edge_index.size(1), dtype=dtype) + 0.1 if weighted else None
    graph, ours = Graph.from_edge_index(edge_index, 30).gcn_norm(weight, self_loops=self_loops)
    expected = pyg_gcn_norm(edge_index, weight, 30, add_self_loops=self_loops, dtype=dtype)
    assert ours.dtype == (dtype if weighted else torch.float32)
    torch.testing.assert_close(
        dense(graph.edge_index, ours, 30), dense(*expected, 30).to(ours.dtype), rtol=1e-6, atol=1e-7
    )
    assert torch.equal(graph.edge_index[:, : edge_index.size(1)], edge_index)


def test_gcn_norm_gradient():
    edge_index = torch.unique(random_edges(8, 24), dim=1)
    graph = Graph.from_edge_index(edge_index, 8)
    weight = (torch.rand(graph.num_edges, dtype=torch.float64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: graph.gcn_norm(w)[1], weight)
    assert torch.autograd.gradgradcheck(lambda w: graph.gcn_norm(w, self_loops=False)[1], weight)

    probe = torch.randn(8, 8, dtype=torch.float64)
    out, ours = graph.gcn_norm(weight)
    expected = pyg_gcn_norm(edge_index, weight, 8)
    ours_grad = torch.autograd.grad((dense(out.edge_index, ours, 8) * probe).sum(), weight)[0]
    pyg_grad = torch.autograd.grad((dense(*expected, 8) * probe).sum(), weight)[0]
    torch.testing.assert_close(ours_grad, pyg_grad)


def test_gcn_norm_of_zero_weights_has_a_finite_gradient():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 3)
    weight = torch.zeros(2, requires_grad=True)
    _, out = graph.gcn_norm(weight, self_loops=False)
    assert out.tolist() == [0.0, 0.0]
    (grad,) = torch.autograd.grad(out.sum(), weight)
    assert grad.isfinite().all()


@pytest.mark.parametrize("weight", [torch.ones(5), torch.ones(6, 1), torch.ones(6, dtype=torch.long), [1.0] * 6])
def test_gcn_norm_refuses(weight):
    with pytest.raises((ValueError, TypeError), match="'edge_weight' must"):
        Graph.from_edge_index(random_edges(4, 6), 4).gcn_norm(weight)


@pytest.mark.parametrize("as_mask", [False, True])
def test_subgraph_equals_pyg(as_mask):
    edge_index = random_edges(12, 80)
    graph = Graph.from_edge_index(
        edge_index, 12, node_attrs={"x": torch.randn(12, 3)}, edge_attrs={"w": torch.randn(80)}
    )
    nodes = torch.tensor([1, 4, 5, 9, 11])
    selection = torch.zeros(12, dtype=torch.bool).index_fill(0, nodes, True) if as_mask else nodes
    out = graph.subgraph(selection)
    expected, weight = pyg_subgraph(nodes, edge_index, graph.edge_attrs["w"], relabel_nodes=True, num_nodes=12)
    assert out.num_nodes == 5
    assert torch.equal(out.edge_index, expected)
    assert torch.equal(out.edge_attrs["w"], weight)
    assert torch.equal(out.node_attrs["x"], graph.node_attrs["x"][nodes])
    assert torch.equal(out.node_attrs["n_id"], nodes)
    assert torch.equal(nodes[out.edge_index], edge_index[:, out.edge_attrs["e_id"]])


def test_subgraph_keeps_the_wanted_order():
    graph = Graph.from_edge_index(random_edges(6, 30), 6)
    nodes = torch.tensor([5, 0, 3], dtype=torch.int32)
    out = graph.subgraph(nodes)
    assert out.node_attrs["n_id"].tolist() == [5, 0, 3]
    assert torch.equal(nodes.long()[out.edge_index], graph.edge_index[:, out.edge_attrs["e_id"]])
    assert graph.subgraph(nodes[:0]).size == (0, 0)


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ([0, 1], TypeError, "'nodes' must be a torch.Tensor"),
        (torch.tensor([0, 0]), ValueError, "'nodes' must be distinct"),
        (torch.tensor([0, 6]), ValueError, r"'nodes' must lie in \[0, 6\)"),
        (torch.tensor([-1]), ValueError, r"'nodes' must lie in \[0, 6\)"),
        (torch.tensor([1.0]), ValueError, "'nodes' must hold integers"),
        (torch.tensor([[1]]), ValueError, r"'nodes' must have one dimension"),
        (torch.ones(5, dtype=torch.bool), ValueError, r"'nodes' as a mask must have shape \[6\]"),
        (torch.tensor([1], device="meta"), ValueError, "'nodes' must be on cpu"),
    ],
)
def test_subgraph_refuses(nodes, error, message):
    with pytest.raises(error, match=message):
        Graph.from_edge_index(random_edges(6, 30), 6).subgraph(nodes)


def small_graphs() -> list[Data]:
    sizes = [(4, 9), (1, 0), (3, 2), (6, 30), (2, 2)]
    return [
        Data(x=torch.randn(n, 3), edge_index=random_edges(n, e, seed=n), edge_attr=torch.randn(e, 2)) for n, e in sizes
    ]


@pytest.mark.parametrize("ready", ["all", "none", "some"])
def test_batch_equals_pyg_batch(ready):
    data = small_graphs()
    graphs = [Graph.from_data(d) for d in data]
    for graph in graphs if ready == "all" else graphs[:2] if ready == "some" else ():
        _ = graph.csr
    out, expected = Graph.batch(graphs), Batch.from_data_list(data)
    fresh = Graph.from_edge_index(expected.edge_index, expected.num_nodes)
    assert (out._csc is not None) == (out._csr is not None) == (ready == "all")
    assert torch.equal(out.edge_index, expected.edge_index)
    assert torch.equal(out.node_attrs["batch"], expected.batch)
    assert torch.equal(out.node_attrs["x"], expected.x)
    assert torch.equal(out.edge_attrs["edge_attr"], expected.edge_attr)
    assert_same_form(out.csc, fresh.csc)
    assert_same_form(out.csr, fresh.csr)
    assert torch.equal(out.reverse, fresh.reverse)


def test_batch_of_bipartite_graphs():
    edges = [CASES["bipartite"], CASES["bipartite, no targets"], CASES["bipartite"]]
    graphs = [Graph.from_edge_index(edge_tensor(e), size) for e, size in edges]
    for graph in graphs:
        _ = graph.csr
    out = Graph.batch(graphs)
    assert out.size == (13, 6)
    assert out.node_attrs == {}
    assert_same_form(out.csc, Graph.from_edge_index(out.edge_index, out.size).csc)
    assert out.edge_index[:, -1].tolist() == [1 + 8, 1 + 3]


def test_graph_as_an_attribute_of_data_goes_through_a_batch():
    data = small_graphs()
    for d in data:
        d.graph = Graph.from_edge_index(d.edge_index, d.num_nodes)
    expected = Batch.from_data_list(data)
    out = Graph.batch(expected.graph)
    assert torch.equal(out.edge_index, expected.edge_index)
    assert data[0].to("cpu").graph is data[0].graph


def test_batch_refuses():
    graph = Graph.from_edge_index(random_edges(4, 6), 4)
    other = Graph.from_edge_index(random_edges(4, 6), 4, edge_attrs={"w": torch.ones(6)})
    wide = Graph.from_edge_index(random_edges(4, 6), 4, edge_attrs={"w": torch.ones(6, 2)})
    with pytest.raises(ValueError, match="at least one Graph"):
        Graph.batch([])
    with pytest.raises(TypeError, match=r"got Tensor at position 1"):
        Graph.batch([graph, graph.edge_index])
    for pair in ([graph, other], [other, graph], [other, wide]):
        with pytest.raises(ValueError, match="same edge_attrs, shapes and dtypes"):
            Graph.batch(pair)


def test_bipartite_graphs_are_refused():
    graph = Graph.from_edge_index(random_edges(3, 5), (3, 4))
    calls = [
        graph.with_self_loops,
        graph.to_undirected,
        graph.gcn_norm,
        lambda: graph.subgraph(torch.tensor([0])),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="needs a homogeneous graph"):
            call()
