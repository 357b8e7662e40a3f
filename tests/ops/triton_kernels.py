"""The Triton kernels against the reference. :mod:`tests.ops.test_triton` runs this file in a process of its own.

On a CUDA machine they are compiled; elsewhere Triton interprets them on the CPU, which must be decided before Triton
is imported. By hand: ``TRITON_INTERPRET=1 python -m pytest tests/ops/triton_kernels.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit import Graph, ops
from graphkit.ops import kernels
from graphkit.ops import triton as triton_backend
from tests.ops.cases import GATHER, POWERMEAN, SOFTMAX, TOLERANCE, Operator, assert_near, inputs

DEVICE = "cpu" if triton_backend.interpreted() else "cuda"
# Extremes of every kind, the regimes of p, and each form of message and edge data.
OPERATORS = [*GATHER, *SOFTMAX[1:8:3], *SOFTMAX[-3:], *POWERMEAN[:18:3], *POWERMEAN[18:]]
SOME = [GATHER[5], GATHER[-2], SOFTMAX[7], POWERMEAN[14]]
named = pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
some = pytest.mark.parametrize("operator", SOME, ids=lambda o: o.name)


@pytest.fixture(autouse=True)
def _quiet_numpy() -> Iterator[None]:
    """The interpreter's numpy warns of infinities that the kernels then select away; a GPU does not."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every row of more than 4 edges a hub."""
    from graphkit.ops.triton import common

    monkeypatch.setattr(common, "PIECE", 4)


def hubs() -> Graph:
    """8 sources, 7 targets, 40 edges: a hub on both sides, repeated edges, isolated nodes on both sides."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(0, 7, (40,), generator=generator)
    target = torch.randint(0, 6, (40,), generator=generator)
    target[:14] = 3
    source[10:24] = 2
    return Graph.from_edge_index(torch.stack([source, target]), (8, 7)).to(DEVICE)


def leaves(operator: Operator, graph: Graph, features: int, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
    """Inputs; for extrema on coarse grids, where ties abound and are the same ones in every dtype."""
    values = inputs(operator, graph, (features,), torch.float64)
    if operator in GATHER:
        x, edge, _ = (v if v is None else v.detach().clamp(-2, 2) for v in values)
        x = ((x * 4).floor() + 0.5) / 4  # without 0, for which torch's scatter_reduce counts one tie too many
        edge = edge if edge is None else (edge * 2).ceil().clamp(min=1) / 2
        values = x, edge, None
    cast = (v if v is None else v.detach().to(DEVICE, dtype) for v in values[:2])
    parameter = values[2]
    accumulator = torch.float64 if dtype == torch.float64 else torch.float32
    return *cast, parameter if parameter is None else parameter.detach().to(DEVICE, accumulator)


def value_and_gradients(
    operator: Operator, graph: Graph, values: tuple[Tensor | None, ...], backend: str
) -> list[Tensor]:
    x, edge, parameter = (v if v is None else v.clone().requires_grad_() for v in values)
    with ops.backend(backend):
        out = operator.run(x, graph, edge, parameter)
        weights = torch.linspace(-1, 1, out.numel(), device=out.device).reshape(out.shape)
        given = [v for v in (x, edge, parameter) if v is not None]
        gradients = torch.autograd.grad(
            (out * weights.to(out.dtype)).sum(), given, materialize_grads=True, allow_unused=True
        )
    return [out, *gradients]


def assert_equals_reference(operator: Operator, graph: Graph, features: int, dtype: torch.dtype) -> None:
    values = leaves(operator, graph, features, dtype)
    exact = tuple(v if v is None else v.double() for v in values)
    got = value_and_gradients(operator, graph, values, "triton")
    assert [g.dtype for g in got] == [dtype, *(v.dtype for v in values if v is not None)]
    assert_near(got, value_and_gradients(operator, graph, exact, "reference"), TOLERANCE[dtype])


@named
@pytest.mark.usefixtures("short_pieces")
def test_equals_reference(operator: Operator) -> None:
    assert_equals_reference(operator, hubs(), 5, torch.float64)


@some
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtypes(operator: Operator, dtype: torch.dtype) -> None:
    assert_equals_reference(operator, hubs(), 100, dtype)


@pytest.mark.slow
@named
@pytest.mark.parametrize(
    ("features", "dtype"), [(1, torch.float32), (64, torch.float32), (100, torch.bfloat16)], ids=str
)
def test_widths_and_dtypes(operator: Operator, features: int, dtype: torch.dtype) -> None:
    assert_equals_reference(operator, hubs(), features, dtype)


@pytest.mark.parametrize("operator", [GATHER[4], SOFTMAX[7], POWERMEAN[13]], ids=lambda o: o.name)
@pytest.mark.usefixtures("short_pieces")
def test_channels_of_several_programs(operator: Operator) -> None:
    """Over 128 channels; the gradient of an edge weight sums over all of them."""
    assert_equals_reference(operator, hubs(), 150, torch.float64)


@some
@pytest.mark.parametrize(("size", "features"), [((0, 0), 3), ((3, 4), 3), ((0, 2), 1), ((2, 0), 1), ((2, 2), 0)])
def test_without_edges(operator: Operator, size: tuple[int, int], features: int) -> None:
    graph = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), size).to(DEVICE)
    values = leaves(operator, graph, features, torch.float32)
    out, *gradients = value_and_gradients(operator, graph, values, "triton")
    assert torch.equal(out, torch.zeros(size[1], features, device=DEVICE))
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


@pytest.mark.usefixtures("short_pieces")
def test_64_bit_indices() -> None:
    graph = hubs()
    x, edge, t = leaves(SOFTMAX[7], graph, 3, torch.float64)
    results = []
    for index_dtype in (torch.int32, torch.int64):
        csc, csr = ([a.to(index_dtype) for a in form] for form in (graph.csc, graph.csr))
        vector = t.expand(3).contiguous()
        out, lse = kernels.softmax_aggregate(x, *csc, edge, vector, "add_relu", 1e-7, "triton")
        grads = kernels.softmax_aggregate_backward(
            torch.ones_like(out), x, *csr, edge, vector, out, lse, "add_relu", 1e-7, False, True, "triton"
        )
        results.append([out, lse, *grads])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@some
@pytest.mark.usefixtures("short_pieces")
def test_two_runs_are_bit_equal(operator: Operator) -> None:
    graph = hubs()
    values = leaves(operator, graph, 5, torch.float32)
    first, second = (value_and_gradients(operator, graph, values, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@some
@pytest.mark.usefixtures("short_pieces")
def test_rows_do_not_depend_on_other_rows(operator: Operator) -> None:
    """The same rows behind 3 edges of another graph: hubs are cut at other slots, and round alike."""
    graph = hubs()
    x, edge, parameter = leaves(operator, graph, 5, torch.float32)
    before = torch.zeros(2, 3, dtype=torch.long, device=DEVICE)
    shifted = Graph.from_edge_index(torch.cat([before, graph.edge_index + 1], 1), (9, 8))
    with ops.backend("triton"):
        alone = operator.run(x, graph, edge, parameter)
        x = torch.cat([x[:1], x])
        edge = edge if edge is None else torch.cat([edge[:3], edge])
        behind = operator.run(x, shifted, edge, parameter)[1:]
    assert torch.equal(alone, behind)


def test_large_logits_are_finite_and_right() -> None:
    """|t m| up to 1e4, where a shift common to all rows would underflow."""
    graph = hubs()
    x = torch.linspace(0, 1e4, 8, device=DEVICE)[:, None]
    for t in (1.0, -1.0):
        with ops.backend("triton"):
            got = ops.softmax_aggregate(x, graph, t=t)
        with ops.backend("reference"):
            expected = ops.softmax_aggregate(x.double(), graph, t=t)
        torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("short_pieces")
def test_power_mean_in_float32_is_accurate_at_every_power() -> None:
    """One power per channel, all regimes in one program: value and derivative by p to 1e-5 of float64's."""
    p = torch.tensor([0.0, 1e-7, 1e-5, 1e-4, -1e-3, 1e-2, 0.1, -0.45, 0.499, 0.5, 1.0, -2.0, 7.0, 60.0, -60.0])
    graph = hubs()
    x = torch.rand(8, p.numel(), device=DEVICE) * torch.tensor([1e-3, 1.0, 1.0, 1e3], device=DEVICE).repeat(2)[:, None]
    results = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        power = p.to(DEVICE, dtype).requires_grad_()
        with ops.backend(backend):
            out = ops.powermean_aggregate(x.to(dtype), graph, p=power)
            # d log out / d p: the sum over targets of positive terms.
            gradient = torch.autograd.grad((out + (graph.in_degree == 0)[:, None]).log().sum(), power)[0]
        results.append([out.detach().double(), gradient.double()])
    (out, gradient), (exact_out, exact_gradient) = results
    torch.testing.assert_close(out, exact_out, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, exact_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reduce", ["min", "max"])
def test_ties_at_zero_share_evenly(reduce: str) -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [0, 0, 0, 0]]), (3, 1)).to(DEVICE)
    x = torch.tensor([0.0, 0.0, 1.0 if reduce == "min" else -1.0], device=DEVICE, requires_grad=True)
    with ops.backend("triton"):
        (gradient,) = torch.autograd.grad(ops.gather_reduce(x, graph, reduce=reduce).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([1 / 3, 2 / 3, 0.0], device=DEVICE))


@pytest.mark.parametrize("reduce", ["min", "max"])
@pytest.mark.usefixtures("short_pieces")
def test_nan_reaches_its_targets_and_no_others(reduce: str) -> None:
    graph = hubs()
    x = torch.rand(8, 2, device=DEVICE)
    x[2, 1] = float("nan")
    with ops.backend("triton"):
        got = ops.gather_reduce(x, graph, reduce=reduce)
    with ops.backend("reference"):
        expected = ops.gather_reduce(x, graph, reduce=reduce)
    assert expected.isnan().any()
    torch.testing.assert_close(got, expected, equal_nan=True, rtol=0, atol=0)


def test_second_derivatives_go_through_the_reference() -> None:
    graph = hubs()
    x = torch.rand(8, 2, dtype=torch.float64, device=DEVICE, requires_grad=True)
    second = []
    for backend in ("triton", "reference"):
        with ops.backend(backend):
            (first,) = torch.autograd.grad(ops.softmax_aggregate(x, graph).sin().sum(), x, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*second)
