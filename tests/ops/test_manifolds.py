"""Squared distances of constant curvature: golden vectors, metric axioms, gradients at coincident and far points."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from tests.golden.snowflake_golden import golden

CURVATURES = (-1.0, -0.3, 0.0, 0.45, 1.0)
NEAR = (1, 2)  # rows that differ by 1e-8 and 1e-9: their difference is rounded before we see it


def square(u: Tensor, v: Tensor, curvature: float) -> Tensor:
    if curvature < 0:
        return ops.hyperbolic_sq_distance(u, v, abs(curvature) ** 0.5)
    return ops.spherical_sq_distance(u, v, curvature**0.5) if curvature > 0 else ops.euclidean_sq_distance(u, v)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_golden(curvature: float) -> None:
    z = golden("product_manifold")
    u, v = z["u"].clone().requires_grad_(), z["v"].clone().requires_grad_()
    found, wanted = square(u, v, curvature), z[f"K{curvature:+.2f}/d"] ** 2
    others = [row for row in range(10) if row not in NEAR]
    torch.testing.assert_close(found[others], wanted[others], rtol=1e-13, atol=0)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    found.sum().backward()
    torch.testing.assert_close(v.grad, z[f"K{curvature:+.2f}/d2_grad_v"], rtol=1e-10, atol=1e-14)
    # Row 3 has u = 0, where the golden file has no gradient to u and the true one is -2 v; see the next test.
    rows = [row for row in range(10) if row != 3]
    torch.testing.assert_close(u.grad[rows], z[f"K{curvature:+.2f}/d2_grad_u"][rows], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(u.grad[3], -2 * z["v"][3])


def test_golden_product() -> None:
    z = golden("product_manifold")
    scales = z["product/scales"] ** 2
    parts = [square(z["u"], z["v"], curvature) for curvature in (0.0, -1.0, 1.0)]
    total = sum(scale * part for scale, part in zip(scales, parts, strict=True))
    torch.testing.assert_close(total, z["product/d2"], rtol=1e-6, atol=1e-50)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_gradcheck_also_at_equal_points_and_the_origin(curvature: float) -> None:
    u = torch.tensor([[0.3, -0.2], [0.5, 0.1], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[0.3, -0.2], [-0.4, 0.9], [0.2, 0.7], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, v: square(u, v, curvature), (u, v), eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_at_far_and_equal_points(curvature: float, dtype: torch.dtype) -> None:
    u = torch.tensor([[0.0, 0.0], [1e-20, 0.0], [30.0, 1.0], [1e4, -1e4], [2.0, 1.0]], dtype=dtype, requires_grad=True)
    d2 = square(u.unsqueeze(1), u.unsqueeze(0), curvature)
    assert bool((d2.diagonal() == 0).all())
    d2.sum().backward()
    assert bool(d2.isfinite().all())
    assert bool(u.grad.isfinite().all())


@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_metric(curvature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(14, 2, generator=generator, dtype=torch.float64)
    d = square(x.unsqueeze(1), x.unsqueeze(0), curvature).sqrt()
    torch.testing.assert_close(d, d.T)
    assert bool((d.unsqueeze(1) <= (d.unsqueeze(2) + d.unsqueeze(0)) * (1 + 1e-9) + 1e-12).all())
    turn = torch.linalg.qr(torch.randn(2, 2, generator=generator, dtype=torch.float64)).Q
    torch.testing.assert_close(square((x @ turn).unsqueeze(1), (x @ turn).unsqueeze(0), curvature).sqrt(), d)


def test_the_limit_of_no_curvature() -> None:
    u, v = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)).unbind()
    flat = ops.euclidean_sq_distance(u, v)
    torch.testing.assert_close(ops.hyperbolic_sq_distance(u, v, 1e-3), flat, rtol=1e-4, atol=0)
    torch.testing.assert_close(ops.spherical_sq_distance(u, v, 1e-3), flat, rtol=1e-4, atol=0)
    torch.testing.assert_close(ops.spherical_sq_distance(u, v, 1e-9), flat, rtol=1e-5, atol=0)
