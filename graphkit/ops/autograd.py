"""Second derivatives for the fused operators.

First derivatives are kernels. A second derivative is rare, so it is taken through the reference: the backward of a
backward recomputes the operator with plain torch and lets autograd differentiate it twice. It costs E x F memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

OptTensor = Tensor | None


class DifferentiableBackward(torch.autograd.Function):
    """A first derivative computed by a kernel, whose own derivative goes through the reference."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Callable[[Tensor], Sequence[OptTensor]],
        reference: Callable[..., Tensor],
        grad: Tensor,
        *inputs: OptTensor,
    ) -> tuple[OptTensor, ...]:
        ctx.reference = reference
        ctx.save_for_backward(grad, *inputs)
        return tuple(kernel(grad))

    @staticmethod
    def backward(ctx: Any, *cotangents: OptTensor) -> tuple[OptTensor, ...]:
        grad, *inputs = (None if t is None else t.detach() for t in ctx.saved_tensors)
        wanted = [t for t in inputs if t is not None]
        with torch.enable_grad():
            for tensor in (grad, *wanted):
                tensor.requires_grad_()
            first = torch.autograd.grad(ctx.reference(*inputs), wanted, grad, create_graph=True, materialize_grads=True)
        given = [c for c, t in zip(cotangents, inputs, strict=True) if t is not None]
        pairs = [(f, c) for f, c in zip(first, given, strict=True) if c is not None and f.requires_grad]
        second: Sequence[OptTensor] = [None] * (1 + len(wanted))
        if pairs:
            second = torch.autograd.grad(
                [f for f, _ in pairs], [grad, *wanted], [c for _, c in pairs], allow_unused=True
            )
        rest = iter(second[1:])
        return (None, None, second[0], *(next(rest) if t is not None else None for t in inputs))


def backward(
    kernel: Callable[[Tensor], Sequence[OptTensor]],
    reference: Callable[..., Tensor],
    grad: Tensor,
    inputs: Sequence[OptTensor],
) -> Sequence[OptTensor]:
    """Run ``kernel(grad)``, recording it for a second derivative if one was asked for (``create_graph=True``).

    Args:
        kernel: maps the output's gradient to one gradient (or ``None``) per input.
        reference: the operator as a differentiable function of ``inputs``.
        grad: gradient of the output.
        inputs: the operator's tensor inputs; ``None`` where one was not given.
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return DifferentiableBackward.apply(kernel, reference, grad, *inputs)
    return kernel(grad)
