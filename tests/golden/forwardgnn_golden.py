"""Arrays of the published ForwardGNN code, run in float64; see tests/golden/forwardgnn/README.md."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

FOLDER = Path(__file__).with_name("forwardgnn")
CONVS = {
    "gcn": GCNConv,
    "sage": SAGEConv,
    "gat": lambda i, o: GATConv(i, o // 4, heads=4),
}


@cache
def arrays(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def part(found: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below a prefix, e.g. the parameters of a layer."""
    return {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)}


def conv(kind: str, weights: dict[str, Tensor]) -> nn.Module:
    """The layer with these weights, in float64."""
    matrix = weights["lin_l.weight" if kind == "sage" else "lin.weight"]
    made = CONVS[kind](matrix.size(1), matrix.size(0)).double()
    made.load_state_dict(weights)
    return made


def loop_graph() -> tuple[Data, Tensor]:
    """The graph of 60 nodes on which whole training runs were recorded, and the class nodes' features."""
    found = arrays("loop_graph")
    names = ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask")
    return Data(**{name: found[name] for name in names}), found["virtual_feats"]


def step_graph() -> tuple[Data, Tensor]:
    """The graph of 9 nodes on which single steps were recorded, put together from the augmented graphs."""
    found = arrays("aug_bidirection_labelnone")
    edges = found["pos.edge_index"]
    edges = edges[:, (edges < 9).all(0)]
    masks = {}
    for name, nodes in (("train", [0, 1, 2, 3, 5]), ("val", [4, 6]), ("test", [7, 8])):
        masks[f"{name}_mask"] = torch.isin(torch.arange(9), torch.tensor(nodes))
    y = torch.empty(9, dtype=torch.long)
    y[:] = found["pos.y"][:9]
    return Data(x=found["pos.x"][:9], edge_index=edges, y=y, **masks), found["pos.x"][9:]


def pair_graphs(name: str) -> dict[str, Data]:
    """Training, validation and test graphs of a recorded link prediction."""
    found = arrays(name)
    return {split: Data(**part(found, f"{split}.")) for split in ("train", "val", "test")}
