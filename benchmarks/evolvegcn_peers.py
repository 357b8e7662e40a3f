"""What EvolveGCN is timed against, written from descriptions: PyG-Temporal's layers, the published layer and pipeline.

Neither runs here as it is: PyG-Temporal's package needs others, the published code does not construct on today's torch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch_geometric.nn import TopKPooling
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import scatter


class PyGTemporal(nn.Module):
    """One square layer: ``torch.nn.GRU`` over the rows of W, for -H with PyG's ``TopKPooling`` as its input; normalised
    and scattered anew at each call."""

    def __init__(self, channels: int, variant: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, channels))
        nn.init.xavier_uniform_(self.weight[0])
        self.cell = nn.GRU(channels, channels)
        self.pool = TopKPooling(channels, ratio=channels) if variant == "h" else None

    def forward(self, window: list[tuple[Tensor, Tensor]], last: bool) -> list[Tensor]:
        weight, outs = self.weight, []
        for x, edge_index in window:
            given = weight if self.pool is None else self.pool(x, edge_index)[0][None]
            _, weight = self.cell(given, weight)
            index, norm = gcn_norm(edge_index, None, x.size(0))
            messages = norm.view(-1, 1) * (x @ weight[0])[index[0]]
            outs.append(scatter(messages, index[1], dim=0, dim_size=x.size(0), reduce="sum"))
        return outs[-1:] if last else outs


class Published(nn.Module):
    """One layer of the released code: matrix GRU with separate gates, a sparse COO adjacency that is normalised
    beforehand, all steps convolved."""

    def __init__(self, channels: int, variant: str) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)

        def square() -> nn.Parameter:
            return nn.Parameter(torch.empty(channels, channels).uniform_(-bound, bound))

        self.first = nn.ParameterList([square() for _ in range(3)])
        self.second = nn.ParameterList([square() for _ in range(3)])
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(channels, channels)) for _ in range(3)])
        self.weight = square()
        self.scorer = nn.Parameter(torch.empty(channels, 1).uniform_(-bound, bound)) if variant == "h" else None

    def forward(self, window: list[tuple[Tensor, Tensor, Tensor]], last: bool) -> list[Tensor]:
        q, outs = self.weight, []
        for x, adjacency, mask in window:
            z = q if self.scorer is None else self._summary(x, mask, q.size(1))
            update, reset = (torch.sigmoid(self.first[g] @ z + self.second[g] @ q + self.bias[g]) for g in (0, 1))
            new = torch.tanh(self.first[2] @ z + self.second[2] @ (reset * q) + self.bias[2])
            q = (1 - update) * q + update * new
            outs.append(torch.nn.functional.rrelu(adjacency @ (x @ q)))
        return outs[-1:] if last else outs

    def _summary(self, x: Tensor, mask: Tensor, k: int) -> Tensor:
        assert self.scorer is not None
        score = (x @ self.scorer / self.scorer.norm()).view(-1) + mask
        value, index = score.topk(k)
        return (x[index] * torch.tanh(value)[:, None]).t()


def window_of_scans(events: Tensor, steps: range, num_nodes: int) -> list[tuple[Tensor, Tensor]]:
    """A window as the released pipeline prepares it, for every sample anew: each step looks through the whole table of
    events ``[E, 3]`` (source, target, step)."""
    window = []
    for step in steps:
        chosen = events[events[:, 2] == step]
        ends = torch.cat([chosen[:, :2].t(), torch.arange(num_nodes).repeat(2, 1)], 1)
        adjacency = torch.sparse_coo_tensor(ends, torch.ones(ends.size(1)), (num_nodes, num_nodes)).coalesce()
        degree = torch.sparse.sum(adjacency, 1).to_dense()
        i, j = adjacency.indices()
        value = adjacency.values() / torch.sqrt(degree[i] * degree[j])
        mask = torch.full((num_nodes,), -math.inf)
        mask[chosen[:, :2].reshape(-1)] = 0
        window.append((torch.sparse_coo_tensor(adjacency.indices(), value, adjacency.shape), mask))
    return window


def negatives_in_a_loop(positive: Tensor, num_nodes: int, count: int) -> Tensor:
    """Candidates looked at one after the other."""
    true = set((positive[0] * num_nodes + positive[1]).tolist())
    found: list[tuple[int, int]] = []
    candidates = np.random.default_rng(0).integers(num_nodes, size=(4 * count, 2))
    for i, j in candidates:
        key = int(i) * num_nodes + int(j)
        if i == j or key in true:
            continue
        true.add(key)
        found.append((int(i), int(j)))
        if len(found) == count:
            break
    return torch.tensor(found).t()


def published_ranking(score: np.ndarray, positive: Tensor, num_nodes: int) -> tuple[float, float]:
    """MAP by scikit-learn over all pairs, and MRR row by row of a dense matrix."""
    label = np.zeros((num_nodes, num_nodes))
    label[positive[0].numpy(), positive[1].numpy()] = 1
    mean = float(average_precision_score(label.reshape(-1), score.reshape(-1)))
    ranks = []
    for row in range(num_nodes):
        if label[row].any():
            order = np.argsort(score[row])[::-1]
            place = np.where(label[row][order] == 1)[0]
            ranks.append((1.0 / (place + 1)).mean())
    return mean, float(np.mean(ranks))
