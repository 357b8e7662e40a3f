"""Dropout: the right share, nothing but zeros and scaled entries, and what the draws depend on."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.nn import dropout as module
from graphkit.nn.dropout import dropout, relu_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_expectation(p: float) -> None:
    torch.manual_seed(0)
    x = torch.full((1000, 333), 2.0, dtype=torch.float64)
    y = dropout(x, p)
    zero = (y == 0).double()
    sigma = math.sqrt(p * (1 - p) / x.numel())
    assert abs(float(zero.mean()) - p) < 4 * sigma
    assert float(y.mean()) == pytest.approx(2.0, abs=4 * 2 * sigma / (1 - p))
    assert y.unique().tolist() == pytest.approx([0.0, 2 / (1 - round(p * 65536) / 65536)])
    # Neighbours that share a draw are as independent as any others.
    for shift in (1, 2, 3, 4):
        flat = zero.view(-1)
        together = float((flat[shift:] * flat[:-shift]).mean())
        assert abs(together - p * p) < 5 * math.sqrt(p * p * (1 - p * p) / x.numel())


def test_gradient_is_that_of_the_mask() -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 7, requires_grad=True)
    y = dropout(x, 0.3)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.equal(y.detach())


def test_the_draws_depend_on_the_seed_alone() -> None:
    before = torch.get_num_threads()
    drawn = []
    try:
        for threads, seed in ((1, 0), (2, 0), (1, 1)):
            torch.set_num_threads(threads)
            torch.manual_seed(seed)
            drawn.append(dropout(torch.ones(400, 301), 0.5))
    finally:
        torch.set_num_threads(before)
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 3, 2)])
def test_any_shape_and_type(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    y = dropout(torch.ones(shape, dtype=dtype), 0.5)
    assert (y.shape, y.dtype) == (torch.Size(shape), dtype)


@pytest.mark.parametrize("relu", [False, True])
def test_the_kernel_and_torch_draw_the_same(relu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not module.available():
        pytest.skip("the native kernels are not there")
    for size in (0, 1, 63, 64, 65, 1000, 40_001):
        x = torch.randn(size, dtype=torch.float64)
        gate = x if relu else None
        fast = module._masked(x, gate, -(2**62) - 12345, 20_000)
        with monkeypatch.context() as patch:
            patch.setattr(module, "available", lambda: False)
            assert module._masked(x, gate, -(2**62) - 12345, 20_000).equal(fast)


def test_relu_dropout_is_dropout_after_relu() -> None:
    x = torch.randn(40, 30, dtype=torch.float64, requires_grad=True)
    out, expected = [], []
    for function, results in ((lambda x: relu_dropout(x, 0.4), out), (lambda x: dropout(x.relu(), 0.4), expected)):
        torch.manual_seed(3)
        y = function(x)
        results += [y, *torch.autograd.grad((y**2).sum(), x)]
    assert all(a.equal(b) for a, b in zip(out, expected, strict=True))


def test_nan_passes_the_rectifier() -> None:
    kept = relu_dropout(torch.full((1000,), math.nan), 0.5)
    assert 300 < int(kept.isnan().sum()) < 700


def test_derivatives() -> None:
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)

    def function(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return relu_dropout(x, 0.3) ** 3

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def test_any_layout() -> None:
    x = torch.randn(8, 6)
    torch.manual_seed(1)
    expected = dropout(x, 0.5)
    torch.manual_seed(1)
    assert dropout(x.t().contiguous().t(), 0.5).equal(expected)


def test_ends() -> None:
    x = torch.ones(4, 4)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.5, training=False) is x
    assert relu_dropout(-x, 0.5, training=False).equal(torch.zeros(4, 4))
    assert dropout(x, 1.0).equal(torch.zeros(4, 4))
    with pytest.raises(ValueError, match=r"p: got 1\.5"):
        dropout(x, 1.5)


def test_compiles_whole() -> None:
    compiled = torch.compile(lambda x: dropout(x, 0.5), fullgraph=True, backend="eager")
    assert compiled(torch.ones(8, 8)).shape == (8, 8)
