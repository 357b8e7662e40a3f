"""One small matrix per node: backend ``torch``, by batched products and LAPACK."""

from __future__ import annotations

import torch
from torch import Tensor


def block_apply(blocks: Tensor, x: Tensor, transpose: bool) -> Tensor:
    """``blocks[n] x[n]``, or with the transposed blocks."""
    return torch.bmm(blocks.transpose(1, 2) if transpose else blocks, x)


def block_outer(a: Tensor, b: Tensor) -> Tensor:
    """``a[n] b[n]^T``."""
    return torch.bmm(a, b.transpose(1, 2))


def block_inverse_sqrt(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The (pseudo-)inverse square root, eigenvectors and roots of the eigenvalues (0 where they are dropped)."""
    values, vectors = torch.linalg.eigh((blocks + blocks.transpose(1, 2)) / 2)
    largest = values.abs().amax(-1, keepdim=True)
    kept = values > largest * (blocks.size(-1) * torch.finfo(blocks.dtype).eps)
    roots = torch.where(kept, values, 0.0).sqrt()
    inverse = torch.where(kept, torch.where(kept, roots, 1.0).reciprocal(), 0.0)
    return (vectors * inverse[:, None, :]) @ vectors.transpose(1, 2), vectors.contiguous(), roots


def block_inverse_sqrt_backward(grad: Tensor, vectors: Tensor, roots: Tensor) -> Tensor:
    """``dA = U (M * U^T G U) U^T`` with ``M_ij = -1 / (r_i r_j (r_i + r_j))``: no eigenvalue differences.

    Where one root is 0, ``M_ij = r_i^-3``; where both are, 0.
    """
    grad = (grad + grad.transpose(1, 2)) / 2
    a, b = roots[:, :, None], roots[:, None, :]
    both, larger = (a > 0) & (b > 0), torch.maximum(a, b)
    divisor = torch.where(both, -a * b * (a + b), larger.pow(3))
    inner = vectors.transpose(1, 2) @ grad @ vectors
    inner = torch.where(larger > 0, inner / torch.where(larger > 0, divisor, 1.0), 0.0)
    return vectors @ inner @ vectors.transpose(1, 2)
