"""Layers: thin PyG modules over :mod:`graphkit.ops`."""

from graphkit.nn.aggr import (
    DegreeScaledAggregation,
    PowerMeanAggregation,
    SoftmaxAggregation,
    resolve_aggregation,
)
from graphkit.nn.conv import FusedMessagePassing, GENConv, SheafConv
from graphkit.nn.deepgcn import DeepGCNLayer
from graphkit.nn.encoder import CategoricalEncoder
from graphkit.nn.norm import MessageNorm
from graphkit.nn.reversible import GroupAddRev

__all__ = [
    "CategoricalEncoder",
    "DeepGCNLayer",
    "DegreeScaledAggregation",
    "FusedMessagePassing",
    "GENConv",
    "GroupAddRev",
    "MessageNorm",
    "PowerMeanAggregation",
    "SheafConv",
    "SoftmaxAggregation",
    "resolve_aggregation",
]
