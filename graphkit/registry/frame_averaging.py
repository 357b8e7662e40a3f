"""Entries of frame averaging: the wrapper around PyG's modules, and the models."""

from __future__ import annotations

from typing import Any

from graphkit.registry.table import Build, register

_CLOUD = {
    "compile": "which clouds are degenerate, and so how many frames there are, is in the data",
    "locality": "an unrelated component moves the centre and the axes of the cloud",
    "bipartite": "a frame is of one set of points",
    "lazy": "its backbone is built before it",
    "isolated_nodes": "a node without edges is still a point of the cloud that makes the frame",
}
_WRAPPED = {
    **_CLOUD,
    "explain": "the backbone sees a copy of each edge per frame, an explainer has one mask for all",
}
_DETACHED = {"gradcheck": "frames are constants in the backward pass, as published"}


def _by_name(layer: Any, data: Any) -> Any:
    """As PyG's modules are called, with ``batch`` for the frames."""
    return layer(data.x, data.edge_index, batch=data.get("batch"))


register(
    "FrameAveraging",
    "graphkit.nn:FrameAveraging",
    args=(Build("torch_geometric.nn:SAGEConv", 3, 3), "E(3)", {"x": "position"}, "position"),
    kind="block",
    lacks={**_WRAPPED, **_DETACHED},
    groups=("E(3)",),
    call=_by_name,
    sparse_input=False,
    in_channels=3,
    inputs={"x": "position"},
    outputs="position",
)
register(
    "FrameAveraging/weighted",
    "graphkit.nn:FrameAveraging",
    args=(Build("torch_geometric.nn:SAGEConv", 3, 4), "SO(3)", {"x": "vector"}, "scalar"),
    kwargs={"method": "weighted"},
    kind="block",
    lacks={**_WRAPPED, **_DETACHED},
    groups=("SO(3)",),
    call=_by_name,
    sparse_input=False,
    in_channels=3,
    inputs={"x": "vector"},
    outputs="scalar",
)
register(
    "FrameAveraging/full",
    "graphkit.nn:FrameAveraging",
    args=(Build("torch_geometric.nn:SAGEConv", 2, 2), "SE(2)", {"x": "position"}, "vector"),
    kwargs={"degenerate": "ignore", "frame_grad": "full"},
    kind="block",
    lacks=_WRAPPED,
    groups=("SE(2)",),
    call=_by_name,
    sparse_input=False,
    in_channels=2,
    inputs={"x": "position"},
    outputs="vector",
)
register(
    "FrameAveragedGNN",
    "graphkit.models:FrameAveragedGNN",
    args=(12, 2),
    kind="model",
    lacks={**_CLOUD, **_DETACHED},
    groups=("E(3)",),
    edge_dim=1,
    sparse_input=False,
    inputs={"pos": "position", "vel": "vector"},
    outputs="position",
)
_SORTED = {
    "compile": "how many times nodes have to be set apart is in the data",
    "bipartite": "an order is of one set of nodes",
    "lazy": "the width is that of features and places together",
    "eval_deterministic": "the suite joins its copies into one graph of more than max_nodes nodes",
}
register(
    "FAGIN",
    "graphkit.models:FAGIN",
    args=(8, 3),
    kind="model",
    lacks=_SORTED,
    in_channels=8,
    sparse_input=False,
)
register(
    "FAMLP",
    "graphkit.models:FAMLP",
    args=(8, 3),
    kwargs={"hidden_channels": (16, 16)},
    kind="model",
    lacks={**_SORTED, "explain": "a perceptron on the adjacency matrix sends no messages"},
    in_channels=8,
    sparse_input=False,
)
_POINTS: dict[str, Any] = {"groups": ("E(3)",), "inputs": {"pos": "position"}, "outputs": "vector", "kind": "model"}
register(
    "FAPointNet",
    "graphkit.models:FAPointNet",
    kwargs={"width": 0.0625},
    lacks={**_CLOUD, **_DETACHED},
    **_POINTS,
)
register(
    "FADGCNN",
    "graphkit.models:FADGCNN",
    kwargs={"k": 4, "width": 0.0625},
    lacks={
        **_CLOUD,
        **_DETACHED,
        "eval_deterministic": "the suite joins its copies into one cloud of thousands of points, and all distances "
        "are computed",
    },
    **_POINTS,
)
