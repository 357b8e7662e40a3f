"""Families by name: shapes, learners, weights, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit import Graph
from graphkit.nn.sheaf import FAMILIES, AttentionLearner, BundleMaps, GeneralMaps, make_maps


@pytest.fixture
def graph() -> Graph:
    return Graph.from_edge_index(torch.tensor([[0, 1, 1, 2, 2, 2], [1, 0, 2, 1, 2, 0]]), 4).to_undirected()


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes(family, graph: Graph) -> None:
    sheaf = make_maps(family, 6, 2)(torch.randn(4, 6), graph)
    assert sheaf.maps.shape in [(graph.num_edges, 2), (graph.num_edges, 2, 2)]
    assert (sheaf.maps.dim() == 2) == (family in ("identity", "diagonal"))
    assert sheaf.orthogonal == (family in ("bundle", "connection"))


def test_edge_weights_are_those_of_undirected_edges(graph: Graph) -> None:
    x = torch.randn(4, 6)
    weight = make_maps("bundle", 6, 2)(x, graph).weight
    assert weight is not None
    assert weight.equal(weight[graph.reverse])
    assert ((weight > 0) & (weight < 1)).all()
    assert make_maps("bundle", 6, 2, edge_weights=False)(x, graph).weight is None


def test_learners_by_name() -> None:
    attention = make_maps("general", 6, 2, learner="attention")
    assert isinstance(attention, GeneralMaps)
    assert isinstance(attention.learner, AttentionLearner)
    summed = make_maps("bundle", 6, 3, learner="sum", rows=3)
    assert isinstance(summed, BundleMaps)
    assert summed.learner.weight.shape == (3, 4)


def test_a_learner_of_the_users(graph: Graph) -> None:
    class Distance(nn.Module):
        def __init__(self, in_channels: int, num_parameters: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(num_parameters))

        def forward(self, x_src: Tensor, x_dst: Tensor) -> Tensor:
            return self.scale * (x_src - x_dst).norm(dim=1, keepdim=True)

    x = torch.randn(4, 6)
    source, target = graph.edge_index
    maps = make_maps("diagonal", 6, 3, learner=Distance)(x, graph).maps
    torch.testing.assert_close(maps, (x[source] - x[target]).norm(dim=1)[:, None].expand(-1, 3))


@pytest.mark.parametrize(
    ("family", "d", "options", "message"),
    [
        ("diag", 2, {}, "'maps' must be one of 'identity', 'diagonal'"),
        ("diagonal", 0, {}, "'stalk_dim' must be at least 1"),
        ("bundle", 1, {}, "'stalk_dim' must be at least 2 for maps='bundle'"),
        ("bundle", 4, {"orthogonal": "euler"}, "needs stalk_dim 2 or 3"),
        ("bundle", 3, {"orthogonal": "qr"}, "'orthogonal' must be one of"),
        ("bundle", 3, {"learner": "attention"}, "needs maps='general'"),
        ("bundle", 3, {"learner": "mlp"}, "'learner' must be 'concat', 'sum', 'attention' or a function"),
    ],
)
def test_errors(family, d, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_maps(family, 6, d, **options)
