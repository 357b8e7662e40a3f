"""Blocks of nodes: products, and inverse square roots with finite gradients everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.ops.blocks import block_apply, block_inverse_sqrt, inverse_sqrt
from tests.ops.sheaf_cases import BACKENDS, draw, gradients

backends = pytest.mark.parametrize("backend", BACKENDS)
sizes = pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6])  # the native kernels hold up to 5 rows


def semidefinite(count: int, d: int, rank: int, seed: int = 0) -> Tensor:
    factor = draw(count, d, rank, seed=seed)
    return factor @ factor.mT


def pseudo_inverse_root(blocks: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(blocks)
    kept = values > 1e-12 * values.abs().amax(-1, keepdim=True)
    inverse = torch.where(kept, values.clamp(min=1e-30).rsqrt(), 0.0)
    return (vectors * inverse[:, None]) @ vectors.mT


@backends
@sizes
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inverse_square_root(backend: str, d: int, dtype: torch.dtype) -> None:
    for rank in range(d + 1):
        blocks = semidefinite(37, d, rank, seed=rank)
        if 0 < rank == d:
            blocks = blocks + 0.5 * torch.eye(d)
        with ops.backend(backend):
            got = block_inverse_sqrt(blocks.to(dtype))
        assert got.dtype == dtype
        if dtype == torch.float64:
            torch.testing.assert_close(got, pseudo_inverse_root(blocks), rtol=1e-5, atol=1e-6)
        if rank == d:
            eye = torch.eye(d, dtype=dtype).expand_as(got)
            torch.testing.assert_close(
                got @ blocks.to(dtype) @ got, eye, rtol=0, atol=1e-12 if dtype.itemsize == 8 else 2e-5
            )
        if rank == 0:
            assert not got.any()


@backends
@sizes
def test_magnitudes_and_repeated_eigenvalues(backend: str, d: int) -> None:
    """Scales over the range of the type, and blocks whose eigenvalues are all equal or far apart."""
    turn = torch.linalg.qr(draw(8, d, d)).Q
    for scale in (1e-30, 1e-12, 1.0, 1e12, 1e30):
        values = torch.linspace(1, 4, d).double() * torch.ones(8, 1)
        values[:3] = 1
        values[3] = torch.logspace(0, 6, d)
        blocks = (turn * (scale * values)[:, None]) @ turn.mT
        expected = (turn * (scale * values).rsqrt()[:, None]) @ turn.mT
        with ops.backend(backend):
            got = block_inverse_sqrt(blocks)
        torch.testing.assert_close(got * scale**0.5, expected * scale**0.5, rtol=1e-9, atol=1e-9)


@backends
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_gradcheck_of_the_root(backend: str, d: int) -> None:
    """Generic blocks, equal eigenvalues, and singular ones along changes that keep their rank."""
    eye = torch.eye(d, dtype=torch.float64)
    generic, equal = semidefinite(4, d, d) + eye, eye.repeat(2, 1, 1)

    def root(a: Tensor) -> Tensor:
        return block_inverse_sqrt((a + a.mT) / 2)

    def of_factor(f: Tensor) -> Tensor:
        return block_inverse_sqrt(f @ f.mT)

    factor = draw(3, d, max(d - 1, 1), seed=3)
    with ops.backend(backend):
        for blocks in (generic, equal):
            assert torch.autograd.gradcheck(root, blocks.requires_grad_())
            assert torch.autograd.gradgradcheck(root, blocks.requires_grad_())
        assert torch.autograd.gradcheck(of_factor, factor.requires_grad_(), atol=1e-4)
        for singular in (0 * eye[None], torch.diag(torch.arange(d)).double()[None]):
            leaf = singular.clone().requires_grad_()
            assert torch.autograd.grad(root(leaf).sum(), leaf)[0].isfinite().all()


@backends
@pytest.mark.parametrize("d", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("features", [0, 1, 7, 16, 33])
def test_apply(backend: str, d: int, features: int) -> None:
    x, blocks = draw(9, d, features).requires_grad_(), draw(9, d, d, seed=4).requires_grad_()
    with ops.backend(backend):
        out = block_apply(blocks, x)
        got = gradients(out, [blocks, x])
    expected = blocks @ x
    torch.testing.assert_close([out, *got], [expected, *gradients(expected, [blocks, x])])


@backends
def test_apply_second_derivatives_and_kinds_of_blocks(backend: str) -> None:
    x, blocks = draw(3, 2, 2).requires_grad_(), draw(3, 2, 2, seed=4).requires_grad_()
    with ops.backend(backend):
        assert torch.autograd.gradgradcheck(block_apply, (blocks, x))
        numbers, rows = draw(3), draw(3, 2, seed=5)
        torch.testing.assert_close(block_apply(numbers, x), numbers[:, None, None] * x)
        torch.testing.assert_close(block_apply(rows, x), rows[:, :, None] * x)
        half = block_apply(blocks.float(), x.bfloat16())
    assert half.dtype == torch.bfloat16


def test_inverse_root_of_numbers_is_finite_at_zero() -> None:
    values = torch.tensor([0.0, 4.0], requires_grad=True)
    out = inverse_sqrt(values)
    assert out.tolist() == [0.0, 0.5]
    assert torch.autograd.grad(out.sum(), values)[0].tolist() == [0.0, -0.0625]
