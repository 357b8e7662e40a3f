"""Entries of the monoid family: exact, learnable and recurrent aggregations."""

from __future__ import annotations

from graphkit.registry.table import BASES, Build, register

BASES["graphkit.nn:BinaryOperator"] = "the base class of learnable monoids; MonoidAggregation makes them layers"

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
