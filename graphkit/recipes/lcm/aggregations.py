"""The aggregations that the experiments of the monoid paper compare, under the paper's names."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation, DegreeScalerAggregation

from graphkit.nn import GRUAggregation, LCMAggregation, MonoidAggregation
from graphkit.nn.aggr.monoids import Max, Sum

SOURCE = "Ong and Velickovic, LoG 2022 (PMLR 198:43)"
NAMES = ("GRU", "Binary-GRU-Assoc", "Binary-GRU", "PNA", "Max", "Sum")


def build(name: str, channels: int, degrees: Tensor, assoc_weight: float) -> tuple[Aggregation, int]:
    """An aggregation of rows of a width, and the width of what it gives.

    Learned ones read rows in the order given: it is the experiments that shuffle, for all of them alike.

    Args:
        name: one of :data:`NAMES`.
        channels: width of the rows.
        degrees: how many groups of the training data have 0, 1, 2, ... rows; PNA scales by it.
        assoc_weight: of the associativity loss of Binary-GRU-Assoc.

    Example:
        >>> build("PNA", 8, torch.tensor([0, 3, 2]), 0.0)[1]
        96
    """
    if name == "PNA":
        scalers = ["identity", "amplification", "attenuation"]
        reduce = ["mean", "max", "min", "std"]
        return DegreeScalerAggregation(reduce, scalers, degrees), channels * len(reduce) * len(scalers)
    if name == "GRU":
        return GRUAggregation(channels, channels), channels
    if name in ("Max", "Sum"):
        return MonoidAggregation(Max() if name == "Max" else Sum()), channels
    weight = assoc_weight if name == "Binary-GRU-Assoc" else 0.0
    return LCMAggregation(channels, channels, project=False, order="given", assoc_weight=weight), channels


def penalty(aggr: Aggregation) -> Tensor:
    """The regularisation loss of an aggregation's last call; 0 for those that have none."""
    return aggr.regularization_loss() if isinstance(aggr, LCMAggregation) else torch.zeros(())
