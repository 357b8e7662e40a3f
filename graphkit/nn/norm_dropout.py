"""Norm, rectifier and dropout between the convolutions of a deep network, in one pass for batch norms in training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.native import available
from graphkit.native.norm import norm_backward, norm_forward
from graphkit.nn.dropout import LEVELS, draw_seed, dropout, hashed_mask, relu_dropout
from graphkit.ops.autograd import backward


def norm_dropout(norm: nn.Module, x: Tensor, p: float, training: bool = True, *, relu: bool = True) -> Tensor:
    r"""``dropout(relu(norm(x)))``; for a batch norm in training on the CPU without what lies between.

    .. math:: y = \frac{k}{1 - p'} \odot
        \max\Big(\gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta, 0\Big),
        \qquad k \sim \mathrm{Bernoulli}(1 - p')

    Kept for the backward pass are the input and two numbers per channel. The module's running statistics are updated
    as it would; the mask is that of :func:`~graphkit.nn.dropout.dropout`. Any other norm is called.

    Args:
        norm: the norm, e.g. ``torch.nn.BatchNorm1d``.
        x: features ``[N, F]``.
        p: probability of dropping an entry.
        training: whether to drop; whether statistics are the batch's is the norm's own state.
        relu: rectify.

    Raises:
        ValueError: if ``p`` is not in [0, 1], or as ``norm``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> y = norm_dropout(torch.nn.BatchNorm1d(8), torch.randn(500, 8), 0.5)
        >>> round(float((y > 0).float().mean()), 1)  # half of the half that is positive
        0.2
    """
    if not _is_fused(norm, x) or not 0 <= p < 1 - 1 / LEVELS:
        return (relu_dropout if relu else dropout)(norm(x), p, training)
    assert isinstance(norm, nn.BatchNorm1d)
    dropped = round(p * LEVELS) if training else 0
    running = None
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        running = (norm.running_mean, norm.running_var)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    seed = draw_seed() if dropped else 0
    out: Tensor = _NormDropout.apply(x, norm.weight, norm.bias, running, norm.momentum, norm.eps, relu, seed, dropped)
    return out


def _is_fused(norm: nn.Module, x: Tensor) -> bool:
    if type(norm) is not nn.BatchNorm1d or not norm.training or norm.momentum is None or x.device.type != "cpu":
        return False
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or not available():
        return False
    floats = [t for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if t is not None]
    return (
        norm.affine
        and x.dim() == 2
        and x.size(0) > 1
        and x.size(1) == norm.num_features
        and x.dtype in (torch.float32, torch.float64)
        and all(t.dtype == x.dtype and t.is_contiguous() for t in floats)
        and not torch.is_autocast_enabled("cpu")
        and not (norm._forward_hooks or norm._forward_pre_hooks or norm._backward_hooks or norm._backward_pre_hooks)
    )


class _NormDropout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor] | None,
        momentum: float,
        eps: float,
        relu: bool,
        seed: int,
        dropped: int,
    ) -> Tensor:
        x = x.contiguous()
        ctx.options = options = eps, relu, seed % 2**64, dropped, LEVELS / (LEVELS - dropped)
        out, moments = norm_forward(x, weight, bias, running, momentum, *options)
        ctx.save_for_backward(x, weight, bias, moments)
        ctx.seed = seed
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, moments = ctx.saved_tensors
        eps, relu, _, dropped, _ = ctx.options

        def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            y = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
            y = y.relu() if relu else y
            return y * hashed_mask(y.detach(), ctx.seed, dropped) if dropped else y

        grads = backward(
            lambda grad: norm_backward(grad.contiguous(), x, weight, bias, moments, *ctx.options),
            reference,
            grad,
            (x, weight, bias),
        )
        return *grads, *(None,) * 6
