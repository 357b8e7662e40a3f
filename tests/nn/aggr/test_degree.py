from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from graphkit.nn import DegreeScaledAggregation, PowerMeanAggregation, SoftmaxAggregation


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    x = 0.2 + torch.rand(10, 4, dtype=torch.float64, generator=generator)
    return x, torch.tensor([3, 0, 3, 1, 0, 3, 1, 1, 5, 3])


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("y", [-1.0, 0.0, 0.7])
def test_formula(rows, y, learn):
    x, index = rows
    inner = SoftmaxAggregation(t=0.3)
    aggr = DegreeScaledAggregation(inner, y, learn).double()
    degree = torch.bincount(index, minlength=7).double()
    scale = degree ** torch.sigmoid(torch.tensor(y, dtype=torch.float64))
    torch.testing.assert_close(aggr(x, index, dim_size=7), inner(x, index, dim_size=7) * scale[:, None])
    assert ("y" in dict(aggr.named_parameters())) == learn


def test_large_y_over_the_mean_is_the_sum(rows):
    x, index = rows
    out = DegreeScaledAggregation(SoftmaxAggregation(t=0.0), y=50.0)(x, index, dim_size=7)
    torch.testing.assert_close(out, torch.zeros_like(out).index_add(0, index, x))


def test_gradcheck_with_empty_groups(rows):
    x, index = rows[0][:5, :2].clone(), torch.tensor([3, 0, 3, 1, 3])
    aggr = DegreeScaledAggregation(PowerMeanAggregation(1.5, learn=True), 0.2, learn=True).double()

    def function(x, y):
        return torch.func.functional_call(aggr, {"y": y}, (x, index), {"dim_size": 5})

    assert gradcheck(function, (x.requires_grad_(), aggr.y.detach().requires_grad_()))


def test_empty_group_of_a_clamped_mean_is_zero(rows):
    x, index = rows
    inner = PowerMeanAggregation(-1.0, compat="official")
    assert inner(x, index, dim_size=7)[2, 0] == pytest.approx(1e7)
    assert (DegreeScaledAggregation(inner)(x, index, dim_size=7)[2] == 0).all()


def test_half_precision_holds_large_degrees():
    x = torch.full((70_000, 1), 0.5, dtype=torch.float16)
    aggr = DegreeScaledAggregation(SoftmaxAggregation(t=0.0))
    out = aggr(x, torch.zeros(70_000, dtype=torch.long))
    assert out.item() == pytest.approx(0.5 * 70_000**0.5, rel=1e-3)


def test_reset_parameters_reaches_inside():
    aggr = DegreeScaledAggregation(SoftmaxAggregation(t=0.5, learn=True), 0.1, learn=True)
    with torch.no_grad():
        for parameter in aggr.parameters():
            parameter.fill_(9.0)
    aggr.reset_parameters()
    assert {name: value.item() for name, value in aggr.named_parameters()} == pytest.approx({"y": 0.1, "aggr.t": 0.5})
