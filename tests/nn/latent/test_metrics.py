"""Metrics of points: axioms, where they are exact, gradients everywhere, published numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from graphkit.nn import NeuralSnowflake, NeuralSpacetime, ProductManifold
from graphkit.nn.latent import Euclidean, Metric, PoincareBall
from tests.golden.snowflake_golden import golden

METRICS: dict[str, Callable[[], Metric]] = {
    "euclidean": Euclidean,
    "poincare": PoincareBall,
    "snowflake": NeuralSnowflake,
    "spacetime": lambda: NeuralSpacetime(3, 1),
    "product": lambda: ProductManifold([("euclidean", 1), ("hyperbolic", 2), ("spherical", 1)]),
}
every = pytest.mark.parametrize("name", METRICS)


def metric_of(name: str, seed: int = 0) -> Metric:
    torch.manual_seed(seed)
    metric = METRICS[name]().double()
    for parameter in metric.parameters():
        nn.init.normal_(parameter, parameter.mean().item(), 0.2)
    return metric


@every
def test_axioms(name: str) -> None:
    metric = metric_of(name)
    constant = float(getattr(metric, "relaxation", 1.0))
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        d = metric(x.unsqueeze(1), x.unsqueeze(0))
        assert bool((metric(x, x) == 0).all())
        assert bool((metric(x, x.clone()) == 0).all())
    torch.testing.assert_close(d, d.T, rtol=1e-12, atol=1e-14)
    assert bool((d + torch.eye(12) > 0).all())
    assert bool((d.unsqueeze(1) <= constant * (d.unsqueeze(2) + d.unsqueeze(0)) * (1 + 1e-9) + 1e-12).all())


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_at_equal_and_far_points(name: str, dtype: torch.dtype) -> None:
    metric = metric_of(name).to(dtype)
    x = torch.tensor([[0.0] * 4, [0.0] * 4, [1e-20] * 4, [0.5, 0.1, 0.2, 0.3], [300.0, 1.0, 2.0, -500.0]], dtype=dtype)
    x.requires_grad_()
    for value in (metric(x.unsqueeze(1), x.unsqueeze(0)), metric.cost(x.unsqueeze(1), x.unsqueeze(0))):
        assert bool(value.isfinite().all())
        gradients = torch.autograd.grad(value.sum(), [x, *metric.parameters()], retain_graph=True, allow_unused=True)
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None)


@every
def test_gradcheck(name: str) -> None:
    metric = metric_of(name)
    x, y = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(metric.cost, (x.requires_grad_(), y.requires_grad_()))


@every
def test_costs_that_claim_to_increase_do(name: str) -> None:
    metric = metric_of(name)
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        order = Euclidean()(x[1:], x[:1]).argsort()
        increases = bool((metric.cost(x[1:], x[:1])[order].diff() > 0).all())
    assert increases == metric.increasing  # points this random tell the others apart


def test_the_snowflake_starts_near_the_distance_and_learns_in_half_precision() -> None:
    torch.manual_seed(0)
    metric = NeuralSnowflake()
    t = torch.linspace(0, 3, 50)
    value = metric.of_distance(t).detach()
    assert value[0] == 0
    assert 0.2 < float(value[-1]) < 10
    torch.testing.assert_close(
        metric.slope(t[1:]), torch.autograd.functional.jvp(metric.of_distance, t, torch.ones(50))[1][1:]
    )
    half = metric(t.view(-1, 1).bfloat16(), torch.zeros(50, 1).bfloat16())
    assert half.dtype == torch.float32
    assert metric.relaxation == pytest.approx(2**0.05)
    half.sum().backward()
    assert all(parameter.grad is not None for parameter in metric.parameters())


def test_curvature_is_learned_by_the_scale() -> None:
    metric = ProductManifold([("hyperbolic", 2), ("euclidean", 1), ("spherical", 1)])
    assert metric.curvatures.tolist() == pytest.approx([-1, 0, 1])
    with torch.no_grad():
        metric.raw_scale += 1
    assert float(metric.curvatures[0]) > -1
    assert ProductManifold([("spherical", 2)], learn_scale=False).curvatures.tolist() == [1]


def test_product_of_euclidean_blocks_is_euclidean() -> None:
    x, y = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(ProductManifold([("euclidean", 3), ("euclidean", 1)])(x, y), Euclidean()(x, y))


def test_poincare_golden() -> None:
    z = golden("dgm_sampling")
    x: Tensor = z["x"]
    torch.testing.assert_close(PoincareBall._project(x), z["hyperbolic_xproj"])
    found = PoincareBall(legacy=True).cost(x.unsqueeze(2), x.unsqueeze(1))
    torch.testing.assert_close(found, z["hyperbolic_D"], rtol=1e-10, atol=1e-13)


def test_time_order() -> None:
    torch.manual_seed(0)
    spacetime = NeuralSpacetime(2, 2)
    x, y, z = torch.randn(3, 50, 4).unbind()
    y[:, 2:] = x[:, 2:] + y[:, 2:].abs()
    z[:, 2:] = y[:, 2:] + z[:, 2:].abs()
    for a, b in ((x, x), (x, y), (y, z), (x, z)):  # reflexive, and transitive along increasing times
        assert bool(spacetime.precedes(a, b).all())
    assert not bool(spacetime.precedes(z, x).any())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NeuralSnowflake(0), "must be positive"),
        (lambda: NeuralSpacetime(0), "must be positive"),
        (lambda: NeuralSpacetime(2)(torch.zeros(3), torch.zeros(3)), "must have 2 space"),
        (lambda: ProductManifold([]), "'blocks' must be pairs"),
        (lambda: ProductManifold([("flat", 2)]), "'blocks' must be pairs"),
        (lambda: ProductManifold([("spherical", 2)])(torch.zeros(3), torch.zeros(3)), "must have 2 coordinates"),
    ],
)
def test_bad_arguments(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
