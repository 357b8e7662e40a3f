"""How to build every convolution and aggregation of PyG, and what to feed it.

Constructors are read by the names of their required arguments (:data:`VALUES`); :data:`ENTRIES` holds what names do
not say, :data:`LEFT_OUT` the classes that cannot be tested, with the reason. A class that a later PyG adds is tested
too, if its arguments have these names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data, HeteroData

from graphkit.testing.examples import example_data
from graphkit.testing.hetero import example_hetero_data

CHANNELS = 8
_DEGREES = torch.tensor([1, 3, 3, 2, 1, 1, 0, 0, 0, 0, 0, 1])

VALUES: dict[str, Callable[[], Any]] = {
    "in_channels": lambda: CHANNELS,
    "out_channels": lambda: CHANNELS,
    "channels": lambda: CHANNELS,
    "hidden_channels": lambda: CHANNELS,
    "K": lambda: 2,
    "alpha": lambda: 0.1,
    "num_layers": lambda: 2,
    "num_relations": lambda: 2,
    "edge_dim": lambda: 4,
    "deg": lambda: _DEGREES,
    "k": lambda: 3,
    "processing_steps": lambda: 2,
    "max_num_elements": lambda: 16,
    "patch_size": lambda: 2,
    "nn": lambda: nn.Linear(CHANNELS, CHANNELS),
    "gate_nn": lambda: nn.Linear(CHANNELS, 1),
    "conv": lambda: pyg.SAGEConv(CHANNELS, CHANNELS),
    "metadata": lambda: example_hetero_data().metadata(),
}
"""The value of a required constructor argument, by its name."""


@dataclass(frozen=True)
class Entry:
    """What the names of a class's arguments do not say.

    Attributes:
        kwargs: Constructor arguments, as functions that make them afresh.
        data: Makes the data; a small awkward graph with the inputs that ``forward`` names where None.
        options: Further arguments of :class:`~graphkit.testing.Case`.
        groups: Geometric claims to check besides.
        skip: Claims that say nothing about this class, with the reason.
    """

    kwargs: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    data: Callable[[], Data | HeteroData] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)


def _mlp(width: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(width, CHANNELS), nn.Tanh(), nn.Linear(CHANNELS, CHANNELS))


def _layers() -> Data:
    """Node features of three layers: [N, 3, F]."""
    data = example_data(("edge_weight",))
    data.x = torch.randn(12, 3, CHANNELS, dtype=torch.float64, generator=_generator())
    return data


def _mesh() -> Data:
    """A graph whose every node has four edges into it, which stand together: the edges of a closed mesh."""
    data = example_data(())
    data.x = torch.randn(12, CHANNELS, dtype=torch.float64, generator=_generator())
    target = torch.arange(12).repeat_interleave(4)
    data.edge_index = torch.stack([(target + torch.tensor([1, 2, 5, 9]).repeat(12)) % 12, target])
    return data


def _labels() -> Data:
    data = example_data(())
    data.x = torch.arange(12) % 3
    return data


def _oriented(*names: str) -> Data:
    """Points with unit normals."""
    data = example_data(names)
    data.normal = nn.functional.normalize(torch.randn(12, 3, dtype=torch.float64, generator=_generator()), dim=1)
    return data


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _typed() -> Data:
    data = example_data(("x", "edge_type", "edge_attr"))
    data.node_type = torch.randint(2, (12,), generator=_generator())
    return data


def _call_signed(layer: nn.Module, data: Data) -> Any:
    positive = data.edge_type == 0
    return layer(data.x, data.edge_index[:, positive], data.edge_index[:, ~positive])


_GLOBAL = "attention over all nodes of the graph is its point"
_SPARSE = "its call takes the edges apart"
_HETERO = {"layouts": "edges come in a dictionary", "bipartite": "edges come in a dictionary"}
_HETERO |= {"edge_index_sort": "edges come in a dictionary", "explain": "edges come in a dictionary"}
_FOUR = dict.fromkeys(
    (
        "edge_permutation",
        "unsorted_edges",
        "self_loops",
        "multi_edges",
        "isolated_nodes",
        "empty_graph",
        "layouts",
        "edge_index_sort",
        "locality",
        "batch",
        "batch_order",
        "gradcheck",
    ),
    "exactly four edges into each node, in a fixed order",
)
_NEAREST = dict.fromkeys(("locality", "isolated_nodes"), "an unrelated point may be one of the nearest")
_POINTS: dict[str, Any] = {"inputs": {"pos": "position"}}

ENTRIES: dict[str, Entry] = {
    "SimpleConv": Entry({"aggr": lambda: "mean", "combine_root": lambda: "sum"}),
    "GATConv": Entry({"edge_dim": lambda: 4}),
    "GATv2Conv": Entry({"edge_dim": lambda: 4}),
    "TransformerConv": Entry({"edge_dim": lambda: 4}),
    "ResGatedGraphConv": Entry({"edge_dim": lambda: 4}),
    "GENConv": Entry({"edge_dim": lambda: 4}),
    "PNAConv": Entry(
        {"aggregators": lambda: ["mean", "max", "std"], "scalers": lambda: ["identity", "amplification", "attenuation"]}
    ),
    "DegreeScalerAggregation": Entry(
        {"aggr": lambda: ["mean", "max"], "scaler": lambda: ["identity", "amplification"]}
    ),
    "MultiAggregation": Entry({"aggrs": lambda: ["mean", "max", "std"]}),
    "QuantileAggregation": Entry({"q": lambda: 0.4}),
    "EquilibriumAggregation": Entry({"num_layers": lambda: [8]}, options={"in_channels": CHANNELS}),
    "DeepSetsAggregation": Entry({"local_nn": _mlp(8), "global_nn": _mlp(8)}),
    "PatchTransformerAggregation": Entry({"hidden_channels": lambda: 8}),
    "PowerMeanAggregation": Entry({"p": lambda: 2.0, "learn": lambda: True}),
    "SoftmaxAggregation": Entry({"learn": lambda: True}),
    "CGConv": Entry({"dim": lambda: 4}, options={"edge_dim": 4}),
    "PANConv": Entry({"filter_size": lambda: 2}),
    "DNAConv": Entry(data=_layers),
    "FAConv": Entry(data=partial(example_data, ("x", "x_0"))),
    "MLPAggregation": Entry({"num_layers": lambda: 1}),
    "GPSConv": Entry(skip={"locality": _GLOBAL, "isolated_nodes": _GLOBAL}),
    "GPSConv/performer": Entry(skip={"locality": _GLOBAL, "isolated_nodes": _GLOBAL}),
    "GMMConv": Entry({"dim": lambda: 4, "kernel_size": lambda: 2}, options={"edge_dim": 4}),
    "NNConv": Entry({"nn": lambda: nn.Linear(4, CHANNELS * CHANNELS)}, options={"edge_dim": 4}),
    "GINEConv": Entry({"edge_dim": lambda: 4}, options={"edge_dim": 4}),
    "PDNConv": Entry(options={"edge_dim": 4}),
    "GeneralConv": Entry({"in_edge_channels": lambda: 4, "attention": lambda: True}, options={"edge_dim": 4}),
    "EdgeConv": Entry({"nn": _mlp(2 * CHANNELS)}, options={"in_channels": CHANNELS}),
    "DynamicEdgeConv": Entry({"nn": _mlp(2 * CHANNELS)}, options={"in_channels": CHANNELS}, skip=_NEAREST),
    "GravNetConv": Entry({"space_dimensions": lambda: 3, "propagate_dimensions": lambda: 3}, skip=_NEAREST),
    "XConv": Entry(
        {"dim": lambda: 3, "kernel_size": lambda: 3},
        options={"inputs": {"pos": "position"}},
        groups=("T(3)",),
        skip=_NEAREST,
    ),
    "SplineConv": Entry({"dim": lambda: 2, "kernel_size": lambda: 3}, options={"edge_dim": 2}),
    "FiLMConv": Entry({"num_relations": lambda: 2}),
    "SignedConv": Entry(
        {"first_aggr": lambda: True},
        data=partial(example_data, ("x", "edge_type")),
        options={"call": _call_signed},
        skip={"layouts": _SPARSE, "edge_index_sort": _SPARSE, "bipartite": _SPARSE, "explain": _SPARSE},
    ),
    "HypergraphConv": Entry(
        options={
            "in_channels": CHANNELS,
            "call": lambda layer, data: layer(data.x, data.edge_index, num_edges=data.num_nodes),
        },
        skip={
            "layouts": "it takes an incidence list",
            "edge_index_sort": "it takes an incidence list",
            "bipartite": "it takes an incidence list",
        },
    ),
    "HEATConv": Entry(
        {
            "num_node_types": lambda: 2,
            "num_edge_types": lambda: 2,
            "edge_type_emb_dim": lambda: 3,
            "edge_attr_emb_dim": lambda: 3,
        },
        data=_typed,
    ),
    "HANConv": Entry(data=example_hetero_data, skip=_HETERO, kwargs={"in_channels": lambda: {"author": 8, "paper": 5}}),
    "HGTConv": Entry(data=example_hetero_data, skip=_HETERO, kwargs={"in_channels": lambda: {"author": 8, "paper": 5}}),
    "HeteroConv": Entry(
        {
            "convs": lambda: {
                kind: pyg.SAGEConv(tuple({"author": 8, "paper": 5}[end] for end in (kind[0], kind[2])), CHANNELS)
                for kind in example_hetero_data().edge_types
            }
        },
        data=example_hetero_data,
        skip=_HETERO,
    ),
    "PointNetConv": Entry(
        {"local_nn": _mlp(CHANNELS + 3)}, options={**_POINTS, "in_channels": CHANNELS}, groups=("T(3)",)
    ),
    "PointTransformerConv": Entry(options=_POINTS, groups=("T(3)",)),
    "PPFConv": Entry(
        {"local_nn": _mlp(CHANNELS + 4)},
        data=partial(_oriented, "x", "pos"),
        options={"inputs": {"pos": "position", "normal": "vector"}, "in_channels": CHANNELS},
        groups=("SE(3)",),
    ),
    "PointGNNConv": Entry(
        {"mlp_h": lambda: nn.Linear(CHANNELS, 3), "mlp_f": _mlp(CHANNELS + 3), "mlp_g": _mlp(CHANNELS)},
        options={**_POINTS, "in_channels": CHANNELS},
        groups=("T(3)",),
    ),
    "GINConv": Entry(options={"in_channels": CHANNELS}),
    "WLConv": Entry(data=_labels),
    "MeshCNNConv": Entry(
        {"kernels": lambda: nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(5))},
        data=_mesh,
        options={"in_channels": CHANNELS},
        skip=_FOUR,
    ),
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SAGEConv/lstm": ("SAGEConv", {"aggr": "lstm", "aggr_kwargs": {"in_channels": 8, "out_channels": 8}}),
    "SAGEConv/lcm": ("SAGEConv", {"aggr": "lcm", "aggr_kwargs": {"in_channels": 8, "out_channels": 8}}),
    "SAGEConv/median": ("SAGEConv", {"aggr": "median"}),
    "SAGEConv/softmax": ("SAGEConv", {"aggr": "softmax", "aggr_kwargs": {"learn": True}}),
    "GENConv/powermean": ("GENConv", {"aggr": "powermean", "learn_p": True, "edge_dim": 4}),
    "GCNConv/cached": ("GCNConv", {"cached": True}),
    "GATConv/dropout": ("GATConv", {"heads": 2, "dropout": 0.6}),
    "GPSConv/performer": ("GPSConv", {"attn_type": "performer", "heads": 2}),
}
"""Other forms of these classes that are worth a row: the class, and its arguments."""

LEFT_OUT: dict[str, str] = {
    "MessagePassing": "the base class",
    "Aggregation": "the base class",
    "FusedGATConv": "needs CUDA and dgNN",
}


def classes(kind: str) -> Iterator[tuple[str, type[nn.Module]]]:
    """Every public class of a kind, ``"conv"`` or ``"aggr"``, by name, its variants after it."""
    package = getattr(pyg, kind)
    for name in package.__all__:
        found = getattr(package, name)
        if isinstance(found, type) and issubclass(found, nn.Module):
            yield name, found
            yield from ((variant, found) for variant, (base, _) in VARIANTS.items() if base == name)


def known(layer: type) -> tuple[str, Entry]:
    """The name under which a class of PyG is in the tables, with its entry; empty ones for other classes."""
    name = layer.__name__ if layer.__module__.startswith("torch_geometric.") else ""
    return name, ENTRIES.get(name, Entry())


def build(name: str, layer: type[nn.Module]) -> nn.Module:
    """A layer from the values of its required arguments.

    Raises:
        ValueError: If a required argument has no value in the tables.

    Example:
        >>> build("SAGEConv", pyg.SAGEConv)
        SAGEConv(8, 8, aggr=mean)
    """
    given = ENTRIES.get(name, Entry()).kwargs
    kwargs = {**{key: make() for key, make in given.items()}, **VARIANTS.get(name, ("", {}))[1]}
    for parameter in list(inspect.signature(layer.__init__).parameters.values())[1:]:
        if parameter.name in kwargs or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            if parameter.name not in VALUES:
                raise ValueError(f"no value is known for '{parameter.name}' of {layer.__name__}; pass its arguments")
            kwargs[parameter.name] = VALUES[parameter.name]()
    return layer(**kwargs)
