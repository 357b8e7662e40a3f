"""Tolerances follow the layer: rounding that it amplifies is no broken claim, and anything larger is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing import BrokenClaim, Case, assert_claim, assert_equivariant, example_data
from graphkit.testing.conditioning import amplification


class Stiff(nn.Module):
    """A sum over neighbours whose terms nearly cancel: a million times the rounding of its inputs."""

    def __init__(self, slip: float = 0.0) -> None:
        super().__init__()
        self.slip = slip

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        total = torch.zeros_like(x).index_add(0, target, 1e6 * x[source])
        numbers = self.slip * torch.arange(x.size(0), dtype=x.dtype)[:, None]
        return total - total.mean(dim=1, keepdim=True) - 0.999999 * total + 0.999999 * total.mean(1, True) + numbers


class Apart(nn.Module):
    def forward(self, pos: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        return torch.zeros_like(pos).index_add(0, target, pos[source] - pos[target])


def far_away(distance: float) -> Data:
    data = example_data(("pos",))
    data.pos = data.pos + distance
    return data


def test_amplified_rounding_is_no_broken_claim() -> None:
    """The error is far above what a layer is allowed that amplifies nothing."""
    moved = example_data(("x",))
    order = torch.randperm(moved.num_edges)
    layer = Stiff()
    error = (layer(moved.x, moved.edge_index) - layer(moved.x, moved.edge_index[:, order])).abs().max()
    assert float(error) > 1e-12
    assert_claim("edge_permutation", Stiff)


def test_what_rounding_does_not_explain_is_one() -> None:
    with pytest.raises(BrokenClaim, match=r"permutation: node \d+ differs"):
        assert_claim("permutation", lambda: Stiff(slip=1e-6))


def test_positions_far_from_the_origin() -> None:
    assert_equivariant(Apart(), far_away(1e8), "E(3)", inputs={"pos": "position"}, outputs="vector")
    near, far = (amplification(Case(Apart(), far_away(distance))) for distance in (0.0, 1e8))
    assert far > 1e6 * near


def test_of_a_dtype() -> None:
    case = Case(Apart(), far_away(0.0))
    exact, rough = (amplification(case, dtype=dtype) for dtype in (torch.float64, torch.bfloat16))
    assert 0.1 * exact < rough < 10 * exact  # the layer is linear: the size of the step hardly matters
