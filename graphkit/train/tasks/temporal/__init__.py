"""Tasks on sequences of snapshots: links to come, labels of edges and nodes, values to forecast."""

from graphkit.train.tasks.temporal.base import Chunk, TemporalTask
from graphkit.train.tasks.temporal.labels import (
    TemporalEdgeClassification,
    TemporalNodeClassification,
    TemporalRegression,
    weighted_cross_entropy,
)
from graphkit.train.tasks.temporal.links import TemporalLinkPrediction

__all__ = [
    "Chunk",
    "TemporalEdgeClassification",
    "TemporalLinkPrediction",
    "TemporalNodeClassification",
    "TemporalRegression",
    "TemporalTask",
    "weighted_cross_entropy",
]
