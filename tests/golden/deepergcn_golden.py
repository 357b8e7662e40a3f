"""Reads the golden vectors of the published DeeperGCN code and gives their parameters our names.

The arrays come from lightaime/deep_gcns_torch, commit 4f6681e, run unmodified in float64.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.nn import GENConv
from graphkit.nn.encoder import CategoricalEncoder

FOLDER = Path(__file__).parent / "deepergcn"
_AGGR = {"softmax": "softmax_sg", "power": "powermean", "softmax_sum": "softmax_sum_sg"}  # with fixed parameters


class Golden(Mapping[str, Tensor]):
    """The arrays of one file by key."""

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / f"{name}.npz") as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}

    def __getitem__(self, key: str) -> Tensor:
        return self.arrays[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def section(self, prefix: str) -> dict[str, Tensor]:
        """The entries whose key starts with ``prefix``, without it."""
        return {key[len(prefix) :]: value for key, value in self.arrays.items() if key.startswith(prefix)}


def names(kind: str) -> list[str]:
    """The files of one kind: "genconv", "block" or "model"."""
    return sorted(path.stem for path in FOLDER.glob(f"{kind}_*.npz"))


def conv_key(key: str, *, scaled: bool = False) -> str:
    """Our name of a parameter of the published GENConv."""
    if key in ("t", "p"):
        return f"aggr_module.aggr.{key}" if scaled else f"aggr_module.{key}"
    if key == "y":
        return "aggr_module.y"
    key = key.replace("msg_norm.msg_scale", "msg_norm.scale").replace("edge_encoder.", "lin_edge.")
    key = key.replace("bond_embedding_list", "embeddings").replace("atom_embedding_list", "embeddings")
    # Ours has, as PyG's, a dropout after each activation of the MLP.
    return re.sub(r"^mlp\.(\d+)", lambda m: f"mlp.{int(m[1]) // 3 * 4 + int(m[1]) % 3}", key)


def conv_state(arrays: Mapping[str, Tensor], *, scaled: bool = False) -> dict[str, Tensor]:
    """Parameters or gradients of a published GENConv under our names."""
    return {conv_key(key, scaled=scaled): value for key, value in arrays.items()}


def build_conv(golden: Golden, out_channels: int = 6, *, compat: str | None = "official") -> GENConv:
    """The layer that a ``genconv_*`` file describes, with its parameters."""
    params, grads = golden.section("param."), golden.section("grad.")
    match = re.search(r"_(softmax_sum|power_sum|softmax|power|max|mean|sum)(?=_|$)", golden.name)
    assert match is not None
    aggr = match[1]
    scaled = aggr.endswith("_sum")
    learnable = "t" in grads or "p" in grads
    if aggr == "power":
        aggr = "powermean"
    elif not learnable:
        aggr = _AGGR.get(aggr, aggr)
    fixed = {key: float(golden[f"const.{key}"]) for key in ("t", "p") if f"const.{key}" in golden}
    if "y" in params and "y" not in grads:
        fixed["y"] = float(params.pop("y"))
    edge_encoder: bool | nn.Module = "edge_encoder.weight" in params
    if "edge_encoder.bond_embedding_list.0.weight" in params:
        edge_encoder = CategoricalEncoder([5, 6, 2], 5)
    conv = GENConv(
        5,
        out_channels,
        aggr,
        learn_t="t" in grads,
        learn_p="p" in grads,
        learn_y="y" in grads,
        msg_norm="msg_norm.msg_scale" in params,
        learn_msg_scale="grad.msg_norm.msg_scale" in golden,
        norm="batch" if "mlp.1.running_mean" in params else "layer",
        num_layers=sum(
            re.fullmatch(r"mlp\.\d+\.weight", key) is not None and v.dim() == 2 for key, v in params.items()
        ),
        eps=float(golden["const.eps"]) if "const.eps" in golden else 1e-7,
        bias=True,
        edge_dim=4 if edge_encoder is True else None,
        edge_encoder=edge_encoder,
        project=False,
        aggr_kwargs={"compat": compat} if aggr.startswith("power") else None,
        **fixed,
    ).double()
    conv.load_state_dict(conv_state(params, scaled=scaled), strict=True)
    return conv


def assert_close(got: Tensor | None, expected: Tensor, what: str) -> float:
    """Equal to 1e-10, relative to the largest entry; returns the error."""
    assert got is not None, f"{what}: no gradient"
    scale = max(float(expected.abs().max()), 1.0) if expected.numel() else 1.0
    error = float((got.detach() - expected).abs().max()) / scale if expected.numel() else 0.0
    assert error < 1e-10, f"{what}: relative error {error:.1e}"
    return error
