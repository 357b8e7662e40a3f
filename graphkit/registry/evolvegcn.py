"""Entries of EvolveGCN: its layers, any convolution with weights that evolve, and the models."""

from __future__ import annotations

from graphkit.registry.table import Build, register

_ONE_SET = "the weights of a step are made from, and used on, one set of nodes"
_WHOLE = "the weights are made from the best nodes of the whole snapshot"

register(
    "EvolveGCNO",
    "graphkit.nn:EvolveGCNO",
    args=(8, 6),
    kind="conv",
    lazy_args=(-1, 6),
    lacks={"bipartite": _ONE_SET},
)
register(
    "EvolveGCNO/lstm",
    "graphkit.nn:EvolveGCNO",
    args=(8, 6),
    kwargs={"cell": "lstm", "self_loops": "remaining"},
    kind="conv",
    lazy_args=(-1, 6),
    lacks={"bipartite": _ONE_SET},
)
register(
    "EvolveGCNH",
    "graphkit.nn:EvolveGCNH",
    args=(8, 6),
    kind="conv",
    lazy_args=(-1, 6),
    lacks={
        "bipartite": _ONE_SET,
        "locality": _WHOLE,
        "isolated_nodes": _WHOLE,
        "multi_edges": f"{_WHOLE}, which a twin of a node changes",
        "bfloat16": "which nodes are the best depends on the last digits",
    },
)
register(
    "EvolvingConv",
    "graphkit.nn:EvolvingConv",
    args=(Build("torch_geometric.nn:SAGEConv", 8, 6),),
    kind="conv",
    graph_input=False,
    lacks={"lazy": "the cells are sized by the layer's weights when they are made"},
)
