"""First and second derivatives by finite differences, and what backward keeps in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from graphkit import Graph, ops
from tests.ops.cases import GATHER, OPERATORS, SOME, Operator, inputs, square_graph


def _smooth(operator: Operator) -> bool:
    return "semi" not in operator.name  # a semi-gradient is not the derivative of anything


def _run_and_inputs(operator: Operator) -> tuple[Callable[..., torch.Tensor], list[torch.Tensor]]:
    graph = square_graph()
    leaves = inputs(operator, graph, features=(2,))

    def run(*values: torch.Tensor) -> torch.Tensor:
        rest = iter(values)
        x, edge, parameter = (None if leaf is None else next(rest) for leaf in leaves)
        return operator.run(x, graph, edge, parameter)

    return run, [leaf for leaf in leaves if leaf is not None]


@pytest.mark.parametrize("operator", [o for o in OPERATORS if _smooth(o)], ids=lambda o: o.name)
def test_gradcheck(operator: Operator) -> None:
    run, leaves = _run_and_inputs(operator)
    with ops.backend("native"):
        assert gradcheck(run, leaves)


@pytest.mark.parametrize("operator", SOME, ids=lambda o: o.name)
@pytest.mark.parametrize("backend", ["reference", "torch", "native"])
def test_second_derivatives(operator: Operator, backend: str) -> None:
    run, leaves = _run_and_inputs(operator)
    with ops.backend(backend):
        assert gradcheck(run, leaves, fast_mode=True)
        assert gradgradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("edge", [None, "attr"])
def test_semi_gradient_is_the_weight(edge: str | None) -> None:
    """With constant weights the gradient of y to m_j is w_j, so channels sum to one per target."""
    graph = square_graph()
    x = torch.rand(8, 3, dtype=torch.float64).requires_grad_()
    e = torch.rand(graph.num_edges, 3, dtype=torch.float64).requires_grad_() if edge else None
    out = ops.softmax_aggregate(x, graph, e, t=2.0, semi_grad=True)
    leaf = x if e is None else e
    (gradient,) = torch.autograd.grad(out.sum(), leaf)
    targets_with_edges = (graph.in_degree > 0).sum().double()
    torch.testing.assert_close(gradient.sum(0), targets_with_edges.expand(3))


def test_semi_gradient_gives_no_gradient_to_t() -> None:
    graph = square_graph()
    t = torch.tensor(1.0, requires_grad=True)
    x = torch.rand(8, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.softmax_aggregate(x, graph, t=t, semi_grad=True).sum(), t, allow_unused=True)
    assert gradient is None


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_backward_saves_nothing_of_edge_size(operator: Operator, backend: str) -> None:
    """Besides the inputs and the shared index arrays, only tensors of node size are kept."""
    generator = torch.Generator().manual_seed(0)
    graph = Graph.from_edge_index(torch.randint(0, 20, (2, 1000), generator=generator), 20)
    _ = graph.csc, graph.csr
    x, edge, parameter = inputs(operator, graph, features=(8,))
    shared = {t.data_ptr() for t in (*graph.csc, *graph.csr, x)} | ({edge.data_ptr()} if edge is not None else set())
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in shared:
            saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with ops.backend(backend), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = operator.run(x, graph, edge, parameter)
    assert out.requires_grad
    assert sum(saved.values()) <= 3 * 20 * 8, saved


@pytest.mark.parametrize("value", [2.0, 0.0])  # torch's own scatter_reduce counts its initial 0 as a tie
def test_even_split_of_tied_extrema(value: float) -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [3, 3, 3]]), 4)
    for backend in ("reference", "torch", "native"):
        x = torch.tensor([[value], [value], [value - 1], [0.0]], requires_grad=True)
        with ops.backend(backend):
            (gradient,) = torch.autograd.grad(ops.gather_reduce(x, graph, reduce="max").sum(), x)
        assert gradient.flatten().tolist() == [0.5, 0.5, 0.0, 0.0]


def test_no_gradient_asked_no_csr_built() -> None:
    graph = square_graph()
    with torch.no_grad():
        GATHER[0].run(torch.rand(8, 2, requires_grad=True), graph, None, None)
    assert graph._csr is None
