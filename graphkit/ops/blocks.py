"""Small blocks, one per node: applying them, and inverse square roots whose gradients are finite everywhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops import kernels
from graphkit.ops.autograd import backward
from graphkit.ops.backend import select
from graphkit.ops.check import accumulator


def block_apply(blocks: Tensor, x: Tensor) -> Tensor:
    """Multiply each node's features by its block.

    Args:
        blocks: one scalar ``[N]``, diagonal ``[N, d]`` or matrix ``[N, d, d]`` per node.
        x: ``[N, d, f]``.

    Shapes:
        ``[N, d, f] -> [N, d, f]``, in the dtype of ``x``.

    Example:
        >>> import torch
        >>> x = torch.ones(2, 3, 1)
        >>> block_apply(torch.tensor([1.0, 2.0]), x)[1].flatten().tolist()
        [2.0, 2.0, 2.0]
    """
    dtype = accumulator(torch.promote_types(blocks.dtype, x.dtype))
    b, z = blocks.to(dtype), x.to(dtype)
    if b.dim() < 3:
        return (b.reshape(*b.shape, *(1,) * (3 - b.dim())) * z).to(x.dtype)
    name = pick(z, b.size(1))
    if name == "reference":
        return (b @ z).to(x.dtype)
    return _Apply.apply(b.contiguous(), z.contiguous(), False, name).to(x.dtype)


@torch.compiler.assume_constant_result
def _native_takes(stalk: int) -> bool:
    from graphkit import native

    return native.available() and stalk <= native.sheaf.MAX_STALK


def pick(x: Tensor, stalk: int) -> str:
    """The backend that runs ``d x d`` blocks of this size: the selected one, ``torch`` where it has no kernel."""
    name = select(x)
    if name == "native" and not _native_takes(stalk):
        return "torch"
    return "torch" if name == "triton" else name


def by_kernel(x: Tensor, stalk: int = 1) -> bool:
    """Whether a step of a sheaf layer that only the native backend has as a kernel runs there."""
    return (
        x.dtype in (torch.float32, torch.float64) and not torch.compiler.is_compiling() and pick(x, stalk) == "native"
    )


class _Apply(torch.autograd.Function):
    """``B x`` per node; its gradients are ``B^T g`` and ``g x^T``, which are differentiable again."""

    @staticmethod
    def forward(ctx: Any, blocks: Tensor, x: Tensor, transpose: bool, backend: str) -> Tensor:
        ctx.save_for_backward(blocks, x)
        ctx.transpose, ctx.backend = transpose, backend
        return kernels.block_apply(blocks, x, transpose, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        blocks, x = ctx.saved_tensors
        grad = grad.contiguous()
        gblocks = gx = None
        if ctx.needs_input_grad[0]:
            left, right = (x, grad) if ctx.transpose else (grad, x)
            gblocks = _Outer.apply(left, right, ctx.backend)
        if ctx.needs_input_grad[1]:
            gx = _Apply.apply(blocks, grad, not ctx.transpose, ctx.backend)
        return gblocks, gx, None, None


class _Outer(torch.autograd.Function):
    """``a b^T`` per node."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, backend: str) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.backend = backend
        return kernels.block_outer(a, b, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        grad = grad.contiguous()
        return _Apply.apply(grad, b, False, ctx.backend), _Apply.apply(grad, a, True, ctx.backend), None


def inverse_sqrt(values: Tensor) -> Tensor:
    """``v^(-1/2)`` of non-negative numbers, 0 where ``v = 0``; value and gradient are finite at 0.

    Example:
        >>> import torch
        >>> inverse_sqrt(torch.tensor([4.0, 0.0])).tolist()
        [0.5, 0.0]
    """
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, torch.ones_like(values)).rsqrt(), 0.0)


def block_inverse_sqrt(blocks: Tensor) -> Tensor:
    r"""Inverse square root of symmetric positive semidefinite blocks, a pseudo-inverse root where one is singular.

    With :math:`A = U \Lambda U^T` the result is :math:`U \Lambda^{+1/2} U^T`; eigenvalues up to ``d * eps * largest``
    are taken as 0, as a pseudo-inverse does. The derivative is written in terms of the root itself: the gradient
    through ``torch.linalg.eigh`` divides by differences of eigenvalues and is NaN where two are equal (isolated
    nodes, leaves, orthogonal maps), this one divides by sums of their roots. At a singular block it is the derivative
    along changes that keep the rank.

    Args:
        blocks: ``[N, d, d]``, symmetric, positive semidefinite. Half types are computed in float32.

    Shapes:
        ``[N, d, d] -> [N, d, d]``, float32 or float64.

    Example:
        >>> import torch
        >>> block_inverse_sqrt(torch.diag(torch.tensor([4.0, 0.0]))[None])[0].tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    blocks = blocks.to(accumulator(blocks.dtype))
    name = pick(blocks, blocks.size(1))
    return _reference(blocks) if name == "reference" else _InverseSqrt.apply(blocks.contiguous(), name)


class _InverseSqrt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blocks: Tensor, backend: str) -> Tensor:
        out, vectors, roots = kernels.block_inverse_sqrt(blocks, backend)
        ctx.save_for_backward(blocks, vectors, roots)
        ctx.backend = backend
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        blocks, vectors, roots = ctx.saved_tensors
        (gblocks,) = backward(
            lambda grad: (kernels.block_inverse_sqrt_backward(grad.contiguous(), vectors, roots, ctx.backend),),
            _reference,
            grad,
            (blocks,),
        )
        return gblocks, None


# The reference, differentiable as often as asked for ---------------------------------------------------------------


def _reference(blocks: Tensor) -> Tensor:
    root, inverse, _, _ = _Root.apply(blocks)
    return _Inverse.apply(root, inverse)


def _symmetric(a: Tensor) -> Tensor:
    return (a + a.transpose(-1, -2)) / 2


class _Root(torch.autograd.Function):
    """``A -> A^(1/2)``, and without a gradient its pseudo-inverse, eigenvectors and roots of eigenvalues.

    Torch differentiates its own backward: every product below is an operation autograd knows. These three functions
    work under ``torch.func`` too, whose operators run on the reference.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(_symmetric(a))
        largest = values.abs().amax(-1, keepdim=True)
        kept = values > largest * (a.size(-1) * torch.finfo(a.dtype).eps)
        roots = torch.where(kept, values, 0.0).sqrt()
        inverse_roots = torch.where(kept, torch.where(kept, roots, 1.0).reciprocal(), 0.0)
        root = (vectors * roots[:, None, :]) @ vectors.transpose(1, 2)
        inverse = (vectors * inverse_roots[:, None, :]) @ vectors.transpose(1, 2)
        return root, inverse, vectors, roots

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        root, inverse, vectors, roots = output
        ctx.save_for_backward(root, vectors, roots)
        ctx.mark_non_differentiable(inverse, vectors, roots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Tensor:
        root, vectors, roots = ctx.saved_tensors
        return _Sylvester.apply(root, _symmetric(grad), vectors, roots)


class _Sylvester(torch.autograd.Function):
    """Solve ``R Y + Y R = H`` for symmetric ``H``, given the eigendecomposition of ``R``.

    The derivative of the square root, its own adjoint in ``H``, and its own derivative in ``R``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(root: Tensor, h: Tensor, vectors: Tensor, roots: Tensor) -> Tensor:
        total = roots[:, :, None] + roots[:, None, :]
        solvable = total > 0
        inner = vectors.transpose(1, 2) @ h @ vectors
        inner = torch.where(solvable, inner / torch.where(solvable, total, 1.0), 0.0)
        return vectors @ inner @ vectors.transpose(1, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        root, _, vectors, roots = inputs
        ctx.save_for_backward(root, vectors, roots, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        root, vectors, roots, y = ctx.saved_tensors
        w = _Sylvester.apply(root, _symmetric(grad), vectors, roots)
        return -(w @ y + y @ w), w, None, None


class _Inverse(torch.autograd.Function):
    """The pseudo-inverse of a symmetric matrix whose value is known, with the derivative at constant rank."""

    generate_vmap_rule = True

    @staticmethod
    def forward(root: Tensor, inverse: Tensor) -> Tensor:
        return inverse.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        root, s = ctx.saved_tensors
        g = _symmetric(grad)
        dropped = torch.eye(s.size(-1), dtype=s.dtype, device=s.device) - root @ s
        across = s @ s @ g @ dropped
        return across + across.transpose(1, 2) - s @ g @ s, None
