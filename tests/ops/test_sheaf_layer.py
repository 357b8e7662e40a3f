"""The steps of a sheaf layer: kernels as their plain forms, value, first and second derivative."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphkit import Graph, native, ops
from graphkit.ops import sheaf_layer as layer
from graphkit.ops import sheaf_stalks as stalks

pytestmark = pytest.mark.skipif(not native.available(), reason=f"native kernels: {native.why_not()}")

N = 43


@pytest.fixture(scope="module")
def graph() -> Graph:
    """A hub, copies of edges, self loops and isolated nodes."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, 40, (2, 150), generator=generator)
    hub = torch.stack([torch.zeros(30, dtype=torch.long), torch.arange(30)])
    edges = torch.cat([edges, hub, edges[:, :5]], 1)
    return Graph.from_edge_index(torch.cat([edges, edges.flip(0)], 1), N)


def draw(*shape: int) -> Tensor:
    return (1.5 * torch.randn(*shape, dtype=torch.float64)).requires_grad_()


def agree(run: Callable[..., Tensor], inputs: list[Tensor], dtype: torch.dtype = torch.float64) -> None:
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 3e-2}[dtype]
    given = [t.detach().to(dtype).requires_grad_() for t in inputs]
    out = run(*given)
    cotangent = torch.randn(out.shape, dtype=torch.float64)
    grads = torch.autograd.grad(out, given, cotangent.to(dtype))
    assert out.dtype == dtype
    assert all(g.dtype == dtype for g in grads)
    with ops.backend("reference"):
        exact = [t.detach().to(dtype).double().requires_grad_() for t in inputs]
        expected = run(*exact)
        wanted = torch.autograd.grad(expected, exact, cotangent.to(dtype).double())
    for got, want in zip((out, *grads), (expected, *wanted), strict=True):
        assert (got.double() - want).abs().max() <= tolerance * (1 + want.abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("act", list(layer.ACTS))
@pytest.mark.parametrize("width", [1, 3, 7, 9, 25])
def test_ends(graph: Graph, width: int, act: str, dtype: torch.dtype) -> None:
    agree(lambda x: layer.sheaf_ends(x, graph, act), [draw(N, 2 * width)], dtype)


def test_more_parameters_than_a_task_holds(graph: Graph) -> None:
    few = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    agree(lambda x: layer.sheaf_ends(x, few, "tanh"), [draw(3, 2 * 5000)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("stalk", [1, 3, 7])
def test_scaled_maps(graph: Graph, stalk: int, dtype: torch.dtype) -> None:
    agree(lambda maps: layer.sheaf_scaled_maps(maps, graph), [draw(graph.num_edges, stalk)], dtype)


def test_scaled_maps_are_those_of_the_normalised_laplacian(graph: Graph) -> None:
    maps, x = draw(graph.num_edges, 3), draw(N, 3, 2)
    got = ops.sheaf_laplacian(x, graph, layer.sheaf_scaled_maps(maps, graph))
    torch.testing.assert_close(got, ops.sheaf_laplacian(x, graph, maps, normalized=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("stalk", [2, 3, 4, 5, 6])
def test_householder(stalk: int, dtype: torch.dtype) -> None:
    agree(lambda theta: layer.householder(theta, stalk), [draw(77, stalk * (stalk - 1) // 2)], dtype)


def test_householder_of_any_size_and_shape() -> None:
    for size in (1e-30, 1e30, 1e300):  # whose squares are out of range
        q = layer.householder(size * torch.randn(9, 4, 3, dtype=torch.float64), 3)
        assert q.shape == (9, 4, 3, 3)
        torch.testing.assert_close(q @ q.mT, torch.eye(3).double().expand_as(q), rtol=0, atol=1e-13)
    assert layer.householder(torch.zeros(0, 3), 3).shape == (0, 3, 3)
    assert layer.householder(torch.full((1, 3), float("nan")), 3).isnan().any()


def test_nothing_to_do() -> None:
    empty = Graph.from_edge_index(torch.zeros(2, 0, dtype=torch.long), 2)
    assert layer.sheaf_ends(torch.ones(2, 6), empty, "tanh").shape == (0, 3)
    assert layer.sheaf_scaled_maps(torch.ones(0, 3), empty).shape == (0, 3)


def test_second_derivatives() -> None:
    few = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    assert torch.autograd.gradgradcheck(lambda x: layer.sheaf_ends(x, few, "tanh"), (draw(3, 4),))
    assert torch.autograd.gradgradcheck(lambda maps: layer.sheaf_scaled_maps(maps, few), (draw(4, 2),))
    assert torch.autograd.gradgradcheck(lambda theta: layer.householder(theta, 3), (draw(2, 3),))


def test_threads_change_no_bit() -> None:
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(0, 2000, (2, 20_000), generator=generator)
    many = Graph.from_edge_index(torch.cat([edges, edges.flip(0)], 1), 2000)
    x, maps = torch.randn(2000, 6), torch.randn(many.num_edges, 3)
    rows, flow, factor = torch.randn(2000, 3, 20), torch.randn(2000, 3, 20), torch.randn(3)
    left, right = torch.randn(3, 3), torch.randn(20, 20)

    def results() -> list[Tensor]:
        out: list[Tensor] = []
        for run, inputs in (
            (lambda x: layer.sheaf_ends(x, many, "tanh"), [x]),
            (lambda maps: layer.sheaf_scaled_maps(maps, many), [maps]),
            (lambda theta: layer.householder(theta, 3), [maps]),
            (stalks.sheaf_update, [rows, flow, factor]),
            (stalks.sheaf_mix, [rows, left, right]),
            (lambda x, maps: ops.sheaf_laplacian(x, many, maps), [rows, maps]),
        ):
            leaves = [t.clone().requires_grad_() for t in inputs]
            value = run(*leaves)
            out += [value, *torch.autograd.grad(value, leaves, value.detach())]
        return out

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = results()
        torch.set_num_threads(3)
        three = results()
    finally:
        torch.set_num_threads(before)
    for a, b in zip(one, three, strict=True):
        assert torch.equal(a, b)


def test_an_edge_without_its_reverse(graph: Graph) -> None:
    one_way = Graph.from_edge_index(torch.tensor([[0], [1]]), 2)
    with pytest.raises(ValueError, match="every edge of a sheaf needs its reverse"):
        layer.sheaf_ends(torch.ones(2, 2), one_way)
    with pytest.raises(ValueError, match="every edge of a sheaf needs its reverse"):
        layer.sheaf_scaled_maps(torch.ones(1, 2), one_way)


def test_errors(graph: Graph) -> None:
    with pytest.raises(ValueError, match=r"'act' must be one of 'id', 'tanh', 'sigmoid', 'elu' \(got 'cos'\)"):
        layer.sheaf_ends(torch.ones(N, 2), graph, "cos")
    for shape in ((N, 3), (N - 1, 2), (N,)):
        with pytest.raises(ValueError, match=r"'x' must have shape \[N, 2 P\] with the graph's N = 43 nodes"):
            layer.sheaf_ends(torch.ones(shape), graph)
