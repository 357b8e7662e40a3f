"""Many steps of a matrix GRU as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops.autograd import backward

_tanh = torch.ops.aten.tanh_backward.default
_sigmoid = torch.ops.aten.sigmoid_backward.default


def gru_steps(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int) -> Tensor:
    r"""The states after each of T steps.

    .. math::
        [U, R, L] = P_t + [A Q, 0], \qquad Q' = (1 - \sigma(U)) \circ Q
        + \sigma(U) \circ \tanh(L + B (\sigma(R) \circ Q))

    where A has rows for U and R, and for L too where the input of the cell is Q itself.

    Args:
        q: the state before ``[n, c]``.
        first: A ``[2n, n]`` or ``[3n, n]``.
        candidate: B ``[n, n]``.
        given: P, what does not depend on Q: ``[3n, T * c]``, or ``[3n, c]`` for all steps alike.
        steps: T.

    Shapes:
        ``[n, c] -> [T, n, c]``
    """
    # Traced step by step where a compiler fuses by itself.
    if torch.compiler.is_compiling():
        return _reference(q, first, candidate, given, steps)
    # Errors of half precision would add up over the steps: autocast ends here.
    with torch.autocast(q.device.type, enabled=False):
        return _GRUSteps.apply(q, first, candidate, given.to(q.dtype), steps)


def _reference(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int) -> Tensor:
    n, c = q.shape
    apart = given.size(1) != c or steps == 1
    states = []
    for step in range(steps):
        fixed = given[:, step * c : (step + 1) * c] if apart else given
        gates = torch.addmm(fixed[: first.size(0)], first, q)
        last = fixed[2 * n :] if first.size(0) == 2 * n else gates[2 * n :]
        update, reset = torch.sigmoid(gates[: 2 * n]).split(n)
        q = torch.lerp(q, torch.tanh(torch.addmm(last, candidate, reset * q)), update)
        states.append(q)
    return torch.stack(states)


class _GRUSteps(torch.autograd.Function):
    """Each step writes where its values are kept; autograd sees one operator."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int) -> Tensor:
        n, c = q.shape
        rows = first.size(0)
        apart = given.size(1) == steps * c
        fixed = given.view(3 * n, -1, c).unbind(1)
        gates = q.new_empty(steps, 3 * n, c)  # sigmoid of U and R, and tanh of the candidate
        states = q.new_empty(steps + 1, n, c)
        states[0] = q
        q_at, product_at, opened_at = states.unbind(0), gates[:, :rows].unbind(0), gates[:, : 2 * n].unbind(0)
        update_at, reset_at, new_at = (part.unbind(0) for part in gates.split(n, 1))
        for t in range(steps):
            now = fixed[t if apart else 0]
            torch.addmm(now[:rows], first, q_at[t], out=product_at[t])
            opened_at[t].sigmoid_()
            last = new_at[t] if rows == 3 * n else now[2 * n :]
            # tanh(x) = 2 sigmoid(2x) - 1: torch's tanh takes many times as long on small matrices.
            twice = torch.addmm(last, candidate, reset_at[t] * q_at[t], beta=2, alpha=2, out=new_at[t])
            twice.sigmoid_().mul_(2).sub_(1)
            torch.lerp(q_at[t], new_at[t], update_at[t], out=q_at[t + 1])
        ctx.save_for_backward(q, first, candidate, given, gates, states)
        ctx.apart, ctx.steps = apart, steps
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, first, candidate, given, gates, states = ctx.saved_tensors
        steps, apart, rows, n = ctx.steps, ctx.apart, first.size(0), q.size(0)

        def kernel(grad: Tensor) -> tuple[Tensor, ...]:
            before = states[:-1]
            update, reset, new = gates.split(n, 1)
            # What each step's gradients are multiplied by, for all steps at once.
            by_new = _tanh(update, new).unbind(0)
            by_update = _sigmoid(new - before, update).unbind(0)
            by_reset = _sigmoid(before, reset).unbind(0)
            kept, reset_at, grad_at = (1 - update).unbind(0), reset.unbind(0), grad.unbind(0)
            found = torch.empty_like(gates)
            product_at = found[:, :rows].unbind(0)
            to_update, to_reset, to_new = (part.unbind(0) for part in found.split(n, 1))
            first_t, candidate_t = first.t(), candidate.t()
            carried = torch.zeros_like(q)
            for t in range(steps - 1, -1, -1):
                carried += grad_at[t]
                torch.mul(carried, by_new[t], out=to_new[t])
                torch.mul(carried, by_update[t], out=to_update[t])
                inner = candidate_t @ to_new[t]
                torch.mul(inner, by_reset[t], out=to_reset[t])
                carried.mul_(kept[t]).addcmul_(inner, reset_at[t]).addmm_(first_t, product_at[t])
            # The weights of all steps at once: two products with long rows instead of two per step.
            columns = found.transpose(0, 1).reshape(3 * n, -1)
            to_first = columns[:rows] @ _rows(before)
            to_candidate = columns[2 * n :] @ _rows(reset * before)
            to_given = columns if apart else found.sum(0)
            return carried, to_first, to_candidate, to_given

        def again(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor) -> Tensor:
            return _reference(q, first, candidate, given, steps)

        return *backward(kernel, again, grad, (q, first, candidate, given)), None


def _rows(steps: Tensor) -> Tensor:
    """``[T, n, c] -> [T * c, n]``."""
    return steps.transpose(1, 2).reshape(-1, steps.size(1))
