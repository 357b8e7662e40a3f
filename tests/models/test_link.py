"""Link models: symmetric scores, and vectors for nodes without features."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GraphConv

from graphkit.models import LinkModel, LinkPredictor


def test_scores_are_symmetric_and_per_pair() -> None:
    torch.manual_seed(0)
    predictor = LinkPredictor(6, 8, dropout=0.5).eval()
    z, pairs = torch.randn(5, 6), torch.tensor([[0, 1, 4], [2, 3, 4]])
    scores = predictor(z, pairs)
    torch.testing.assert_close(predictor(z, pairs.flip(0)), scores)
    torch.testing.assert_close(predictor(z, pairs[:, [1]]), scores[[1]])


def test_published_predictor_has_33153_parameters() -> None:
    # ogbl-collab: three layers of width 128 (spec of DeeperGCN, section 5)
    assert sum(p.numel() for p in LinkPredictor(128, 128, 3).parameters()) == 33_153


def test_a_table_of_node_vectors() -> None:
    model = LinkModel(GraphConv(8, 4), LinkPredictor(4, 4), num_nodes=5, embedding_dim=8)
    edge_index = torch.tensor([[0, 1], [1, 2]])
    model(None, edge_index, torch.tensor([[0], [1]])).sum().backward()
    assert model.embedding is not None
    assert model.embedding.weight.grad is not None
    before = model.embedding.weight.clone()
    model.reset_parameters()
    assert not model.embedding.weight.equal(before)


def test_errors() -> None:
    with pytest.raises(ValueError, match="num_nodes, embedding_dim: got 5 and None"):
        LinkModel(GraphConv(8, 4), LinkPredictor(4, 4), num_nodes=5)
    with pytest.raises(ValueError, match="x: got None"):
        LinkModel(GraphConv(8, 4), LinkPredictor(4, 4)).encode(None, torch.zeros(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="num_layers: got 0"):
        LinkPredictor(4, 4, 0)
