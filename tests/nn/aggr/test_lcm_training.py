"""Networks whose aggregation is LCM learn real graphs: whole, in sampled batches, and molecules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.loader import DataLoader
from torch_geometric.nn import SAGEConv, global_add_pool
from torch_geometric.utils import to_undirected

from graphkit.datasets import load
from graphkit.loader import NeighborLoader
from graphkit.nn import LCMAggregation


def conv(in_channels: int, out_channels: int) -> SAGEConv:
    aggr = LCMAggregation(in_channels, in_channels, project=False, assoc_weight=0.01)
    return SAGEConv(in_channels, out_channels, aggr=aggr)


class Network(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(in_channels, hidden)
        self.convs = nn.ModuleList([conv(hidden, hidden), conv(hidden, hidden)])
        self.decoder = nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = F.dropout(self.encoder(x).relu(), 0.5, self.training)
        for layer in self.convs:
            h = h + layer(h, edge_index).relu()
        return self.decoder(F.dropout(h, 0.5, self.training))

    def regularization_loss(self) -> Tensor:
        return torch.stack([layer.aggr_module.regularization_loss() for layer in self.convs]).sum()


def accuracy(model: Network, data) -> float:
    model.eval()
    with torch.no_grad():
        right = model(data.x, data.edge_index).argmax(1) == data.y
    model.train()
    return right[data.test_mask].float().mean().item()


@pytest.mark.slow
def test_cora(real_data: Path) -> None:
    data = load("cora", real_data)[0]
    for mini_batches in (False, True):
        torch.manual_seed(0)
        model = Network(data.num_features, 32, 7)
        optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=5e-4)
        loader = NeighborLoader(data, [10, 10], data.train_mask, batch_size=70, shuffle=True, seed=0)
        for _ in range(15):
            for batch in loader if mini_batches else [data]:
                optimizer.zero_grad()
                rows = torch.arange(batch.batch_size) if mini_batches else data.train_mask
                out = model(batch.x, batch.edge_index)
                loss = F.cross_entropy(out[rows], batch.y[rows]) + model.regularization_loss()
                loss.backward()
                optimizer.step()
        assert accuracy(model, data) > 0.65, mini_batches  # the largest class has 32 % of the nodes


@pytest.mark.slow
def test_molecules(real_data: Path) -> None:
    pytest.importorskip("ogb")
    dataset = load("ogbg-molhiv", real_data)
    labels = torch.cat([dataset[i].y for i in range(2000)]).flatten()
    active, rest = (torch.nonzero(labels == label).flatten()[:60].tolist() for label in (1, 0))
    graphs = [dataset[i] for i in active + rest]
    encoder = torch.nn.Embedding(120, 32)
    torch.manual_seed(0)
    model = Network(32, 32, 32)
    head = nn.Linear(32, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *encoder.parameters(), *head.parameters()], 0.005)
    losses = []
    for _ in range(12):
        for batch in DataLoader(graphs, batch_size=40, shuffle=True):
            optimizer.zero_grad()
            h = model(encoder(batch.x[:, 0]), to_undirected(batch.edge_index, num_nodes=batch.num_nodes))
            logit = head(global_add_pool(h, batch.batch)).flatten() / 10
            loss = F.binary_cross_entropy_with_logits(logit, batch.y.flatten().float())
            (loss + model.regularization_loss()).backward()
            optimizer.step()
            losses.append(loss.item())
    assert sum(losses[-6:]) / 6 < 0.85 * sum(losses[:3]) / 3
