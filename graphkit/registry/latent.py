"""Entries of latent graphs: the layer with each sampler and metric, and the network."""

from __future__ import annotations

from typing import Any

from graphkit.registry.table import BASES, Build, register

for _name in ("NeuralSnowflake", "NeuralSpacetime", "ProductManifold"):
    BASES[f"graphkit.nn:{_name}"] = "a metric of points, which knows no graph"
BASES["graphkit.nn:GraphReward"] = "a loss, which has no output per node"

_LATENT = "graphkit.nn:LatentGraph"
_LACKS = {
    "locality": "every point of a set may be a neighbour",
    "isolated_nodes": "a node without edges of its own is given some",
    "compile": "how many edges there are is in the data",
    "bipartite": "neighbours are of the same set",
    "explain": "its edges are its own, not an input",
}


def _neighbor_sum(layer: Any, data: Any) -> Any:
    """The weighted sum of the features of the neighbours that each point chose."""
    from graphkit import ops

    latent = layer(data.x, batch=data.get("batch"))
    return ops.gather_reduce(data.x, latent.graph, edge_weight=latent.weight.to(data.x.dtype))


for _variant, _encoder, _metric, _options in (
    ("", Build("torch.nn:Linear", 8, 3), Build("graphkit.nn:NeuralSnowflake"), {"k": 3}),
    ("/cdgm", Build("torch.nn:Linear", 8, 4), None, {"k": 3, "sampler": "cdgm"}),
    (
        "/dgg",
        Build("torch.nn:Linear", 8, 3),
        Build("graphkit.nn:NeuralSnowflake"),
        {"k": 2, "sampler": "dgg", "temperature": -1.0},
    ),
):
    register(
        f"LatentGraph{_variant}",
        _LATENT,
        args=(_encoder, _metric),
        kwargs=_options,
        kind="block",
        lacks={**_LACKS, "lazy": "its encoder is built before it"},
        call=_neighbor_sum,
        in_channels=8,
        copies=32,
    )


def _logits(model: Any, data: Any) -> Any:
    return model(data.x, batch=data.get("batch"))


register(
    "LatentGraphNetwork",
    "graphkit.models:LatentGraphNetwork",
    args=(8, (6, 4), 3, ((5, 3), (3,)), Build("graphkit.nn:NeuralSnowflake")),
    kwargs={"k": 3, "weighted": True, "temperature": -1.0},
    kind="model",
    lacks={
        **_LACKS,
        "lazy": "the widths of its points are in its arguments",
        "gradcheck": "as published, encoders of points see features without their gradient",
    },
    call=_logits,
    in_channels=8,
    copies=32,
)
