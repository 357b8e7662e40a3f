"""Aggregations: PyG modules that graphkit's layers run without writing messages."""

from graphkit.nn.aggr.base import FusableAggregation, aggregate, can_fuse
from graphkit.nn.aggr.degree import DegreeScaledAggregation
from graphkit.nn.aggr.powermean import PowerMeanAggregation
from graphkit.nn.aggr.resolver import resolve_aggregation
from graphkit.nn.aggr.softmax import SoftmaxAggregation

__all__ = [
    "DegreeScaledAggregation",
    "FusableAggregation",
    "PowerMeanAggregation",
    "SoftmaxAggregation",
    "aggregate",
    "can_fuse",
    "resolve_aggregation",
]
