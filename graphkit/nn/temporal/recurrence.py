"""Many steps of a matrix GRU as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.ops.autograd import backward

_tanh = torch.ops.aten.tanh_backward.default
_sigmoid = torch.ops.aten.sigmoid_backward.default


def gru_steps(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int, *, last: bool = False) -> Tensor:
    r"""The states after each of T steps, all matrices transposed: a row of Q is a column of the weight.

    .. math::
        [U, R, L] = P_t + [Q A^T, 0], \qquad Q' = (1 - \sigma(U)) \circ Q
        + \sigma(U) \circ \tanh(L + (\sigma(R) \circ Q) B^T)

    where A has rows for U and R, and for L too where the input of the cell is Q itself. So laid out, the gradients of A
    and B over all steps are one product each of what the steps wrote, as it stands.

    Args:
        q: the state before ``[c, n]``.
        first: A ``[2n, n]`` or ``[3n, n]``.
        candidate: B ``[n, n]``.
        given: P, what does not depend on Q: ``[T * c, 3n]``, or ``[c, 3n]`` for all steps alike.
        steps: T.
        last: give the state after the last step alone.

    Shapes:
        ``[c, n] -> [T, c, n]``, or ``[1, c, n]``
    """
    # Traced step by step where a compiler fuses by itself.
    if torch.compiler.is_compiling():
        return _reference(q, first, candidate, given, steps, last)
    # Errors of half precision would add up over the steps: autocast ends here.
    with torch.autocast(q.device.type, enabled=False):
        return _GRUSteps.apply(q, first, candidate, given.to(q.dtype), steps, last)


def _reference(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int, last: bool) -> Tensor:
    c, n = q.shape
    apart = given.size(0) != c or steps == 1
    states = []
    for step in range(steps):
        fixed = given[step * c : (step + 1) * c] if apart else given
        gates = torch.addmm(fixed[:, : first.size(0)], q, first.t())
        rest = fixed[:, 2 * n :] if first.size(0) == 2 * n else gates[:, 2 * n :]
        update, reset = torch.sigmoid(gates[:, : 2 * n]).split(n, 1)
        q = torch.lerp(q, torch.tanh(torch.addmm(rest, reset * q, candidate.t())), update)
        states.append(q)
    return torch.stack(states[-1:] if last else states)


class _GRUSteps(torch.autograd.Function):
    """Each step writes where its values are kept; autograd sees one operator."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int, last: bool) -> Tensor:
        c, n = q.shape
        rows = first.size(0)
        apart = given.size(0) == steps * c
        fixed = given.contiguous().view(-1, c, 3 * n).unbind(0)
        gates = q.new_empty(steps, c, 3 * n)  # sigmoid of U and R, and tanh of the candidate
        opened = q.new_empty(steps, c, n)  # the state behind the reset gate
        states = q.new_empty(steps + 1, c, n)
        states[0] = q
        q_at, opened_at, product_at = states.unbind(0), opened.unbind(0), gates[..., :rows].unbind(0)
        sigmoid_at = gates[..., : 2 * n].unbind(0)
        update_at, reset_at, new_at = (part.unbind(0) for part in gates.split(n, 2))
        # Laid out anew: the BLAS's sums over a transposed factor depend on the number of threads.
        first_t, candidate_t, minus = first.t().contiguous(), candidate.t().contiguous(), q.new_tensor(-1.0)
        for t in range(steps):
            now = fixed[t if apart else 0]
            torch.addmm(now[:, :rows], q_at[t], first_t, out=product_at[t])
            sigmoid_at[t].sigmoid_()
            torch.mul(reset_at[t], q_at[t], out=opened_at[t])
            rest, new = new_at[t] if rows == 3 * n else now[:, 2 * n :], new_at[t]
            # tanh(x) = 2 sigmoid(2x) - 1: torch's tanh takes many times as long on small matrices.
            torch.addmm(rest, opened_at[t], candidate_t, beta=2, alpha=2, out=new).sigmoid_()
            torch.add(minus, new, alpha=2, out=new)
            torch.lerp(q_at[t], new, update_at[t], out=q_at[t + 1])
        ctx.save_for_backward(q, first, candidate, given, gates, opened, states)
        ctx.apart, ctx.steps, ctx.last = apart, steps, last
        return states[-1:] if last else states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, first, candidate, given, gates, opened, states = ctx.saved_tensors
        steps, apart, last = ctx.steps, ctx.apart, ctx.last
        rows, n = first.size(0), q.size(1)

        def kernel(grad: Tensor) -> tuple[Tensor, ...]:
            before = states[:-1]
            update, reset, new = gates.split(n, 2)
            # What each step's gradients are multiplied by, for all steps at once.
            by_update = _sigmoid(new - before, update).unbind(0)
            by_reset = _sigmoid(before, reset).unbind(0)
            by_new = _tanh(update, new).unbind(0)
            update_at, reset_at = update.unbind(0), reset.unbind(0)
            found = torch.empty_like(gates)
            product_at = found[..., :rows].unbind(0)
            to_update, to_reset, to_new = (part.unbind(0) for part in found.split(n, 2))
            carried = grad[-1].clone(memory_format=torch.contiguous_format)
            for t in range(steps - 1, -1, -1):
                torch.mul(carried, by_update[t], out=to_update[t])
                torch.mul(carried, by_new[t], out=to_new[t])
                inner = to_new[t] @ candidate
                torch.mul(inner, by_reset[t], out=to_reset[t])
                carried.addcmul_(carried, update_at[t], value=-1).addcmul_(inner, reset_at[t])
                carried.addmm_(product_at[t], first)
                if t and not last:
                    carried += grad[t - 1]
            # The weights of all steps at once: two products with long rows instead of two per step.
            columns = found.view(-1, 3 * n).t()
            to_first = columns[:rows] @ before.reshape(-1, n)
            to_candidate = columns[2 * n :] @ opened.view(-1, n)
            to_given = found.view_as(given) if apart else found.sum(0)
            return carried, to_first, to_candidate, to_given

        def again(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor) -> Tensor:
            return _reference(q, first, candidate, given, steps, last)

        return *backward(kernel, again, grad, (q, first, candidate, given)), None, None
