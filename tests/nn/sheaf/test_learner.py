"""Learners of restriction maps: on nodes or on edges, the published sums, and one of the user's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit import Graph
from graphkit.nn.sheaf import AttentionLearner, ConcatLearner
from graphkit.nn.sheaf.learner import learn


@pytest.fixture
def graph() -> Graph:
    edges = torch.randint(0, 6, (2, 10))
    return Graph.from_edge_index(torch.cat([edges, edges.flip(0)], 1), 6)  # both directions, as sheaves have


@pytest.mark.parametrize("act", ["tanh", "elu", "sigmoid", "id"])
def test_on_nodes_as_on_edges(graph: Graph, act: str) -> None:
    learner = ConcatLearner(8, 5, act).double()
    x = torch.randn(6, 8, dtype=torch.float64)
    source, target = graph.edge_index
    concatenated = torch.cat([x[source], x[target]], 1) @ learner.weight.T
    expected = {"tanh": torch.tanh, "elu": nn.functional.elu, "sigmoid": torch.sigmoid, "id": lambda t: t}[act]
    torch.testing.assert_close(learn(learner, x, graph), expected(concatenated))
    torch.testing.assert_close(learner(x[source], x[target]), expected(concatenated))


def test_sum_of_stalk_rows(graph: Graph) -> None:
    learner = ConcatLearner(6, 4, stalks=3).double()
    assert learner.weight.shape == (4, 4)
    x = torch.randn(6, 6, dtype=torch.float64)
    rows = x.view(6, 3, 2).sum(1)
    source, target = graph.edge_index
    expected = torch.tanh(torch.cat([rows[source], rows[target]], 1) @ learner.weight.T)
    torch.testing.assert_close(learn(learner, x, graph), expected)


def test_the_published_sum_makes_both_ends_equal_for_an_even_number_of_rows(graph: Graph) -> None:
    x_src, x_dst = torch.randn(9, 8), torch.randn(9, 8)
    official = ConcatLearner(8, 4, stalks=2, compat="official")
    torch.testing.assert_close(official(x_src, x_dst), official(x_dst, x_src))
    ours = ConcatLearner(8, 4, stalks=2)
    assert torch.dist(ours(x_src, x_dst), ours(x_dst, x_src)) > 0.1


def test_attention(graph: Graph) -> None:
    learner = AttentionLearner(8, 9).double()
    x = torch.randn(6, 8, dtype=torch.float64)
    maps = learn(learner, x, graph)
    source, target = graph.edge_index
    torch.testing.assert_close(maps, learner(x[source], x[target]))
    attention = torch.eye(3) - maps.view(-1, 3, 3)
    assert (attention > 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(20, 3, dtype=torch.float64))


def test_any_module_of_two_arguments_is_a_learner(graph: Graph) -> None:
    class Product(nn.Module):
        def forward(self, x_src: Tensor, x_dst: Tensor) -> Tensor:
            return x_src * x_dst

    x = torch.randn(6, 3)
    assert learn(Product(), x, graph).equal(x[graph.edge_index[0]] * x[graph.edge_index[1]])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConcatLearner(8, 3, act="cos"), "'act' of the maps must be one of 'id', 'tanh'"),
        (lambda: ConcatLearner(8, 3, stalks=3), "'stalks' must divide in_channels=8"),
        (lambda: ConcatLearner(8, 3, compat="v1"), "'compat' must be None or 'official'"),
        (lambda: AttentionLearner(8, 3), r"makes d x d matrices \(got 3 parameters\)"),
    ],
)
def test_errors(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
