"""PyG's and torch.sparse's objects in and out."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GraphConv
from torch_geometric.transforms import ToSparseTensor

from graphkit import Graph
from graphkit.graph.convert import from_data, from_sparse, is_sparse_adjacency, to_data, to_sparse

from .strategies import CASES, edge_tensor, random_edges

LAYOUTS = [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc]
# torch warns once per process that CSR is young.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state:UserWarning")


def case_graph(case: str) -> Graph:
    edges, size = CASES[case]
    count = len(edges)
    square = size[0] == size[1]
    return Graph.from_edge_index(
        edge_tensor(edges),
        size[0] if square else size,
        node_attrs={"x": torch.randn(size[0], 2), "node_kind": torch.arange(size[0])} if square else {},
        edge_attrs={"edge_weight": torch.randn(count), "edge_kind": torch.randint(0, 5, (count, 2))},
    )


def assert_same(a: Graph, b: Graph):
    assert a.size == b.size
    assert torch.equal(a.edge_index, b.edge_index)
    for one, two in ((a.node_attrs, b.node_attrs), (a.edge_attrs, b.edge_attrs)):
        assert one.keys() == two.keys()
        for name in one:
            assert one[name].dtype == two[name].dtype
            assert torch.equal(one[name], two[name])


@pytest.mark.parametrize("case", CASES)
def test_data_round_trip(case):
    graph = case_graph(case)
    assert_same(Graph.from_data(graph.to_data()), graph)


def test_data_keeps_what_belongs_to_nodes_and_edges():
    data = Data(
        x=torch.randn(5, 3),
        y=torch.tensor([1.0]),
        train_mask=torch.tensor([True, False, True, False, True]),
        edge_index=random_edges(5, 7),
        edge_attr=torch.randn(7, 2),
        edge_label_index=random_edges(5, 7),
        name="molecule",
        scalar=torch.tensor(3),
    )
    graph = Graph.from_data(data)
    assert sorted(graph.node_attrs) == ["train_mask", "x"]
    assert sorted(graph.edge_attrs) == ["edge_attr"]
    data.edge_index.zero_()
    assert graph.edge_index.any(), "the graph holds its own copy"


def test_isolated_nodes_at_the_end_are_kept():
    assert Graph.from_data(Data(x=torch.ones(9, 1), edge_index=random_edges(3, 4))).num_nodes == 9
    assert Graph.from_data(Data(num_nodes=9, edge_index=random_edges(3, 4))).num_nodes == 9


def test_batch():
    data = [
        Data(x=torch.randn(n, 2), edge_index=random_edges(n, e), y=torch.tensor([n]))
        for n, e in [(3, 5), (2, 0), (4, 2)]
    ]
    batch = Batch.from_data_list(data)
    graph = Graph.from_data(batch)
    assert sorted(graph.node_attrs) == ["batch", "x"]
    assert torch.equal(graph.node_attrs["batch"], batch.batch)
    assert torch.equal(graph.edge_index, Graph.batch([Graph.from_data(d) for d in data]).edge_index)


def hetero() -> HeteroData:
    data = HeteroData()
    data["user"].x = torch.randn(4, 2)
    data["item"].x = torch.randn(6, 3)
    data["user", "buys", "item"].edge_index = torch.tensor([[0, 3, 3], [5, 1, 1]])
    data["user", "buys", "item"].edge_attr = torch.randn(3, 2)
    data["user", "knows", "user"].edge_index = torch.tensor([[0, 1], [1, 3]])
    return data


def test_edge_types_of_hetero_data():
    data = hetero()
    bought = Graph.from_data(data, ("user", "buys", "item"))
    assert bought.size == (4, 6)
    assert bought.node_attrs == {}
    assert torch.equal(bought.edge_attrs["edge_attr"], data["user", "buys", "item"].edge_attr)
    known = Graph.from_data(data, ("user", "knows", "user"))
    assert known.num_nodes == 4
    assert torch.equal(known.node_attrs["x"], data["user"].x)
    for edge_type in (None, ("user", "sells", "item")):
        with pytest.raises(ValueError, match="'edge_type' must be one of"):
            Graph.from_data(data, edge_type)


def test_data_refuses():
    with pytest.raises(TypeError, match=r"'data' must be a PyG Data, Batch or HeteroData \(got Tensor\)"):
        from_data(torch.ones(2, 3))
    with pytest.raises(ValueError, match="neither 'edge_index' nor 'adj_t'"):
        from_data(Data(x=torch.ones(3, 1)))
    with pytest.raises(ValueError, match="'edge_type' must be None for homogeneous data"):
        from_data(Data(x=torch.ones(3, 1), edge_index=random_edges(3, 4)), ("a", "to", "b"))
    data = HeteroData()
    data["a", "to", "b"].edge_index = random_edges(3, 4)
    with (
        pytest.warns(UserWarning, match="Unable to accurately infer"),
        pytest.raises(ValueError, match="of 'a' is unknown"),
    ):
        from_data(data)
    graph = Graph.from_edge_index(
        random_edges(3, 3), 3, node_attrs={"w": torch.ones(3)}, edge_attrs={"w": torch.ones(3)}
    )
    with pytest.raises(ValueError, match=r"one attribute of each name \(got nodes and edges with \['w'\]\)"):
        to_data(graph)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [name for name in CASES if "no " not in name])
def test_sparse_equals_dense(case, layout):
    graph = case_graph(case)
    weight = graph.edge_attrs["edge_weight"]
    expected = torch.zeros(graph.num_dst, graph.num_src)
    for e, (source, target) in enumerate(graph.edge_index.t().tolist()):
        expected[target, source] += weight[e]
    adj_t = to_sparse(graph, weight, layout=layout)
    assert adj_t.layout == layout
    torch.testing.assert_close(adj_t.to_dense(), expected)
    back = from_sparse(adj_t)
    assert back.size == graph.size
    torch.testing.assert_close(to_sparse(back, back.edge_attrs["edge_weight"]).to_dense(), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sparse_edge_order(layout):
    adj_t = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]).to_sparse(layout=layout)
    graph = Graph.from_sparse(adj_t)
    order = [3.0, 1.0, 2.0, 4.0] if layout == torch.sparse_csc else [1.0, 2.0, 3.0, 4.0]
    assert graph.edge_attrs["edge_weight"].tolist() == order


def test_sparse_duplicates_add_up():
    adj_t = torch.sparse_coo_tensor(
        torch.tensor([[0, 0], [1, 1]]), torch.tensor([1.0, 2.0]), (2, 2), check_invariants=True
    )
    assert Graph.from_sparse(adj_t).edge_attrs["edge_weight"].tolist() == [3.0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sparse_values_stay_differentiable(layout):
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]))
    weight = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    back = from_sparse(to_sparse(graph, weight, layout=layout))
    (back.edge_attrs["edge_weight"] * back.edge_index[0]).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0.0, 1.0, 2.0]


def test_sparse_matrices_of_edge_features():
    graph = Graph.from_edge_index(torch.tensor([[2, 0], [1, 1]]), (3, 2))
    feature = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    back = from_sparse(to_sparse(graph, feature))
    assert back.edge_attrs["edge_attr"].tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert back.size == (3, 2)


def test_sparse_means_what_it_means_to_a_pyg_layer():
    edge_index, x = torch.unique(random_edges(10, 40), dim=1), torch.randn(10, 4)
    conv = GraphConv(4, 4)
    adj_t = to_sparse(Graph.from_edge_index(edge_index, 10), layout=torch.sparse_csr)
    torch.testing.assert_close(conv(x, adj_t), conv(x, edge_index))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")
def test_data_with_adj_t():
    edge_index = torch.unique(random_edges(6, 15), dim=1)
    data = Data(x=torch.randn(6, 2), edge_index=edge_index, edge_weight=torch.arange(float(edge_index.size(1))))
    graph = Graph.from_data(ToSparseTensor(attr="edge_weight", layout=torch.sparse_csr)(data.clone()))
    assert graph.num_nodes == 6
    assert torch.equal(graph.node_attrs["x"], data.x)
    assert torch.equal(
        graph.to_sparse(graph.edge_attrs["edge_weight"]).to_dense(),
        to_sparse(Graph.from_data(data), data.edge_weight).to_dense(),
    )


class FakeSparseTensor:
    """The three methods of torch_sparse.SparseTensor that matter, for machines without it."""

    def __init__(self, value):
        self.value = value

    def coo(self):
        return torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), self.value

    def sparse_sizes(self):
        return 2, 3


@pytest.mark.parametrize("value", [None, torch.tensor([1.0, 2.0, 3.0])])
def test_sparse_tensor_class(monkeypatch, value):
    monkeypatch.setattr(torch_geometric.typing, "SparseTensor", FakeSparseTensor)
    graph = Graph.from_sparse(FakeSparseTensor(value))
    assert graph.size == (3, 2)
    assert graph.edge_index.tolist() == [[2, 0, 1], [0, 1, 1]]
    assert list(graph.edge_attrs) == ([] if value is None else ["edge_weight"])


@pytest.mark.interop
def test_torch_sparse():
    torch_sparse = pytest.importorskip("torch_sparse")
    edge_index, weight = torch.unique(random_edges(6, 15), dim=1), torch.randn(15)
    weight = weight[: edge_index.size(1)]
    adj_t = torch_sparse.SparseTensor(row=edge_index[1], col=edge_index[0], value=weight, sparse_sizes=(6, 6))
    graph = Graph.from_sparse(adj_t)
    expected = to_sparse(Graph.from_edge_index(edge_index, 6), weight).to_dense()
    assert torch.equal(to_sparse(graph, graph.edge_attrs["edge_weight"]).to_dense(), expected)


def test_sparse_refuses():
    assert not is_sparse_adjacency(torch.ones(2, 2))
    assert not is_sparse_adjacency("adj_t")
    with pytest.raises(TypeError, match=r"'adj_t' must be a sparse matrix \[num_dst, num_src\] \(got Tensor\)"):
        from_sparse(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"'adj_t' must be a matrix .*got shape \[2, 2, 2\]"):
        from_sparse(torch.ones(2, 2, 2).to_sparse())
    with pytest.raises(ValueError, match=r"'adj_t' must be a matrix .*got shape \[2, 2, 2\]"):
        from_sparse(torch.ones(2, 2, 2).to_sparse_csr())
    graph = Graph.from_edge_index(torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="'edge_weight' must have one row per edge, 1"):
        to_sparse(graph, torch.ones(2))
