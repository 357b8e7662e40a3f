"""Maps from local PCA."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph, ops
from graphkit.nn.sheaf import ConnectionMaps
from graphkit.nn.sheaf.connection import tangent_frames


def cycle(n: int) -> Graph:
    nodes = torch.arange(n)
    forth = torch.stack([nodes, (nodes + 1) % n])
    return Graph.from_edge_index(torch.cat([forth, forth.flip(0)], 1), n)


def test_maps_and_frames_are_orthogonal_also_without_enough_neighbours() -> None:
    edge_index = torch.tensor([[0, 1, 1, 2, 1, 3], [1, 0, 2, 1, 3, 1]])  # three leaves, and an isolated node
    graph = Graph.from_edge_index(edge_index, 5)
    x = torch.randn(5, 4, dtype=torch.float64)
    for d in (1, 2, 3, 4):
        eye = torch.eye(d, dtype=torch.float64)
        frames = tangent_frames(x, graph, d)
        torch.testing.assert_close(frames.mT @ frames, eye.expand(5, d, d))
        maps = ConnectionMaps(d)(x, graph).maps
        torch.testing.assert_close(maps.mT @ maps, eye.expand(6, d, d))


def test_frames_span_the_tangent_space_of_a_plane() -> None:
    """Points of a plane in space: transports between its tangent spaces keep vectors of the plane."""
    plane = torch.linalg.qr(torch.randn(6, 2, dtype=torch.float64)).Q
    angle = torch.arange(12) * (2 * torch.pi / 12)
    x = torch.stack([angle.cos(), 0.5 * angle.sin()], 1).double() @ plane.T
    graph = cycle(12)
    frames = tangent_frames(x, graph, 2)
    torch.testing.assert_close(frames @ frames.mT, (plane @ plane.T).expand(12, 6, 6))
    # A parallel field: a fixed vector of the plane in every frame is a global section.
    field = frames.mT @ (plane @ torch.tensor([0.3, -0.7], dtype=torch.float64))
    maps = ConnectionMaps(2)(x, graph).maps
    assert ops.sheaf_dirichlet_energy(field[:, :, None], graph, maps) < 1e-14


def test_the_last_result_is_remembered_until_the_features_change() -> None:
    graph, x = cycle(5), torch.randn(5, 3)
    connection = ConnectionMaps(2)
    first = connection(x, graph).maps
    assert connection(x, graph).maps is first
    x[0] += 1
    assert torch.dist(connection(x, graph).maps, first) > 1e-3


def test_too_few_features() -> None:
    with pytest.raises(ValueError, match="at least stalk_dim=3 features"):
        ConnectionMaps(3)(torch.randn(5, 2), cycle(5))
