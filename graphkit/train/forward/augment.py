"""How labels enter a graph: context columns, virtual class nodes and the edges to them, wrong classes.

Only labels of nodes that are known are ever read, whoever calls.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Direction = Literal["both", "to_class"]


def label_context(labels: Tensor, known: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One-hot labels of the known nodes, the uniform distribution for the others: ``[N, K]``.

    Args:
        labels: ``[N]``; those of unknown nodes are not read.
        known: indices of the known nodes.
        num_classes: K.
        dtype: of the result.

    Example:
        >>> label_context(torch.tensor([1, 7]), torch.tensor([0]), 2)
        tensor([[0.0000, 1.0000],
                [0.5000, 0.5000]])
    """
    context = torch.full((labels.size(0), num_classes), 1 / num_classes, dtype=dtype, device=labels.device)
    context[known] = F.one_hot(labels[known], num_classes).to(dtype)
    return context


def virtual_edges(labels: Tensor, known: Tensor, num_nodes: int, direction: Direction = "both") -> Tensor:
    """Edges between known nodes and the virtual node of their class, class c being node ``num_nodes + c``.

    Args:
        labels: the class of each known node, ``[u]``.
        known: their indices, ``[u]``.
        num_nodes: N, of the real nodes.
        direction: ``"both"``, or ``"to_class"``: from the real to the virtual nodes only, so that what real nodes
            compute does not depend on any label.

    Returns:
        ``[2, 2u]`` (first all edges to the class nodes, then all from them) or ``[2, u]``.

    Example:
        >>> virtual_edges(torch.tensor([1, 0]), torch.tensor([0, 2]), num_nodes=3).tolist()
        [[0, 2, 4, 3], [4, 3, 0, 2]]
    """
    up = torch.stack([known, num_nodes + labels])
    return torch.cat([up, up.flip(0)], 1) if direction == "both" else up


def with_classes(
    edge_index: Tensor, labels: Tensor, known: Tensor, num_nodes: int, direction: Direction = "both"
) -> Tensor:
    """``edge_index`` followed by :func:`virtual_edges`."""
    return torch.cat([edge_index, virtual_edges(labels, known, num_nodes, direction)], 1)


def virtual_features(num_classes: int, channels: int, generator: Generator, dtype: torch.dtype) -> Tensor:
    """Standard normal features of the class nodes, ``[K, F]``: drawn once, never trained."""
    return torch.randn(num_classes, channels, generator=generator, dtype=torch.float64).to(dtype)


def wrong_classes(labels: Tensor, num_classes: int, count: int | None, generator: Generator | None = None) -> Tensor:
    """For each node, wrong classes in random order.

    Args:
        labels: the right ones, ``[T]``.
        num_classes: K.
        count: how many, at most K - 1; None: all.
        generator: what the order is drawn from; None: in ascending order.

    Returns:
        ``[T, M]``

    Example:
        >>> wrong_classes(torch.tensor([1, 0]), 3, None).tolist()
        [[0, 2], [1, 2]]
    """
    count = num_classes - 1 if count is None else min(count, num_classes - 1)
    if generator is None:
        key = torch.arange(num_classes, dtype=torch.float64).repeat(labels.size(0), 1)
    else:
        key = torch.rand(labels.size(0), num_classes, generator=generator, dtype=torch.float64)
    key = key.to(labels.device)
    key.scatter_(1, labels[:, None], float("inf"))  # the right one comes last
    return key.argsort(dim=1)[:, :count]
