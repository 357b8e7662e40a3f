"""Node classification: masks, metrics, and what is missing in the data."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torchmetrics.functional.classification import multiclass_f1_score

from graphkit.train import NodeClassification, accuracy


class Fixed(nn.Module):
    """Returns its features as logits."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x


@pytest.fixture
def data() -> Data:
    masks = torch.eye(3, dtype=torch.bool).repeat_interleave(2, dim=1)
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    return Data(
        x=logits,
        edge_index=torch.zeros(2, 0, dtype=torch.long),
        y=torch.tensor([0, 1, 1, 1, 1, 1]),
        train_mask=masks[0],
        val_mask=masks[1],
        test_mask=masks[2],
    )


def test_scores_are_per_split(data: Data) -> None:
    scores = NodeClassification().scores(Fixed(), data, ("train", "val", "test"))
    assert scores == {"train": 0.5, "val": 0.5, "test": 1.0}


def test_loss_is_the_sum_over_training_nodes(data: Data) -> None:
    expected = torch.tensor(-3.0).exp().log1p() + torch.tensor(3.0).exp().log1p()
    total, count = NodeClassification().loss(Fixed(), data)
    assert total.item() == pytest.approx(expected.item())
    assert count == 2


def test_a_column_of_the_masks(data: Data) -> None:
    data.train_mask = torch.stack([data.train_mask, data.val_mask], dim=1)
    assert NodeClassification(split_index=1).mask(data, "train").equal(data.val_mask)


def test_metric_of_torchmetrics(data: Data) -> None:
    metric = partial(multiclass_f1_score, num_classes=2, average="macro")
    score = NodeClassification(metric=metric).scores(Fixed(), data, ("train",))["train"]
    assert score == pytest.approx(1 / 3)
    assert accuracy(data.x[:2], data.y[:2]).item() == 0.5


def test_edge_attr_is_the_third_argument(data: Data) -> None:
    class Edges(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
            return x + edge_attr

    data.edge_attr = torch.tensor([[1.0, 2.0]])
    assert NodeClassification().predict(Edges(), data).equal(data.x + data.edge_attr)


def test_masks_of_bytes_are_masks(data: Data) -> None:
    """As PyG reads the fixed splits of the Planetoid sets; torch would take them as indices one day."""
    expected = data.val_mask
    data.val_mask = expected.to(torch.uint8)
    assert NodeClassification().mask(data, "val").equal(expected)


@pytest.mark.parametrize("name", ["x", "edge_index", "y", "train_mask", "val_mask", "test_mask"])
def test_missing_parts_are_named(name: str, data: Data) -> None:
    del data[name]
    with pytest.raises(ValueError, match=rf"data: got no '{name}'"):
        NodeClassification().check(data)


def test_an_empty_split_is_named(data: Data) -> None:
    data.val_mask.zero_()
    with pytest.raises(ValueError, match="data: got an empty val_mask"):
        NodeClassification().check(data)


def test_a_split_that_is_not_there(data: Data) -> None:
    data.train_mask = data.train_mask.view(-1, 1)
    with pytest.raises(ValueError, match="split_index: got 1, expected 0 to 0"):
        NodeClassification(split_index=1).check(data)
