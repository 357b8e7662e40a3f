"""The native kernels against plain float64 torch on explicit lists of edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import native
from tests.native.cases import (
    Case,
    assert_near,
    double,
    edges_of,
    naive_message,
    naive_power_mean,
    naive_softmax,
    per_row,
    slope_of,
)

pytestmark = pytest.mark.skipif(not native.available(), reason=f"native kernels: {native.why_not()}")

# Storage and index types are independent of each other: not every pair is tried.
TYPES = [(torch.float32, torch.int32), (torch.float32, torch.int64), (torch.float64, torch.int32)]
TYPES += [(torch.bfloat16, torch.int64), (torch.float16, torch.int32)]
TYPE_NAMES = [f"{dtype}-{index}".replace("torch.", "") for dtype, index in TYPES]
WIDTHS = {torch.float32: (1, 3, 8, 16, 17, 64, 100), torch.float64: (1, 8, 17, 64)}
POWERS = (0.0, 1e-8, 1e-4, 0.3, 1.0, 2.5, -1.0, 20.0, -20.0, 1e4)


MESSAGES = [("copy", "none"), ("mul", "scalar"), ("mul", "channels")]
MESSAGES += [("add_relu", "none"), ("add_relu", "scalar"), ("add_relu", "channels")]
SOFT = [entry for entry in MESSAGES if entry[0] != "mul"]


@pytest.mark.parametrize(("dtype", "index_dtype"), TYPES, ids=TYPE_NAMES)
@pytest.mark.parametrize(("message", "kind"), MESSAGES)
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max"])
def test_gather_reduce(reduce: str, message: str, kind: str, index_dtype: torch.dtype, dtype: torch.dtype) -> None:
    case = Case()
    csc, csr = case.forms(index_dtype)
    for channels in WIDTHS.get(dtype, (3, 17, 100)):
        x = case.normal(case.num_src, channels, dtype=dtype)
        edge = edges_of(case, kind, channels, dtype)
        if reduce in ("min", "max"):  # ties, exactly representable
            x = (x * 2).round() / 2
            edge = None if edge is None else (edge * 2).round() / 2
        eps = 0.125
        out, ties = native.gather_reduce(x, *csc, edge, message, reduce, eps)
        xd, ed = double(x), double(edge)
        m = naive_message(case, xd, ed, message, eps)
        how = {"sum": Tensor.sum, "mean": Tensor.mean, "min": Tensor.amin, "max": Tensor.amax}[reduce]
        expected = per_row(case, m, lambda row, how=how: how(row, 0))
        assert_near(out, expected, dtype)
        if ties is not None:
            attained = (m == expected[case.dst]).to(torch.int32)
            count = torch.zeros(case.num_dst, channels, dtype=torch.int32).index_add_(0, case.dst, attained)
            assert torch.equal(ties, count)
        grad = case.normal(case.num_dst, channels, dtype=dtype)
        expected.backward(grad.double())
        scaled = grad
        if reduce == "mean":
            scaled = (grad.double() / (csc[0].diff().clamp(min=1))[:, None]).to(dtype)
        gx, gedge = native.gather_reduce_backward(
            scaled, x, *csr, edge, out, ties, message, reduce, eps, need_edge=edge is not None
        )
        assert_near(gx, xd.grad, dtype)
        if edge is not None:
            assert_near(gedge, ed.grad, dtype)


@pytest.mark.parametrize("path", [1, 2], ids=["edge", "node"])
@pytest.mark.parametrize(("dtype", "index_dtype"), TYPES, ids=TYPE_NAMES)
@pytest.mark.parametrize(("message", "kind"), SOFT)
def test_softmax(message: str, kind: str, index_dtype: torch.dtype, dtype: torch.dtype, path: int) -> None:
    case = Case()
    csc, csr = case.forms(index_dtype)
    for channels in WIDTHS.get(dtype, (3, 17, 100)):
        x = case.normal(case.num_src, channels, dtype=dtype)
        edge = edges_of(case, kind, channels, dtype)
        accumulator = torch.float64 if dtype == torch.float64 else torch.float32
        t = (torch.linspace(-2, 3, channels) if channels > 1 else torch.tensor([1.5])).to(accumulator)
        eps = 1e-3
        out, lse = native.softmax_aggregate(x, *csc, edge, t, message, eps, path=path)
        xd, ed, td = double(x), double(edge), double(t)
        m = naive_message(case, xd, ed, message, eps)
        degree = csc[0].diff()
        expected = torch.stack(
            [naive_softmax(m[case.dst == i], td) if degree[i] else m.new_zeros(channels) for i in range(case.num_dst)]
        )
        assert_near(out, expected, dtype)
        assert (lse[degree == 0] == -torch.inf).all()
        for i in range(case.num_dst):
            if degree[i]:
                assert_near(lse[i], (td * m[case.dst == i]).logsumexp(0).detach(), accumulator)
        # The kernel sees out and lse rounded to their types; so does the formula.
        g = case.normal(case.num_dst, channels, dtype=dtype)
        expected.backward(g.double())
        for semi in (False, True):
            gx, gedge, gt = native.softmax_aggregate_backward(
                g, x, *csr, edge, t, out, lse, message, eps, semi, edge is not None, path=path
            )
            if semi:
                xs, es = double(x), double(edge)
                ms = naive_message(case, xs, es, message, eps)
                w = (td * ms - lse.double()[case.dst]).exp().detach()
                (w * ms * g.double()[case.dst]).sum().backward()
                assert_near(gx, xs.grad, dtype)
                if edge is not None:
                    assert_near(gedge, es.grad, dtype)
            else:
                factor = 4.0 if dtype in (torch.bfloat16, torch.float16) else 1.0
                assert_near(gx, xd.grad, dtype, factor)
                assert_near(gt, td.grad, dtype, 4 * factor)
                if edge is not None:
                    assert_near(gedge, ed.grad, dtype, factor)


@pytest.mark.parametrize("path", [1, 2], ids=["edge", "node"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("message", "kind"), SOFT)
def test_powermean(message: str, kind: str, dtype: torch.dtype, path: int) -> None:
    case = Case()
    csc, csr = case.forms(torch.int32)
    degree = csc[0].diff()
    for channels in (1, 3, 8, 17, 100):
        x = case.normal(case.num_src, channels, dtype=dtype).abs() + 0.05
        edge = edges_of(case, kind, channels, dtype)
        for shift in range(0, len(POWERS), 3 if channels < 10 else 10):
            p = torch.tensor([POWERS[(c + shift) % len(POWERS)] for c in range(channels)], dtype=dtype)
            eps = 1e-2
            out, slope = native.powermean_aggregate(x, *csc, edge, p, message, eps, path=path)
            xd, ed = double(x), double(edge)
            m = naive_message(case, xd, ed, message, eps)
            m = m.clamp(min=eps) if message == "copy" else m
            expected = torch.stack(
                [
                    naive_power_mean(m[case.dst == i], p.double()) if degree[i] else m.new_zeros(channels)
                    for i in range(case.num_dst)
                ]
            )
            assert_near(out, expected, dtype)
            for i in (case.num_dst // 2, 3):
                assert_near(slope[i], slope_of(m[case.dst == i].detach(), p.double()), dtype, 20.0)
            assert (out[degree == 0] == 0).all()
            assert (slope[degree == 0] == 0).all()
            g = case.normal(case.num_dst, channels, dtype=dtype)
            expected.backward(g.double())
            scaled = g / degree.clamp(min=1).to(dtype)[:, None]
            gx, gedge = native.powermean_aggregate_backward(
                scaled, x, *csr, edge, p, out, message, eps, edge is not None, path=path
            )
            # exp((p - 1) log(m / out)) magnifies the rounding of out by p.
            steep = p.abs() > 100
            assert_near(gx[:, ~steep], xd.grad[:, ~steep], dtype, 20.0)
            assert_near(gx[:, steep], xd.grad[:, steep], dtype, 1e3 if dtype == torch.float32 else 1e5)
            if edge is not None and edge.dim() == 2:
                assert_near(gedge[:, ~steep], ed.grad[:, ~steep], dtype, 20.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_powermean_of_16_bit_storage(dtype: torch.dtype) -> None:
    case = Case()
    csc, csr = case.forms(torch.int32)
    x = case.normal(case.num_src, 20, dtype=dtype).abs() + 0.25
    p = torch.linspace(-2, 3, 20)
    for edge in (None, case.normal(case.num_edges, 20, dtype=dtype)):
        out, _ = native.powermean_aggregate(x, *csc, edge, p, "add_relu", 0.125)
        wide = None if edge is None else edge.float()
        expected, _ = native.powermean_aggregate(x.float(), *csc, wide, p, "add_relu", 0.125)
        assert_near(out, expected, dtype)
        g = case.normal(case.num_dst, 20, dtype=dtype)
        gx, _ = native.powermean_aggregate_backward(g, x, *csr, edge, p, out, "add_relu", 0.125, edge is not None)
        wide_gx, _ = native.powermean_aggregate_backward(
            g.float(), x.float(), *csr, wide, p, expected, "add_relu", 0.125, edge is not None
        )
        assert_near(gx, wide_gx, dtype, 4.0)


@pytest.mark.parametrize("path", [1, 2], ids=["edge", "node"])
def test_softmax_of_large_magnitudes(path: int) -> None:
    case = Case()
    csc, csr = case.forms(torch.int32)
    x = case.normal(case.num_src, 32, dtype=torch.float32) * 100
    t = torch.linspace(-100, 100, 32)
    g = case.normal(case.num_dst, 32, dtype=torch.float32)
    out, lse = native.softmax_aggregate(x, *csc, None, t, "copy", 0.0, path=path)
    exact, exact_lse = native.softmax_aggregate(x.double(), *csc, None, t.double(), "copy", 0.0, path=1)
    assert (t * x).abs().max() > 1e4
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-4)
    gx, _, gt = native.softmax_aggregate_backward(g, x, *csr, None, t, out, lse, "copy", 0.0, False, False, path=path)
    exact_gx, _, exact_gt = native.softmax_aggregate_backward(
        g.double(), x.double(), *csr, None, t.double(), exact, exact_lse, "copy", 0.0, False, False, path=1
    )
    assert gx.isfinite().all()
    # lse of 10^4 in float32 has an error of 5e-4, which is the relative error of the weights.
    torch.testing.assert_close(gx.double(), exact_gx, rtol=5e-3, atol=5e-3)
    # gt sums m (m - out) over edges: the rounding of out alone is worth m^2 2^-24 in each.
    torch.testing.assert_close(gt.double(), exact_gt, rtol=2e-2, atol=2e-6 * x.abs().max().item() ** 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_node_path_redoes_rows_that_underflow(dtype: torch.dtype) -> None:
    case = Case()
    csc, csr = case.forms(torch.int32)
    x = case.normal(case.num_src, 20, dtype=dtype)
    # One source sets every channel's extreme and leaves rows without it nothing of exp(t (m - extreme)).
    x[case.num_src // 3] += 300.0 if dtype == torch.float32 else 3000.0
    t = torch.linspace(0.5, 2, 20, dtype=dtype)
    g = case.normal(case.num_dst, 20, dtype=dtype)
    results = []
    for path in (1, 2):
        out, lse = native.softmax_aggregate(x, *csc, None, t, "copy", 0.0, path=path)
        results.append((out, lse, *native.softmax_aggregate_backward(
            g, x, *csr, None, t, out, lse, "copy", 0.0, False, False, path=path)[::2]))  # fmt: skip
    for (by_edge, by_node), factor in zip(zip(*results, strict=True), (1.0, 1.0, 20.0, 1e4), strict=True):
        # gt is a sum of differences that are the rounding errors of terms as large as m^2.
        assert_near(by_node, by_edge, dtype, factor)
    positive = x.abs() + 0.1
    for p in (30.0, -30.0, 0.7, 2.0):
        power = torch.full((20,), p, dtype=dtype)
        both = [native.powermean_aggregate(positive, *csc, None, power, "copy", 1e-7, path=k) for k in (1, 2)]
        for by_edge, by_node in zip(*both, strict=True):
            assert_near(by_node, by_edge, dtype)
        out = both[0][0]
        gx = [
            native.powermean_aggregate_backward(g, positive, *csr, None, power, out, "copy", 1e-7, False, path=k)[0]
            for k in (1, 2)
        ]
        assert_near(gx[1], gx[0], dtype, 50.0)


@pytest.mark.parametrize("path", [1, 2], ids=["edge", "node"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_not_finite_messages_spoil_their_rows_and_channels_alone(value: float, path: int) -> None:
    case = Case()
    csc, csr = case.forms(torch.int32)
    clean = case.normal(case.num_src, 20, dtype=torch.float32)
    x = clean.clone()
    x[5, 7] = value
    t = torch.full((20,), 0.7)
    hit = torch.zeros(case.num_dst, 20, dtype=torch.bool)
    hit[case.dst[case.src == 5], 7] = True
    assert hit.any()
    out, lse = native.softmax_aggregate(x, *csc, None, t, "copy", 0.0, path=path)
    expected, _ = native.softmax_aggregate(clean, *csc, None, t, "copy", 0.0, path=path)
    assert out[hit].isnan().all()
    torch.testing.assert_close(out[~hit], expected[~hit])
    g = torch.ones(case.num_dst, 20)
    gx, _, _ = native.softmax_aggregate_backward(g, x, *csr, None, t, out, lse, "copy", 0.0, False, False, path=path)
    assert gx[:, :7].isfinite().all()
    for reduce in ("sum", "max", "min"):
        total, _ = native.gather_reduce(x, *csc, None, "copy", reduce, 0.0)
        plain, _ = native.gather_reduce(clean, *csc, None, "copy", reduce, 0.0)
        torch.testing.assert_close(total[~hit], plain[~hit])
        if value != value:
            assert total[hit].isnan().all()


def test_rows_longer_than_a_task_and_many_threads_give_the_same_bits() -> None:
    case = Case(num_src=3000, num_dst=2500, num_edges=40_000)
    csc, csr = case.forms(torch.int32)
    x = case.normal(case.num_src, 24, dtype=torch.float32)
    edge = case.normal(case.num_edges, 24, dtype=torch.float32)
    weight = case.normal(case.num_edges, dtype=torch.float32)
    t = torch.linspace(-1, 2, 24)
    p = torch.linspace(-1, 3, 24)
    g = case.normal(case.num_dst, 24, dtype=torch.float32)
    assert csc[0].diff().max() > 2048 * 3

    def everything() -> list[Tensor | None]:
        results: list[Tensor | None] = []
        for reduce in ("sum", "max"):
            for e, message in ((None, "copy"), (weight, "mul"), (edge, "add_relu")):
                out, ties = native.gather_reduce(x, *csc, e, message, reduce, 0.1)
                grads = native.gather_reduce_backward(g, x, *csr, e, out, ties, message, reduce, 0.1, e is not None)
                results += [out, ties, *grads]
        for e in (None, weight, edge):
            out, lse = native.softmax_aggregate(x, *csc, e, t, "add_relu", 0.1)
            results += [out, lse]
            results += native.softmax_aggregate_backward(
                g, x, *csr, e, t, out, lse, "add_relu", 0.1, False, e is not None
            )
            out, slope = native.powermean_aggregate(x, *csc, e, p, "add_relu", 0.1)
            results += [out, slope]
            results += native.powermean_aggregate_backward(g, x, *csr, e, p, out, "add_relu", 0.1, e is not None)
        return results

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = everything()
        torch.set_num_threads(4)
        many = everything()
    finally:
        torch.set_num_threads(threads)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(one, many, strict=True))

    hub = case.num_dst // 2
    m = torch.relu(x[case.src] + edge)[case.dst == hub].double() + 0.1
    out, _ = native.softmax_aggregate(x, *csc, edge, t, "add_relu", 0.1)
    assert_near(out[hub], naive_softmax(m, t.double()), torch.float32)
    out, slope = native.powermean_aggregate(x, *csc, edge, p, "add_relu", 0.1)
    assert_near(out[hub], naive_power_mean(m, p.double()), torch.float32)
    assert_near(slope[hub], slope_of(m, p.double()), torch.float32, 10.0)


@pytest.mark.parametrize("shape", [(0, 0, 0), (1, 1, 0), (1, 1, 3), (5, 3, 0), (0, 4, 0), (4, 0, 0)])
@pytest.mark.parametrize("channels", [0, 1, 5])
def test_sizes_of_zero_and_one(shape: tuple[int, int, int], channels: int) -> None:
    num_src, num_dst, num_edges = shape
    src = dst = torch.zeros(num_edges, dtype=torch.int64)
    csc = native.sort_edges(dst, src, num_dst, num_src, torch.int32)
    csr = native.sort_edges(src, dst, num_src, num_dst, torch.int32)
    x, g, t = torch.rand(num_src, channels), torch.rand(num_dst, channels), torch.ones(channels)
    for edge in (None, torch.rand(num_edges), torch.rand(num_edges, channels)):
        need = edge is not None
        total, _ = native.gather_reduce(x, *csc, edge, "add_relu", "sum", 0.5)
        out, lse = native.softmax_aggregate(x, *csc, edge, t, "add_relu", 0.5)
        power, slope = native.powermean_aggregate(x, *csc, edge, t, "add_relu", 0.5)
        assert total.shape == out.shape == lse.shape == power.shape == slope.shape == (num_dst, channels)
        if num_edges == 0:
            assert not total.any()
            assert not out.any()
            assert not power.any()
        gx, gedge, gt = native.softmax_aggregate_backward(g, x, *csr, edge, t, out, lse, "add_relu", 0.5, False, need)
        assert gx.shape == x.shape
        assert gt.shape == (channels,)
        assert gedge is None or gedge.shape == edge.shape
        if num_edges == 0:
            assert not gx.any()
            assert not gt.any()
        gx, _ = native.powermean_aggregate_backward(g, x, *csr, edge, t, power, "add_relu", 0.5, need)
        assert num_edges or not gx.any()
