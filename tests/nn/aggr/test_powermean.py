from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.nn import PowerMeanAggregation as PyGPowerMean

from graphkit.nn import PowerMeanAggregation


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    x = 0.2 + torch.rand(10, 4, dtype=torch.float64, generator=generator)
    return x, torch.tensor([3, 0, 3, 1, 0, 3, 1, 1, 5, 3])


@pytest.mark.parametrize("p", [-3.0, -1.0, -1e-3, 1e-7, 0.0, 1e-4, 0.3, 1.0, 2.0, 7.5])
def test_formula_and_its_derivative(rows, p):
    x, index = rows
    aggr = PowerMeanAggregation(p, learn=True).double()
    out = aggr(x, index, dim_size=7)
    for group in range(7):
        m = x[index == group]
        if len(m) == 0:
            assert (out[group] == 0).all()
            continue
        log_mean = m.log().mean(0) if p == 0 else torch.expm1(p * m.log()).mean(0).log1p() / p
        torch.testing.assert_close(out[group], log_mean.exp(), rtol=1e-8, atol=0)
    # d out / d p at the geometric mean is out * Var(log m) / 2, and positive everywhere.
    (slope,) = torch.autograd.grad(out[3].sum(), aggr.p)
    assert slope > 0
    if p == 0:
        expected = (out[3] * x[index == 3].log().var(0, correction=0) / 2).sum()
        torch.testing.assert_close(slope[0], expected)


@pytest.mark.parametrize("p", [-2.0, 0.0, 1e-6, 0.4, 3.0])
def test_gradcheck(rows, p):
    x, index = rows[0][:5, :2].clone(), torch.tensor([3, 0, 3, 1, 3])
    aggr = PowerMeanAggregation(p, learn=True).double()

    def function(x, p):
        return torch.func.functional_call(aggr, {"p": p}, (x, index), {"dim_size": 5})

    leaves = (x.requires_grad_(), aggr.p.detach().requires_grad_())
    assert gradcheck(function, leaves)
    if abs(p) > 1e-3 or p == 0:
        assert gradgradcheck(function, leaves)


def test_limits(rows):
    x, index = rows
    for p, reduce in ((1e5, "amax"), (-1e5, "amin")):
        expected = (
            torch.zeros(7, 4).double().scatter_reduce(0, index[:, None].expand(-1, 4), x, reduce, include_self=False)
        )
        torch.testing.assert_close(PowerMeanAggregation(p)(x, index, dim_size=7), expected, rtol=1e-4, atol=0)


def test_beyond_the_clamps_of_published_code():
    x, index = torch.tensor([[90.0], [50.0]], dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    aggr = PowerMeanAggregation(20.0, learn=True).double()
    out = aggr(x.requires_grad_(), index)
    assert out.item() == pytest.approx(90 * (0.5 * (1 + (5 / 9) ** 20)) ** (1 / 20))
    out.sum().backward()
    assert torch.autograd.grad(PyGPowerMean(20.0)(x, index).sum(), x)[0].abs().sum() == 0  # the trap
    assert x.grad is not None
    assert x.grad[0] > 0.9
    assert aggr.p.grad is not None
    assert 0 < aggr.p.grad.item() < 1


@pytest.mark.parametrize(
    "options", [{"p": 2.0}, {"p": 1.0}, {"p": -1.0, "learn": True}, {"p": 3.0, "learn": True, "channels": 4}]
)
def test_compat_pyg(rows, options):
    x, index = rows
    x = torch.cat([x[:8], -x[8:9], 300 * x[9:]])  # some below and some above the clamps
    theirs = PyGPowerMean(**options).double()
    ours = PowerMeanAggregation(**options, compat="pyg").double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    results = []
    for aggr in (theirs, ours):
        leaf = x.clone().requires_grad_()
        out = aggr(leaf, index, dim_size=7)
        results.append((out, *torch.autograd.grad(out.sum(), [leaf, *aggr.parameters()])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_compat_official_saturates():
    x, index = torch.tensor([[3.0], [3.0]]), torch.zeros(2, dtype=torch.long)
    assert PowerMeanAggregation(5.0, compat="official")(x, index).item() == pytest.approx(10 ** (1 / 5))
    empty = PowerMeanAggregation(-1.0, compat="official")(x, index, dim_size=2)[1]
    assert empty.item() == pytest.approx(1e7)
    assert PowerMeanAggregation(5.0)(x, index).item() == pytest.approx(3.0)


def test_rows_that_are_not_positive_are_floored():
    x = torch.tensor([[-2.0], [4.0]], requires_grad=True)
    out = PowerMeanAggregation(1.0, eps=1e-3)(x, torch.zeros(2, dtype=torch.long))
    assert out.item() == pytest.approx(2.0005)
    out.backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([0.0, 0.5])


def test_errors():
    with pytest.raises(ValueError, match="'compat'"):
        PowerMeanAggregation(compat="dgl")
    with pytest.raises(ValueError, match="p = 0"):
        PowerMeanAggregation(0.0, compat="pyg")
    with pytest.raises(ValueError, match="'channels'"):
        PowerMeanAggregation(channels=2)


def test_geometric_mean_in_half_precision():
    x = torch.tensor([[2.0], [8.0]], dtype=torch.bfloat16)
    out = PowerMeanAggregation(0.0)(x, torch.zeros(2, dtype=torch.long))
    assert out.dtype == torch.bfloat16
    assert math.isclose(out.item(), 4.0)
