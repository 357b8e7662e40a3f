"""Round trips through networkx and DGL."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from graphkit import Graph
from graphkit.graph.exchange import from_networkx, to_networkx

from .strategies import CASES, edge_tensor, random_edges

SQUARE = [name for name, (_, size) in CASES.items() if size[0] == size[1]]


def case_graph(case: str) -> Graph:
    edges, size = CASES[case]
    count = len(edges)
    return Graph.from_edge_index(
        edge_tensor(edges),
        size[0],
        node_attrs={"x": torch.randn(size[0], 2), "kind": torch.arange(size[0])},
        edge_attrs={"weight": torch.randn(count), "on": torch.rand(count) < 0.5, "a": torch.randn(count, 2, 2)},
    )


def assert_same(a: Graph, b: Graph):
    assert a.size == b.size
    assert torch.equal(a.edge_index, b.edge_index)
    for one, two in ((a.node_attrs, b.node_attrs), (a.edge_attrs, b.edge_attrs)):
        assert one.keys() == two.keys()
        for name in one:
            assert one[name].dtype == two[name].dtype
            assert torch.equal(one[name], two[name])


# networkx -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [name for name in SQUARE if CASES[name][0]])
def test_networkx_round_trip(case):
    graph = case_graph(case)
    assert_same(Graph.from_networkx(graph.to_networkx()), graph)


@pytest.mark.parametrize("case", [name for name in SQUARE if not CASES[name][0]])
def test_networkx_round_trip_without_edges(case):
    """networkx holds attributes edge by edge: without edges nothing remembers their names."""
    graph = case_graph(case)
    back = Graph.from_networkx(graph.to_networkx())
    assert back.size == graph.size
    assert back.edge_index.shape == (2, 0)
    assert back.edge_attrs == {}
    assert back.node_attrs.keys() == (graph.node_attrs.keys() if graph.num_nodes else set())


def test_networkx_labels_order_and_isolated_nodes():
    source = nx.DiGraph()
    source.add_nodes_from(["z", "a", "lonely", ("t", 1)])
    source.add_edges_from([("a", "z"), (("t", 1), "a"), ("z", "a"), ("z", "z")])
    graph = from_networkx(source)
    labels = list(source)
    assert [(labels[s], labels[t]) for s, t in graph.edge_index.t().tolist()] == list(source.edges)
    back = to_networkx(graph, labels=labels)
    assert list(back.nodes) == labels
    assert set(back.edges(keys=False)) == set(source.edges)


def test_undirected_edges_become_two():
    source = nx.Graph()
    source.add_nodes_from(range(5))
    source.add_edge(3, 1, weight=2.5)
    source.add_edge(4, 4, weight=7.0)
    source.add_edge(0, 1, weight=1.5)
    graph = from_networkx(source)
    assert graph.edge_index.tolist() == [[0, 1, 4, 1, 3], [1, 3, 4, 0, 1]]
    assert graph.edge_attrs["weight"].tolist() == [1.5, 2.5, 7.0, 1.5, 2.5]
    assert graph.reverse.tolist() == [3, 4, 2, 0, 1]
    assert graph.num_nodes == 5


def test_multigraph_keys():
    source = nx.MultiDiGraph()
    source.add_nodes_from([0, 1])
    source.add_edges_from([(0, 1, 7, {"w": 1.0}), (0, 1, 3, {"w": 2.0}), (1, 0, 7, {"w": 3.0})])
    graph = from_networkx(source)
    assert graph.edge_index.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert graph.edge_attrs["key"].tolist() == [7, 3, 7]
    assert graph.edge_attrs["w"].tolist() == [1.0, 2.0, 3.0]
    assert_same(from_networkx(to_networkx(graph)), graph)

    named = nx.MultiGraph([(0, 1, "road"), (0, 1, "rail")])
    assert from_networkx(named).num_edges == 4
    assert from_networkx(named).edge_attrs == {}


def test_attributes_of_every_kind():
    source = nx.DiGraph()
    source.add_node("a", score=1, vector=[1.0, 2.0], name="A", flag=True, partial=1, ragged=[1], big=2**70)
    source.add_node("b", score=2, vector=np.array([3.0, 4.0]), name="B", flag=False, ragged=[1, 2], big=1)
    source.add_edge("a", "b", t=torch.tensor([1.0, 2.0], dtype=torch.float64), none=None)
    graph = from_networkx(source)
    assert {name: value.dtype for name, value in graph.node_attrs.items()} == {
        "score": torch.int64,
        "vector": torch.float32,
        "flag": torch.bool,
    }
    assert graph.node_attrs["vector"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert graph.edge_attrs.keys() == {"t"}
    assert graph.edge_attrs["t"].dtype == torch.float64


def test_real_graphs():
    karate = nx.karate_club_graph()
    graph = from_networkx(karate)
    assert graph.num_nodes == 34
    assert graph.num_edges == 2 * karate.number_of_edges()
    assert graph.in_degree.tolist() == [degree for _, degree in karate.degree()]
    assert (graph.reverse >= 0).all()
    back = to_networkx(graph)
    assert nx.is_isomorphic(nx.Graph(back), karate)
    assert all(back.edges[u, v, k]["weight"] == karate.edges[u, v]["weight"] for u, v, k in back.edges(keys=True))


def test_bipartite_to_networkx():
    edges, size = CASES["bipartite"]
    out = Graph.from_edge_index(edge_tensor(edges), size).to_networkx()
    assert [out.nodes[i]["bipartite"] for i in out] == [0] * 5 + [1] * 3
    by_key = {key: (u, v) for u, v, key in out.edges(keys=True)}
    assert [by_key[e] for e in range(len(edges))] == [(s, t + 5) for s, t in edges]


def test_networkx_refuses():
    with pytest.raises(TypeError, match=r"'graph' must be a networkx graph \(got dict\)"):
        from_networkx({0: [1]})
    graph = Graph.from_edge_index(random_edges(3, 4), 3)
    for labels in (["a", "b"], ["a", "b", "b"]):
        with pytest.raises(ValueError, match="'labels' must hold 3 distinct labels"):
            to_networkx(graph, labels)


# DGL ----------------------------------------------------------------------------------------------------------


@pytest.mark.interop
@pytest.mark.parametrize("case", SQUARE)
def test_dgl_round_trip(case):
    pytest.importorskip("dgl")
    graph = case_graph(case)
    assert_same(Graph.from_dgl(graph.to_dgl()), graph)


@pytest.mark.interop
@pytest.mark.parametrize("case", ["bipartite", "bipartite, no targets"])
def test_dgl_bipartite_round_trip(case):
    pytest.importorskip("dgl")
    edges, size = CASES[case]
    graph = Graph.from_edge_index(edge_tensor(edges), size, edge_attrs={"w": torch.randn(len(edges), 2)})
    assert_same(Graph.from_dgl(graph.to_dgl()), graph)


@pytest.mark.interop
def test_dgl_forms_and_degrees():
    dgl = pytest.importorskip("dgl")
    source, target = random_edges(9, 40).int()
    other = dgl.graph((source, target), num_nodes=11)
    graph = Graph.from_dgl(other)
    assert graph.edge_index.dtype == torch.int64
    assert torch.equal(graph.in_degree, other.in_degrees().long())
    assert torch.equal(graph.out_degree, other.out_degrees().long())


@pytest.mark.interop
def test_dgl_blocks_and_relations():
    dgl = pytest.importorskip("dgl")
    data = {("user", "buys", "item"): ([0, 2], [1, 1]), ("user", "knows", "user"): ([0, 1], [1, 2])}
    other = dgl.heterograph(data, num_nodes_dict={"user": 3, "item": 4})
    with pytest.raises(ValueError, match="'graph' must have one edge type"):
        Graph.from_dgl(other)
    assert Graph.from_dgl(other["buys"]).size == (3, 4)
    assert Graph.from_dgl(other["knows"]).num_nodes == 3
    block = dgl.create_block((torch.tensor([0, 1, 4]), torch.tensor([0, 1, 1])), num_src_nodes=5, num_dst_nodes=2)
    assert Graph.from_dgl(block).size == (5, 2)
    with pytest.raises(TypeError, match=r"'graph' must be a dgl.DGLGraph \(got int\)"):
        Graph.from_dgl(3)
