"""The snowflake: the golden vectors, the properties that the paper proves, and slopes at 0."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphkit import ops
from graphkit.ops import SnowflakeLayer
from tests.golden.snowflake_golden import golden, layers_of, section

CASES = ("one_layer_p0", "one_layer_p06", "three_layer_pneg035", "three_layer_p0")


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b).abs().max() / b.abs().max().clamp(min=1e-300))


@pytest.mark.parametrize("name", CASES)
def test_golden_values_and_gradients(name: str) -> None:
    case = section(golden("snowflake_v1"), f"{name}/")
    layers, p = layers_of(case), case["p"].clone().requires_grad_()
    torch.testing.assert_close(ops.snowflake(case["t"], layers, p, 0.0), case["f"], rtol=1e-12, atol=0)
    t = case["t"][1:].clone().requires_grad_()
    (ops.snowflake(t, layers, p, 0.0) * case["w"]).sum().backward()
    assert relative(t.grad, case["grad_t"]) < 1e-12
    assert float((p.grad - case["grad_p"]).abs()) <= 1e-12 * float(case["grad_p"].abs()) + 1e-300
    for j, layer in enumerate(layers):
        for field in "ABCab":
            assert relative(getattr(layer, field).grad, case[f"layer{j}/grad_{field}"]) < 1e-12


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("eps", ["1e-06", "0.001"])
def test_golden_of_the_safe_form(name: str, eps: str) -> None:
    case = section(golden("snowflake_v1"), f"{name}/")
    layers, t = layers_of(case), case["t"].clone().requires_grad_()
    value = ops.snowflake(t, layers, case["p"], float(eps))
    assert relative(value, case[f"f_safe_eps{eps}"]) < 1e-12
    (slope,) = torch.autograd.grad(value.sum(), t)
    # The golden slope subtracts in float64 where ours does not: at t = 1e-12 it is right to 4e-8 of itself.
    assert relative(slope, case[f"grad_t_safe_eps{eps}"]) < 1e-9
    assert relative(ops.snowflake_slope(t, layers, case["p"], float(eps)), slope.detach()) < 1e-12


@pytest.mark.parametrize(("name", "which"), [("exp", 0), ("pow", 1), ("log", 2)])
def test_each_shape_alone(name: str, which: int) -> None:
    case = section(golden("snowflake_v1"), f"single_{name}/")
    one = torch.ones(1, 1, dtype=torch.float64)
    weights = torch.eye(3, dtype=torch.float64)[which]
    layer = SnowflakeLayer(one, one, weights, *torch.tensor([0.5, 0.7], dtype=torch.float64))
    torch.testing.assert_close(ops.snowflake(case["t"], [layer], 0.0, 0.0), case["f"], rtol=1e-12, atol=0)


def test_pairs_keep_the_euclidean_order() -> None:
    arrays = golden("snowflake_v1")
    case = section(arrays, "three_layer_pneg035/")
    layers = [SnowflakeLayer(*(part.detach() for part in layer)) for layer in layers_of(case)]
    x = arrays["pairwise/x"]
    distance = ops.safe_norm(x.unsqueeze(1) - x.unsqueeze(0))
    torch.testing.assert_close(distance, arrays["pairwise/euclid"])
    value = ops.snowflake(distance, layers, case["p"], 0.0)
    torch.testing.assert_close(value, arrays["pairwise/f"].double(), rtol=1e-10, atol=1e-14)
    assert torch.equal(ops.nearest_neighbors(x, 5).indices, arrays["pairwise/knn5_excl_self"].long())
    triangles = value.unsqueeze(2) / (value.unsqueeze(1) + value.unsqueeze(0)).clamp(min=1e-300)
    assert float(triangles.max()) <= float(arrays["pairwise/relaxed_triangle_bound"])


def draw_layers(seed: int, count: int) -> list[SnowflakeLayer]:
    generator = torch.Generator().manual_seed(seed)

    def positive(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64) * 2 + 0.01

    widths = [1, *[3] * (count - 1), 1]
    exponents = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 0.95 + 0.05
    return [
        SnowflakeLayer(positive(4, widths[j]), positive(widths[j + 1], 4), positive(3), *exponents[j])
        for j in range(count)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.floats(-2, 2))
def test_a_relaxed_metric(seed: int, count: int, p: float) -> None:
    """0 at 0, strictly increasing, and the triangle inequality up to 2^|p|; exactly for p = 0."""
    layers = draw_layers(seed, count)
    t = torch.cat([torch.zeros(1), torch.logspace(-6, 4, 60)]).double()
    for outer in (0.0, p):
        value = ops.snowflake(t, layers, outer)
        assert value[0] == 0
        assert bool((value.diff() > 0).all())
        assert bool((ops.snowflake_slope(t, layers, outer)[1:] > 0).all())
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
        d = ops.snowflake(ops.safe_norm(x.unsqueeze(1) - x.unsqueeze(0)), layers, outer)
        assert torch.equal(d, d.T)
        through = d.unsqueeze(2) + d.unsqueeze(0)  # d(x, y) + d(y, z), at [x, y, z]
        assert bool((d.unsqueeze(1) <= 2 ** abs(outer) * through * (1 + 1e-12)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(dtype: torch.dtype) -> None:
    layers = [
        SnowflakeLayer(*(part.to(dtype).detach().requires_grad_() for part in layer)) for layer in draw_layers(0, 3)
    ]
    t = torch.tensor([0.0, 0.0, 1e-30, 1e-6, 1.0, 1e6, 1e15], dtype=dtype, requires_grad=True)
    value = ops.snowflake(t, layers, torch.tensor(0.3, dtype=dtype))
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert bool(t.grad.isfinite().all())
    assert all(bool(part.grad.isfinite().all()) for layer in layers for part in layer)


def test_gradcheck() -> None:
    layers = draw_layers(1, 2)
    p = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    parts = [part.detach().requires_grad_() for layer in layers for part in layer]
    t = torch.tensor([0.05, 0.7, 3.0], dtype=torch.float64, requires_grad=True)

    def run(t: Tensor, p: Tensor, *parts: Tensor) -> Tensor:
        return ops.snowflake(t, [SnowflakeLayer(*parts[5 * j : 5 * j + 5]) for j in range(2)], p)

    assert torch.autograd.gradcheck(run, (t, p, *parts))


def test_long_inputs_are_recomputed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, t = draw_layers(2, 2), torch.rand(50, dtype=torch.float64)
    whole, pieces = t.clone().requires_grad_(), t.clone().requires_grad_()
    ops.snowflake(whole, layers, 0.5).sum().backward()
    monkeypatch.setattr(sys.modules["graphkit.ops.snowflake"], "_PIECE", 16)
    value = ops.snowflake(pieces, layers, 0.5)
    value.sum().backward()
    torch.testing.assert_close(pieces.grad, whole.grad)


def test_safe_norm_at_far_and_near_points() -> None:
    x = torch.tensor([[0.0, 0.0], [3e-30, 4e-30], [3e30, 4e30]], requires_grad=True)
    norm = ops.safe_norm(x)
    torch.testing.assert_close(norm, torch.tensor([0.0, 5e-30, 5e30]))
    norm.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))
