from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import SAGEConv

from graphkit import testing
from graphkit.testing import CannotRun, assert_claim, assert_permutation_equivariant, example_data


class Broken(nn.Module):
    """Breaks every property that has an assertion of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 8)

    def forward(self, x: Any, edge_index: Tensor) -> Tensor:
        if isinstance(x, tuple) or type(edge_index) is not Tensor:
            raise TypeError("only plain tensors")
        number = torch.arange(edge_index.size(1), dtype=x.dtype)
        out = torch.zeros_like(x).index_add(
            0, edge_index[1], (number * x[edge_index[0], 0].detach())[:, None].expand(-1, 8)
        )
        return out + x[0] if out.sum() > 0 else out + x[0] - out.mean(dim=0)


ASSERTIONS: list[Callable[..., None]] = [
    testing.assert_permutation_equivariant,
    testing.assert_edge_permutation_invariant,
    testing.assert_batch_consistent,
    testing.assert_local,
    testing.assert_layout_invariant,
    testing.assert_bipartite,
    testing.assert_gradients,
    testing.assert_gradient_equivariant,
    testing.assert_compiles,
    testing.assert_explainable,
]
CLAIM = dict(
    zip(
        ASSERTIONS,
        [
            "permutation",
            "edge_permutation",
            "batch",
            "locality",
            "layouts",
            "bipartite",
            "gradcheck",
            "gradient_equivariance",
            "compile",
            "explain",
        ],
        strict=True,
    )
)


@pytest.mark.parametrize("assertion", ASSERTIONS)
def test_assertion_names_its_property(assertion: Callable[..., None]) -> None:
    assertion(SAGEConv(8, 8))
    with pytest.raises(AssertionError, match=f"^{CLAIM[assertion]}: .*seed=4$"):
        assertion(Broken, seed=4)


def test_every_assertion_is_tested() -> None:
    named = {name for name in testing.__all__ if name.startswith("assert_")}
    elsewhere = {"assert_claim", "assert_equivariant"}  # test_groups.py, test_special.py
    elsewhere |= {"assert_causal", "assert_gauge_equivariant", "assert_sign_invariant"}
    assert named == {f.__name__ for f in ASSERTIONS} | elsewhere


def test_users_data() -> None:
    assert_permutation_equivariant(SAGEConv(5, 8), example_data(("x",), channels=5, num_nodes=30))


def test_a_claim_that_does_not_apply_is_not_silently_true() -> None:
    with pytest.raises(CannotRun, match="empty_groups does not apply: the layer is no aggregation"):
        assert_claim("empty_groups", SAGEConv(8, 8))


def test_traceback_hides_the_suite() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_permutation_equivariant(Broken)
    shown = [
        entry
        for entry in caught.traceback.filter(caught)
        if "graphkit" in str(entry.path) and "tests" not in str(entry.path)
    ]
    assert [entry.name for entry in shown if entry.name.startswith(("assert_", "require_", "_assert", "run"))] == []
