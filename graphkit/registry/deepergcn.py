"""Entries of generalised aggregation, deep residual networks and link models."""

from __future__ import annotations

from typing import Any

from graphkit.registry.table import BASES, Build, register

_GEN = "graphkit.nn:GENConv"

BASES["graphkit.nn:FusedMessagePassing"] = "the base class of convolutions"
BASES["graphkit.nn:CategoricalEncoder"] = "an encoder of integer codes, which knows no graph"

register(
    "GENConv",
    _GEN,
    args=(8, 6),
    kwargs={"learn_t": True, "edge_dim": 4, "norm": "layer"},
    kind="conv",
    lazy_args=(-1, 6),
)
register("GENConv/batchnorm", _GEN, args=(8, 6), kwargs={"edge_dim": 4, "bias": True}, kind="conv", lazy_args=(-1, 6))
register(
    "GENConv/softmax_sg",
    _GEN,
    args=(8, 8),
    kwargs={"aggr": "softmax_sg", "t": 0.5, "norm": "layer", "msg_norm": True, "learn_msg_scale": True},
    kind="conv",
    lacks={"gradcheck": "a semi-gradient is not the derivative", "lazy": "in_channels equals out_channels"},
)
register(
    "GENConv/softmax_sum",
    _GEN,
    args=(8, 6),
    kwargs={"aggr": "softmax_sum", "learn_t": True, "learn_y": True, "norm": "layer"},
    kind="conv",
    lazy_args=(-1, 6),
)
register(
    "GENConv/powermean",
    _GEN,
    args=(8, 6),
    kwargs={"aggr": "powermean", "p": 0.5, "learn_p": True, "edge_dim": 4, "norm": "layer"},
    kind="conv",
    lazy_args=(-1, 6),
)
register("GENConv/max", _GEN, args=(8, 6), kwargs={"aggr": "max", "num_layers": 1}, kind="conv", lazy_args=(-1, 6))
register(
    "GENConv/list",
    _GEN,
    args=(8, 6),
    kwargs={"aggr": ["softmax", "powermean", "mean"], "learn_t": True, "learn_p": True, "norm": "layer"},
    kind="conv",
    lazy_args=(-1, 6),
)
register(
    "GENConv/published",
    _GEN,
    args=(8, 6),
    kwargs={"aggr": "sum", "project": False, "edge_dim": 8, "edge_encoder": True, "norm": "layer", "bias": True},
    kind="conv",
    lacks={"lazy": "the published form needs its width"},
)
register("SoftmaxAggregation", "graphkit.nn:SoftmaxAggregation", kwargs={"learn": True}, kind="aggr")
register("PowerMeanAggregation", "graphkit.nn:PowerMeanAggregation", kwargs={"p": 2.0, "learn": True}, kind="aggr")
register(
    "DegreeScaledAggregation",
    "graphkit.nn:DegreeScaledAggregation",
    args=(Build("graphkit.nn:SoftmaxAggregation", learn=True),),
    kwargs={"learn": True},
    kind="aggr",
)
register(
    "MessageNorm",
    "graphkit.nn:MessageNorm",
    kwargs={"learn_scale": True},
    kind="norm",
    lacks={"bipartite": "it takes no edges at all", "explain": "it takes no edges at all"},
    call=lambda layer, data: layer(data.x, data.x.cos()),
)
register(
    "DeepGCNLayer",
    "graphkit.nn:DeepGCNLayer",
    args=(Build(_GEN, 8, 8, norm="layer"), Build("torch.nn:LayerNorm", 8), Build("torch.nn:ReLU")),
    kwargs={"ckpt_grad": True},
    kind="block",
    lacks={"bipartite": "the skip connection adds sources to targets"},
    in_channels=8,
)
register(
    "GroupAddRev",
    "graphkit.nn:GroupAddRev",
    args=(Build(_GEN, 4, 4, learn_t=True, norm="layer"),),
    kwargs={"num_groups": 2},
    kind="block",
    lacks={
        "bipartite": "an inverse needs as many outputs as inputs",
        "lazy": "its convolutions are built before it",
    },
    in_channels=8,
)
register(
    "DeeperGCN",
    "graphkit.models:DeeperGCN",
    args=(8, 6, 3, 2),
    kwargs={"learn_t": True, "norm": "layer", "edge_dim": 4},
    kind="model",
    lacks={"bipartite": "the layers update one set of nodes"},
    edge_dim=4,
)
register(
    "DeeperGCN/graph",
    "graphkit.models:DeeperGCN",
    args=(8, 6, 3, 2),
    kwargs={"task": "graph", "virtual_node": True, "norm": "layer", "edge_dim": 4, "edge_encoder": "layer"},
    kind="model",
    lacks={"bipartite": "the layers update one set of nodes"},
    edge_dim=4,
)
register(
    "DeeperGCN/reversible",
    "graphkit.models:DeeperGCN",
    args=(8, 6, 3, 2),
    kwargs={"reversible": True, "learn_t": True, "norm": "layer", "edge_dim": 4, "edge_encoder": "both"},
    kind="model",
    lacks={"bipartite": "the layers update one set of nodes"},
    edge_dim=4,
)


def _self_pairs(model: Any, data: Any) -> Any:
    """The logit of each node with itself, as a link model has no other output per node."""
    every = data.x.new_ones(data.x.size(0)).nonzero().view(1, -1)
    return model(data.x, data.edge_index, every.expand(2, -1), data.get("edge_attr")).unsqueeze(-1)


BASES["graphkit.models:LinkPredictor"] = "a scorer of pairs of embeddings, which knows no graph"
register(
    "LinkModel",
    "graphkit.models:LinkModel",
    args=(
        Build("graphkit.nn:GENConv", 8, 6, learn_t=True, norm="layer", edge_dim=4),
        Build("graphkit.models:LinkPredictor", 6, 6),
    ),
    kind="model",
    lacks={
        "bipartite": "it embeds one set of nodes",
        "lazy": "its parts are built before it",
    },
    call=_self_pairs,
    in_channels=8,
    edge_dim=4,
    graph_input=True,
)
