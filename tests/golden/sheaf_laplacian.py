"""Reads the golden vectors of the published sheaf Laplacians.

The arrays come from twitter-research/neural-sheaf-diffusion, commit 11e21b5, run in float64; one file holds all
variants of one graph, ``variant/array``. Of the two larger graphs the spectrum stands for the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit import Graph

FOLDER = Path(__file__).parent / "sheaf"
GRAPHS = ("g0", "g1", "g2", "g3")


@cache
def _arrays(graph: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"lap_{graph}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def names() -> list[str]:
    """``graph_type_dD_variant`` of every case, without reading the arrays."""
    found = []
    for graph in GRAPHS:
        with np.load(FOLDER / f"lap_{graph}.npz") as arrays:
            found += sorted({f"{graph}_{key.split('/')[0]}" for key in arrays.files if "/" in key})
    return found


@dataclass(frozen=True)
class Case:
    """One Laplacian of the published code."""

    name: str
    kind: str  # "diag", "bundle-..." or "general"
    variant: str  # "norm", "normNoAug", "unnorm", "degnorm", "degnormNoAug" or "unnormDense"
    flags: tuple[str, ...]  # of "ew", "lp", "hp"
    graph: Graph
    arrays: dict[str, Tensor]

    @property
    def bundle(self) -> bool:
        """Whether the maps are orthogonal."""
        return self.kind.startswith("bundle")

    @property
    def maps(self) -> Tensor:
        """The restriction maps."""
        return self.arrays["Q" if self.bundle else "maps_in"]

    @property
    def weight(self) -> Tensor | None:
        """The published edge weights, which multiply the maps."""
        return self.arrays["edge_weights"][:, 0] if "ew" in self.flags else None


def case(name: str) -> Case:
    """The case of one name."""
    graph, rest = name.split("_", 1)
    arrays = _arrays(graph)
    shared = {key: value for key, value in arrays.items() if "/" not in key}
    return _case(name, shared | {key.split("/")[1]: v for key, v in arrays.items() if key.startswith(f"{rest}/")})


def case_of_file(path: Path) -> Case:
    """The case of one file of the folder from which the arrays beside this module were taken."""
    with np.load(path) as arrays:
        return _case(path.stem.removeprefix("lap_"), {key: torch.from_numpy(arrays[key]) for key in arrays.files})


def _case(name: str, arrays: dict[str, Tensor]) -> Case:
    kind, _, variant, *flags = name.split("_", 1)[1].replace("matrix_exp", "matrix-exp").split("_")
    flags = [flag for group in flags for flag in (("lp", "hp") if group == "lphp" else (group,))]
    graph = Graph.from_edge_index(arrays["edge_index"], int(arrays["num_nodes"]))
    return Case(name, kind, variant, tuple(flags), graph, arrays)
