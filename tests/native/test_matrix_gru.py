"""The matrix GRU's kernel against the same steps by torch, at sizes that fill neither vectors nor blocks."""

from __future__ import annotations

import pytest
import torch

from graphkit import native
from graphkit.native import matrix_gru as kernel
from graphkit.nn.temporal import recurrence

pytestmark = pytest.mark.skipif(not native.available(), reason=f"native kernels: {native.why_not()}")


def tensors(size: int, columns: int, steps: int, own: bool, dtype: torch.dtype) -> list[torch.Tensor]:
    rows, given = (3 * size, columns) if own else (2 * size, steps * columns)
    shapes = ((columns, size), (rows, size), (size, size), (given, 3 * size))
    return [torch.randn(shape, dtype=torch.float64).div(2).to(dtype) for shape in shapes]


@pytest.mark.parametrize(("size", "columns", "steps"), [(3, 2, 3), (33, 50, 4), (1, 1, 1), (70, 31, 3), (24, 65, 2)])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(size: int, columns: int, steps: int, own: bool, dtype: torch.dtype) -> None:
    q, first, candidate, given = tensors(size, columns, steps, own, dtype)
    close = {"rtol": 1e-11, "atol": 1e-12} if dtype is torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    expected = recurrence._forward(q, first, candidate, given, steps)
    found = kernel.matrix_gru(q, first, candidate, given, steps)
    torch.testing.assert_close(found, expected, **close)
    gates, _, states = expected
    for last in (True, False):
        grad, apart = torch.randn_like(states[1:])[-1 if last else 0 :], given.size(0) != columns
        arguments = (grad, first, candidate, gates, states, last, apart)
        for a, b in zip(kernel.matrix_gru_backward(*arguments), recurrence._backward(*arguments), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, **close)


def test_threads_change_no_bit() -> None:
    q, first, candidate, given = tensors(40, 100, 12, True, torch.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            gates, opened, states = kernel.matrix_gru(q, first, candidate, given, 12)
            to = kernel.matrix_gru_backward(states[-1:], first, candidate, gates, states, True, False)
            found.append((gates, opened, states, *to))
    finally:
        torch.set_num_threads(threads)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_saturated_gates_are_exact_and_nan_stays() -> None:
    q, first, candidate, given = tensors(5, 3, 1, True, torch.float32)
    far = torch.full_like(given, -1e4)
    _, _, states = kernel.matrix_gru(q, first, candidate, far, 1)
    assert states[1].equal(q)  # the update gate is shut
    far[0, 0] = torch.nan
    _, _, states = kernel.matrix_gru(q, first, candidate, far, 1)
    assert states[1].isnan().nonzero().tolist() == [[0, 0]]


def test_only_what_it_computes_with_is_taken() -> None:
    single, double = torch.zeros(2), torch.zeros(2, dtype=torch.float64)
    cases = [(single, single), (double,), (single, double), (single.bfloat16(),), (torch.zeros(2, device="meta"),)]
    assert [kernel.takes(*case) for case in cases] == [True, True, False, False, False]
