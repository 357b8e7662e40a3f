"""Layers of dictionaries: the same claims on ``HeteroData``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HANConv, HGTConv, SAGEConv, to_hetero

from graphkit.testing import BrokenClaim, assert_permutation_equivariant, check, example_hetero_data
from graphkit.testing.hetero import HeteroAdapter

CLAIMS = ["permutation", "edge_permutation", "batch", "batch_order", "locality", "isolated_nodes", "multi_edges"]
WIDTHS = {"author": 8, "paper": 5}


def hgt() -> nn.Module:
    return HGTConv(WIDTHS, 4, example_hetero_data().metadata())


class Numbered(HGTConv):
    """Adds the number of a paper, in one type alone."""

    def __init__(self) -> None:
        super().__init__(WIDTHS, 4, example_hetero_data().metadata())

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Any:
        out = super().forward(x_dict, edge_index_dict)
        paper = out["paper"]
        return {**out, "paper": paper + torch.arange(paper.size(0), dtype=paper.dtype)[:, None]}


def test_flat_and_back() -> None:
    data = example_hetero_data()
    data["paper", "cites", "paper"].edge_attr = torch.randn(6, 2)
    data["author"].age = torch.arange(5)
    adapter = HeteroAdapter(data)
    back = adapter.restore(adapter.data)
    assert back.metadata() == data.metadata()
    for kind in (*data.node_types, *data.edge_types):
        for key, value in data[kind].items():
            assert torch.equal(back[kind][key], value), (kind, key)


@pytest.mark.parametrize("claim", CLAIMS)
def test_good_layer(claim: str) -> None:
    report = check(hgt, example_hetero_data(), claims=claim)
    assert report[claim].status == "passed", str(report)


def test_to_hetero() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv((-1, -1), 6)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index).relu()

    report = check(lambda: to_hetero(Net(), example_hetero_data().metadata()), example_hetero_data(), claims=CLAIMS)
    assert report.passed, str(report)


def test_order_of_one_type_is_found() -> None:
    with pytest.raises(BrokenClaim, match=r"permutation: node \d+ differs after relabelling"):
        assert_permutation_equivariant(Numbered, example_hetero_data())


def test_type_that_gets_no_message_is_zero() -> None:
    data = HeteroData()
    data["author"].x, data["paper"].x = torch.randn(2, 8), torch.randn(3, 5)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1], [2, 0]])
    adapter = HeteroAdapter(data)
    out = adapter(HANConv(WIDTHS, 4, data.metadata()), adapter.data)
    assert out.shape == (5, 4)
    assert not bool(out[:2].any())
