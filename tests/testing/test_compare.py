from __future__ import annotations

import pytest
import torch

from graphkit.testing import BrokenClaim
from graphkit.testing.compare import format_row, require_equal, require_finite

NAN, INF = float("nan"), float("inf")


def test_equal_within_tolerance_of_the_largest_value() -> None:
    expected = torch.tensor([[1000.0], [0.0]], dtype=torch.float64)
    require_equal("batch", expected, expected + 1e-12)
    with pytest.raises(BrokenClaim, match="2 of 2 nodes differ"):
        require_equal("batch", expected, expected + 2e-6)


def test_names_the_worst_row_by_the_users_index() -> None:
    expected = torch.zeros(4, 2, dtype=torch.float64)
    got = expected.clone()
    got[1, 0], got[3, 1] = 0.5, -2.0
    with pytest.raises(BrokenClaim, match=r"edge 13 differs here: expected \[0, 0\], got \[0, -2\]") as caught:
        require_equal("locality", expected, got, element="edge", ids=torch.tensor([10, 11, 12, 13]), context="here")
    assert caught.value.index == 13
    assert caught.value.error == 2.0


@pytest.mark.parametrize("wrong", [NAN, INF])
def test_not_finite_against_finite_differs(wrong: float) -> None:
    with pytest.raises(BrokenClaim, match="node 0 differs"):
        require_equal("batch", torch.tensor([1.0]), torch.tensor([wrong]))


@pytest.mark.parametrize("value", [NAN, INF])
def test_not_finite_on_both_sides_is_equal(value: float) -> None:
    require_equal("batch", torch.tensor([value, 1.0]), torch.tensor([value, 1.0]))


def test_shapes_must_agree() -> None:
    with pytest.raises(BrokenClaim, match=r"shape \[3, 2\], expected \[2, 2\]"):
        require_equal("bipartite", torch.zeros(2, 2), torch.zeros(3, 2))


def test_empty_and_scalar_tensors() -> None:
    require_equal("batch", torch.zeros(0, 3), torch.zeros(0, 3))
    with pytest.raises(BrokenClaim, match="graph 0 differs"):
        require_equal("batch", torch.tensor(1.0), torch.tensor(2.0), element="graph")


def test_integers_are_compared_exactly() -> None:
    with pytest.raises(BrokenClaim, match="edge 1 differs"):
        require_equal("inputs_untouched", torch.tensor([10**6, 5]), torch.tensor([10**6, 6]), element="edge")


def test_finite() -> None:
    require_finite("empty_graph", torch.zeros(0, 2))
    with pytest.raises(BrokenClaim, match=r"node 1 is not finite: got \[inf, 0\]"):
        require_finite("empty_graph", torch.tensor([[0.0, 0.0], [INF, 0.0]]))


def test_format_row_is_short() -> None:
    assert format_row(torch.arange(100.0)) == "[0, 1, 2, 3, ...]"
