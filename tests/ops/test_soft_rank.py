"""The soft choice of DGG: the published arrays from the edge list, gradients, limits."""

from __future__ import annotations

import pytest
import torch

from graphkit import Graph, ops
from tests.golden.snowflake_golden import golden

CASES = ("uvdeg_x_ktimes", "uvdeg_x_ktimes_noise", "uvA_gcnxdeg_ktimes", "edgeconv_x_ktimes")


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    """Dense and sorted as published: row i holds the edges of node i."""
    z = golden("dgg")
    row, column = z["adj"].nonzero().T
    graph = Graph.from_edge_index(torch.stack([column, row]), 10)
    score, k = z[f"{name}/pert_edge_p"], z[f"{name}/k"]
    out = torch.zeros(10, 10, dtype=torch.float64)
    out[row, column] = score[row, column] * ops.soft_first_k(score[row, column], k, graph)
    torch.testing.assert_close(out, torch.where(z["adj"] != 0, z[f"{name}/out_adj"], 0.0), rtol=1e-10, atol=1e-12)


def test_golden_curve() -> None:
    z = golden("dgg")
    rank = torch.arange(12.0, dtype=torch.float64)
    graph = Graph.from_edge_index(torch.stack([torch.arange(12), torch.zeros(12, dtype=torch.long)]), 12)
    for k, curve in zip(z["soft_topk/k"], z["soft_topk/first_k"], strict=True):
        found = ops.soft_first_k(-rank, k.double().expand(12), graph)
        torch.testing.assert_close(found, curve, rtol=1e-10, atol=1e-14)


def test_gradient_to_k() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2, 3, 0], [3, 3, 3, 3, 1]]), 4)
    scores = torch.tensor([0.1, 0.4, 0.3, 0.2, 0.9], dtype=torch.float64)
    k = torch.tensor([1.0, 1.5, 2.0, 2.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: ops.soft_first_k(scores, k, graph, 0.7), (k,))


def test_more_neighbours_weigh_more_and_a_narrow_width_is_hard() -> None:
    source = torch.arange(8)
    graph = Graph.from_edge_index(torch.stack([source, torch.zeros_like(source)]), 8)
    scores = torch.rand(8, generator=torch.Generator().manual_seed(0))
    totals = [float(ops.soft_first_k(scores, torch.full((8,), k), graph).sum()) for k in (1.0, 2.0, 3.5, 6.0)]
    assert totals == sorted(totals)
    hard = ops.soft_first_k(scores, torch.full((8,), 2.5), graph, 1e-3)
    assert torch.equal(hard, (ops.edge_ranks(scores, graph) < 3).float())


def test_the_order_of_the_edges_does_not_matter() -> None:
    edge_index = torch.tensor([[0, 1, 2, 3, 0], [3, 3, 3, 3, 1]])
    scores = torch.tensor([0.5, 0.4, 0.5, 0.2, 0.9])  # equal scores: the smaller source first
    ranks = ops.edge_ranks(scores, Graph.from_edge_index(edge_index, 4))
    assert ranks.tolist() == [0, 2, 1, 3, 0]
    turn = torch.tensor([4, 2, 0, 3, 1])
    assert torch.equal(ops.edge_ranks(scores[turn], Graph.from_edge_index(edge_index[:, turn], 4)), ranks[turn])


def test_bad_arguments() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 2)
    with pytest.raises(ValueError, match="'width' must be positive"):
        ops.soft_first_k(torch.rand(2), torch.rand(2), graph, 0.0)
    with pytest.raises(ValueError, match="'scores' must have one row per edge"):
        ops.soft_first_k(torch.rand(3), torch.rand(2), graph)
    with pytest.raises(ValueError, match="'k' must have one row per target node"):
        ops.soft_first_k(torch.rand(2), torch.rand(3), graph)
