"""The normalised adjacency is remembered while what it was made of stays as it is, and not a moment longer."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit import Graph
from graphkit.nn import EvolveGCNO
from graphkit.nn.temporal import adjacency
from graphkit.nn.temporal.adjacency import SelfLoops, normalized_adjacency

EDGES = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 3]])


def graph() -> Graph:
    return Graph.from_edge_index(EDGES, 5)


def dense(edge_weight: Tensor | None, loops: Tensor) -> Tensor:
    out = torch.diag(loops)
    assert edge_weight is not None
    return out.index_put((EDGES[1], EDGES[0]), edge_weight, accumulate=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_pyg(weighted: bool, dtype: torch.dtype) -> None:
    weight = torch.rand(5, dtype=dtype) + 0.5 if weighted else None
    made, loops = normalized_adjacency(graph(), weight, self_loops="remaining", dtype=dtype)
    edge_index, norm = gcn_norm(EDGES, weight, 5, dtype=dtype)
    expected = torch.zeros(5, 5, dtype=dtype).index_put((edge_index[1], edge_index[0]), norm, accumulate=True)
    torch.testing.assert_close(dense(made, loops), expected)


@pytest.mark.parametrize("loops", ["add", "remaining", None])
def test_remembers_equal_questions(loops: SelfLoops | None) -> None:
    g, weight = graph(), torch.rand(5)
    first = normalized_adjacency(g, weight, self_loops=loops)
    assert normalized_adjacency(g, weight, self_loops=loops) is first
    assert normalized_adjacency(g, weight, self_loops=loops, dtype=torch.float64) is not first
    assert normalized_adjacency(graph(), weight, self_loops=loops) is not first
    assert normalized_adjacency(g, weight.clone(), self_loops=loops) is not first
    assert normalized_adjacency(g, self_loops=loops) is not first


@pytest.mark.parametrize("edited", ["edge_weight", "degree"])
def test_in_place_edit_is_noticed(edited: str) -> None:
    g, given = graph(), {"edge_weight": torch.ones(5), "degree": torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0])}
    layer, x = EvolveGCNO(3, 2), torch.randn(5, 3)
    before = normalized_adjacency(g, **given)
    out, _ = layer(x, g, given["edge_weight"])
    given[edited].mul_(3)
    after = normalized_adjacency(g, **given)
    assert after is not before
    fresh = normalized_adjacency(graph(), **{name: value.clone() for name, value in given.items()})
    torch.testing.assert_close(dense(*after), dense(*fresh), rtol=0, atol=0)
    assert not torch.equal(dense(*after), dense(*before))
    if edited == "edge_weight":
        again, _ = layer(x, g, given["edge_weight"])
        torch.testing.assert_close(again, layer(x, EDGES, given["edge_weight"].clone())[0])
        assert not torch.allclose(again, out)


def test_edited_edges_are_another_graph() -> None:
    layer, x, edge_index = EvolveGCNO(3, 2), torch.randn(5, 3), EDGES.clone()
    layer(x, edge_index)
    edge_index[1, 0] = 4
    torch.testing.assert_close(layer(x, edge_index)[0], layer(x, edge_index.clone())[0])


def test_weights_that_learn_are_never_remembered() -> None:
    g, weight = graph(), torch.rand(5, dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        made, loops = normalized_adjacency(g, weight, dtype=torch.float64)
        (made.sum() + loops.sum()).backward()
    assert torch.autograd.gradcheck(lambda w: normalized_adjacency(g, w, dtype=torch.float64), weight)
    # Without a gradient for the moment, the same tensor must not be answered from then on either.
    plain = normalized_adjacency(g, weight.detach(), dtype=torch.float64)
    assert not plain.edge_weight.requires_grad
    assert normalized_adjacency(g, weight, dtype=torch.float64).edge_weight.requires_grad


def test_made_in_inference_mode_it_serves_training() -> None:
    g, layer, x = graph(), EvolveGCNO(3, 2), torch.randn(5, 3)
    with torch.inference_mode():
        expected, _ = layer(x, g)
    out, _ = layer(x, g)
    out.sum().backward()
    torch.testing.assert_close(out, expected)


def test_memory_dies_with_the_graph() -> None:
    gc.collect()
    before = len(adjacency._MEMORY)
    g = graph()
    normalized_adjacency(g, torch.rand(5))
    assert len(adjacency._MEMORY) == before + 1
    del g
    gc.collect()
    assert len(adjacency._MEMORY) == before
