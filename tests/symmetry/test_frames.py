"""Frames against the published code's, and eigenvectors at every spectrum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.symmetry import Euclidean, frame_condition, pca_frame, symmetric_eigen
from graphkit.symmetry.cloud import make_cloud
from tests.golden.frame_averaging_arrays import arrays


@pytest.mark.parametrize("clouds", ["n5", "n16", "planar", "d2"])
def test_published_frames(clouds: str) -> None:
    golden = arrays("frames")
    x = golden[f"{clouds}_X"]
    number, points, dim = x.shape
    batch = torch.arange(number).repeat_interleave(points)
    for group, name in ((f"E({dim})", "O"), (f"SE({dim})", "SO")):
        frame = Euclidean.named(group).frame(x.flatten(0, 1), batch=batch)
        assert_same_sets(frame.elements(), golden[f"{clouds}_frames_{name}{dim}"])
        assert torch.allclose(torch.linalg.det(frame.elements()) > 0, torch.tensor(True)) or name == "O"
    if clouds != "d2":
        frame = Euclidean.named("E(3)").frame(x.flatten(0, 1), batch=batch)
        torch.testing.assert_close(frame.center, golden[f"{clouds}_center"][:, 0])
        torch.testing.assert_close(frame.eigenvalues, golden[f"{clouds}_eigvals"], rtol=0, atol=1e-13)
        local = frame.canonicalize(x.flatten(0, 1), "position").reshape(8, number, points, 3).transpose(0, 1)
        assert_same_sets(local, golden[f"{clouds}_canonical_O3"])
        back = frame.restore(frame.canonicalize(x.flatten(0, 1), "position"), "position")
        torch.testing.assert_close(back, x.flatten(0, 1))


def assert_same_sets(ours: Tensor, golden: Tensor) -> None:
    """``[B, S, ...]``: each of ours is one of theirs, and each of theirs one of ours."""
    apart = (ours[:, :, None] - golden[:, None]).flatten(3).abs().amax(3)
    assert apart.amin(1).max() < 1e-13
    assert apart.amin(2).max() < 1e-13


SPECTRA = {
    "simple": (1.0, 2.0, 3.0),
    "double below": (1.0, 1.0, 2.0),
    "double above": (1.0, 2.0, 2.0),
    "triple": (1.0, 1.0, 1.0),
    "near double": (1.0, 1.0 + 1e-9, 2.0),
    "planar": (0.0, 1.0, 3.0),
    "line": (0.0, 0.0, 1.0),
    "zero": (0.0, 0.0, 0.0),
    "far apart": (1e-12, 1.0, 1e8),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_eigenvectors(spectrum: str, dim: int) -> None:
    values = torch.tensor((*SPECTRA[spectrum], 4.0), dtype=torch.float64)[-dim:].expand(50, dim).clone()
    q, _ = torch.linalg.qr(torch.randn(50, dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    matrices = (q * values[:, None]) @ q.mT
    matrices = (matrices + matrices.mT) / 2
    found, vectors = symmetric_eigen(matrices)
    scale = max(float(values.max()), 1e-300)
    assert (found.diff(dim=1) >= -1e-15 * scale).all()
    assert (found - values.sort(1).values).abs().max() < 1e-14 * scale
    assert (vectors.mT @ vectors - torch.eye(dim)).abs().max() < 1e-14
    assert (matrices @ vectors - vectors * found[:, None]).abs().max() < 1e-14 * scale


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_derivative_of_eigenvectors(dim: int) -> None:
    half = torch.randn(2, dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def projectors(half: Tensor) -> Tensor:
        values, vectors = symmetric_eigen(half @ half.mT, grad=True)
        return (vectors[..., None, :] * vectors[..., None, :, :]).square() + values[:, None, None]

    assert torch.autograd.gradcheck(projectors, half.requires_grad_())
    assert torch.autograd.gradgradcheck(projectors, half)
    square = torch.eye(dim, dtype=torch.float64)[None].requires_grad_()
    symmetric_eigen(square, grad=True)[1].sum().backward()
    assert square.grad is not None
    assert square.grad.isfinite().all()


def test_condition() -> None:
    golden = arrays("robust")
    clouds = ("random", "pyramid", "tetra_center", "near_pyramid", "mid_gap", "collinear")
    pos = torch.cat([golden[f"{name}_X"] for name in clouds])
    values = torch.stack([golden[f"{name}_eigvals"] for name in clouds])
    found = frame_condition(pos, torch.arange(6).repeat_interleave(5))
    torch.testing.assert_close(found, (values.diff(dim=1) / values[:, -1:]).amin(1), rtol=0, atol=1e-12)
    assert frame_condition(torch.randn(3, 1)).tolist() == [1]
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, d\]"):
        frame_condition(torch.zeros(3))


def test_a_cloud_far_from_the_origin_is_a_point_only_if_its_numbers_say_so() -> None:
    group = Euclidean.named("E(3)")
    pos = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for x, single in ((pos + 1e6, False), (1e-12 * pos + 1e6, True), (1e-30 * pos, False), (0 * pos, True)):
        cloud = make_cloud(group, {"x": x}, {"x": "position"})
        assert bool(cloud.single) == single
        assert pca_frame(group, cloud).rotation.isfinite().all()
