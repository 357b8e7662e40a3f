"""Gumbel top-k of a learned cost by the native search: the graph that drawing every pair gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.native.nearest import CostTables, nearest_why_not
from graphkit.nn import NeuralSnowflake, ProductManifold
from graphkit.nn.latent import Metric, PoincareBall
from graphkit.ops import bounded_gumbel
from graphkit.ops.bounded_gumbel import cost_tables
from graphkit.ops.point_sets import CostPart

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


SUMS: dict[str, Metric] = {
    "three spaces": ProductManifold([("euclidean", 2), ("hyperbolic", 1), ("spherical", 1)]),
    "curved": ProductManifold([("spherical", 1), ("hyperbolic", 3)]),
    "ball": PoincareBall(),
    "published ball": PoincareBall(legacy=True),
}


@native
@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("noise_scale", [1.0, 0.0])
@pytest.mark.parametrize("spread", [1.0, 10.0])
def test_sums_of_parts(name: str, noise_scale: float, spread: float) -> None:
    metric, x = SUMS[name], spread * points(3, torch.float32)
    with torch.no_grad():
        parts = metric.parts(x)
    assert parts is not None
    for batch in (None, torch.arange(300) % 3):
        options: dict[str, Any] = {"scale": 3.0, "noise_scale": noise_scale, "seed": 5, "batch": batch, "parts": parts}
        found = ops.gumbel_topk(x, 6, metric.cost, **options)
        with ops.backend("torch"):
            assert torch.equal(found, ops.gumbel_topk(x, 6, metric.cost, **options))


@pytest.mark.parametrize("name", SUMS)
def test_parts_add_up_to_the_cost(name: str) -> None:
    x = 2 * torch.randn(40, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x[3] = x[5]
    total = torch.zeros(40, 40, dtype=torch.float64)
    with torch.no_grad():
        for place, weight, cost in SUMS[name].parts(x) or ():
            square = (place.unsqueeze(1) - place.unsqueeze(0)).square().sum(2)
            total += cost(square if weight is None else square * weight.unsqueeze(1) * weight)
        torch.testing.assert_close(total, SUMS[name].cost(x.unsqueeze(1), x.unsqueeze(0)), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("kind", ["hyperbolic", "spherical"])
def test_points_too_far_for_a_chart_have_no_parts(kind: str) -> None:
    metric, x = ProductManifold([(kind, 2)]), torch.tensor([[0.0, 0.0], [0.0, 2e4], [1.0, 0.0]])
    assert metric.parts(x) is None
    assert metric.parts(x[:1]) is not None
    assert ops.gumbel_topk(x, 1, metric.cost, noise_scale=0.0).shape == (3, 1)


@native
def test_rows_without_a_certificate_are_drawn_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    metric, x = NeuralSnowflake(), points(2, torch.float32)
    expected = ops.gumbel_topk(x, 6, metric.cost, scale=20.0, seed=5, increasing=True)
    # A table that says nothing: every pair costs nothing from below.
    nothing = CostTables(torch.tensor([4]), torch.tensor([0]), torch.zeros(1, 1))
    monkeypatch.setattr(bounded_gumbel, "cost_tables", lambda parts: nothing)
    assert torch.equal(ops.gumbel_topk(x, 6, metric.cost, scale=20.0, seed=5, increasing=True), expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_table_bounds_the_cost_from_below(seed: int) -> None:
    torch.manual_seed(seed)
    metric, x = NeuralSnowflake(), points(seed, torch.float32)
    with torch.no_grad():
        of_square = bounded_gumbel._of_square(x, metric.cost)
        _, (first,), (table,), weight = cost_tables([CostPart(x, None, of_square)])
        a, b = x[torch.randint(300, (2, 5000))].unbind()
        square = (a - b).double().square().sum(1).float()
        bins = ((square.view(torch.int32) >> bounded_gumbel.native.BIN_SHIFT) - first).clamp(0, table.numel() - 1)
        bound, cost = table[bins.long()], metric.cost(a, b)
    assert weight is None
    assert bool((bound <= cost).all())
    assert bool((table.diff() >= 0).all())
    near = (cost - bound) <= 0.01 * cost + 1e-6
    assert float(near.float().mean()) > 0.999
