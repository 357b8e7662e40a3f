"""Graph labels: orders, unknown labels, and scores over all graphs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.train import GraphPrediction, TrainConfig, Trainer


class Sum(nn.Module):
    """The sum of each graph's features, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor, batch_size: int
    ) -> Tensor:
        return self.weight * x.new_zeros(batch_size, x.size(1)).index_add(0, batch, x)


def graph(value: float, y: list[float]) -> Data:
    x = torch.full((2, 1), value / 2)
    return Data(x=x, edge_index=torch.zeros(2, 0, dtype=torch.long), y=torch.tensor([y]))


def error(out: Tensor, y: Tensor) -> float:
    return -float((out - y).abs().nanmean())


@pytest.fixture
def data() -> dict[str, list[Data]]:
    return {
        "train": [graph(float(i), [2.0 * i]) for i in range(9)],
        "val": [graph(float(i), [2.0 * i]) for i in (3, 1)],
        "test": [graph(float(i), [2.0 * i + 1]) for i in (5, 0, 2)],
    }


def test_learns_the_factor(data: dict[str, list[Data]]) -> None:
    task = GraphPrediction(error, "mse", batch_size=4)
    config = TrainConfig(epochs=60, lr=0.1, weight_decay=0.0, progress=False, device="cpu")
    trainer = Trainer(Sum(), config, task=task)
    result = trainer.fit(data)
    assert trainer.model.weight.item() == pytest.approx(2.0, abs=0.05)
    assert result.test == pytest.approx(-1.0, abs=0.1)


def test_predictions_come_in_the_order_of_the_data(data: dict[str, list[Data]]) -> None:
    task = GraphPrediction(error, "mse", eval_batch_size=2)
    with torch.no_grad():
        out, scores = task.predict(Sum(), data["test"]), task.scores(Sum(), data, ("test",))
    assert out.view(-1).tolist() == [5.0, 0.0, 2.0]
    assert scores == {"test": pytest.approx(-((6 + 1 + 3) / 3))}


def test_every_graph_once_per_epoch_in_another_order(data: dict[str, list[Data]]) -> None:
    task = GraphPrediction(error, "mse", batch_size=4)
    orders = []
    for seed in (0, 1, 0):
        batches = list(task.batches(data, torch.Generator().manual_seed(seed)))
        # 9 = 4 + 4 + 1: the single graph is left out, it has no batch statistics.
        assert [batch.num_graphs for batch in batches] == [4, 4]
        orders.append([value for batch in batches for value in batch.y.view(-1).tolist()])
    assert orders[0] == orders[2] != orders[1]
    assert len(set(orders[0])) == 8


def test_unknown_labels_are_left_out() -> None:
    task = GraphPrediction(error, "bce", batch_size=4)
    items = [graph(1.0, [1.0]), graph(1.0, [math.nan]), graph(-1.0, [0.0])]
    batch = next(iter(task.batches({"train": items}, torch.Generator())))
    total, count = task.loss(Sum(), batch)
    assert count == 2
    assert total.item() == pytest.approx(2 * math.log1p(math.exp(-1)))
    total.backward()


def test_missing_splits_and_labels_are_named(data: dict[str, list[Data]]) -> None:
    task = GraphPrediction(error)
    with pytest.raises(ValueError, match=r"data: got keys \['train'\], expected 'train', 'val' and 'test'"):
        task.check({"train": data["train"]})
    with pytest.raises(ValueError, match="data: got no graph in 'val'"):
        task.check({**data, "val": []})
    for item in data["train"]:
        del item.y
    with pytest.raises(ValueError, match="data: got graphs without 'y'"):
        task.check(data)
    with pytest.raises(ValueError, match="batch_size: got 0"):
        GraphPrediction(error, batch_size=0)
