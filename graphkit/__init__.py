"""graphkit: graph learning on PyTorch Geometric.

Drop-in layers (:mod:`graphkit.nn`) and whole networks (:mod:`graphkit.models`) on one immutable
:class:`~graphkit.graph.Graph` and a functional core of fused operators (:mod:`graphkit.ops`).
Importing the package loads nothing else: every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit import datasets, graph, loader, models, nn, ops, symmetry, testing, train
    from graphkit.graph import Graph

__version__ = "0.1.0"

__all__ = ["Graph", "__version__", "datasets", "graph", "loader", "models", "nn", "ops", "symmetry", "testing", "train"]

_SUBPACKAGES = frozenset({"datasets", "graph", "loader", "models", "nn", "ops", "symmetry", "testing", "train"})


def __getattr__(name: str) -> Any:
    if name == "Graph":
        return importlib.import_module("graphkit.graph").Graph
    if name in _SUBPACKAGES:
        return importlib.import_module(f"graphkit.{name}")
    raise AttributeError(f"module 'graphkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
