from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.nn import SoftmaxAggregation as PyGSoftmax

from graphkit.nn import SoftmaxAggregation


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10, 4, dtype=torch.float64, generator=generator)
    return x, torch.tensor([3, 0, 3, 1, 0, 3, 1, 1, 5, 3])


@pytest.mark.parametrize("options", [{}, {"t": -0.5}, {"t": 2.5, "learn": True}, {"learn": True, "channels": 4}])
def test_equals_pyg_with_its_state(rows, options):
    x, index = rows
    theirs, ours = PyGSoftmax(**options).double(), SoftmaxAggregation(**options).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    grads = []
    for aggr in (theirs, ours):
        leaf = x.clone().requires_grad_()
        out = aggr(leaf, index, dim_size=7)
        grads.append((out, *torch.autograd.grad(out.sin().sum(), [leaf, *aggr.parameters()])))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert str(ours) == str(theirs)


def test_semi_gradient_is_the_weights(rows):
    x, index = rows
    leaf = x.clone().requires_grad_()
    full = SoftmaxAggregation(t=0.7)(leaf, index)
    semi = SoftmaxAggregation(t=0.7, semi_grad=True)(leaf, index)
    torch.testing.assert_close(full, semi, rtol=0, atol=0)
    (grad,) = torch.autograd.grad(semi.sum(), leaf)
    weights = torch.zeros_like(x)
    for group in index.unique():
        weights[index == group] = (0.7 * x[index == group]).softmax(0)
    torch.testing.assert_close(grad, weights)
    (full_grad,) = torch.autograd.grad(full.sum(), leaf)
    assert not torch.allclose(full_grad, grad)


@pytest.mark.parametrize("layout", ["batched", "last", "flat_batch"])
def test_any_dimension_and_leading_batch(rows, layout):
    x, index = rows
    aggr = SoftmaxAggregation(t=0.3)
    expected = aggr(x, index, dim_size=7)
    if layout == "batched":
        out = aggr(torch.stack([x, 2 * x]), index, dim_size=7)
        torch.testing.assert_close(out[0], expected)
        torch.testing.assert_close(out[1], aggr(2 * x, index, dim_size=7))
    elif layout == "last":
        torch.testing.assert_close(aggr(x.t(), index, dim_size=7, dim=-1), expected.t())
    else:
        out = aggr(torch.stack([x, x], dim=1), index, dim_size=7, dim=0)
        torch.testing.assert_close(out, torch.stack([expected, expected], dim=1))


def test_ptr_is_index(rows):
    x, index = rows
    order = index.sort(stable=True).indices
    ptr = torch.tensor([0, 2, 5, 5, 9, 9, 10])
    aggr = SoftmaxAggregation(t=0.3)
    torch.testing.assert_close(aggr(x[order], ptr=ptr), aggr(x, index), rtol=0, atol=1e-15)


def test_contract_errors(rows):
    x, index = rows
    aggr = SoftmaxAggregation()
    with pytest.raises(ValueError, match="dimension"):
        aggr(x, index, dim=4)
    with pytest.raises(ValueError, match="segments"):
        aggr(x, index, dim_size=2)
    with pytest.raises(ValueError, match="dim_size"):
        aggr(x, ptr=torch.tensor([0, 10]), dim_size=3)
    with pytest.raises(ValueError, match="'semi_grad'"):
        SoftmaxAggregation(learn=True, semi_grad=True)
    with pytest.raises(ValueError, match="'channels'"):
        SoftmaxAggregation(channels=3)


def test_empty():
    aggr = SoftmaxAggregation(learn=True)
    out = aggr(torch.randn(0, 3, requires_grad=True), torch.empty(0, dtype=torch.long), dim_size=2)
    assert out.tolist() == [[0.0] * 3] * 2
    out.sum().backward()
    assert aggr.t.grad is not None
    assert aggr.t.grad.tolist() == [0.0]
    assert aggr(torch.randn(0, 3), torch.empty(0, dtype=torch.long)).shape == (0, 3)


def test_limits(rows):
    x, index = rows
    for t, reduce in ((1e4, "amax"), (-1e4, "amin"), (0.0, "mean")):
        expected = (
            torch.zeros(7, 4).double().scatter_reduce(0, index[:, None].expand(-1, 4), x, reduce, include_self=False)
        )
        torch.testing.assert_close(SoftmaxAggregation(t)(x, index, dim_size=7), expected)


@pytest.mark.parametrize("channels", [1, 2])
def test_gradcheck(rows, channels):
    x, index = rows[0][:5, :2].clone(), torch.tensor([3, 0, 3, 1, 3])
    aggr = SoftmaxAggregation(t=0.8, learn=True, channels=channels).double()

    def function(x, t):
        return torch.func.functional_call(aggr, {"t": t}, (x, index), {"dim_size": 5})

    leaves = (x.requires_grad_(), aggr.t.detach().requires_grad_())
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_large_magnitudes_in_float32(rows):
    x, index = rows
    big = (1e4 * x).float().requires_grad_()
    out = SoftmaxAggregation()(big, index)
    out.sum().backward()
    torch.testing.assert_close(out.double(), SoftmaxAggregation()(big.detach().double(), index), rtol=1e-5, atol=0)
    assert big.grad is not None
    assert big.grad.isfinite().all()


def test_reset_parameters():
    aggr = SoftmaxAggregation(t=0.5, learn=True)
    with torch.no_grad():
        aggr.t.fill_(9.0)
    aggr.reset_parameters()
    assert aggr.t.tolist() == [0.5]
