"""Many steps of a matrix GRU as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.native.matrix_gru import matrix_gru, matrix_gru_backward, takes
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
    """Autograd sees one operator: of native kernels where there are any, else of torch's."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int, last: bool) -> Tensor:
        run = matrix_gru if takes(q, first, candidate, given) else _forward
        gates, opened, states = run(q, first, candidate, given, steps)
        ctx.save_for_backward(q, first, candidate, given, gates, opened, states)
        ctx.steps, ctx.last = steps, last
        return states[-1:] if last else states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, first, candidate, given, gates, opened, states = ctx.saved_tensors
        steps, last, rows, n = ctx.steps, ctx.last, first.size(0), q.size(1)
        apart = given.size(0) == steps * q.size(0)
        run = matrix_gru_backward if takes(grad, q, first, candidate, given) else _backward

        def kernel(grad: Tensor) -> tuple[Tensor, ...]:
            to_q, to_gates, to_given = run(grad, first, candidate, gates, states, last, apart)
            # The weights of all steps at once: two products with long rows instead of two per step.
            columns = to_gates.view(-1, 3 * n).t()
            to_first = columns[:rows] @ states[:-1].reshape(-1, n)
            to_candidate = columns[2 * n :] @ opened.view(-1, n)
            return to_q, to_first, to_candidate, to_gates.view_as(given) if to_given is None else to_given

        def again(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor) -> Tensor:
            return _reference(q, first, candidate, given, steps, last)

        return *backward(kernel, again, grad, (q, first, candidate, given)), None, None


def _forward(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`~graphkit.native.matrix_gru.matrix_gru`: each step writes where its values are kept."""
    c, n = q.shape
    rows, apart = first.size(0), given.size(0) == steps * c
    fixed = given.contiguous().view(-1, c, 3 * n).unbind(0)
    gates = q.new_empty(steps, c, 3 * n)  # sigmoid of U and R, and tanh of the candidate
    opened = q.new_empty(steps, c, n)  # the state behind the reset gate
    states = q.new_empty(steps + 1, c, n)
    states[0] = q
    # Laid out anew: the BLAS's sums over a transposed factor depend on the number of threads.
    first_t, candidate_t = first.t().contiguous(), candidate.t().contiguous()
    for t in range(steps):
        before, now = states[t], fixed[t if apart else 0]
        update, reset, new = gates[t].split(n, 1)
        torch.addmm(now[:, :rows], before, first_t, out=gates[t, :, :rows])
        gates[t, :, : 2 * n].sigmoid_()
        torch.mul(reset, before, out=opened[t])
        torch.addmm(new if rows == 3 * n else now[:, 2 * n :], opened[t], candidate_t, out=new).tanh_()
        torch.lerp(before, new, update, out=states[t + 1])
    return gates, opened, states


def _backward(
    grad: Tensor, first: Tensor, candidate: Tensor, gates: Tensor, states: Tensor, last: bool, apart: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As :func:`~graphkit.native.matrix_gru.matrix_gru_backward`."""
    before, n, rows = states[:-1], states.size(2), first.size(0)
    update, reset, new = gates.split(n, 2)
    # What each step's gradients are multiplied by, for all steps at once.
    by_update, by_reset = _sigmoid(new - before, update), _sigmoid(before, reset)
    by_new = _tanh(update, new)
    found = torch.empty_like(gates)
    carried = grad[-1].clone(memory_format=torch.contiguous_format)
    for t in range(gates.size(0) - 1, -1, -1):
        to_update, to_reset, to_new = found[t].split(n, 1)
        torch.mul(carried, by_update[t], out=to_update)
        torch.mul(carried, by_new[t], out=to_new)
        inner = to_new @ candidate
        torch.mul(inner, by_reset[t], out=to_reset)
        carried.addcmul_(carried, update[t], value=-1).addcmul_(inner, reset[t])
        carried.addmm_(found[t, :, :rows], first)
        if t and not last:
            carried += grad[t - 1]
    return carried, found, None if apart else found.sum(0)
