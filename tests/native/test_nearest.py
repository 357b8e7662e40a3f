"""The native search: what it does without its entry in the library, and memory that it never asks for."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.native import library
from graphkit.native.nearest import BIN_SHIFT, CostTables, nearest, nearest_why_not


class Old:
    """A library from before the search was written."""


def test_an_older_library_is_named_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "available", lambda: True)
    monkeypatch.setattr(library, "load", Old)
    assert "reinstall graphkit to compile it again" in nearest_why_not()
    x = torch.randn(6, 2)
    with pytest.raises(RuntimeError, match="compile it again"):
        nearest(x.T.contiguous(), torch.arange(6), torch.zeros(6).long(), torch.full((6,), 6), 2, False)
    with pytest.raises(ValueError, match=r"compile it again.*method='matmul'"):
        ops.nearest_neighbors(x, 2, method="native")
    assert ops.nearest_neighbors(x, 2).method == "matmul"


@pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())
@pytest.mark.parametrize("loop", [False, True])
def test_ranges_and_missing_neighbours(loop: bool) -> None:
    columns = torch.tensor([[0.0, 1.0, 3.0, 7.0]])
    query, begin, end = torch.tensor([0, 2]), torch.tensor([0, 2]), torch.tensor([2, 4])
    index, key = nearest(columns, query, begin, end, 3, loop)
    assert index.tolist() == ([[0, 1, -1], [2, 3, -1]] if loop else [[1, -1, -1], [3, -1, -1]])
    assert key[0, :2].tolist() == ([0.0, 1.0] if loop else [1.0, float("inf")])


@pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())
def test_far_points_overflow_nothing() -> None:
    columns = torch.tensor([[0.0, 1e30, -1e30, 2e30, 1e-30]])  # squares beyond float32
    five = torch.arange(5)
    index, key = nearest(columns, five, torch.zeros(5).long(), torch.full((5,), 5), 2, False)
    assert index[0].tolist() == [4, 1]
    assert bool(key.isfinite().all())


@pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cost_of_two_parts(dtype: torch.dtype) -> None:
    """Squares of 1 to 2 cost 1 in the first part and 3 in the second, less cost 0, more 2 and 6; the second weighs."""
    octave = 1 << (23 - BIN_SHIFT)
    first = torch.tensor([127 * octave - 1] * 2)  # the bin before that of 1.0
    one = torch.tensor([0.0] + [1.0] * octave + [2.0])
    weight = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.5, 1.0, 4.0, 4.0]], dtype=dtype)
    tables = CostTables(torch.tensor([2, 1]), first, torch.stack([one, 3 * one]), weight)
    columns = torch.tensor([[0.0, 1.0, 1.0, 0.1], [0.0, 0.1, 5.0, 0.1], [0.0, 1.0, 0.8, 0.5]], dtype=dtype)
    query, begin, end = torch.tensor([0]), torch.tensor([0]), torch.tensor([4])
    index, key = nearest(columns, query, begin, end, 3, False, tables=tables)
    assert index.tolist() == [[3, 1, 2]]  # costs 0 + 0, 1 + 0 and 2 + 3
    assert key.tolist() == [[0.0, 1.0, 5.0]]
