"""Gumbel top-k of a learned cost by the native search: the graph that drawing every pair gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.native.nearest import nearest_why_not
from graphkit.nn import NeuralSnowflake
from graphkit.ops import bounded_gumbel
from graphkit.ops.bounded_gumbel import cost_table

native = pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())


def points(seed: int, dtype: torch.dtype) -> Tensor:
    x = 0.3 * torch.randn(300, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    x[10:40] = x[9]
    return x


@native
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [54.0, 3.0, 0.1])
@pytest.mark.parametrize("sets", [False, True])
def test_the_same_graph_as_in_full(dtype: torch.dtype, scale: float, sets: bool) -> None:
    torch.manual_seed(0)
    metric, x = NeuralSnowflake().to(dtype), points(1, dtype)
    batch = torch.arange(300) % 3 if sets else None
    found = ops.gumbel_topk(x, 6, metric.cost, scale=scale, seed=5, increasing=True, batch=batch)
    with ops.backend("torch"):
        full = ops.gumbel_topk(x, 6, metric.cost, scale=scale, seed=5, batch=batch)
    assert torch.equal(found, full)


@native
def test_rows_without_a_certificate_are_drawn_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    metric, x = NeuralSnowflake(), points(2, torch.float32)
    expected = ops.gumbel_topk(x, 6, metric.cost, scale=20.0, seed=5, increasing=True)
    # A table that says nothing: every pair costs nothing from below.
    monkeypatch.setattr(bounded_gumbel, "cost_table", lambda points, cost: (0, torch.zeros(1)))
    assert torch.equal(ops.gumbel_topk(x, 6, metric.cost, scale=20.0, seed=5, increasing=True), expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_table_bounds_the_cost_from_below(seed: int) -> None:
    torch.manual_seed(seed)
    metric, x = NeuralSnowflake(), points(seed, torch.float32)
    with torch.no_grad():
        first, table = cost_table(x, metric.cost)
        a, b = x[torch.randint(300, (2, 5000))].unbind()
        square = (a - b).double().square().sum(1).float()
        bins = ((square.view(torch.int32) >> bounded_gumbel.native.BIN_SHIFT) - first).clamp(0, table.numel() - 1)
        bound, cost = table[bins.long()], metric.cost(a, b)
    assert bool((bound <= cost).all())
    assert bool((table.diff() >= 0).all())
    near = (cost - bound) <= 0.01 * cost + 1e-6
    assert float(near.float().mean()) > 0.999
