"""What a network is trained for: labels on nodes, on graphs, edges to predict, and items to recommend."""

from __future__ import annotations

from graphkit.train.tasks.base import Criterion, Task, accuracy, summed_loss
from graphkit.train.tasks.graph import GraphPrediction
from graphkit.train.tasks.latent import LatentGraphClassification
from graphkit.train.tasks.link import LinkPrediction, hits
from graphkit.train.tasks.loading import cluster_batches, neighbor_batches
from graphkit.train.tasks.node import NodeClassification
from graphkit.train.tasks.recommendation import Recommendation
from graphkit.train.tasks.temporal import (
    TemporalEdgeClassification,
    TemporalLinkPrediction,
    TemporalNodeClassification,
    TemporalRegression,
)

__all__ = [
    "Task",
    "NodeClassification",
    "GraphPrediction",
    "LatentGraphClassification",
    "LinkPrediction",
    "Recommendation",
    "TemporalEdgeClassification",
    "TemporalLinkPrediction",
    "TemporalNodeClassification",
    "TemporalRegression",
    "neighbor_batches",
    "cluster_batches",
    "Criterion",
    "accuracy",
    "hits",
    "summed_loss",
]
