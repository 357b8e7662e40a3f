"""The table of layers: every public layer and model, how to build a small one, and what it claims.

The contract tests (``tests/test_contract.py``) test every entry on every property of :mod:`graphkit.testing`.
To add a layer, add one block at the end of this file::

    register(
        "GENConv",                                        # unique; variants as "GENConv/powermean"
        "graphkit.nn:GENConv",                            # what it covers: module:Class
        args=(8, 8),
        kwargs={"aggr": "softmax", "learn_t": True, "edge_dim": 4},
        kind="conv",
        lazy_args=(-1, 8),                                # for the claim `lazy`
        lacks={"bfloat16": "why it cannot be had"},       # properties it does not claim, each with the reason
    )

``Build("graphkit.nn:GENConv", 8, 8)`` stands for a module inside ``args`` or ``kwargs`` and is built afresh
with it. An entry claims all properties but those it ``lacks``; groups (``"E(3)"``) are claimed besides by
``groups``, with ``inputs`` and ``outputs`` giving the kinds. ``options`` are further arguments of
:class:`graphkit.testing.Case` (``edge_dim``, ``undirected``, ``call``, ``data``, ...). Importing this file
imports no layer.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from graphkit.testing import Case

Kind = Literal["conv", "aggr", "norm", "block", "model", "train"]


class Build:
    """A module to be built later: a class by its ``module:Name``, and its arguments.

    Example:
        >>> Build("torch.nn:Linear", 8, 4, bias=False)()
        Linear(in_features=8, out_features=4, bias=False)
    """

    def __init__(self, target: str, *args: Any, **kwargs: Any) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs

    def __call__(self) -> nn.Module:
        module, _, name = self.target.partition(":")
        layer = getattr(importlib.import_module(module), name)
        kwargs = {key: _built(value) for key, value in self.kwargs.items()}
        built: nn.Module = layer(*map(_built, self.args), **kwargs)
        return built

    def __repr__(self) -> str:
        parts = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{self.target}({', '.join(parts)})"


def _built(value: Any) -> Any:
    return value() if isinstance(value, Build) else value


@dataclass(frozen=True)
class LayerSpec:
    """One entry of the table.

    Attributes:
        name: Unique name; variants of a layer share what stands before the slash.
        build: Builds a fresh layer, small enough to test.
        kind: Where it belongs.
        lazy: Builds it with ``in_channels=-1``.
        lacks: Properties it does not claim, with the reason.
        groups: Geometric groups it claims.
        options: Further arguments of :class:`graphkit.testing.Case`.
        notes: What a reader of the table should know.
    """

    name: str
    build: Build
    kind: Kind
    lazy: Build | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    @property
    def covers(self) -> str:
        """The class of the entry, ``module:Class``."""
        return self.build.target

    @property
    def claims(self) -> tuple[str, ...]:
        """Names of the properties that the layer claims, in the order in which they are checked."""
        from graphkit.testing import PROPERTIES

        unknown = sorted(set(self.lacks) - set(PROPERTIES))
        if unknown:
            raise ValueError(f"'lacks' of '{self.name}' names {unknown}; properties are {list(PROPERTIES)}")
        return (*(name for name in PROPERTIES if name not in self.lacks), *self.groups)

    def case(self, seed: int = 0) -> Case:
        """The layer with data to test it on."""
        from graphkit.testing import Case

        return Case(self.build, lazy=self.lazy, seed=seed, **self.options)


BASES: dict[str, str] = {}
"""Public classes to build layers on, that are no layers themselves, and why (``module:Class`` to reason)."""

_SPECS: dict[str, LayerSpec] = {}


def register(
    name: str,
    target: str,
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    kind: Kind,
    lazy_args: tuple[Any, ...] | None = None,
    lacks: Mapping[str, str] | None = None,
    groups: tuple[str, ...] = (),
    notes: str = "",
    **options: Any,
) -> LayerSpec:
    """Enter a layer into the table (see the top of this file).

    Raises:
        ValueError: If the name is taken or the target has no ``module:Class`` form.
    """
    if name in _SPECS:
        raise ValueError(f"'name' must be unique, got {name!r}, which stands for {_SPECS[name].build}")
    if target.count(":") != 1:
        raise ValueError(f"'target' must be 'module:Class', got {target!r}")
    named = dict(kwargs or {})
    lazy = None if lazy_args is None else Build(target, *lazy_args, **named)
    spec = LayerSpec(name, Build(target, *args, **named), kind, lazy, dict(lacks or {}), groups, options, notes)
    _SPECS[name] = spec
    return spec


def specs(kind: Kind | None = None) -> tuple[LayerSpec, ...]:
    """All entries, or those of one kind, in the order of the table."""
    return tuple(spec for spec in _SPECS.values() if kind is None or spec.kind == kind)


def get(name: str) -> LayerSpec:
    """The entry of a name.

    Raises:
        KeyError: If there is none; near names are suggested.
    """
    if name not in _SPECS:
        near = difflib.get_close_matches(name, _SPECS, n=3) or sorted(_SPECS)
        raise KeyError(f"no layer is registered as {name!r}; did you mean one of {near}?")
    return _SPECS[name]


# The table
# ---------------------------------------------------------------------------------------------------------

_GEN = "graphkit.nn:GENConv"

BASES["graphkit.nn:FusedMessagePassing"] = "the base class of convolutions"
BASES["graphkit.nn:BinaryOperator"] = "the base class of learnable monoids; MonoidAggregation makes them layers"
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

# Folds: what a learned operator gives depends on the order of its rows, unless they are sorted.
_LCM = "graphkit.nn:LCMAggregation"
_RAGGED = {"compile": "how many steps a fold takes is in the data"}
_ORDER = "nothing makes it associative: the order of the rows counts"
_ORDERED = {**_RAGGED, "edge_permutation": _ORDER, "self_loops": _ORDER, "multi_edges": _ORDER}
for _name in ("LCMAggregation", "GRUAggregation", "LSTMAggregation"):
    register(_name, f"graphkit.nn:{_name}", args=(8, 6), kind="aggr", lacks=_ORDERED)
register(
    "LCMAggregation/sorted",
    _LCM,
    args=(8, 8, False),
    kwargs={"identity": "learn", "order": "sorted"},
    kind="aggr",
    lacks={**_RAGGED, "empty_groups": "an aggregation of nothing is the learned identity"},
)
register(
    "LCMAggregation/regularised",
    _LCM,
    args=(8, 6),
    kwargs={"operator": Build("graphkit.nn.aggr.monoids:SymmetricMLP", 6, 8), "assoc_weight": 1, "assoc_fraction": 0.5},
    kind="aggr",
    lacks=_ORDERED,
)
for _name, _args, _lacks in (
    ("Softmax", (0.5,), {}),
    ("Variance", (), {}),
    ("Product", (), {**_RAGGED, "empty_groups": "a product of nothing is 1"}),
    ("Conjugate", (Build("torch.nn:Linear", 8, 6), Build("torch.nn:Linear", 6, 8)), {"empty_groups": "it is f_inv(0)"}),
    ("Symmetrized", (Build("torch.nn:Bilinear", 8, 8, 8),), _ORDERED),
):
    _monoid = Build(f"graphkit.nn.aggr.monoids:{_name}", *_args)
    register(f"MonoidAggregation/{_name}", "graphkit.nn:MonoidAggregation", args=(_monoid,), kind="aggr", lacks=_lacks)
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
