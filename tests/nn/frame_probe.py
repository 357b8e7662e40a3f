"""Clouds whose principal axes are not determined, and a backbone that tells every axis and sign from the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool

from graphkit.symmetry import Euclidean


def _points(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def degenerate_clouds(dim: int) -> dict[str, Tensor]:
    """Positions by name, ``[n, dim]``; of space, or their like in the plane."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    line = normal[:, :1] * _points((0.6, -0.64, 0.48)) + _points((1.0, 2.0, -0.5))
    square = _points((1, 1, 0), (1, -1, 0), (-1, 1, 0), (-1, -1, 0))
    if dim == 2:
        angle = torch.arange(5) * 2 * torch.pi / 5
        clouds = {"square": square[:, :2], "pentagon": torch.stack([angle.cos(), angle.sin()], 1).double()}
    else:
        tetrahedron = _points((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
        clouds = {
            "planar": normal * _points((1, 1, 0)),
            "square": square,
            "pyramid": torch.cat([square, _points((0, 0, 1.5))]),
            "tetrahedron": tetrahedron,
            "tetrahedron and centre": torch.cat([tetrahedron, _points((0, 0, 0))]),
            "octahedron": torch.cat([torch.eye(3), -torch.eye(3)]).double(),
        }
    return {
        "generic": normal[:, :dim],
        "collinear": line[:, :dim],
        "coincident": _points((0.1, 0.2, 0.3)).expand(4, 3)[:, :dim].clone(),
        "one point": normal[:1, :dim],
        "two points": normal[:2, :dim],
        **clouds,
    }


class Probe(nn.Module):
    """A smooth function of a set of points that no symmetry leaves alone, as node or graph values of every kind."""

    def __init__(self, dim: int, output: str, vel: bool = False, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.dim, self.output = dim, output
        width = {"scalar": 2, "tensor": dim * dim}.get(output, dim)
        inputs = 2 * dim if vel else dim

        def weight(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*size, dtype=torch.float64, generator=generator))

        self.first, self.shift, self.mix, self.last = weight(inputs, 12), weight(12), weight(12, 12), weight(12, width)

    def forward(self, pos: Tensor, batch: Tensor, vel: Tensor | None = None) -> Tensor:
        rows = pos if vel is None else torch.cat([pos, vel], 1)
        hidden = (rows @ self.first.to(rows) + self.shift.to(rows)).tanh()
        pooled = global_add_pool(hidden, batch)
        if self.output != "scalar":
            hidden = hidden + (pooled @ self.mix.to(rows)).tanh()[batch]
        out = (hidden if self.output != "scalar" else pooled) @ self.last.to(rows)
        return out.reshape(-1, self.dim, self.dim) if self.output == "tensor" else out


def moved(group: Euclidean, pos: Tensor, out: Tensor, kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Positions and outputs after a random element of the group."""
    element = group.sample(torch.Generator().manual_seed(seed))
    both = group.act({"pos": pos, "out": out}, element, {"pos": "position", "out": kind})
    return both["pos"], both["out"]
