"""Every operator on every backend and dtype against the reference, and its limits and edge cases."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph, ops
from tests.ops.cases import (
    GATHER,
    OPERATORS,
    POWERMEAN,
    SOFTMAX,
    SOME,
    TOLERANCE,
    Operator,
    assert_near,
    inputs,
    multigraph,
    square_graph,
    value_and_gradients,
)

BACKENDS = ("torch", "native")
ids = pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
on_backends = pytest.mark.parametrize("backend", BACKENDS)


@ids
@on_backends
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_equals_reference(operator: Operator, backend: str, dtype: torch.dtype) -> None:
    graph = multigraph()
    exact = tuple(None if v is None else v.detach().to(dtype).double() for v in inputs(operator, graph, dtype=dtype))
    exact = tuple(None if v is None else v.requires_grad_() for v in exact)
    with ops.backend("reference"):
        expected = value_and_gradients(operator, graph, exact)
    with ops.backend(backend):
        got = value_and_gradients(operator, graph, inputs(operator, graph, dtype=dtype))
    assert got[0].dtype == dtype
    # dlog(out)/dp of a float32 power mean loses digits as 1/p^2 where the log-sum-exp form ends, at |p| = 0.3 .. 0.5.
    assert_near(got, expected, TOLERANCE[dtype] * (10 if operator in POWERMEAN else 1))


@pytest.mark.parametrize("operator", SOME, ids=lambda o: o.name)
@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_accumulates_in_float32(operator: Operator, backend: str, dtype: torch.dtype) -> None:
    graph = multigraph()
    half = inputs(operator, graph, dtype=dtype)
    exact = tuple(None if v is None else v.detach().double().requires_grad_() for v in half)
    with ops.backend("reference"):
        expected = value_and_gradients(operator, graph, exact)
    with ops.backend(backend):
        got = value_and_gradients(operator, graph, half)
    assert got[0].dtype == dtype
    assert_near(got, expected, TOLERANCE[dtype])


@ids
@on_backends
def test_feature_shapes(operator: Operator, backend: str) -> None:
    """0-d and 3-d features, no features, and a transposed (non-contiguous) layout give the flat result."""
    graph = multigraph()
    x, edge, parameter = inputs(operator, graph, features=(6,))
    with ops.backend(backend):
        flat = operator.run(x, graph, edge, parameter)
        cube_edge = edge if edge is None or edge.dim() == 1 else edge.reshape(-1, 2, 3)
        assert torch.equal(operator.run(x.reshape(-1, 2, 3), graph, cube_edge, parameter), flat.reshape(-1, 2, 3))
        strided = x.detach().t().contiguous().t()
        assert torch.equal(operator.run(strided, graph, edge, parameter), flat)
        column_edge = edge if edge is None or edge.dim() == 1 else edge[:, 0]
        assert_near([operator.run(x[:, 0], graph, column_edge, parameter)], [flat[:, 0]], 1e-12)
        none_edge = edge if edge is None or edge.dim() == 1 else edge[:, :0]
        assert operator.run(x[:, :0], graph, none_edge, parameter).shape == (graph.num_dst, 0)


@ids
@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("size", [(0, 0), (3, 4), (0, 2), (2, 0)])
def test_without_edges(operator: Operator, backend: str, size: tuple[int, int]) -> None:
    graph = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), size)
    with ops.backend(backend):
        out, *gradients = value_and_gradients(operator, graph, inputs(operator, graph))
    assert torch.equal(out, torch.zeros(size[1], 7, dtype=torch.float64))
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


@ids
@on_backends
def test_edge_order_does_not_matter(operator: Operator, backend: str) -> None:
    """On a simple graph a permutation of the edges gives bit-equal outputs; gradients follow the edges."""
    pairs = torch.cartesian_prod(torch.arange(9), torch.arange(8))
    keep = torch.randperm(72, generator=torch.Generator().manual_seed(0))
    edges = pairs[keep[:40]].t()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    graph, permuted = Graph.from_edge_index(edges, (9, 8)), Graph.from_edge_index(edges[:, order], (9, 8))
    x, edge, parameter = inputs(operator, graph)
    moved = None if edge is None else edge.detach()[order].requires_grad_()
    with ops.backend(backend):
        got = value_and_gradients(operator, permuted, (x, moved, parameter))
        expected = value_and_gradients(operator, graph, (x, edge, parameter))
    if edge is not None:
        expected[2] = expected[2][order]
    if backend == "native":
        assert all(torch.equal(a, b) for a, b in zip(got[:3], expected[:3], strict=True))
    assert_near(got, expected, 1e-12)


@ids
@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_other_rows_do_not_matter(operator: Operator, backend: str) -> None:
    """A disjoint component with huge features and a hub changes no bit of the first component's rows."""
    graph = square_graph()
    x, edge, parameter = inputs(operator, graph)
    far = torch.randint(8, 12, (2, 300), generator=torch.Generator().manual_seed(5))
    union = Graph.from_edge_index(torch.cat([graph.edge_index, far], dim=1), 12)
    far_edge = None if edge is None else torch.cat([edge, torch.ones(300, *edge.shape[1:], dtype=edge.dtype)])
    with ops.backend(backend):
        alone = operator.run(x, graph, edge, parameter)
        beside = operator.run(torch.cat([x, torch.full((4, 7), 30.0)]), union, far_edge, parameter)[:8]
    assert_near([beside], [alone], 1e-12)


@ids
@pytest.mark.parametrize("num_threads", [1, 2])
def test_deterministic_for_any_number_of_threads(operator: Operator, num_threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, 300, (2, 30_000), generator=generator)
    edges[1, :20_000] = 7  # a hub wider than one task of the kernels
    graph = Graph.from_edge_index(edges, 300)
    leaves = inputs(operator, graph, features=(16,), dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = value_and_gradients(operator, graph, leaves)
        torch.set_num_threads(num_threads)
        got = value_and_gradients(operator, graph, leaves)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("edge", [None, "attr"])
def test_softmax_limits(backend: str, edge: str | None) -> None:
    """t = 0 is the mean; large |t| the maximum and minimum; |t m| up to 1e4 stays finite in float32."""
    graph = multigraph()
    operator = Operator("softmax", lambda *_: torch.empty(0), edge)
    x, e, _ = inputs(operator, graph, dtype=torch.float32)
    x = x.detach() * 100
    arguments = {"message": "add_relu", "eps": 1e-7, "edge_attr": e}
    with ops.backend(backend):
        for t, reduce, tolerance in ((0.0, "mean", 1e-3), (100.0, "max", 1e-2), (-100.0, "min", 1e-2)):
            out = ops.softmax_aggregate(x, graph, e, t=t)
            expected = ops.gather_reduce(x, graph, reduce=reduce, **arguments)
            assert out.isfinite().all()
            assert_near([out], [expected], tolerance)
        exact = ops.softmax_aggregate(x.double(), graph, None if e is None else e.double(), t=100.0)
        assert_near([ops.softmax_aggregate(x, graph, e, t=100.0)], [exact], 1e-5)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_rows_far_below_the_shift_keep_their_digits(backend: str) -> None:
    """One huge node elsewhere must not underflow the other rows (PyG issue 2013), values and gradients."""
    graph = square_graph()
    x = torch.rand(9, 3)
    union = Graph.from_edge_index(torch.cat([graph.edge_index, torch.tensor([[8], [8]])], dim=1), 9)
    x[8] = 1e4
    weights = torch.linspace(-1, 1, 24).reshape(8, 3)
    results = []
    for features, topology in ((x[:8], graph), (x, union)):
        leaf = features.clone().requires_grad_()
        t = torch.tensor(3.0, requires_grad=True)
        with ops.backend(backend):
            out = ops.softmax_aggregate(leaf, topology, t=t)[:8]
        gx, gt = torch.autograd.grad((out * weights).sum(), (leaf, t))
        results.append([out, gx[:8], gt])
    assert_near(results[1], results[0], 1e-6)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("edge", [None, "attr"])
def test_powermean_limits(backend: str, edge: str | None) -> None:
    """Means of known numbers for every kind of p, where PyG clamps, divides by zero or gives NaN."""
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [2, 2]]), 3)
    x = torch.tensor([[0.5, 90.0], [3.0, 50.0], [1.0, 1.0]], dtype=torch.float64)
    e = torch.zeros(2, 2, dtype=torch.float64) if edge else None
    expected = {
        -1e4: [0.5, 50.0],
        -1.0: [2 / (1 / 0.5 + 1 / 3), 2 / (1 / 90 + 1 / 50)],
        0.0: [(0.5 * 3) ** 0.5, (90 * 50) ** 0.5],
        1e-9: [(0.5 * 3) ** 0.5, (90 * 50) ** 0.5],
        1.0: [1.75, 70.0],
        2.0: [((0.25 + 9) / 2) ** 0.5, ((8100 + 2500) / 2) ** 0.5],
        20.0: [((0.5**20 + 3.0**20) / 2) ** 0.05, 90 * ((1 + (5 / 9) ** 20) / 2) ** 0.05],
        1e4: [3.0, 90.0],
    }
    with ops.backend(backend):
        for p, numbers in expected.items():
            power = torch.tensor(p, dtype=torch.float64, requires_grad=True)
            leaf = x.clone().requires_grad_()
            out = ops.powermean_aggregate(leaf, graph, e, p=power, eps=1e-12)
            torch.testing.assert_close(
                out[2],
                torch.tensor(numbers, dtype=torch.float64),
                rtol=2e-4 if abs(p) > 1e3 else 1e-9,
                atol=0,
            )
            assert torch.equal(out[:2], torch.zeros(2, 2, dtype=torch.float64))
            gx, gp = torch.autograd.grad(out.sum(), (leaf, power))
            assert gx.isfinite().all()
            assert gp.isfinite()
            assert gp >= 0  # power means increase with p


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("operator", [*SOFTMAX[:4], *POWERMEAN[:4], *GATHER[:4]], ids=lambda o: o.name)
def test_nan_stays_in_its_rows(backend: str, operator: Operator) -> None:
    graph = square_graph()
    x, edge, parameter = inputs(operator, graph)
    source, target = graph.edge_index
    with ops.backend(backend):
        clean = operator.run(x, graph, edge, parameter)
        poisoned = x.detach().clone()
        poisoned[1, 2] = float("nan")
        out = operator.run(poisoned, graph, edge, parameter)
    touched = torch.zeros_like(out, dtype=torch.bool)
    touched[target[source == 1], 2] = True
    assert out[touched].isnan().all()
    assert_near([out[~touched]], [clean[~touched]], 1e-12)
