"""Batches of a large graph: every training node once, in any number of processes, and scores of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphkit.nn import GENConv
from graphkit.train import NodeClassification, Share, TrainConfig, Trainer, cluster_batches, neighbor_batches


@pytest.fixture
def data() -> Data:
    """Two communities; features are noise, a node's label is its community."""
    generator = torch.Generator().manual_seed(0)
    n = 400
    y = torch.arange(n) % 2
    pairs = torch.randint(n, (2, 6000), generator=generator)
    same = y[pairs[0]] == y[pairs[1]]
    keep = same | (torch.rand(6000, generator=generator) < 0.1)
    x = torch.randn(n, 8, generator=generator)
    x[:, 0] += 0.7 * (2 * y - 1)
    part = torch.rand(n, generator=generator)
    return Data(
        x=x, edge_index=pairs[:, keep], y=y, train_mask=part < 0.3, val_mask=(part >= 0.3) & (part < 0.6),
        test_mask=part >= 0.6,
    )  # fmt: skip


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([GENConv(8, 16), GENConv(16, 2)])

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.convs[1](self.convs[0](x, edge_index).relu(), edge_index)


@pytest.mark.parametrize(
    ("loader", "eval_loader"),
    [
        (neighbor_batches([5, 5], 32), None),
        (neighbor_batches([5, 5], 32), neighbor_batches([-1, -1], 100)),
        (cluster_batches(4), cluster_batches(2, num_evals=3)),
    ],
)
def test_learns_in_batches(data: Data, loader: object, eval_loader: object) -> None:
    task = NodeClassification(loader=loader, eval_loader=eval_loader)  # type: ignore[arg-type]
    torch.manual_seed(0)
    result = Trainer(Net(), TrainConfig(epochs=15, lr=0.01, progress=False, device="cpu"), task=task).fit(data)
    assert result.test > 0.85
    assert result.history[-1].loss < result.history[0].loss


def test_full_neighbourhoods_predict_what_the_whole_graph_does(data: Data) -> None:
    torch.manual_seed(0)
    model = Net().eval()
    whole = NodeClassification().predict(model, data)
    batched = NodeClassification(eval_loader=neighbor_batches([-1, -1], 64)).predict(model, data)
    torch.testing.assert_close(batched, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_training_node_counts_once(data: Data, size: int) -> None:
    nodes = data.train_mask.nonzero().view(-1)[:65]  # 64 + 1: three of four processes have no node in the last batch
    seen, lengths = [], []
    for rank in range(size):
        task = NodeClassification(loader=neighbor_batches([3], 16))
        assert task.loader is not None
        batches = list(task.loader(data, nodes, torch.Generator().manual_seed(3), Share(rank, size)))
        lengths.append(len(batches))
        for batch in batches:
            rows = batch.train_mask.nonzero().view(-1)
            seen.append(batch.n_id[rows[rows < batch.batch_size]])
    assert lengths == [5] * size
    assert torch.cat(seen).sort().values.equal(nodes)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_part_goes_to_one_process(data: Data, size: int) -> None:
    seen, lengths = [], []
    for rank in range(size):
        batches = list(cluster_batches(4)(data, torch.arange(400), torch.Generator().manual_seed(3), Share(rank, size)))
        lengths.append(len(batches))
        seen += [batch.n_id[batch.train_mask] for batch in batches]
    assert len(set(lengths)) == 1
    assert torch.cat(seen).sort().values.equal(data.train_mask.nonzero().view(-1))


def test_a_batch_that_does_not_divide(data: Data) -> None:
    batches = neighbor_batches([3], 15)(data, torch.arange(30), torch.Generator(), Share(0, 2))
    with pytest.raises(ValueError, match="batch_size: got 15, expected a multiple of the 2 processes"):
        next(iter(batches))
