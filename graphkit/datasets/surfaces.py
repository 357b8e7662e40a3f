"""Meshes of smooth bodies, and points with normals on them: ellipsoids, tori, superquadrics."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.families.common import Transform, one_of
from graphkit.symmetry.groups import Euclidean

SHAPES = ("ellipsoid", "torus", "superquadric")
_SPLITS = ("train", "valid", "test")


class Meshes(NamedTuple):
    """Meshes of the same faces.

    Attributes:
        vertices: ``[B, V, 3]``.
        faces: ``[F, 3]``, seen from outside in counter-clockwise order.
    """

    vertices: Tensor
    faces: Tensor


def make_meshes(shape: str, number: int, generator: torch.Generator, resolution: int = 48) -> Meshes:
    r"""Random bodies of a family.

    ``"ellipsoid"`` (a sphere is one): semi-axes between 1/2 and 1. ``"torus"``: radii 1 and 0.2 to 0.5.
    ``"superquadric"``: :math:`(|x|^{2/e} + |y|^{2/e})^{e/n} + |z|^{2/n} = 1` with e, n between 0.3 and 1.7, from
    rounded boxes over spheres to rounded octahedra. All are stretched along their axes by 1/2 to 1.

    Args:
        shape: one of :data:`SHAPES`.
        number: B.
        generator: of the draws.
        resolution: cells along each of the two parameters.

    Example:
        >>> meshes = make_meshes("torus", 2, torch.Generator().manual_seed(0), resolution=8)
        >>> meshes.vertices.shape, meshes.faces.shape
        (torch.Size([2, 81, 3]), torch.Size([128, 3]))
    """
    one_of("shape", shape, SHAPES)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(number, 1, dtype=torch.float64, generator=generator)

    steps = torch.linspace(0, 1, resolution + 1, dtype=torch.float64)
    grid = torch.cartesian_prod(steps, steps)
    turn = 2 * math.pi * grid[:, 0] - math.pi
    stretch = torch.stack([uniform(0.5, 1.0) for _ in range(3)], 2)
    if shape == "torus":
        around, thin = 2 * math.pi * grid[:, 1] - math.pi, uniform(0.2, 0.5)
        ring = 1 + thin * around.cos()
        vertices = torch.stack([ring * turn.cos(), ring * turn.sin(), thin * around.sin()], 2)
    else:
        height = math.pi * grid[:, 1] - math.pi / 2
        east, north = (uniform(0.3, 1.7), uniform(0.3, 1.7)) if shape == "superquadric" else (1.0, 1.0)
        ring = _power(height.cos(), north)
        vertices = torch.stack(
            [ring * _power(turn.cos(), east), ring * _power(turn.sin(), east), _power(height.sin(), north)], -1
        )
        vertices = vertices.expand(number, -1, 3)
    corner = (torch.arange(resolution)[:, None] * (resolution + 1) + torch.arange(resolution)).flatten()
    right, up = resolution + 1, 1
    faces = torch.stack([corner, corner + right, corner + right + up, corner, corner + right + up, corner + up], 1)
    return Meshes(vertices * stretch, faces.reshape(-1, 3))


def _power(x: Tensor, exponent: Tensor | float) -> Tensor:
    x = torch.where(x.abs() < 1e-12, 0.0, x)  # what is left of sin(pi) is not small any more under a small exponent
    return x.sign() * x.abs() ** exponent


def sample_surface(meshes: Meshes, points: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on meshes, uniform by area, and the normals of their faces: ``[B, points, 3]`` twice."""
    a, b, c = (meshes.vertices[:, column] for column in meshes.faces.unbind(1))
    across = torch.linalg.cross(b - a, c - a)
    face = torch.multinomial(across.norm(dim=2), points, replacement=True, generator=generator)
    row = torch.arange(face.size(0))[:, None]
    u = torch.rand(2, *face.shape, 1, dtype=torch.float64, generator=generator)
    u = torch.where(u.sum(0) > 1, 1 - u, u)  # the other half of the parallelogram
    place = a[row, face] + u[0] * (b - a)[row, face] + u[1] * (c - a)[row, face]
    return place, torch.nn.functional.normalize(across[row, face], dim=2)


class Surfaces(InMemoryDataset):
    """Clouds on random bodies, a third of each family, with the normal of each point.

    ``pos`` is centred and divided by the standard deviation of the points' distances from the centre, as published for
    the meshes of ABC; ``y`` are the unit normals; ``shape`` is the family's number in :data:`SHAPES`.

    Args:
        split: ``"train"``, ``"valid"`` or ``"test"``: other bodies each.
        number: of clouds.
        points: of each cloud.
        rotated: turn each cloud by a random rotation.
        seed: of bodies, points and rotations.
        transform: applied to each cloud when it is read.

    Shapes:
        pos, y ``[points, 3]`` float32.

    Example:
        >>> data = Surfaces("test", number=3, points=16)[0]
        >>> data.pos.shape, data.y.shape, data.shape.tolist()
        (torch.Size([16, 3]), torch.Size([16, 3]), [0])
    """

    def __init__(
        self,
        split: str = "train",
        number: int = 600,
        points: int = 512,
        *,
        rotated: bool = False,
        seed: int = 0,
        transform: Transform = None,
    ) -> None:
        one_of("split", split, _SPLITS)
        if number < 1 or points < 1:
            raise ValueError(f"number, points: got {number}, {points}, expected at least 1 of each")
        super().__init__(None, transform)
        generator = torch.Generator().manual_seed(3 * seed + _SPLITS.index(split))
        found = []
        for which, shape in enumerate(SHAPES):
            size = len(range(which, number, len(SHAPES)))
            if size == 0:
                continue
            pos, normals = sample_surface(make_meshes(shape, size, generator), points, generator)
            pos = pos - pos.mean(1, keepdim=True)
            pos = pos / pos.norm(dim=2).std(dim=1)[:, None, None]
            found += [(p, n, which) for p, n in zip(pos, normals, strict=True)]
        turns = Euclidean.named("SO(3)")
        graphs = []
        for pos, normals, which in found:
            values = {"pos": pos, "y": normals}
            if rotated:
                values = turns.act(values, turns.sample(generator), {"pos": "vector", "y": "vector"})
            graphs.append(Data(**{key: value.float() for key, value in values.items()}, shape=torch.tensor([which])))
        self.data, self.slices = self.collate(graphs)
