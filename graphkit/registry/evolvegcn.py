"""Entries of EvolveGCN: its layers, any convolution with weights that evolve, and the models."""

from __future__ import annotations

from typing import Any

from graphkit.registry.table import BASES, Build, register

_ONE_SET = "the weights of a step are made from, and used on, one set of nodes"
_WHOLE = "the weights are made from the best nodes of the whole snapshot"
_BEST = {
    "bipartite": _ONE_SET,
    "locality": _WHOLE,
    "isolated_nodes": _WHOLE,
    "multi_edges": f"{_WHOLE}, which a twin of a node changes",
    "bfloat16": "which nodes are the best depends on the last digits",
}


def _over_time(layer: Any, snapshots: Any) -> Any:
    """All steps at once, as training calls a layer; the contract's other tests call it step by step."""
    from graphkit.graph.temporal import Snapshot

    return layer.sequence([Snapshot(data.x, data.edge_index, data.edge_weight) for data in snapshots])[0]


register(
    "EvolveGCNO",
    "graphkit.nn:EvolveGCNO",
    args=(8, 6),
    kind="conv",
    lazy_args=(-1, 6),
    groups=("causality",),
    lacks={"bipartite": _ONE_SET},
)
register(
    "EvolveGCNH",
    "graphkit.nn:EvolveGCNH",
    args=(8, 6),
    kwargs={"cell": "lstm", "self_loops": "remaining"},
    kind="conv",
    lazy_args=(-1, 6),
    groups=("causality",),
    lacks=_BEST,
)
register(
    "EvolvingConv",
    "graphkit.nn:EvolvingConv",
    args=(Build("torch_geometric.nn:SAGEConv", 8, 6),),
    kind="conv",
    graph_input=False,
    groups=("causality",),
    lacks={"lazy": "the cells are sized by the layer's weights when they are made"},
)
register(
    "EvolveGCN",
    "graphkit.models:EvolveGCN",
    args=(8, 6),
    kind="model",
    lazy_args=(-1, 6),
    sequence=_over_time,
    groups=("causality",),
    lacks=_BEST,
)
BASES["graphkit.models:PairClassifier"] = "a head for pairs of embeddings, which knows no graph"
BASES["graphkit.models:TemporalModel"] = "an encoder and a head, each of which is tested apart"
