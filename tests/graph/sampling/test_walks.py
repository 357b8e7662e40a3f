"""Random walks: along edges, uniformly, -1 after a dead end."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph
from graphkit.graph.sampling import random_walk
from tests.graph.sampling.checks import BACKENDS, assert_equally_likely, random_graph


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wide", [False, True])
def test_walks_follow_edges(backend: str, wide: bool) -> None:
    graph = random_graph(60, 400, wide=wide)
    edges = set(zip(*graph.edge_index.tolist(), strict=True))
    dead = (graph.out_degree == 0).tolist()
    start = torch.arange(60).repeat(3)
    walk = random_walk(graph, start, 6, seed=0, backend=backend)
    assert walk.shape == (180, 7)
    assert torch.equal(walk[:, 0], start)
    for here, there in zip(walk[:, :-1].flatten().tolist(), walk[:, 1:].flatten().tolist(), strict=True):
        assert there == -1 if here == -1 or dead[here] else (here, there) in edges


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_are_uniform_and_independent(backend: str) -> None:
    edge_index = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 2, 0]])
    graph = Graph.from_edge_index(edge_index, 3)
    walk = random_walk(graph, torch.zeros(9000, dtype=torch.int64), 2, seed=1, backend=backend)
    weights = {(0, v): 1 / 9 for v in range(3)} | {(1, 0): 1 / 6, (1, 2): 1 / 6, (2, 0): 1 / 3}
    assert_equally_likely([tuple(w) for w in walk[:, 1:].tolist()], 6, weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_steps_no_walks_no_edges(backend: str) -> None:
    graph = random_graph(60, 400)
    assert random_walk(graph, torch.tensor([3]), 0, backend=backend).tolist() == [[3]]
    assert random_walk(graph, torch.empty(0, dtype=torch.int64), 4, backend=backend).shape == (0, 5)
    empty = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.int64), 2)
    assert random_walk(empty, torch.tensor([1]), 2, backend=backend).tolist() == [[1, -1, -1]]


def test_bad_arguments_are_named() -> None:
    graph = random_graph(60, 400)
    with pytest.raises(ValueError, match="'start' must lie in"):
        random_walk(graph, torch.tensor([60]), 2)
    with pytest.raises(ValueError, match="length"):
        random_walk(graph, torch.tensor([0]), -1)
