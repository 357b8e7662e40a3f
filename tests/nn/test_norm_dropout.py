"""The fused norm, rectifier and dropout against the three one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit import native
from graphkit.nn.dropout import dropout, relu_dropout
from graphkit.nn.norm_dropout import norm_dropout

needs_kernel = pytest.mark.skipif(not native.available(), reason=f"native kernels are not there: {native.why_not()}")


def modules(channels: int, dtype: torch.dtype = torch.float64) -> tuple[nn.BatchNorm1d, nn.BatchNorm1d]:
    torch.manual_seed(0)
    ours, theirs = (nn.BatchNorm1d(channels, momentum=0.3).to(dtype) for _ in range(2))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def plain(norm: nn.Module, x: Tensor, p: float, relu: bool) -> Tensor:
    return (relu_dropout if relu else dropout)(norm(x), p)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize(("rows", "channels"), [(2, 1), (64, 64), (130, 3), (200, 70), (1000, 129)])
def test_is_the_three_one_after_the_other(rows: int, channels: int, p: float, relu: bool) -> None:
    ours, theirs = modules(channels)
    x = torch.randn(rows, channels, dtype=torch.float64) * 3 + 100
    x.requires_grad_()
    weight = torch.randn(rows, channels, dtype=torch.float64)
    results = []
    for norm, function in ((ours, norm_dropout), (theirs, plain)):
        for _ in range(2):  # the running statistics come into play
            torch.manual_seed(5)
            out = function(norm, x, p, relu=relu)
        results.append([out, *torch.autograd.grad((out * weight).sum(), [x, *norm.parameters()]), *norm.buffers()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@needs_kernel
def test_it_is_one_node_of_the_graph_and_keeps_the_input_alone() -> None:
    norm, _ = modules(8, torch.float32)
    x = torch.randn(100, 8, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        out = norm_dropout(norm, x, 0.5)
    assert out.grad_fn is not None
    assert "NormDropout" in out.grad_fn.name()
    assert sum(kept) == x.numel() + 4 * 8


@needs_kernel
def test_bits_do_not_depend_on_threads() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            norm, _ = modules(40, torch.float32)
            torch.manual_seed(1)
            x = torch.randn(3000, 40, requires_grad=True)
            out = norm_dropout(norm, x, 0.3)
            results.append([out, *torch.autograd.grad(out.square().sum(), [x, *norm.parameters()]), *norm.buffers()])
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*results, strict=True))


def test_float32_far_from_zero() -> None:
    ours, theirs = modules(16, torch.float32)
    x = torch.randn(5000, 16) + 1000
    exact = theirs.double()(x.double())
    out = norm_dropout(ours, x, 0.0, relu=False)
    assert float((out.double() - exact).detach().abs().max()) < 1e-3  # the inputs have seven digits
    torch.testing.assert_close(ours.running_var.double(), theirs.running_var, rtol=1e-5, atol=0)


def test_derivatives() -> None:
    norm, _ = modules(3)
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        torch.manual_seed(2)
        layer = nn.BatchNorm1d(3).double()
        del layer.weight, layer.bias
        layer.weight, layer.bias = weight, bias
        return norm_dropout(layer, x, 0.3)

    inputs = (x, norm.weight.detach().requires_grad_(), norm.bias.detach().requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(6),
        nn.BatchNorm1d(6).eval(),
        nn.BatchNorm1d(6, affine=False),
        nn.BatchNorm1d(6, momentum=None),
        nn.BatchNorm1d(6, track_running_stats=False),
        nn.Identity(),
    ],
    ids=str,
)
def test_any_norm_goes(norm: nn.Module) -> None:
    x = torch.randn(10, 6)
    torch.manual_seed(0)
    out = norm_dropout(norm, x, 0.5)
    torch.manual_seed(0)
    torch.testing.assert_close(out, relu_dropout(norm(x), 0.5))


def test_hooks_of_the_norm_are_called() -> None:
    norm = nn.BatchNorm1d(6)
    calls: list[int] = []
    norm.register_forward_hook(lambda *_: calls.append(1))
    norm_dropout(norm, torch.randn(10, 6), 0.5)
    assert calls == [1]


def test_errors_and_ends() -> None:
    norm = nn.BatchNorm1d(6)
    with pytest.raises(ValueError, match=r"p: got 1\.5"):
        norm_dropout(norm, torch.randn(10, 6), 1.5)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm_dropout(norm, torch.randn(1, 6), 0.5)
    assert not norm_dropout(norm, torch.randn(10, 6), 1.0).any()
    assert norm_dropout(norm, torch.full((10, 6), float("nan")), 0.0).isnan().all()
