"""Layers: thin PyG modules over :mod:`graphkit.ops`."""

from graphkit.nn.aggr import (
    BinaryOperator,
    DegreeScaledAggregation,
    GRUAggregation,
    LCMAggregation,
    LSTMAggregation,
    MonoidAggregation,
    PowerMeanAggregation,
    SoftmaxAggregation,
    order_sensitivity,
    pyg_resolves_ours,
    resolve_aggregation,
)
from graphkit.nn.conv import FusedMessagePassing, GENConv, SheafConv
from graphkit.nn.deepgcn import DeepGCNLayer
from graphkit.nn.encoder import CategoricalEncoder
from graphkit.nn.frame_averaging import FrameAveraging
from graphkit.nn.latent import (
    GraphReward,
    LatentGraph,
    NeuralSnowflake,
    NeuralSpacetime,
    ProductManifold,
)
from graphkit.nn.norm import MessageNorm
from graphkit.nn.reversible import GroupAddRev
from graphkit.nn.temporal import EvolveGCNH, EvolveGCNO, EvolvingConv

__all__ = [
    "BinaryOperator",
    "CategoricalEncoder",
    "DeepGCNLayer",
    "DegreeScaledAggregation",
    "EvolveGCNH",
    "EvolveGCNO",
    "EvolvingConv",
    "FrameAveraging",
    "FusedMessagePassing",
    "GENConv",
    "GRUAggregation",
    "GraphReward",
    "GroupAddRev",
    "LCMAggregation",
    "LSTMAggregation",
    "LatentGraph",
    "MessageNorm",
    "MonoidAggregation",
    "NeuralSnowflake",
    "NeuralSpacetime",
    "PowerMeanAggregation",
    "ProductManifold",
    "SheafConv",
    "SoftmaxAggregation",
    "order_sensitivity",
    "pyg_resolves_ours",
    "resolve_aggregation",
]
