from __future__ import annotations

import pytest
import torch

from graphkit.datasets import load
from graphkit.datasets.surfaces import SHAPES, Meshes, Surfaces, make_meshes, sample_surface


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
def test_meshes_are_closed_and_seen_from_outside(shape: str) -> None:
    meshes = make_meshes(shape, 3, generator())
    a, b, c = (meshes.vertices[:, column] for column in meshes.faces.unbind(1))
    across = torch.linalg.cross(b - a, c - a)
    torch.testing.assert_close(across.sum(1), torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-9)
    volume = (a * across).sum((1, 2)) / 6
    assert (volume > 0.01).all()


def test_normals_of_an_ellipsoid() -> None:
    meshes = make_meshes("ellipsoid", 2, generator(), resolution=96)
    half = meshes.vertices.abs().amax(1)
    pos, normals = sample_surface(meshes, 200, generator())
    exact = torch.nn.functional.normalize(pos / half[:, None].square(), dim=2)
    assert ((exact * normals).sum(2) > 0.99).all()
    assert torch.allclose((pos / half[:, None]).norm(dim=2), torch.ones(2, 200, dtype=torch.float64), atol=5e-3)


def test_points_are_uniform_by_area() -> None:
    corners = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [4, 0, 0], [0, 4, 0]]], dtype=torch.float64)
    meshes = Meshes(corners, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    pos, normals = sample_surface(meshes, 4000, generator())
    assert torch.allclose(normals, torch.tensor([0.0, 0, 1], dtype=torch.float64).expand_as(normals))
    assert (pos[..., 0] + pos[..., 1] <= 4).all()
    inner = float(((pos[..., 0] + pos[..., 1]) < 1).double().mean())
    assert inner == pytest.approx((1 / 16 * 16 + 1) / 17, abs=0.03)  # 1/16 of the large triangle, and the small one


def test_data_set_and_its_rotations() -> None:
    still, turned = (load("surfaces", number=6, points=32, rotated=rotated, seed=2) for rotated in (False, True))
    assert len(still) == 6
    assert [int(data.shape) for data in still] == [0, 0, 1, 1, 2, 2]
    for a, b in zip(still, turned, strict=True):
        assert a.pos.mean(0).abs().max() < 1e-6
        assert float(a.pos.norm(dim=1).std()) == pytest.approx(1, abs=1e-5)
        assert torch.allclose(a.pos.norm(dim=1), b.pos.norm(dim=1), atol=1e-5)
        assert torch.allclose((a.pos * a.y).sum(1), (b.pos * b.y).sum(1), atol=1e-5)
        assert not torch.allclose(a.pos, b.pos, atol=1e-2)
    assert not torch.equal(Surfaces("test", 3, 8)[0].pos, Surfaces("valid", 3, 8)[0].pos)


def test_errors() -> None:
    with pytest.raises(ValueError, match="number, points: got 0, 8"):
        Surfaces(number=0, points=8)
    with pytest.raises(ValueError, match="shape: got 'cube'"):
        make_meshes("cube", 1, generator())
