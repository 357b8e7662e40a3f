"""Graphs that change with time: a sequence of snapshots, each of them a :class:`~graphkit.Graph`."""

from graphkit.graph.temporal.features import OneHotDegree, Standardizer
from graphkit.graph.temporal.negatives import (
    complement_size,
    historical_negatives,
    random_negatives,
    target_negatives,
)
from graphkit.graph.temporal.sequence import Snapshot, SnapshotSequence
from graphkit.graph.temporal.split import TimeSplit, split_by_time

__all__ = [
    "OneHotDegree",
    "Snapshot",
    "SnapshotSequence",
    "Standardizer",
    "TimeSplit",
    "complement_size",
    "historical_negatives",
    "random_negatives",
    "split_by_time",
    "target_negatives",
]
