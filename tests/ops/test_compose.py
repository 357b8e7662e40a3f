"""torch.compile, torch.export shapes, torch.func and autocast."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph, ops
from graphkit.graph import as_graph
from tests.ops.cases import SOME, Operator, assert_near, inputs, square_graph, value_and_gradients

# Dynamo instantiates autograd.Function itself when it traces one (torch 2.13).
ignore_dynamo = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@ignore_dynamo
@pytest.mark.parametrize("operator", SOME, ids=lambda o: o.name)
@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize("plain", [False, True], ids=["graph", "edge_index"])
def test_compiles_without_graph_break(operator: Operator, backend: str, plain: bool) -> None:
    torch.compiler.reset()
    graph = square_graph()
    leaves = inputs(operator, graph)
    run = torch.compile(operator.run, fullgraph=True, backend="aot_eager")
    compiled = Operator(operator.name, run, operator.edge, operator.parameter)
    if plain:

        def from_edges(x, edge_index, edge, parameter):  # type: ignore[no-untyped-def]
            return operator.run(x, as_graph(edge_index, 8), edge, parameter)

        function = torch.compile(from_edges, fullgraph=True, backend="aot_eager")
        compiled = Operator(operator.name, lambda x, g, e, p: function(x, g.edge_index, e, p), operator.edge)
    with ops.backend(backend):
        expected = value_and_gradients(operator, graph, leaves)
        fresh = Graph.from_edge_index(graph.edge_index, 8)  # nothing sorted yet
        assert_near(value_and_gradients(compiled, fresh, leaves), expected, 1e-12)


@pytest.mark.parametrize("operator", SOME, ids=lambda o: o.name)
def test_torch_func(operator: Operator) -> None:
    graph = square_graph()
    x, edge, parameter = (None if v is None else v.detach() for v in inputs(operator, graph))
    batch = torch.stack([x, 2 * x, x + 1])

    def run(features: torch.Tensor) -> torch.Tensor:
        return operator.run(features, graph, edge, parameter)

    torch.testing.assert_close(torch.func.vmap(run)(batch), torch.stack([run(v) for v in batch]))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(run(leaf).square().sum(), leaf)
    torch.testing.assert_close(torch.func.grad(lambda v: run(v).square().sum())(x), expected)


def test_fake_tensors_have_the_right_shapes() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    graph = square_graph()
    ptr, index, perm = graph.csc
    x = torch.rand(8, 5)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x)
        out, ties = torch.ops.graphkit.gather_reduce(fake, ptr, index, perm, None, "copy", "max", 0.0, "native")
        assert out.shape == (8, 5)
        assert ties.dtype == torch.int32
        t = mode.from_tensor(torch.ones(5))
        out, lse = torch.ops.graphkit.softmax_aggregate(fake, ptr, index, perm, None, t, "copy", 0.0, "native")
        assert out.shape == lse.shape == (8, 5)


def test_autocast_keeps_the_dtype_of_x() -> None:
    graph = square_graph()
    x = torch.rand(8, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ops.softmax_aggregate(x, graph).dtype == torch.float32
        low = ops.softmax_aggregate(x.bfloat16(), graph, torch.rand(graph.num_edges, 5))
    assert low.dtype == torch.bfloat16
