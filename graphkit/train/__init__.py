"""Training: :class:`Trainer` (back-propagation), :class:`ForwardTrainer` (each layer by a loss of its own), what they
train for, what they report, and where they write."""

from __future__ import annotations

from graphkit.train.checkpoint import load_checkpoint, save_checkpoint
from graphkit.train.config import TrainConfig
from graphkit.train.distributed import Share, current_share, distributed
from graphkit.train.forward import ForwardConfig, ForwardTrainer
from graphkit.train.results import EpochRecord, RunResult, Summary
from graphkit.train.tasks import (
    GraphPrediction,
    LinkPrediction,
    NodeClassification,
    Recommendation,
    Task,
    TemporalEdgeClassification,
    TemporalLinkPrediction,
    TemporalNodeClassification,
    TemporalRegression,
    accuracy,
    cluster_batches,
    hits,
    neighbor_batches,
    summed_loss,
)
from graphkit.train.trackers import JSONLTracker, TensorBoardTracker, Tracker, WandbTracker, make_trackers, read_jsonl
from graphkit.train.trainer import Trainer, repeat

__all__ = [
    "Trainer",
    "TrainConfig",
    "ForwardTrainer",
    "ForwardConfig",
    "repeat",
    "Task",
    "NodeClassification",
    "GraphPrediction",
    "LinkPrediction",
    "Recommendation",
    "TemporalEdgeClassification",
    "TemporalLinkPrediction",
    "TemporalNodeClassification",
    "TemporalRegression",
    "neighbor_batches",
    "cluster_batches",
    "accuracy",
    "hits",
    "summed_loss",
    "distributed",
    "current_share",
    "Share",
    "EpochRecord",
    "RunResult",
    "Summary",
    "Tracker",
    "JSONLTracker",
    "TensorBoardTracker",
    "WandbTracker",
    "make_trackers",
    "read_jsonl",
    "save_checkpoint",
    "load_checkpoint",
]
