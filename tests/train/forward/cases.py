"""Small graphs and networks for the tests of forward-only training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import DeepGCNLayer, GATConv, GCNConv, GraphConv, SAGEConv

from graphkit.nn import GENConv, SheafConv
from graphkit.train.forward import ForwardTrainer

NODE_RULES = ("sf", "ff-la", "ff-vn", "symba", "sf-top-to-loss", "sf-top-to-input")
LINK_RULES = ("link-ce", "link-ff", "link-symba", "link-ce-top-to-input")


def _block(channels: int) -> nn.Module:
    """DeeperGCN's: normalisation, rectifier, convolution, and a connection past them."""
    conv = GENConv(channels, channels, learn_t=True)
    return DeepGCNLayer(conv, nn.LayerNorm(channels), nn.ReLU(), block="res+", dropout=0.0)


CONVS: dict[str, Any] = {
    "gcn": GCNConv,
    "sage": SAGEConv,
    "sage-sum": lambda i, o: SAGEConv(i, o, aggr="sum"),
    "graph": GraphConv,
    "gat": lambda i, o: GATConv(i, o // 4, heads=4),
    "deeper-gcn": lambda i, o: _block(o) if i == o else GENConv(i, o, learn_t=True),
    "sheaf": lambda i, o: SheafConv(i, o, stalk_dim=2),
}


def graph(nodes: int = 30, features: int = 6, classes: int = 3, seed: int = 0, edges: int = 60) -> Data:
    """A random undirected graph with an isolated node, a self-loop, a row of zeros, and labels one can learn."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    pairs = torch.randint(nodes - 1, (2, edges), generator=g)  # the last node is isolated
    pairs[:, 0] = 3
    x = torch.randn(nodes, features, generator=g, dtype=torch.float64) + torch.nn.functional.one_hot(y, features)
    x[5] = 0
    masks = {
        f"{split}_mask": torch.arange(nodes) // classes % 3 == i for i, split in enumerate(("train", "val", "test"))
    }
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], 1), y=y, **masks)


def pairs(seed: int = 0) -> dict[str, Data]:
    """Three graphs with pairs, as RandomLinkSplit gives them."""
    data, g = graph(seed=seed), torch.Generator().manual_seed(seed + 1)
    edges = data.edge_index
    made = {}
    for split, (low, high) in {"train": (0, 40), "val": (40, 50), "test": (50, 60)}.items():
        positive = edges[:, low:high]
        negative = torch.randint(30, positive.shape, generator=g)
        seen = edges[:, :40] if split != "test" else edges[:, :50]
        made[split] = Data(
            x=data.x,
            edge_index=torch.cat([seen, seen.flip(0)], 1),
            edge_label_index=torch.cat([positive, negative], 1),
            edge_label=torch.cat([torch.ones(high - low), torch.zeros(high - low)]),
        )
    return made


def widths(rule: str, layers: int, features: int = 6, hidden: int = 8, classes: int = 3) -> list[int]:
    """Input channels of each layer."""
    ins = [features] + [hidden] * (layers - 1)
    if rule == "ff-la":
        ins[0] += classes
    if rule.endswith("top-to-input"):
        above = [hidden] * (layers - 1) + [0 if rule.startswith("link") else classes]
        ins = [low + high for low, high in zip(ins, above, strict=True)]
    return ins


def convs(rule: str, kind: str = "gcn", layers: int = 3, lazy: bool = False, **sizes: int) -> list[nn.Module]:
    """Of float64; with ``lazy`` all but the first take their input channels from what they read."""
    torch.manual_seed(1)
    ins = widths(rule, layers, **sizes)
    ins[1:] = [-1] * (layers - 1) if lazy else ins[1:]
    return [CONVS[kind](width, sizes.get("hidden", 8)).double() for width in ins]


def trainer(rule: str, kind: str = "gcn", layers: int = 3, lazy: bool = False, **options: Any) -> ForwardTrainer:
    classes = None if rule.startswith("link") else 3
    settings = {"epochs": 6, "lr": 0.01, "progress": False, "device": "cpu"} | options
    return ForwardTrainer(rule, convs(rule, kind, layers, lazy), classes, **settings)


def data_for(rule: str) -> Any:
    return pairs() if rule.startswith("link") else graph()
