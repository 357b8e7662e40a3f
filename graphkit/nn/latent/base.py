"""The two protocols of latent graphs: a metric, and a sampler that turns points into edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphkit import ops
from graphkit.graph import Graph
from graphkit.ops.point_sets import CostPart


class Metric(nn.Module):
    """A distance of latent points, possibly learned: ``metric(x, y)``, ``[..., d]``, ``[..., d]`` -> ``[...]``.

    A new metric is a subclass in a file of its own with :meth:`forward`, :meth:`cost` where edges are drawn by another
    number than the squared distance, and :meth:`parts` where that is a sum of functions of distances.

    Attributes:
        increasing: the cost increases with the Euclidean distance, so that Euclidean neighbours are its neighbours.
        squared: the cost is the squared Euclidean distance itself.
        temperature: where the logarithm of the costs' factor starts.
    """

    increasing: bool = False
    squared: bool = False
    temperature: float = 1.0

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        """What an edge between ``x`` and ``y`` costs: its probability is ``exp(-scale * cost)``."""
        distance: Tensor = self(x, y)
        return distance.square()

    def parts(self, z: Tensor) -> Sequence[CostPart] | None:
        """The cost of pairs of the points ``z`` as a sum of increasing functions of distances, if it is one.

        Then neighbours are searched natively; without it, and where the cost is not ``increasing``, in blocks of pairs.
        """
        return None


class Choice(NamedTuple):
    """What a sampler chose, edges of a target together, best first.

    Attributes:
        edge_index: int64 ``[2, E]``; row 0 holds the neighbours, row 1 the points that chose them.
        log_prob: ``[E]``, differentiable.
        weight: ``[E]``, differentiable.
    """

    edge_index: Tensor
    log_prob: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Request:
    """What a sampler is asked for.

    Attributes:
        k: neighbours per point.
        scale: the factor of the costs, a tensor of one number.
        batch: the set of each point, or None.
        graph: the given graph, or None.
        loop: a point may choose itself.
        noise_scale: of the Gumbel noise; 0 for none.
        seed: of the noise.
        noise: injected noise ``[N, N]``, or None.
        approximate: search for neighbours by a library that may miss some.
    """

    k: int
    scale: Tensor
    batch: Tensor | None = None
    graph: Graph | None = None
    loop: bool = False
    noise_scale: float = 0.0
    seed: int | None = None
    noise: Tensor | None = None
    approximate: bool = False


class Sampler(nn.Module):
    """Turns latent points into edges: ``sampler(z, metric, request)``, ``[N, d]`` -> :class:`Choice`.

    A new sampler is a subclass in a file of its own and a line in :func:`graphkit.nn.latent.make_sampler`.
    """

    def forward(self, z: Tensor, metric: Metric, request: Request) -> Choice:
        raise TypeError(f"{type(self).__name__} must override 'forward'")


def choose(z: Tensor, metric: Metric, request: Request, k: int | None = None) -> Tensor:
    """int64 ``[N, k]``: the neighbours that each point draws, or its nearest; -1 where there are fewer."""
    count = request.k if k is None else k
    with torch.no_grad():
        parts = None if metric.increasing else metric.parts(z)
    return ops.gumbel_topk(
        z,
        count,
        None if metric.squared else metric.cost,
        scale=float(request.scale.detach()),
        noise_scale=request.noise_scale,
        seed=request.seed,
        batch=request.batch,
        loop=request.loop,
        increasing=metric.increasing,
        search="approximate" if request.approximate and metric.increasing else "auto",
        noise=request.noise,
        parts=parts,
    )


def pairs(index: Tensor) -> Tensor:
    """``edge_index`` of neighbours ``[N, k]``, missing ones left out; edges of a point together, in order."""
    rows = torch.arange(index.size(0), device=index.device).unsqueeze(1).expand_as(index)
    there = index >= 0
    return torch.stack([index[there], rows[there]])


def edge_costs(z: Tensor, metric: Metric, edge_index: Tensor) -> Tensor:
    """``[E]``: the cost of each edge, with gradients to the points and the metric."""
    costs: Tensor = metric.cost(z[edge_index[1]], z[edge_index[0]])
    return costs
