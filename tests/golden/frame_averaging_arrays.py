"""Reads the golden vectors of frame averaging, and the small backbones they were made with.

Made from omri1348/Frame-Averaging, commit 9de18e1, in float64 (``torch.symeig`` replaced by ``eigh``); ``robust``:
weighted and blended averages, from formulas, not from any published code.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "frame_averaging"


@cache
def arrays(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"{name}.npz") as found:
        return {key: torch.from_numpy(found[key]) for key in found.files}


class Backbone(nn.Module):
    """``W2 tanh(W0 vec + b0) + b2`` of the flattened cloud: per graph, or a row per node."""

    def __init__(self, source: str, kind: str, nodes: int = 5) -> None:
        super().__init__()
        found = arrays(source)
        self.layers = nn.ModuleList()
        for number in (0, 2):
            weight, bias = found[f"{kind}_{number}_weight"], found[f"{kind}_{number}_bias"]
            layer = nn.Linear(weight.size(1), weight.size(0), dtype=torch.float64)
            layer.load_state_dict({"weight": weight, "bias": bias})
            self.layers.append(layer)
        self.kind, self.nodes = kind, nodes

    def forward(self, pos: Tensor, vel: Tensor | None = None) -> Tensor:
        rows = pos if vel is None else torch.cat([pos, vel], 1)
        out = self.layers[1](self.layers[0](rows.reshape(-1, self.nodes * rows.size(1))).tanh())
        return out if self.kind == "inv" else out.reshape(-1, 3)
