"""Reads the golden vectors of the published Sheaf4Rec and gives its parameters our names.

The arrays come from antoniopurificato/Sheaf4Rec, commit 2cd476f, run in float64 in evaluation mode.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.models import SheafRecommender

FOLDER = Path(__file__).parent / "sheaf"


def names() -> list[str]:
    """The files that are there."""
    return sorted(path.stem for path in FOLDER.glob("sheaf4rec_*.npz"))


def load(name: str) -> dict[str, Tensor]:
    """The arrays of one file."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.as_tensor(arrays[key]) for key in arrays.files}


def key(parameter: str) -> str:
    """The name that one of our parameters has there, e.g. ``linear_weight_0`` for ``lins.0.weight``."""
    if parameter == "embedding.weight":
        return "emb0"
    part, layer, *_, kind = parameter.split(".")
    return f"linear_{kind}_{layer}" if part == "lins" else f"sheaf_weight_{layer}"


def build(name: str) -> tuple[SheafRecommender, dict[str, Tensor]]:
    """The model of one file, with its parameters, and the arrays."""
    arrays = load(name)
    nodes, width = arrays["emb0"].shape
    model = SheafRecommender(nodes, width, int(arrays["num_layers"])).double()
    model.load_state_dict({own: arrays[key(own)] for own, _ in model.named_parameters()})
    return model.eval(), arrays


def interactions(arrays: dict[str, Tensor]) -> Data:
    """The data of a file in the layout that :class:`graphkit.train.Recommendation` wants, items after the users."""
    users = int(arrays["num_users"])
    edge_index, held_out = arrays["edge_index"], arrays["held_out"].clone()
    if int(held_out[:, 1].min()) < users:  # items there are counted from 0
        held_out[:, 1] += users
    train = edge_index[:, edge_index[0] < users].t()
    return Data(
        edge_index=edge_index,
        num_nodes=arrays["emb0"].size(0),
        num_users=users,
        split_edge={"train": {"edge": train}, "valid": {"edge": held_out}, "test": {"edge": held_out}},
    )
