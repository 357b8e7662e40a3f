"""Whole graphs as nodes: learnt by the single-forward rule, whole and in batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from graphkit.train import neighbor_batches
from graphkit.train.forward import ForwardTrainer, whole_graphs


def rings(count: int, seed: int) -> list[Data]:
    """Rings of 3 to 5 nodes and of 8 to 10, with noise for features."""
    g = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        label = number % 2
        n = int(torch.randint(3, 6, (), generator=g)) + 5 * label
        node = torch.arange(n)
        edges = torch.stack([node, (node + 1) % n])
        x = torch.ones(n, 4) + 0.1 * torch.randn(n, 4, generator=g)
        made.append(Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([label])))
    return made


@pytest.mark.parametrize(("loader", "epochs"), [(None, 150), (neighbor_batches([-1], 16), 30)])
def test_graphs_are_told_apart(loader: Any, epochs: int) -> None:
    data = whole_graphs(rings(40, 0), rings(10, 1), rings(20, 2))
    torch.manual_seed(0)
    convs = [SAGEConv(4, 16, aggr="sum"), SAGEConv(16, 16, aggr="sum")]
    t = ForwardTrainer("sf", convs, 2, lr=0.02, direction="to_class", epochs=epochs, loader=loader, progress=False)
    result = t.fit(data)
    assert result.metrics["test/depth-1"] > 0.9
    assert result.test > 0.9
    # What is said about a graph does not depend on the others: its readout node hears from its own nodes only.
    alone = whole_graphs(rings(40, 0), rings(10, 1), rings(20, 2)[:1])
    mine, others = (t.predict_scores(each, each.test_mask)[each.test_mask] for each in (alone, data))
    torch.testing.assert_close(mine, others[:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"y": None}, "without one label y"), ({"x": None}, "without features x"), ({"y": torch.ones(2)}, "without one")],
)
def test_bad_graphs_are_named(change: dict[str, Any], message: str) -> None:
    graph = rings(1, 0)[0].update(change)
    with pytest.raises(ValueError, match=f"val: got graph 0 .*{message}"):
        whole_graphs(rings(2, 0), [graph], rings(2, 0))
    with pytest.raises(ValueError, match="test: got no graph"):
        whole_graphs(rings(2, 0), rings(2, 0), [])
