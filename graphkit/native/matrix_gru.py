"""The kernel of many steps of a GRU whose state is a matrix."""

from __future__ import annotations

import ctypes
import struct

import torch
from torch import Tensor

from graphkit.native import library

__all__ = ["matrix_gru", "matrix_gru_backward", "takes"]

# MatrixGRUArgs of src/matrix_gru.h: 8 integers, 10 addresses.
_pack = struct.Struct("=8q10Q").pack


def takes(*tensors: Tensor) -> bool:
    """Whether the kernel computes with these tensors: on the CPU, all float32 or all float64."""
    dtype = tensors[0].dtype
    return (
        dtype in (torch.float32, torch.float64)
        and all(tensor.dtype is dtype and tensor.device.type == "cpu" for tensor in tensors)
        and library.available()
    )


def matrix_gru(q: Tensor, first: Tensor, candidate: Tensor, given: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`graphkit.nn.temporal.recurrence.gru_steps` keeps: gates ``[T, c, 3n]``, the states behind the reset
    gates ``[T, c, n]``, and all states ``[T + 1, c, n]``; without autograd or checks.
    """
    columns, size = q.shape
    gates, opened = q.new_empty(steps, columns, 3 * size), q.new_empty(steps, columns, size)
    states = q.new_empty(steps + 1, columns, size)
    states[0] = q
    first, candidate, given = first.contiguous(), candidate.contiguous(), given.contiguous()
    _run(first, candidate, gates, states, steps, False, given=given, opened=opened)
    return gates, opened, states


def matrix_gru_backward(
    grad: Tensor, first: Tensor, candidate: Tensor, gates: Tensor, states: Tensor, last: bool, apart: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients to the first state, to what the functions of the gates are of ``[T, c, 3n]``, and their sum over the
    steps ``[c, 3n]``.

    Args:
        grad: to the states after each step, or to the last one.
        first, candidate: as in the forward call.
        gates, states: its results.
        last: whether ``grad`` is that to the last one.
        apart: leave out the sum.
    """
    to_gates, to_state = torch.empty_like(gates), torch.empty_like(states[0])
    to_given = None if apart else torch.empty_like(gates[0])
    _run(
        first.contiguous(), candidate.contiguous(), gates, states, gates.size(0), last,
        grad=grad.contiguous(), to=(to_gates, to_given, to_state),
    )  # fmt: skip
    return to_state, to_gates, to_given


def _run(
    first: Tensor, candidate: Tensor, gates: Tensor, states: Tensor, steps: int, last: bool, *,
    given: Tensor | None = None, opened: Tensor | None = None, grad: Tensor | None = None,
    to: tuple[Tensor | None, ...] = (None, None, None),
) -> None:  # fmt: skip
    _, columns, size = states.shape
    apart = given is not None and given.size(0) == steps * columns
    own = first.size(0) == 3 * size
    arguments = _pack(
        gates.dtype is torch.float64, torch.get_num_threads(), steps, columns, size, own, apart, last,
        *(0 if t is None else t.data_ptr() for t in (first, candidate, given, grad, gates, opened, states, *to)),
    )  # fmt: skip
    if library.load().graphkit_matrix_gru(ctypes.c_char_p(arguments)) != 0:
        raise MemoryError("the matrix GRU's kernel found no memory for its buffers")
