from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.nn import MessageNorm as PyGMessageNorm

from graphkit.nn import MessageNorm
from graphkit.nn.norm import build_norm


def test_equals_pyg_with_its_state():
    x, msg = torch.randn(5, 4).double(), torch.randn(5, 6).double()
    theirs, ours = PyGMessageNorm(True).double(), MessageNorm(True).double()
    with torch.no_grad():
        theirs.scale.fill_(0.7)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    torch.testing.assert_close(ours(x, msg), theirs(x, msg), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(ours(x, msg, p=1.0), theirs(x, msg, p=1.0), rtol=1e-14, atol=1e-14)
    assert str(ours) == str(theirs)
    assert not MessageNorm().scale.requires_grad


def test_formula():
    x, msg = torch.randn(5, 4), torch.randn(5, 4)
    expected = x.norm(dim=-1, keepdim=True) * msg / msg.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(MessageNorm()(x, msg), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_zero_rows(dtype):
    x, msg = torch.randn(4, 3, dtype=dtype), torch.randn(4, 3, dtype=dtype)
    x[1] = x[3] = msg[2] = msg[3] = 0
    x.requires_grad_()
    norm = MessageNorm(learn_scale=True)
    out = norm(x, msg)
    assert out.dtype == dtype
    assert (out[1:] == 0).all()
    assert out.isfinite().all()
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[1:] == 0).all()
    assert norm.scale.grad is not None
    assert norm.scale.grad.isfinite().all()


def test_gradient_of_a_zero_message_is_finite():
    """It is scale * |x| / 1e-12, the slope of the clamped norm; a node without neighbours has nobody to pass it to."""
    msg = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    MessageNorm()(torch.tensor([[3.0, 4.0]], dtype=torch.float64), msg).sum().backward()
    assert msg.grad is not None
    assert msg.grad[0].tolist() == pytest.approx([5e12, 5e12])


def test_without_features():
    out = MessageNorm()(None, torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(out, torch.tensor([[0.6, 0.8]]))


def test_gradcheck():
    norm = MessageNorm(True).double()
    leaves = tuple(torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert gradcheck(lambda x, msg: norm(x, msg), leaves)


def test_float16_does_not_overflow():
    x = torch.full((1, 4), 200.0, dtype=torch.float16)  # its squares do
    torch.testing.assert_close(MessageNorm()(x, x), x)


def test_reset_parameters():
    norm = MessageNorm(True)
    with torch.no_grad():
        norm.scale.fill_(3.0)
    norm.reset_parameters()
    assert norm.scale.item() == 1.0


def test_build_norm():
    assert isinstance(build_norm("batch", 4), torch.nn.BatchNorm1d)
    assert list(build_norm("layer", 4).parameters())
    assert not list(build_norm("instance", 4).parameters())
    with pytest.raises(ValueError, match="'norm' must be"):
        build_norm("pair", 4)
