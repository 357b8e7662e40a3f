"""Neural spacetimes: the published numbers, the relaxed triangle inequality, the partial order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import ops
from graphkit.ops.spacetime import relaxation
from tests.golden.snowflake_golden import golden


@pytest.mark.parametrize("i", [0, 1, 2])
def test_golden_activation(i: int) -> None:
    z = golden("spacetime_v2")
    x, s, small = (z[f"act{i}/{n}"].clone().requires_grad_() for n in "xsl")
    y = ops.two_sided_power(x, 1 + s.abs(), 1 + small.abs())
    torch.testing.assert_close(y, z[f"act{i}/y"], rtol=1e-12, atol=0)
    y.sum().backward()
    for leaf, name in ((x, "x"), (s, "s"), (small, "l")):
        torch.testing.assert_close(leaf.grad, z[f"act{i}/grad_{name}"], rtol=1e-12, atol=1e-15)


def test_golden_quasi_metric() -> None:
    z = golden("spacetime_v2")
    leaves = [
        (z[f"v2/act{i}/s"].clone().requires_grad_(), z[f"v2/act{i}/l"].clone().requires_grad_()) for i in range(4)
    ]
    powers = [(1 + s.abs(), 1 + large.abs()) for s, large in leaves]
    weights = [z[f"v2/W{i}/effective"].clone().requires_grad_() for i in range(3)]
    x, y = z["v2/x"].clone().requires_grad_(), z["v2/y"].clone().requires_grad_()
    distance = ops.quasi_metric(x, y, powers, weights)
    torch.testing.assert_close(distance, z["v2/dist"].squeeze(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(ops.quasi_metric(y, x, powers, weights), z["v2/dist_swapped"].squeeze(1))
    distance[1:].sum().backward()
    torch.testing.assert_close(x.grad, z["v2/grad_x"], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(y.grad, z["v2/grad_y"], rtol=1e-10, atol=1e-14)
    for i, (s, large) in enumerate(leaves):
        torch.testing.assert_close(s.grad, z[f"v2/act{i}/grad_s"], rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(large.grad, z[f"v2/act{i}/grad_l"], rtol=1e-10, atol=1e-14)


def test_golden_partial_order() -> None:
    z = golden("spacetime_v2")
    powers = [z[f"po/act{i}/s"].abs() for i in range(3)]
    weights = [z[f"po/W{i}/effective"] for i in range(3)]
    out = ops.partial_order(z["po/z"], powers, weights, [z[f"po/b{i}"] for i in range(3)])
    torch.testing.assert_close(out, z["po/out"], rtol=1e-12, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 2.5), st.floats(0.3, 2.5))
def test_relaxed_triangle_inequality(seed: int, small: float, large: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    powers = [(1.0, 1.0), (small, large), (large, small)]
    weights = [torch.rand(3, 4, generator=generator).double(), torch.rand(4, 1, generator=generator).double()]
    x = 2 * torch.randn(10, 3, generator=generator, dtype=torch.float64)
    d = ops.quasi_metric(x.unsqueeze(1), x.unsqueeze(0), powers, weights)
    torch.testing.assert_close(d, d.T, rtol=1e-12, atol=0)
    assert bool((d.diagonal() == 0).all())
    through = d.unsqueeze(2) + d.unsqueeze(0)
    assert bool((d.unsqueeze(1) <= relaxation(powers) * through * (1 + 1e-9)).all())


def test_slope_at_zero_is_finite_with_a_shift() -> None:
    x = torch.zeros(3, requires_grad=True)
    s = torch.tensor(0.4, requires_grad=True)
    ops.two_sided_power(x, s, torch.tensor(0.5), 1e-6).sum().backward()
    assert bool(x.grad.isfinite().all())
    assert bool(s.grad.isfinite())


def test_time_is_increasing() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.rand(2, 5, generator=generator), torch.rand(5, 2, generator=generator)]
    biases = [torch.randn(5, generator=generator), torch.randn(2, generator=generator)]
    z = torch.randn(100, 2, generator=generator)
    later = z + torch.rand(100, 2, generator=generator)
    before, after = (ops.partial_order(part, [0.5, 0.7], weights, biases) for part in (z, later))
    assert bool((before <= after).all())
