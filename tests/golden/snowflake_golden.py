"""Reads the golden vectors of latent graphs and gives the parameters of the published network our names.

From lcosmo/DGM_pytorch @489b43c, haitzsaezdeocariz/NeuralSpaceTimesICLR2025 @a33c284 and
avishkarsaha/learning-adaptive-neighborhoods-for-gnns @b74fe05 (numbers only), and from formulas in 40 to 60 digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.snowflake import SnowflakeLayer

FOLDER = Path(__file__).parent / "snowflake"
MODEL_NAMES = (
    ("graph_f.", "latents."),
    ("embed_f.MLP.", "encoder."),
    ("embed_f.", "encoder."),
    ("node_g.", "convs."),
    ("nn.MLP.", "nn."),
    ("pre_fc.MLP.", "pre."),
    ("fc.MLP.", "head."),
)


def golden(name: str) -> dict[str, Tensor]:
    """The arrays of one file by key."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def section(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose key starts with ``prefix``, without it."""
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def layers_of(case: dict[str, Tensor]) -> list[SnowflakeLayer]:
    """The layers of a snowflake's case, as leaves."""
    count = sum(key.endswith("/A") for key in case)
    return [SnowflakeLayer(*(case[f"layer{j}/{n}"].clone().requires_grad_() for n in "ABCab")) for j in range(count)]


def our_name(name: str) -> str:
    """Our name of a parameter of the published network."""
    for theirs, ours in MODEL_NAMES:
        name = name.replace(theirs, ours)
    return name
