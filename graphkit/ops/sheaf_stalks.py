"""What a sheaf layer does to its stalks: both weights before the Laplacian, the step after it, a kernel each.

Both have plain forms, which run where :mod:`graphkit.ops.sheaf_layer` says.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.native import sheaf_layer as native
from graphkit.ops.autograd import backward
from graphkit.ops.blocks import by_kernel

# In plain torch, up to this width of stalks one product with the Kronecker product of both weights beats two of their
# own sizes, of which that with the d x d weight is slow and copies.
_KRONECKER = 192


def sheaf_mix(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    r"""Stalks times both weights of a layer, :math:`W_1 X_v W_2^T`.

    Args:
        x: stalks :math:`X`, ``[N, d, f]``.
        left: :math:`W_1`, ``[d, d]``, or ``None`` for the identity.
        right: :math:`W_2`, ``[f, f]``, or ``None``.

    Shapes:
        ``[N, d, f], [d, d], [f, f] -> [N, d, f]``

    Raises:
        ValueError: if the shapes are others.

    Example:
        >>> import torch
        >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> sheaf_mix(torch.tensor([[[1.0], [2.0]]]), swap, torch.tensor([[3.0]])).flatten().tolist()
        [6.0, 3.0]
    """
    for name, weight, axis in (("left", left, 1), ("right", right, 2)):
        if x.dim() != 3 or (weight is not None and weight.shape != (x.size(axis),) * 2):
            got = "None" if weight is None else list(weight.shape)
            raise ValueError(
                f"'x', 'left' and 'right' must have shapes [N, d, f], [d, d] and [f, f] "
                f"(got 'x' {list(x.shape)} and '{name}' {got})"
            )
    if left is None and right is None:
        return x
    if not all(w is None or w.dtype == x.dtype for w in (left, right)) or not by_kernel(x):
        return _mixed(x, left, right)
    return _Mix.apply(x.contiguous(), *(None if w is None else w.contiguous() for w in (left, right)))


def _mixed(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    if left is not None and x.size(1) * x.size(2) <= _KRONECKER:
        eye = torch.eye(x.size(2), dtype=x.dtype, device=x.device) if right is None else right
        return F.linear(x.flatten(1), torch.kron(left, eye)).view_as(x)
    if left is not None:
        x = F.linear(x.transpose(1, 2), left).transpose(1, 2)
    return x if right is None else F.linear(x, right)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, left, right)
        return native.sheaf_mix(x, left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, left, right = ctx.saved_tensors
        return backward(
            lambda grad: native.sheaf_mix_backward(
                grad.contiguous(), x.detach(), *(None if w is None else w.detach() for w in (left, right))
            ),
            _mixed,
            grad,
            (x, left, right),
        )


def sheaf_update(x: Tensor, flow: Tensor, factor: Tensor) -> Tensor:
    r"""The step of sheaf diffusion, :math:`c_i X_{v i} - \mathrm{elu}(Y_{v i})` for every stalk row i.

    Args:
        x: stalks :math:`X`, ``[N, d, f]``.
        flow: :math:`Y`, ``[N, d, f]``.
        factor: :math:`c`, ``[d]``.

    Shapes:
        ``[N, d, f], [N, d, f], [d] -> [N, d, f]``

    Raises:
        ValueError: if the shapes are others.

    Example:
        >>> import torch
        >>> sheaf_update(torch.ones(1, 2, 1), torch.ones(1, 2, 1), torch.tensor([1.0, 3.0])).flatten().tolist()
        [0.0, 2.0]
    """
    if x.dim() != 3 or flow.shape != x.shape or factor.shape != x.shape[1:2]:
        raise ValueError(
            "'x', 'flow' and 'factor' must have shapes [N, d, f], [N, d, f] and [d] "
            f"(got {list(x.shape)}, {list(flow.shape)} and {list(factor.shape)})"
        )
    if not (x.dtype == flow.dtype == factor.dtype and by_kernel(x)):
        return _updated(x, flow, factor)
    return _Update.apply(x.contiguous(), flow.contiguous(), factor.contiguous())


def _updated(x: Tensor, flow: Tensor, factor: Tensor) -> Tensor:
    return factor[:, None] * x - F.elu(flow)


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, flow: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, flow, factor)
        return native.sheaf_update(x, flow, factor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, flow, factor = ctx.saved_tensors
        return backward(
            lambda grad: native.sheaf_update_backward(grad.contiguous(), x.detach(), flow.detach(), factor.detach()),
            _updated,
            grad,
            (x, flow, factor),
        )
