"""Reads the golden vectors of the published Neural Sheaf Diffusion models and gives their parameters our names.

The arrays come from twitter-research/neural-sheaf-diffusion, commit 11e21b5, run in float64 in evaluation mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.models import NeuralSheafDiffusion, SheafODE

FOLDER = Path(__file__).parent / "sheaf"
FAMILIES = {"diag": "diagonal", "bundle": "bundle", "general": "general"}


def names() -> list[str]:
    """The models that are there."""
    return sorted(path.stem for path in FOLDER.glob("model_*.npz"))


def load(name: str) -> dict[str, Tensor]:
    """The arrays of one file; strings are under ``cfg_*`` of :func:`config`."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind != "U"}


def config(name: str) -> dict[str, object]:
    """The ``cfg_*`` entries without the prefix."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key[4:]: arrays[key].item() for key in arrays.files if key.startswith("cfg_")}


def build(name: str, *, compat: str | None = "official") -> tuple[NeuralSheafDiffusion, dict[str, Tensor]]:
    """The model that a file describes, with its parameters, and the file's arrays."""
    arrays, cfg = load(name), config(name)
    family = re.search(r"(diag|bundle|general)", name)
    assert family is not None
    ode = None
    if "_ode_" in name:
        step = float(arrays["cfg_step_size"])
        ode = SheafODE(str(cfg["int_method"]), float(arrays["cfg_max_t"]), step)
    model = NeuralSheafDiffusion(
        arrays["x"].size(1),
        int(cfg["hidden_channels"]),  # type: ignore[call-overload]
        1 if ode else int(cfg["layers"]),  # type: ignore[call-overload]
        arrays["out"].size(1),
        stalk_dim=int(arrays["d"]),
        maps=FAMILIES[family[1]],  # type: ignore[arg-type]
        orthogonal=str(cfg["orth"]),
        learner="sum" if cfg["sparse_learner"] else "concat",
        map_act=str(cfg["sheaf_act"]),
        edge_weights=bool(cfg["edge_weights"]),
        shared_maps=bool(cfg["linear"]),
        normalized="degree" if cfg["deg_normalised"] else bool(cfg["normalised"]),
        low_pass=bool(cfg["add_lp"]),
        high_pass=bool(cfg["add_hp"]),
        left_weights=bool(cfg["left_weights"]),
        right_weights=bool(cfg["right_weights"]),
        act="elu" if cfg["use_act"] else None,
        second_linear=bool(cfg["second_linear"]),
        ode=ode,
        compat=compat,  # type: ignore[arg-type]
    ).double()
    model.load_state_dict(ours(arrays, "param:", model), strict=True)
    return model.eval(), arrays


def ours(arrays: Mapping[str, Tensor], prefix: str, model: NeuralSheafDiffusion) -> dict[str, Tensor]:
    """Parameters (``"param:"``) or gradients (``"grad:"``) under our names."""
    expected = dict(model.named_parameters())
    found = {}
    for key, value in arrays.items():
        if key.startswith(prefix):
            name = _name(key.removeprefix(prefix))
            # In the published code unused parameters are made too.
            if name in expected:
                found[name] = _without_diagonal(value, expected[name])
    return found


def _name(key: str) -> str:
    key = re.sub(r"^lin12\.", "lin_second.", re.sub(r"^lin1\.", "lin_in.", re.sub(r"^lin2\.", "lin_out.", key)))
    key = key.replace("odefunc.", "")
    for theirs, own in (
        (r"lin_(left|right)_weights(?:\.(\d+))?\.weight", r"\1_weight"),
        (r"sheaf_learners?(?:\.(\d+))?\.linear1\.weight", "maps.learner.weight"),
        (r"weight_learners?(?:\.(\d+))?\.linear1\.weight", "maps.weight_learner.weight"),
        (r"epsilons(?:\.(\d+))?", "epsilon"),
    ):
        if match := re.fullmatch(theirs, key):
            return f"convs.{match[match.lastindex or 0] if match[match.lastindex or 0].isdigit() else 0}." + (
                f"{match[1]}_weight" if r"\1" in own else own
            )
    return key


def _without_diagonal(value: Tensor, parameter: Tensor) -> Tensor:
    """Rows of a learner for Cayley's map or the exponential, less those of the diagonal, which cancel."""
    if value.shape == parameter.shape:
        return value
    d = int(((8 * value.size(0) + 1) ** 0.5 - 1) / 2)
    row, column = torch.tril_indices(d, d)
    return value[row != column]
