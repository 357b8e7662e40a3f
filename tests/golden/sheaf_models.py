"""Reads the golden vectors of the published Neural Sheaf Diffusion models and gives their parameters our names.

The arrays come from twitter-research/neural-sheaf-diffusion, commit 11e21b5, run in float64 in evaluation mode.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.graph import Graph
from graphkit.models import NeuralSheafDiffusion, SheafODE
from graphkit.nn.sheaf.learner import learn

FOLDER = Path(__file__).parent / "sheaf"
BETWEEN = re.compile(r"(lin1_out|final_hidden|logits|loss)$|(learner_in|maps|ew|L|spmm_in|spmm_out)_\d+$")
FAMILIES = {"diag": "diagonal", "bundle": "bundle", "general": "general"}


def names() -> list[str]:
    """The models that are there."""
    return sorted(path.stem for path in FOLDER.glob("model_*.npz"))


def load(name: str, folder: Path = FOLDER) -> dict[str, Tensor]:
    """The arrays of one file; strings are under ``cfg_*`` of :func:`config`."""
    with np.load(folder / f"{name}.npz") as arrays:
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


@torch.no_grad()
def between(model: NeuralSheafDiffusion, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What we have for the arrays of a file that lie between its input and its output."""
    x, edge_index = arrays["x"], arrays["edge_index"]
    last: list[Tensor] = []
    hook = model.lin_out.register_forward_pre_hook(lambda _, given: last.append(given[0]))
    logits = model(x, edge_index)
    hook.remove()
    found = {"lin1_out": model.lin_in(x), "final_hidden": last[0], "logits": logits}
    found["loss"] = F.cross_entropy(logits, arrays["y"])
    if model.ode is not None:
        return found
    graph = Graph.from_edge_index(edge_index, x.size(0))
    states = model.states(x, edge_index)
    eye = torch.eye(states[0].features[..., 0].numel(), dtype=x.dtype)
    for layer, conv in enumerate(model.convs):
        h, sheaf = states[layer].features, states[layer + 1].sheaf
        weights = (conv.left_weight, conv.right_weight)
        left, right = (torch.eye(n).double() if w is None else w for w, n in zip(weights, h.shape[1:], strict=True))
        mixed = torch.einsum("ij,njc,oc->nio", left, h, right)
        plain = copy.deepcopy(conv)  # its Laplacian alone
        plain.left_weight, plain.right_weight, plain.act = None, None, nn.Identity()
        flow = plain.diffuse(mixed, graph, sheaf)
        found |= {f"spmm_in_{layer}": mixed.flatten(0, 1), f"spmm_out_{layer}": flow.flatten(0, 1)}
        if conv.maps is None:  # those of the first layer
            continue
        found[f"learner_in_{layer}"] = h.flatten(1)
        found[f"maps_{layer}"] = learn(conv.maps.learner, h.flatten(1), graph)
        found[f"L_{layer}"] = plain.diffuse(eye.view(*h.shape[:2], -1), graph, sheaf).flatten(0, 1)
        if sheaf.weight is not None:  # the published weights multiply maps
            found[f"ew_{layer}"] = sheaf.weight.sqrt()[:, None]
    return found


def expected_between(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays that :func:`between` is compared with; of maps, what we have parameters for."""
    found = {key: value for key, value in arrays.items() if BETWEEN.match(key)}
    d = int(arrays["d"])
    row, column = torch.tril_indices(d, d)
    for key, value in found.items():
        if key.startswith("maps_") and value.shape[1:] == (row.numel(),) and d > 1:
            value = value[:, row != column]  # Cayley's map or the exponential, whose diagonal cancels
        found[key] = value.flatten(1) if key.startswith("maps_") else value
    return found
