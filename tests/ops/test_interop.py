"""Agreement with torch_scatter, PyG and DGL on the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn.aggr import PowerMeanAggregation, SoftmaxAggregation
from torch_geometric.utils import scatter as pyg_scatter
from torch_geometric.utils import softmax as pyg_softmax

from graphkit import ops
from tests.ops.cases import multigraph, square_graph


@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max", "mul"])
def test_scatter_equals_pyg(reduce: str) -> None:
    src = torch.randn(50, 3, dtype=torch.float64)
    index = torch.randint(0, 9, (50,))
    torch.testing.assert_close(ops.scatter(src, index, 12, reduce), pyg_scatter(src, index, 0, 12, reduce))


def test_softmax_equals_pyg() -> None:
    src = torch.randn(50, 3, dtype=torch.float64)
    index = torch.randint(0, 9, (50,))
    torch.testing.assert_close(ops.segment_softmax(src, index), pyg_softmax(src, index), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("t", [0.3, 1.0, 4.0])
def test_softmax_aggregate_equals_pyg(t: float) -> None:
    graph = multigraph()
    x = torch.randn(40, 5, dtype=torch.float64)
    message = torch.relu(x[graph.edge_index[0]]) + 1e-7
    expected = SoftmaxAggregation(t=t)(message, graph.edge_index[1], dim_size=30)
    torch.testing.assert_close(ops.softmax_aggregate(x, graph, t=t), expected, atol=1e-12, rtol=1e-12)


def test_powermean_equals_pyg_inside_its_clamps() -> None:
    graph = square_graph()
    x = torch.rand(8, 5, dtype=torch.float64) + 0.5
    expected = PowerMeanAggregation(p=2.0)(x[graph.edge_index[0]], graph.edge_index[1], dim_size=8)
    rows = graph.in_degree > 0
    torch.testing.assert_close(ops.powermean_aggregate(x, graph, p=2.0)[rows], expected[rows], atol=1e-6, rtol=1e-6)


@pytest.mark.interop
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max", "mul"])
def test_scatter_and_segment_equal_torch_scatter(reduce: str) -> None:
    torch_scatter = pytest.importorskip("torch_scatter")
    src = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 9, (50,))
    out = ops.scatter(src, index, 12, reduce)
    expected = torch_scatter.scatter(src, index, 0, dim_size=12, reduce=reduce)
    torch.testing.assert_close(out, expected)
    gradients = [torch.autograd.grad(v.square().sum(), src)[0] for v in (out, expected)]
    torch.testing.assert_close(*gradients)
    if reduce != "mul":
        ptr = torch.tensor([0, 4, 4, 30, 50])
        torch.testing.assert_close(ops.segment(src, ptr, reduce), torch_scatter.segment_csr(src, ptr, reduce=reduce))


@pytest.mark.interop
def test_segment_softmax_and_logsumexp_equal_torch_scatter() -> None:
    composite = pytest.importorskip("torch_scatter.composite")
    src = torch.randn(50, 3, dtype=torch.float64)
    index = torch.arange(50) % 9
    torch.testing.assert_close(ops.segment_softmax(src, index), composite.scatter_softmax(src, index, dim=0))
    torch.testing.assert_close(ops.segment_logsumexp(src, index), composite.scatter_logsumexp(src, index, dim=0))


@pytest.mark.interop
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max"])
def test_gather_reduce_equals_dgl(reduce: str) -> None:
    dgl = pytest.importorskip("dgl")
    fn = dgl.function
    graph = square_graph()
    x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, requires_grad=True)
    other = dgl.graph((graph.edge_index[0], graph.edge_index[1]), num_nodes=8)
    other.ndata["x"], other.edata["w"] = x, weight[:, None]
    other.update_all(fn.u_mul_e("x", "w", "m"), getattr(fn, reduce)("m", "y"))
    out = ops.gather_reduce(x, graph, edge_weight=weight, reduce=reduce)
    torch.testing.assert_close(out, other.ndata["y"])
    for mine, theirs in zip(
        torch.autograd.grad(out.square().sum(), (x, weight)),
        torch.autograd.grad(other.ndata["y"].square().sum(), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.interop
def test_softmax_aggregate_equals_dgl_edge_softmax() -> None:
    dgl = pytest.importorskip("dgl")
    graph = square_graph()
    other = dgl.graph((graph.edge_index[0], graph.edge_index[1]), num_nodes=8)
    x = torch.rand(8, 4, dtype=torch.float64)
    message = x[graph.edge_index[0]]
    weight = dgl.nn.functional.edge_softmax(other, 2.0 * message)
    expected = ops.scatter(weight * message, graph.edge_index[1], 8)
    torch.testing.assert_close(ops.softmax_aggregate(x, graph, t=2.0, message="copy"), expected)
