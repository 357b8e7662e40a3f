"""Reads the golden vectors of the published EvolveGCN code and gives their parameters our names.

The arrays come from IBM/EvolveGCN, commit 9086906, run in float64 with the work-arounds that current torch needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.graph.temporal import Snapshot

FOLDER = Path(__file__).parent / "evolvegcn"
_GATES = ("update", "reset", "htilda")


def load(name: str) -> dict[str, Tensor]:
    """The arrays of one file by key."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind in "fiu"}


def cell(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The published gates, one below the other, as our cell has them."""
    ours = {"W": "weight", "U": "hidden_weight", "bias": "bias"}
    return {own: torch.cat([arrays[f"{prefix}{gate}.{theirs}"] for gate in _GATES]) for theirs, own in ours.items()}


def layer(arrays: Mapping[str, Tensor], prefix: str, *, scored: bool) -> dict[str, Tensor]:
    """The parameters (or gradients) of one published layer by our names."""
    named = {f"cell.{key}": value for key, value in cell(arrays, f"{prefix}evolve_weights.").items()}
    named["weight"] = arrays[f"{prefix}GCN_init_weights"]
    if scored:
        named["score_vector"] = arrays[f"{prefix}evolve_weights.choose_topk.scorer"].view(-1)
    return named


def snapshots(arrays: Mapping[str, Tensor]) -> list[Snapshot]:
    """The steps, their edges read off the normalised adjacency: row i collects from column j."""
    steps = []
    for t in range(4):
        i, j = arrays[f"Ahat_{t}"].nonzero().t()
        x = arrays[f"x_{t}"].clone().requires_grad_()
        steps.append(Snapshot(x, torch.stack([j, i]), arrays[f"Ahat_{t}"][i, j], arrays[f"mask_{t}"] == 0, time=t))
    return steps
