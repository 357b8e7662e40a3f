"""Entries of sheaf diffusion: the layer with each family of maps, and the models."""

from __future__ import annotations

from typing import Any

from graphkit.registry.table import register

_SHEAF = "graphkit.nn:SheafConv"
_UNDIRECTED: dict[str, Any] = {
    "undirected": True,
    "lacks": {"bipartite": "a sheaf Laplacian is over one set of nodes"},
}
register("SheafConv", _SHEAF, args=(8, 6), kwargs={"stalk_dim": 3}, kind="conv", lazy_args=(-1, 6), **_UNDIRECTED)
register(
    "SheafConv/bundle",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 3, "maps": "bundle", "low_pass": True, "high_pass": True},
    kind="conv",
    lazy_args=(-1, 6),
    **_UNDIRECTED,
)
register(
    "SheafConv/cayley",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 2, "maps": "bundle", "orthogonal": "cayley", "edge_weights": False},
    kind="conv",
    lazy_args=(-1, 6),
    **_UNDIRECTED,
)
register(
    "SheafConv/general",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 2, "maps": "general"},
    kind="conv",
    lazy_args=(-1, 6),
    **_UNDIRECTED,
)
register(
    "SheafConv/attention",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 2, "maps": "general", "learner": "attention", "normalized": "degree"},
    kind="conv",
    lazy_args=(-1, 6),
    **_UNDIRECTED,
)
register(
    "SheafConv/identity",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 2, "maps": "identity"},
    kind="conv",
    lazy_args=(-1, 6),
    **_UNDIRECTED,
)
register(
    "SheafConv/connection",
    _SHEAF,
    args=(8, 6),
    kwargs={"stalk_dim": 2, "maps": "connection"},
    kind="conv",
    lazy_args=(-1, 6),
    undirected=True,
    lacks={
        "bipartite": "a sheaf Laplacian is over one set of nodes",
        "compile": "the shapes of local PCA depend on the degrees",
        "gradcheck": "no gradient flows through the maps of local PCA",
        "bfloat16": "which directions are the main ones depends on the last digits",
    },
)
for _maps in ("diagonal", "bundle", "general"):
    register(
        f"NeuralSheafDiffusion/{_maps}",
        "graphkit.models:NeuralSheafDiffusion",
        args=(8, 4, 2, 3),
        kwargs={"stalk_dim": 2, "maps": _maps, "low_pass": True, "high_pass": True, "second_linear": True},
        kind="model",
        lazy_args=(-1, 4, 2, 3),
        **_UNDIRECTED,
    )
register(
    "NeuralSheafDiffusion/shared",
    "graphkit.models:NeuralSheafDiffusion",
    args=(8, 4, 3, 3),
    kwargs={"maps": "bundle", "orthogonal": "cayley", "shared_maps": True, "learner": "sum"},
    kind="model",
    lazy_args=(-1, 4, 3, 3),
    **_UNDIRECTED,
)
for _maps, _stalk in (("diagonal", 1), ("bundle", 2), ("general", 2)):
    register(
        f"SheafRecommender/{_maps}",
        "graphkit.models:SheafRecommender",
        args=(None, 8, 2),
        kwargs={"stalk_dim": _stalk, "maps": _maps},
        kind="model",
        in_channels=8,
        undirected=True,
        lacks={
            "bipartite": "users and items are numbered in one range",
            "lazy": "the width is that of the table",
        },
    )
