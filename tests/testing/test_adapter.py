from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GENConv, GraphNorm, MeanAggregation, SAGEConv
from torch_geometric.nn.models import GCN

from graphkit.testing import example_data
from graphkit.testing.adapter import call_layer, example_inputs, forward_names, is_lazy, tensors


class Echo(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int, num_nodes: int) -> Any:
        return batch, torch.tensor([batch_size, num_nodes])


class TakesData(nn.Module):
    def forward(self, data: Any) -> Tensor:
        return data.x


class Wraps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 8)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.conv(*args, **kwargs)


def test_computed_arguments() -> None:
    batch, sizes = call_layer(Echo(), example_data())
    assert batch.tolist() == [0] * 12
    assert sizes.tolist() == [1, 12]


def test_forward_of_data_and_of_any_arguments() -> None:
    data = example_data()
    assert call_layer(TakesData(), data) is data.x
    assert forward_names(Wraps()) == {"x": True, "edge_index": True}
    assert call_layer(Wraps().double(), data).shape == (12, 8)


def test_aggregation_groups_sources_by_target() -> None:
    data = example_data()
    source, target = data.edge_index
    expected = torch.zeros(12, 8, dtype=torch.float64)
    for node in range(12):
        if bool((target == node).any()):
            expected[node] = data.x[source[target == node]].mean(dim=0)
    assert torch.allclose(call_layer(MeanAggregation(), data), expected)


def test_missing_argument_is_named() -> None:
    class NeedsTime(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, time: Tensor) -> Tensor:
            return x * time

    with pytest.raises(ValueError, match=r"requires 'time', which the data lacks .*pass 'data'"):
        call_layer(NeedsTime(), example_data())


@pytest.mark.parametrize(
    ("layer", "channels", "width"),
    [
        (GATConv(5, 2, edge_dim=3), 5, 3),
        (GENConv(5, 2, edge_dim=7), 5, 7),
        (GENConv(6, 6), 6, 6),
        (GCN(9, 4, 2), 9, 9),
    ],
    ids=["edge_dim", "encoder", "same", "model"],
)
def test_widths_are_read_off_the_layer(layer: nn.Module, channels: int, width: int) -> None:
    first = next(example_inputs(layer, in_channels=None, edge_dim=None, undirected=False, seed=0))
    assert first.x.size(1) == channels
    assert first.edge_attr.size(1) == width


def test_norm_needs_no_edges() -> None:
    assert call_layer(GraphNorm(8).double(), example_data()).shape == (12, 8)


def test_tensors_and_laziness() -> None:
    assert tensors({"a": (torch.zeros(1), [None, torch.ones(1)]), "b": "text"}) == [
        torch.zeros(1),
        torch.ones(1),
    ]
    assert is_lazy(SAGEConv(-1, 8))
    assert not is_lazy(SAGEConv(8, 8))
