"""Training: :class:`Trainer` (back-propagation), what it reports, and where it writes."""

from __future__ import annotations

from graphkit.train.checkpoint import load_checkpoint, save_checkpoint
from graphkit.train.config import TrainConfig
from graphkit.train.results import EpochRecord, RunResult, Summary
from graphkit.train.tasks import NodeClassification, Task, accuracy
from graphkit.train.trackers import JSONLTracker, Tracker, read_jsonl
from graphkit.train.trainer import Trainer, repeat

__all__ = [
    "Trainer",
    "TrainConfig",
    "repeat",
    "Task",
    "NodeClassification",
    "accuracy",
    "EpochRecord",
    "RunResult",
    "Summary",
    "Tracker",
    "JSONLTracker",
    "read_jsonl",
    "save_checkpoint",
    "load_checkpoint",
]
