"""Aggregations: PyG modules that graphkit's layers run without writing messages."""

from graphkit.nn.aggr.base import FusableAggregation, aggregate, can_fuse
from graphkit.nn.aggr.degree import DegreeScaledAggregation
from graphkit.nn.aggr.lcm import LCMAggregation
from graphkit.nn.aggr.monoid import MonoidAggregation, order_sensitivity
from graphkit.nn.aggr.monoids import BinaryOperator
from graphkit.nn.aggr.powermean import PowerMeanAggregation
from graphkit.nn.aggr.recurrent import GRUAggregation, LSTMAggregation
from graphkit.nn.aggr.resolver import pyg_resolves_ours, resolve_aggregation
from graphkit.nn.aggr.softmax import SoftmaxAggregation

__all__ = [
    "BinaryOperator",
    "DegreeScaledAggregation",
    "FusableAggregation",
    "GRUAggregation",
    "LCMAggregation",
    "LSTMAggregation",
    "MonoidAggregation",
    "PowerMeanAggregation",
    "SoftmaxAggregation",
    "aggregate",
    "can_fuse",
    "order_sensitivity",
    "pyg_resolves_ours",
    "resolve_aggregation",
]
