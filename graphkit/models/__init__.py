"""Whole networks as published."""

from graphkit.models.deeper_gcn import DeeperGCN

__all__ = ["DeeperGCN"]
