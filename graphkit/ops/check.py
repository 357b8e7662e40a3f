"""What every operator checks of its tensors, and the flattening of feature shapes to ``[rows, F]``."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops.backend import FLOATS


def check_graph(graph: object) -> Graph:
    """Return ``graph`` if it is one; operators do not convert silently, layers do."""
    if not isinstance(graph, Graph):
        raise TypeError(
            f"'graph' must be a graphkit.Graph (got {type(graph).__name__}); "
            f"use Graph.from_edge_index(edge_index, num_nodes)"
        )
    return graph


def check_features(x: object, rows: int, name: str, of: str, device: torch.device) -> Tensor:
    """Return ``x`` if it is a floating-point tensor with one row per node or edge on the graph's device."""
    if not isinstance(x, Tensor):
        raise TypeError(f"'{name}' must be a torch.Tensor (got {type(x).__name__})")
    if x.dtype not in FLOATS:
        raise ValueError(f"'{name}' must be floating point (got {x.dtype}); use {name}.float()")
    if x.dim() == 0 or x.size(0) != rows:
        raise ValueError(
            f"'{name}' must have one row per {of} of the graph, {rows} (got shape {list(x.shape)}); "
            f"build the graph with matching num_nodes, or pass the matching features"
        )
    if x.device != device:
        raise ValueError(f"'{name}' is on {x.device} but the graph is on {device}; move one with .to(...)")
    return x


def flatten(x: Tensor) -> Tensor:
    """``[rows, *features] -> [rows, F]``, contiguous; ``[rows] -> [rows, 1]``."""
    return x.reshape(x.size(0), math.prod(x.shape[1:])).contiguous()


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums, exponentials and parameters are held: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def per_channel(value: float | Tensor, name: str, x: Tensor) -> Tensor:
    """A scalar or per-feature parameter as a vector ``[F]`` over the flattened features of ``x``.

    Raises:
        ValueError: if a tensor does not broadcast to the feature shape of ``x``.
    """
    features = x.shape[1:]
    width = math.prod(features)
    dtype = accumulator(x.dtype)
    if not isinstance(value, Tensor):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"'{name}' must be a number or a tensor (got {type(value).__name__})")
        return torch.full((width,), float(value), dtype=dtype, device=x.device)
    if value.numel() == 1:
        return value.reshape(1).to(x.device, dtype).expand(width).contiguous()
    if not value.is_floating_point() or value.shape != features[len(features) - value.dim() :]:
        raise ValueError(
            f"'{name}' must be a scalar or have the trailing feature shape {list(features)} "
            f"(got shape {list(value.shape)}, {value.dtype})"
        )
    return value.to(x.device, dtype).expand(features).reshape(width).contiguous()
