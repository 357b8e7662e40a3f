"""Whole networks as published, and the parts that turn a network into a link predictor."""

from graphkit.models.deeper_gcn import DeeperGCN
from graphkit.models.link import LinkModel, LinkPredictor

__all__ = ["DeeperGCN", "LinkModel", "LinkPredictor"]
